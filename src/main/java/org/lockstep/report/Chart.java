package org.lockstep.report;

import java.util.List;

/**
 * What a chart shows, without how. Immutable; its names are plain text and are escaped where they are drawn.
 *
 * <p>Each kind has a function of the same name in {@code charts.js}, which gets this value as JSON.
 */
public sealed interface Chart {
    String title();

    /** A sentence below the title: how to read it. */
    String note();

    /** Height in pixels; the width is the page's. */
    int height();

    /**
     * Lines through points.
     *
     * @param logarithmic whether both axes are
     * @param lines at least one
     */
    record Lines(String title, String note, String x, String y, boolean logarithmic, List<Line> lines)
            implements Chart {
        public Lines {
            lines = List.copyOf(lines);
        }

        @Override
        public int height() {
            return 300;
        }
    }

    /**
     * A line of {@link Lines}.
     *
     * @param points (x, y), by x
     */
    record Line(String name, List<Point> points) {
        public Line {
            points = List.copyOf(points);
        }
    }

    /** A point of a {@link Line}. */
    record Point(double x, double y) {}

    /**
     * Spans of time, a row for each of whom they are.
     *
     * @param rows names, from top to bottom
     * @param spans in any order
     */
    record Timeline(String title, String note, List<String> rows, List<Span> spans) implements Chart {
        public Timeline {
            rows = List.copyOf(rows);
            spans = List.copyOf(spans);
        }

        @Override
        public int height() {
            return 110 + 22 * Math.min(rows.size(), 64);
        }
    }

    /**
     * A span of a {@link Timeline}.
     *
     * @param row from 0
     * @param kind what was done; spans of a kind have a colour
     * @param from seconds
     * @param to not less
     */
    record Span(int row, String kind, double from, double to) {}

    /**
     * Shares of time, a row for each of whom they are and a column for each bin of time.
     *
     * @param rows names, from top to bottom
     * @param binSeconds width of a column
     * @param shares by row, 0 to 1; rows may end early
     */
    record HeatMap(String title, String note, List<String> rows, double binSeconds, List<List<Double>> shares)
            implements Chart {
        public HeatMap {
            rows = List.copyOf(rows);
            shares = shares.stream().map(List::copyOf).toList();
        }

        @Override
        public int height() {
            return 130 + 22 * Math.min(rows.size(), 64);
        }
    }

    /**
     * Bars of stacked parts.
     *
     * @param unit of the values
     * @param bars names, from top to bottom
     * @param parts each with a value for each bar
     */
    record Bars(String title, String note, String unit, List<String> bars, List<Part> parts) implements Chart {
        public Bars {
            bars = List.copyOf(bars);
            parts = List.copyOf(parts);
        }

        @Override
        public int height() {
            return 110 + 26 * Math.min(bars.size(), 64);
        }
    }

    /** A part of {@link Bars}: a value for each bar. */
    record Part(String name, List<Double> values) {
        public Part {
            values = List.copyOf(values);
        }
    }
}
