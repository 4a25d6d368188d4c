package org.lockstep.flight;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.lockstep.collective.Flight;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.collective.ReduceOp;
import org.lockstep.flight.FlightRecord.End;
import org.lockstep.flight.FlightVerdict.Kind;
import org.lockstep.tensor.DataType;
import org.lockstep.topology.ProcessGroup;

/** Each verdict, from the records that it follows from (P5, P12). */
class FlightVerdictTest {
    private static final long SECOND = 1_000_000_000L;
    private static final long NOW = 1_000 * SECOND;
    private static final ProcessGroup TP = ProcessGroup.of("tp", 0, 0, 1, 2);
    private static final ProcessGroup PP = ProcessGroup.of("pp", 0, 0, 1, 2);

    private static OperationTag sum(long sequence, long count) {
        return new OperationTag(sequence, Operation.ALL_REDUCE, ReduceOp.Kind.SUM, DataType.F32, count, -1);
    }

    private static OperationTag gather(long sequence, long count) {
        return new OperationTag(sequence, Operation.ALL_GATHER, null, DataType.F32, count, -1);
    }

    private static Flight.Entry done(OperationTag tag) {
        return new Flight.Entry(tag, -1, false, "task", NOW - 20 * SECOND, NOW - 20 * SECOND, NOW - 10 * SECOND);
    }

    private static Flight.Entry open(OperationTag tag) {
        return new Flight.Entry(tag, -1, false, "task", NOW - 9 * SECOND, NOW - 9 * SECOND, 0);
    }

    private static Flight.Entry send(int to, long number, long ended) {
        OperationTag tag = new OperationTag(number, Operation.SEND, null, DataType.F32, 4, to);
        return new Flight.Entry(tag, to, false, "task", NOW - 8 * SECOND, NOW - 8 * SECOND, ended);
    }

    private static Flight.Entry receive(int me, int from, long number, long count) {
        OperationTag tag = new OperationTag(number, Operation.SEND, null, DataType.F32, count, me);
        return new Flight.Entry(tag, from, true, "task", NOW - 8 * SECOND, NOW - 8 * SECOND, 0);
    }

    private static Flight in(ProcessGroup group, int rank, Flight.Entry... entries) {
        return new Flight(group, rank, entries.length, List.of(entries));
    }

    private static FlightRecord of(int rank, End end, Flight... flights) {
        return new FlightRecord(rank, "host a", NOW, end, List.of(flights));
    }

    private static FlightRecord tp(int rank, End end, Flight.Entry... entries) {
        return of(rank, end, in(TP, rank, entries));
    }

