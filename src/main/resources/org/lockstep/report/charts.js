// How the values of org.lockstep.report.Chart become options of Apache ECharts, drawn as SVG.
(() => {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const palette = ['#2f6fde', '#e0823d', '#3a9d6e', '#b25bc4', '#c94f5c', '#7b8698', '#c2a12b', '#2aa5b5'];
  const number = new Intl.NumberFormat('en', { maximumSignificantDigits: 4 });
  const seconds = value => number.format(value) + ' s';
  // Tooltips are HTML: names come from outside.
  const text = value => echarts.format.encodeHTML(String(value));

  const base = () => ({
    animation: false,
    color: palette,
    textStyle: { fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif' },
    grid: { left: 8, right: 24, top: 40, bottom: 8, containLabel: true },
    legend: { top: 0, left: 0, type: 'scroll', itemWidth: 14, itemHeight: 10 },
    tooltip: { confine: true },
  });

  const time = end => ({
    type: 'value', min: 0, max: end, name: 'seconds', nameLocation: 'middle', nameGap: 26,
    axisLabel: { formatter: value => number.format(value), hideOverlap: true, showMaxLabel: false },
  });
  const names = rows => ({ type: 'category', data: rows, inverse: true, axisTick: { show: false } });

  const kinds = {
    lines: chart => ({
      ...base(),
      grid: { ...base().grid, bottom: 34 },
      tooltip: { ...base().tooltip, trigger: 'axis', valueFormatter: value => number.format(value) },
      xAxis: { type: chart.logarithmic ? 'log' : 'value', name: chart.x, nameLocation: 'middle', nameGap: 28,
        axisLabel: { formatter: value => number.format(value), hideOverlap: true } },
      yAxis: { type: chart.logarithmic ? 'log' : 'value', name: chart.y, nameTextStyle: { align: 'left' },
        nameGap: 8, axisLabel: { formatter: value => number.format(value) } },
      legend: { ...base().legend, left: 'right', show: chart.lines.length > 1 },
      series: chart.lines.map(line => ({
        type: 'line', name: line.name, showSymbol: line.points.length < 40, symbolSize: 6, lineStyle: { width: 2 },
        data: line.points.map(point => [point.x, point.y]),
      })),
    }),

    timeline: chart => {
      const spanKinds = [...new Set(chart.spans.map(span => span.kind))];
      return {
        ...base(),
        grid: { ...base().grid, bottom: 34 },
        xAxis: time(Math.max(...chart.spans.map(span => span.to), 1e-3)),
        yAxis: names(chart.rows),
        series: spanKinds.map(kind => ({
          type: 'custom', name: kind, encode: { x: [1, 2], y: 0 },
          tooltip: { formatter: ({ value }) =>
            `${text(chart.rows[value[0]])}<br>${text(kind)}: <b>${seconds(value[2] - value[1])}</b>, from ${seconds(value[1])}` },
          renderItem: (params, api) => {
            const from = api.coord([api.value(1), api.value(0)]);
            const to = api.coord([api.value(2), api.value(0)]);
            const high = api.size([0, 1])[1] * 0.66;
            return { type: 'rect', style: api.style(),
              shape: { x: from[0], y: from[1] - high / 2, width: Math.max(to[0] - from[0], 1), height: high } };
          },
          data: chart.spans.filter(span => span.kind === kind).map(span => [span.row, span.from, span.to]),
        })),
      };
    },

    heatmap: chart => {
      const columns = Math.max(...chart.shares.map(row => row.length), 1);
      const starts = Array.from({ length: columns }, (_, column) => number.format(column * chart.binSeconds));
      // A label where a column is the first to reach a round time, and about ten in all.
      const power = 10 ** Math.floor(Math.log10(columns * chart.binSeconds / 10));
      const step = power * [1, 2, 5, 10].find(factor => columns * chart.binSeconds / (factor * power) <= 10);
      const round = column => Math.floor(column * chart.binSeconds / step + 1e-9);
      return {
        ...base(),
        grid: { ...base().grid, top: 10, bottom: 66 },
        tooltip: { ...base().tooltip, formatter: ({ value }) =>
          `${text(chart.rows[value[1]])}, from ${starts[value[0]]} s<br><b>${number.format(100 * value[2])} %</b>` },
        xAxis: { type: 'category', data: starts, name: 'seconds', nameLocation: 'middle', nameGap: 26,
          axisTick: { show: false }, splitArea: { show: false },
          axisLabel: { interval: column => column === 0 || round(column) > round(column - 1),
            formatter: (_, column) => number.format(round(column) * step) } },
        yAxis: names(chart.rows),
        visualMap: { min: 0, max: 1, orient: 'horizontal', left: 0, bottom: 0, itemHeight: 120, itemWidth: 12,
          text: ['100 %', '0 %'], textGap: 8, calculable: false,
          inRange: { color: ['#3a9d6e', '#f2d16b', '#d9534f'] } },
        series: [{ type: 'heatmap', progressive: 0,
          data: chart.shares.flatMap((row, y) => row.map((share, x) => [x, y, share])) }],
      };
    },

    bars: chart => ({
      ...base(),
      grid: { ...base().grid, bottom: 34 },
      tooltip: { ...base().tooltip, trigger: 'axis', axisPointer: { type: 'shadow' },
        valueFormatter: value => number.format(value) + ' ' + chart.unit },
      xAxis: { type: 'value', name: chart.unit, nameLocation: 'middle', nameGap: 26,
        axisLabel: { formatter: value => number.format(value), hideOverlap: true } },
      yAxis: names(chart.bars),
      series: chart.parts.map(part => ({ type: 'bar', stack: 'all', barMaxWidth: 18, name: part.name, data: part.values })),
    }),
  };

  document.querySelectorAll('.lockstep .chart:not([data-drawn])').forEach(place => {
    place.dataset.drawn = 'yes';
    const value = JSON.parse(place.querySelector('script').textContent);
    let drawn;
    const draw = () => {
      if (drawn) drawn.dispose();
      drawn = echarts.init(place, dark.matches ? 'dark' : null, { renderer: 'svg' });
      drawn.setOption({ backgroundColor: 'transparent', ...kinds[place.dataset.kind](value) });
    };
    draw();
    dark.addEventListener('change', draw);
    addEventListener('resize', () => drawn.resize());
  });
})();
