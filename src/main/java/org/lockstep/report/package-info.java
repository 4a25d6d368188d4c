/**
 * Pages that explain a machine and what it did: self-contained HTML that opens from a file without a network, in a Databricks
 * cell ({@code displayHTML}) and in a Zeppelin paragraph ({@code %html}).
 *
 * <p>A {@link org.lockstep.report.Page} is headings, facts, tables, pictures and {@link org.lockstep.report.Chart}s. Charts are
 * values; Apache ECharts, which the page carries with it, draws them as SVG in the browser, so that nothing is drawn, and no
 * font or display is needed, on the server. What is specific to one chart, in {@code charts.js}, is how its value becomes an
 * option of ECharts.
 *
 * <p>This room knows ranks and groups, so that it can draw them, and nothing of Spark or of models. All text that comes from
 * outside is escaped, here and nowhere else.
 */
@NullMarked
package org.lockstep.report;

import org.jspecify.annotations.NullMarked;