    static Stream<Arguments> verdicts() {
        Flight.Entry one = done(sum(1, 4));
        Flight.Entry two = open(sum(2, 4));
        return Stream.of(
                Arguments.of(
                        "nothing was done",
                        List.of(tp(0, End.RELEASED), tp(1, End.RELEASED)),
                        Set.of(),
                        Kind.NOTHING_SEEN,
                        List.of(),
                        List.of(),
                        "no rank waits"),
                Arguments.of(
                        "one rank returned early",
                        List.of(tp(0, End.RELEASED, one, two), tp(1, End.RETURNED, one), tp(2, End.RELEASED, one, two)),
                        Set.of(),
                        Kind.MISSING_ENTER,
                        List.of(1),
                        List.of(0, 2),
                        "rank 1 never entered all_reduce #2 sum f32[4] in tp[0]={0,1,2}: it returned after all_reduce #1"
                                + " sum f32[4] in tp[0]={0,1,2}, 10.0 s before; ranks 0,2 wait there, for 9.0 s"),
                Arguments.of(
                        "one rank returned and handed nothing over, another was released before it took what all had sent",
                        List.of(
                                tp(0, End.RELEASED, one, two),
                                of(1, End.RETURNED),
                                tp(2, End.RELEASED, open(sum(1, 4)))),
                        Set.of(),
                        Kind.MISSING_ENTER,
                        List.of(1),
                        List.of(0),
                        "rank 1 never entered all_reduce #2 sum f32[4] in tp[0]={0,1,2}: it returned; rank 0 waits there"),
                Arguments.of(
                        "one rank never came at all",
                        List.of(tp(0, End.RELEASED, open(sum(1, 4))), tp(1, End.RELEASED), tp(2, End.RELEASED)),
                        Set.of(),
                        Kind.MISSING_ENTER,
                        List.of(1, 2),
                        List.of(0),
                        "ranks 1,2 never entered all_reduce #1 sum f32[4] in tp[0]={0,1,2}: they were elsewhere; rank 0 waits there"),
                Arguments.of(
                        "one rank computes on and on",
                        List.of(tp(0, End.RELEASED, one, two), tp(1, End.RELEASED, one, two), tp(2, End.RUNNING, one)),
                        Set.of(),
                        Kind.STUCK_IN_COMPUTE,
                        List.of(2),
                        List.of(0, 1),
                        "rank 2 has entered nothing since all_reduce #1 sum f32[4] in tp[0]={0,1,2}, 10.0 s before;"
                                + " ranks 0,1 wait in all_reduce #2"),
                Arguments.of(
                        "one rank says nothing, and is not known to be gone",
                        List.of(tp(0, End.RELEASED, one, two), tp(1, End.RELEASED, one, two)),
                        Set.of(),
                        Kind.STUCK_IN_COMPUTE,
                        List.of(2),
                        List.of(0, 1),
                        "rank 2 has entered nothing; ranks 0,1 wait in all_reduce #2 sum f32[4] in tp[0]={0,1,2}, for 9.0 s"),
                Arguments.of(
                        "one rank is gone",
                        List.of(tp(0, End.RELEASED, one, two), tp(1, End.RELEASED, one, two)),
                        Set.of(2),
                        Kind.LOST_PEER,
                        List.of(2),
                        List.of(0, 1),
                        "rank 2 is gone; ranks 0,1 wait in all_reduce #2 sum f32[4]"),
                Arguments.of(
                        "one rank failed",
                        List.of(tp(0, End.RELEASED, one, two), tp(1, End.RELEASED, one, two), tp(2, End.FAILED, one)),
                        Set.of(),
                        Kind.FAILED,
                        List.of(2),
                        List.of(0, 1),
                        "rank 2 failed after all_reduce #1 sum f32[4] in tp[0]={0,1,2}, 10.0 s before; ranks 0,1 wait"),
                Arguments.of(
                        "one rank calls something else",
                        List.of(
                                tp(0, End.RELEASED, one, two),
                                tp(1, End.RELEASED, one, open(gather(2, 4))),
                                tp(2, End.RELEASED, one, two)),
                        Set.of(),
                        Kind.DIFFERENT_OPERATION,
                        List.of(1),
                        List.of(0, 2),
                        "rank 1 called all_gather #2 f32[4], but ranks 0,2 called all_reduce #2 sum f32[4] in"
                                + " tp[0]={0,1,2} (operation, reduce op differ)"),
                Arguments.of(
                        "one rank has other elements",
                        List.of(
                                tp(0, End.RELEASED, one, open(sum(2, 5))),
                                tp(1, End.RELEASED, one, two),
                                tp(2, End.RELEASED, one, two)),
                        Set.of(),
                        Kind.DIFFERENT_SIZE,
                        List.of(0),
                        List.of(1, 2),
                        "rank 0 called all_reduce #2 sum f32[5], but ranks 1,2 called all_reduce #2 sum f32[4]"),
                Arguments.of(
                        "two of three have other elements: the many are right",
                        List.of(
                                tp(0, End.RELEASED, open(sum(1, 4))),
                                tp(1, End.RELEASED, open(sum(1, 5))),
                                tp(2, End.RELEASED, open(sum(1, 5)))),
                        Set.of(),
                        Kind.DIFFERENT_SIZE,
                        List.of(0),
                        List.of(1, 2),
                        "(count differ)"),
                Arguments.of(
                        "a difference explains a rank that is gone as well",
                        List.of(tp(0, End.RELEASED, two), tp(1, End.RELEASED, open(gather(2, 4)))),
                        Set.of(2),
                        Kind.DIFFERENT_OPERATION,
                        List.of(0, 1),
                        List.of(),
                        "rank 1 called all_gather"),
                Arguments.of(
                        "what is sent has other elements than what is received",
                        List.of(
                                of(0, End.RELEASED, in(PP, 0, send(1, 1, 0))),
                                of(1, End.RELEASED, in(PP, 1, receive(1, 0, 1, 5)))),
                        Set.of(),
                        Kind.DIFFERENT_SIZE,
                        List.of(0, 1),
                        List.of(),
                        "rank 1 called receive #1 f32[5] from 0, but rank 0 called send #1 f32[4] to 1"),
                Arguments.of(
                        "what is received was never sent",
                        List.of(
                                of(0, End.RETURNED, in(PP, 0, send(1, 1, NOW - 7 * SECOND))),
                                of(1, End.RELEASED, in(PP, 1, receive(1, 0, 2, 4)))),
                        Set.of(),
                        Kind.MISSING_ENTER,
                        List.of(0),
                        List.of(1),
                        "rank 0 never entered receive #2 f32[4] from 0"),
                Arguments.of(
                        "two ranks wait for each other in two groups",
                        List.of(
                                of(0, End.RELEASED, in(TP, 0, open(sum(1, 4))), in(PP, 0)),
                                of(1, End.RELEASED, in(TP, 1), in(PP, 1, receive(1, 0, 1, 4))),
                                of(2, End.RELEASED, in(TP, 2, open(sum(1, 4))), in(PP, 2))),
                        Set.of(),
                        Kind.DEADLOCK,
                        List.of(0, 1),
                        List.of(2),
                        "ranks 0,1 wait for each other: rank 0 in all_reduce #1 sum f32[4] in tp[0]={0,1,2}, rank 1 in"
                                + " receive #1"),
                Arguments.of(
                        "who waits for one who waits is not to blame",
                        List.of(
                                of(0, End.RELEASED, in(TP, 0, two), in(PP, 0)),
                                of(1, End.RELEASED, in(TP, 1, two), in(PP, 1)),
                                of(2, End.RELEASED, in(TP, 2, one), in(PP, 2, receive(2, 3, 1, 4)))),
                        Set.of(),
                        Kind.STUCK_IN_COMPUTE,
                        List.of(3),
                        List.of(0, 1, 2),
                        "rank 3 has entered nothing"));
    }

