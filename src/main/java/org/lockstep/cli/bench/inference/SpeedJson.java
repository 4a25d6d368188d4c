package org.lockstep.cli.bench.inference;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.function.Consumer;
import org.lockstep.cli.bench.inference.Speed.MemoryUse;
import org.lockstep.cli.bench.inference.Speed.Percentiles;
import org.lockstep.topology.ParallelSizes;

/**
 * Speeds as JSON, one object on a line, for programs: the fields of the comparison with other engines, then our own.
 *
 * @param out where the lines go, each at once
 * @param model its name
 * @param quant how the weights are held, in llama.cpp's words
 * @param sizes of the axes; they are part of the peer's name where there is more than one rank, as is the device
 * @param threads of each rank
 * @param device cpu or cuda
 */
public record SpeedJson(PrintWriter out, String model, String quant, ParallelSizes sizes, int threads, String device)
        implements Consumer<Speed> {
    private static final int DIGITS = 3;
    private static final double MILLI = 1e6;

    @Override
    public void accept(Speed each) {
        try (JsonGenerator json = new JsonFactory()
                .disable(JsonGenerator.Feature.AUTO_CLOSE_TARGET)
                .createGenerator(out)) {
            json.writeStartObject();
            json.writeStringField("peer", peer());
            json.writeStringField("model", model);
            json.writeStringField("quant", quant);
            json.writeStringField("test", each.test());
            json.writeNumberField("batch", each.batch());
            json.writeNumberField("tps", rounded(each.tokensPerSecond()));
            json.writeNumberField("best_tps", rounded(each.bestTokensPerSecond()));
            json.writeNumberField("depth", each.depth());
            json.writeNumberField("tp", sizes.tp());
            json.writeNumberField("pp", sizes.pp());
            json.writeNumberField("dp", sizes.dp());
            json.writeNumberField("threads", threads);
            percentiles(json, "ttft_ms", each.firstToken());
            percentiles(json, "itl_ms", each.interToken());
            json.writeNumberField("kernels", rounded(each.shares().kernels()));
            json.writeNumberField("collectives", rounded(each.shares().collectives()));
            json.writeNumberField("waiting", rounded(each.shares().waiting()));
            MemoryUse memory = each.memory();
            if (memory != null) {
                json.writeNumberField("weight_bytes", memory.weights());
                json.writeNumberField("cache_bytes", memory.cache());
                json.writeNumberField("activation_bytes", memory.activations());
            }
            json.writeStringField("device", device);
            json.writeEndObject();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        out.println();
        out.flush();
    }

    private String peer() {
        return "lockstep" + (device.equals("cpu") ? "" : "-" + device) + part("-tp", sizes.tp())
                + part("-pp", sizes.pp()) + part("-dp", sizes.dp());
    }

    private static String part(String axis, int size) {
        return size == 1 ? "" : axis + size;
    }

    private static void percentiles(JsonGenerator json, String name, Percentiles each) throws IOException {
        if (!each.isNone()) {
            json.writeObjectFieldStart(name);
            json.writeNumberField("p50", rounded(each.p50() / MILLI));
            json.writeNumberField("p90", rounded(each.p90() / MILLI));
            json.writeNumberField("p99", rounded(each.p99() / MILLI));
            json.writeEndObject();
        }
    }

    static BigDecimal rounded(double value) {
        return BigDecimal.valueOf(value).setScale(DIGITS, RoundingMode.HALF_UP);
    }
}
