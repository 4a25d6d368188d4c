package org.lockstep.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.ObjectCodec;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Failed;
import org.lockstep.transport.Mesh;
import org.lockstep.transport.Mesh.Letter;

/** Lengths that ranks tell each other before their bytes travel, and what of these nobody makes room for. */
@Timeout(60)
class ParcelsTest {
    private static final OperationTag GATHER = new OperationTag(1, Operation.ALL_GATHER_OBJECT, null, null, 0, -1);
    private static final OperationTag BROADCAST = new OperationTag(1, Operation.BROADCAST_OBJECT, null, null, 0, 1);
    private static final long LONGEST = ObjectCodec.MAX_BYTES;
    private static final int LIAR = 1;

    /** What is refused on the rank of {@code mesh}. */
    private static String refused(Mesh mesh, Runnable operation) {
        Failed failed = catchThrowableOfType(Failed.class, operation::run);
        assertThat(failed).as("refused by rank " + mesh.rank()).isNotNull();
        assertThat(failed.verdict().code()).isEqualTo(ErrorCode.PROTOCOL);
        assertThat(failed.verdict().culprit()).isGreaterThanOrEqualTo(0);
        return failed.verdict().text();
    }

    private static void begin(Mesh mesh, OperationTag tag) {
        mesh.begin(tag, Duration.ofSeconds(50), bytes -> Duration.ZERO);
    }

    /** Of which a rank would need an array that there is not; all have learned it before any has sent its object. */
    @Test
    void objectsThatAreTooLongTogetherAreRefusedByAllRanksInTheSameWords() {
        byte[] longest = new byte[ObjectCodec.MAX_BYTES]; // everybody's, for nobody sends it
        List<String> said = Meshes.onEvery(32, mesh -> {
            begin(mesh, GATHER);
            Parcels parcels = new Parcels(mesh, Collectives.flat(mesh));
            return refused(mesh, () -> parcels.allGather(GATHER, longest));
        });
        assertThat(said)
                .hasSize(32)
                .containsOnly(said.get(0))
                .first()
                .asString()
                .startsWith(GATHER + " in ")
                .contains(
                        "rank 0 sent the length of an object, 67108864 bytes, the longest of 32 objects of 2147483648 bytes"
                                + " together",
                        "a rank can hold 2147483639",
                        "none was sent",
                        "try: smaller objects, or broadcastObject");
    }

    @Test
    void lengthsAreTooManyWhereOneArrayHoldsNoSoManyBytes() {
        long[] lengths = new long[32];
        Arrays.fill(lengths, LONGEST);
        assertThat(Parcels.longestOfTooMany(lengths)).isZero();
        assertThat(Parcels.longestOfTooMany(Arrays.copyOf(lengths, 31))).isNegative();
        lengths[0] = LONGEST - 9;
        assertThat(Parcels.longestOfTooMany(lengths)).isNegative();
        lengths[0]++;
        assertThat(Parcels.longestOfTooMany(lengths)).isEqualTo(1);
        lengths[31]++;
        assertThat(Parcels.longestOfTooMany(lengths)).isEqualTo(31);
    }

    /** What a rank does in a group. */
    private interface Part {
        void in(Mesh mesh, Collectives group);
    }

    /** Rank {@value #LIAR} tells a length that no object has, which is refused by all others. */
    private static void assertRefused(int ranks, OperationTag tag, long length, Part lie, Part truth) {
        List<String> said = Meshes.onEvery(ranks, mesh -> {
            begin(mesh, tag);
            Collectives group = Collectives.flat(mesh);
            if (mesh.rank() == LIAR) {
                lie.in(mesh, group);
                return "";
            }
            return refused(mesh, () -> truth.in(mesh, group));
        });
        assertThat(said)
                .filteredOn(text -> !text.isEmpty())
                .hasSize(said.size() - 1)
                .allSatisfy(text ->
                        assertThat(text).contains("rank 1 sent an object of " + length + " bytes, not 1..67108864"));
    }

    @ParameterizedTest
    @ValueSource(longs = {0, -1, LONGEST + 1, Long.MAX_VALUE, Long.MIN_VALUE})
    void aLengthThatNoObjectHasIsRefusedByAllWhoAreTold(long length) {
        assertRefused(
                3,
                GATHER,
                length,
                (mesh, group) -> {
                    HostBuffer all = HostBuffer.allocate(DataType.I64, 3);
                    group.allGather(GATHER, Buffer.ofLongs(length), all, Blocks.even(3, 1));
                },
                (mesh, group) -> new Parcels(mesh, group).allGather(GATHER, new byte[5]));
    }

    @ParameterizedTest
    @ValueSource(longs = {0, -1, LONGEST + 1, Long.MAX_VALUE, Long.MIN_VALUE})
    void aLengthThatNoObjectOfARootHasIsRefusedByTheOthers(long length) {
        assertRefused(
                3,
                BROADCAST,
                length,
                (mesh, group) -> {
                    HostBuffer word = Buffer.ofLongs(length);
                    group.broadcast(BROADCAST, word, word, LIAR);
                },
                (mesh, group) -> new Parcels(mesh, group).broadcast(BROADCAST, null, LIAR));
    }

    @ParameterizedTest
    @ValueSource(longs = {0, -1, LONGEST + 1, Long.MAX_VALUE, Long.MIN_VALUE})
    void aLengthThatNoObjectHasIsRefusedByWhoReceivesIt(long length) {
        OperationTag tag = Parcels.tag(1, 0);
        assertRefused(
                2,
                tag,
                length,
                (mesh, group) -> mesh.transfer(List.of(new Letter(tag, Buffer.ofLongs(length), 0)), List.of()),
                (mesh, group) -> new Parcels(mesh, group).receive(1, LIAR));
    }
}