    @ParameterizedTest(name = "{0}: {3}")
    @MethodSource("verdicts")
    void table(
            String story,
            List<FlightRecord> records,
            Set<Integer> lost,
            Kind kind,
            List<Integer> culprits,
            List<Integer> waiting,
            String sentence) {
        List<FlightRecord> withFour = new ArrayList<>();
        ProcessGroup four = ProcessGroup.of("pp", 0, 0, 1, 2, 3);
        records.forEach(record -> withFour.add(new FlightRecord(
                record.rank(),
                record.place(),
                record.taken(),
                record.end(),
                record.flights().stream()
                        .map(flight -> flight.group().name().equals("pp")
                                ? new Flight(four, flight.rank(), flight.operations(), flight.entries())
                                : flight)
                        .toList())));
        FlightVerdict verdict = FlightVerdict.of(withFour, lost);
        assertThat(verdict.sentence()).contains(sentence);
        assertThat(verdict.kind()).isEqualTo(kind);
        assertThat(verdict.culprits()).isEqualTo(culprits);
        assertThat(verdict.waiting()).isEqualTo(waiting);
    }

    @Test
    void theFileSaysWhoDidWhatWhen() throws IOException {
        List<FlightRecord> records =
                List.of(tp(0, End.RELEASED, done(sum(1, 4)), open(sum(2, 4))), tp(1, End.RETURNED, done(sum(1, 4))));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        FlightJson.write(out, "a-1", "LOCKSTEP-2002 ...", FlightVerdict.of(records, Set.of(2)), records);
        assertThat(out.toString(StandardCharsets.UTF_8).replaceAll("\\s+", ""))
                .contains("\"attempt\":\"a-1\"", "\"kind\":\"LOST_PEER\"", "\"culprits\":[2]")
                .contains("{\"rank\":0,\"place\":\"hosta\",\"end\":\"RELEASED\"")
                .contains("\"sequence\":2,\"op\":\"all_reduce\",\"reduce\":\"sum\",\"type\":\"f32\",\"count\":4,"
                        + "\"thread\":\"task\",\"state\":\"started\"");
    }
}
