package org.lockstep.flight;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.OutputStream;
import java.time.Instant;
import java.util.Collection;
import org.lockstep.collective.Flight;

/**
 * The flight record of a failed attempt as one JSON object: {@code attempt}, {@code report} (the message), {@code verdict} and
 * {@code ranks}, each with its {@code place}, {@code end} and {@code groups}, each of these with its last {@code operations},
 * oldest first. Times are in nanoseconds since 1970 by each rank's own clock.
 */
public final class FlightJson {
    private FlightJson() {}

    /** Writes the object; {@code out} stays open. */
    public static void write(
            OutputStream out, String attempt, String report, FlightVerdict verdict, Collection<FlightRecord> records)
            throws IOException {
        try (JsonGenerator json = new JsonFactory()
                .disable(JsonGenerator.Feature.AUTO_CLOSE_TARGET)
                .createGenerator(out)) {
            json.useDefaultPrettyPrinter();
            json.writeStartObject();
            json.writeStringField("attempt", attempt);
            json.writeStringField("written", Instant.now().toString());
            json.writeStringField("report", report);
            json.writeObjectFieldStart("verdict");
            json.writeStringField("kind", verdict.kind().name());
            ranks(json, "culprits", verdict.culprits());
            ranks(json, "waiting", verdict.waiting());
            json.writeStringField("sentence", verdict.sentence());
            json.writeEndObject();
            json.writeArrayFieldStart("ranks");
            for (FlightRecord record : records) {
                write(json, record);
            }
            json.writeEndArray();
            json.writeEndObject();
        }
    }

    private static void ranks(JsonGenerator json, String name, Collection<Integer> ranks) throws IOException {
        json.writeArrayFieldStart(name);
        for (int rank : ranks) {
            json.writeNumber(rank);
        }
        json.writeEndArray();
    }

    private static void write(JsonGenerator json, FlightRecord record) throws IOException {
        json.writeStartObject();
        json.writeNumberField("rank", record.rank());
        json.writeStringField("place", record.place());
        json.writeStringField("end", record.end().name());
        json.writeNumberField("taken_ns", record.taken());
        json.writeArrayFieldStart("groups");
        for (Flight flight : record.flights()) {
            json.writeStartObject();
            json.writeStringField(
                    "name", flight.group().name() + "[" + flight.group().index() + "]");
            ranks(json, "ranks", flight.group().ranks());
            json.writeNumberField("operations_begun", flight.operations());
            json.writeArrayFieldStart("operations");
            for (Flight.Entry entry : flight.entries()) {
                write(json, entry);
            }
            json.writeEndArray();
            json.writeEndObject();
        }
        json.writeEndArray();
        json.writeEndObject();
    }

    private static void write(JsonGenerator json, Flight.Entry entry) throws IOException {
        json.writeStartObject();
        json.writeNumberField("sequence", entry.tag().sequence());
        json.writeStringField(
                "op", (entry.receives() ? "receive of " : "") + entry.tag().operation());
        if (entry.tag().op() != null) {
            json.writeStringField("reduce", entry.tag().op().toString());
        }
        if (entry.tag().type() != null) {
            json.writeStringField("type", entry.tag().type().toString());
        }
        json.writeNumberField("count", entry.tag().count());
        if (!entry.isCollective()) {
            json.writeNumberField("peer", entry.peer());
        } else if (entry.tag().root() >= 0) {
            json.writeNumberField("root", entry.tag().root());
        }
        json.writeStringField("thread", entry.thread());
        json.writeStringField("state", entry.isComplete() ? "completed" : "started");
        json.writeNumberField("queued_ns", entry.queued());
        json.writeNumberField("started_ns", entry.started());
        if (entry.isComplete()) {
            json.writeNumberField("ended_ns", entry.ended());
        }
        json.writeEndObject();
    }
}
