package org.lockstep.cli.bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.function.Consumer;

/**
 * Measurements as JSON, one object on a line, for programs: the fields of the comparison with other libraries, then our
 * own.
 *
 * @param out where the lines go, each at once
 * @param place of the ranks
 */
public record BenchJson(PrintWriter out, Place place) implements Consumer<Measurement> {
    private static final int DIGITS = 3;
    private static final int NANOS_OF_A_MICROSECOND = 1000;

    @Override
    public void accept(Measurement each) {
        try (JsonGenerator json = new JsonFactory()
                .disable(JsonGenerator.Feature.AUTO_CLOSE_TARGET)
                .createGenerator(out)) {
            json.writeStartObject();
            json.writeStringField("peer", place.peer());
            json.writeStringField("op", each.operation().token());
            json.writeNumberField("ranks", each.ranks());
            json.writeNumberField("bytes", each.bytes());
            json.writeNumberField("lat_us", rounded(each.medianNanos() / NANOS_OF_A_MICROSECOND));
            json.writeNumberField("min_us", rounded(each.bestNanos() / NANOS_OF_A_MICROSECOND));
            json.writeNumberField("algbw_GBs", rounded(each.algorithmBandwidth()));
            json.writeNumberField("busbw_GBs", rounded(each.busBandwidth()));
            json.writeNumberField("count", each.count());
            json.writeStringField("type", each.type());
            json.writeStringField("redop", each.redop());
            json.writeNumberField("root", each.root());
            json.writeBooleanField("in_place", each.inPlace());
            json.writeNumberField("calls", each.calls());
            json.writeNumberField("errors", each.wrong());
            json.writeStringField("transport", each.transport());
            json.writeEndObject();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        out.println();
        out.flush();
    }

    private static BigDecimal rounded(double value) {
        return BigDecimal.valueOf(value).setScale(DIGITS, RoundingMode.HALF_UP);
    }
}
