package org.lockstep.cli.bench.inference;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import org.lockstep.topology.ParallelSizes;

/**
 * How fast rows were completed in each way. Immutable.
 *
 * @param title what was measured
 * @param rows that were completed
 * @param tokens put out for all of them
 * @param rounds nanoseconds of each way, one after the other
 */
public record RowsReport(String title, RaggedRows rows, long tokens, List<Map<RowsReport.Way, Double>> rounds) {

    /** By whom rows are completed; the first is what the others are compared with. */
    public enum Way {
        ENGINE,
        BATCHES,
        GENERATE;

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    public RowsReport {
        rounds = List.copyOf(rounds);
    }

    /** For people, a row for each way. */
    public void print(PrintWriter out) {
        out.println("# " + title + "; " + rows);
        out.println("#      test      median        best   of engine");
        out.println("#               (tok/s)     (tok/s)");
        for (Way way : Way.values()) {
            out.println(String.format(
                    Locale.ROOT, "  %9s  %10.1f  %10.1f  %9.3fx", way, median(speed(way)), best(way), ratio(way)));
        }
        out.flush();
    }

    /** For programs, an object for each way on a line. */
    public void printJson(PrintWriter out, BenchModel model, ParallelSizes sizes, int threads) {
        for (Way way : Way.values()) {
            try (JsonGenerator json = new JsonFactory()
                    .disable(JsonGenerator.Feature.AUTO_CLOSE_TARGET)
                    .createGenerator(out)) {
                json.writeStartObject();
                json.writeStringField("model", model.name());
                json.writeStringField("quant", model.quant());
                json.writeStringField("test", way.toString());
                json.writeNumberField("batch", rows.atOnce());
                json.writeNumberField("tps", SpeedJson.rounded(median(speed(way))));
                json.writeNumberField("best_tps", SpeedJson.rounded(best(way)));
                json.writeNumberField("of_engine", SpeedJson.rounded(ratio(way)));
                json.writeNumberField("rows", rows.count());
                json.writeNumberField("tokens", tokens);
                json.writeNumberField("tp", sizes.tp());
                json.writeNumberField("pp", sizes.pp());
                json.writeNumberField("dp", sizes.dp());
                json.writeNumberField("threads", threads);
                json.writeEndObject();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
            out.println();
        }
        out.flush();
    }

    private ToDoubleFunction<Map<Way, Double>> speed(Way way) {
        return round -> 1e9 * tokens / round.getOrDefault(way, Double.NaN);
    }

    private double best(Way way) {
        return rounds.stream().mapToDouble(speed(way)).max().orElseThrow();
    }

    private double ratio(Way way) {
        return median(
                round -> speed(way).applyAsDouble(round) / speed(Way.ENGINE).applyAsDouble(round));
    }

    private double median(ToDoubleFunction<Map<Way, Double>> of) {
        double[] sorted = rounds.stream().mapToDouble(of).sorted().toArray();
        return (sorted[(sorted.length - 1) / 2] + sorted[sorted.length / 2]) / 2;
    }
}
