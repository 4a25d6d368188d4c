package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BiConsumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.LongEnough;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.OperationTerms;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.WorldSpec;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/** What the network does to a group, and what the group makes of it (F34 to F37). */
@Timeout(60)
class BadNetworkTest {
    private static final Rhythm QUICK =
            new Rhythm(Duration.ofMillis(100), Duration.ofMillis(500), Duration.ofSeconds(3));
    private static final int LENGTH = 100_000; // several frames

    private static WorldSpec spec(int size, boolean encrypted) {
        return WorldSpec.of(ParallelSizes.tensor(size))
                .withKinds(Set.of(GroupKind.WORLD))
                .withTransports(Set.of(TransportKind.TCP))
                .withEncryption(encrypted)
                .withOperationTimeout(Duration.ofSeconds(20));
    }

    private static void sums(Communicator world) {
        for (int length : new int[] {1, 1000, LENGTH}) {
            sum(world, length);
        }
    }

    private static void sum(Communicator world, int length) {
        HostBuffer x = HostBuffer.allocate(DataType.F32, length);
        for (int i = 0; i < length; i++) {
            x.floats()[i] = i + world.rankInGroup();
        }
        world.allReduce(x, ReduceOp.SUM);
        for (int i = 0; i < length; i++) {
            assertThat(x.floats()[i]).isEqualTo(2f * i + 1);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    @FaultCase("F36")
    void bytesMayComeOneByOne(boolean encrypted) throws IOException {
        BadNetwork network = new BadNetwork(spec(2, encrypted), Rhythm.DEFAULT, (way, before, bytes, wire) -> {
            for (int i = 0; i < bytes.length; i++) {
                // single bytes where they hurt: around the beginnings of frames
                int count = before + i < 400 ? 1 : bytes.length - i;
                wire.write(bytes, i, count);
                i += count - 1;
            }
        });
        assertThat(network.run(2, BadNetworkTest::sums)).containsOnlyNulls();
    }

    /** 100 ms before whatever comes at once, or one megabit a second. */
    @ParameterizedTest
    @CsvSource({"100000000, 0", "0, 8000"})
    @FaultCase("F37")
    void aSlowNetworkOnlyCostsTime(long nanos, long nanosOfAByte) throws IOException {
        BadNetwork network = new BadNetwork(spec(2, false), Rhythm.DEFAULT, (way, before, bytes, wire) -> {
            LockSupport.parkNanos(nanos + nanosOfAByte * bytes.length);
            wire.write(bytes, 0, bytes.length);
        });
        assertThat(network.run(2, BadNetworkTest::sums)).containsOnlyNulls();
    }

    /** 400 kB at one megabit a second, over three seconds, where an operation has one: its bytes have their own time. */
    @ParameterizedTest
    @CsvSource({"25000, true", "100000000, false"})
    @FaultCase("F37")
    void aSlowNetworkHasTheTimeThatTheBytesTake(long minimumRate, boolean goesOn) throws IOException {
        WorldSpec slow = spec(2, false);
        OperationTerms terms =
                slow.operations().withTimeout(Duration.ofSeconds(1)).withMinimumRate(minimumRate);
        BadNetwork network = new BadNetwork(slow.withOperations(terms), Rhythm.DEFAULT, (way, before, bytes, wire) -> {
            LockSupport.parkNanos(8_000L * bytes.length);
            wire.write(bytes, 0, bytes.length);
        });
        List<CommunicatorException> ends = network.run(2, world -> sum(world, LENGTH));
        if (goesOn) {
            assertThat(ends).containsOnlyNulls();
        } else {
            assertThat(ends.get(0).code()).isEqualTo(ErrorCode.COLLECTIVE_TIMEOUT);
        }
    }

    private enum Objects {
        BROADCAST((world, object) -> world.broadcastObject(world.rankInGroup() == 0 ? object : null, 0, byte[].class)),
        ALL_GATHER((world, object) -> world.allGatherObject(object, byte[].class)),
        SEND((world, object) -> {
            if (world.rankInGroup() == 0) {
                world.sendObject(object, 1);
            } else {
                world.receiveObject(0, byte[].class);
            }
            world.within(Duration.ofSeconds(40))
                    .barrier(); // or the sender's time would be that of the one who waits for it
        });

        final BiConsumer<Communicator, byte[]> part;

        Objects(BiConsumer<Communicator, byte[]> part) {
            this.part = part;
        }
    }

    /** The time of the operation itself is what both may take to come, and less than the bytes take at one megabit a second. */
    @ParameterizedTest
    @EnumSource
    @FaultCase("F37")
    void anObjectHasTheTimeThatItsBytesTake(Objects objects) throws Exception {
        LongEnough.oneOf(Duration.ofMillis(1500), Duration.ofSeconds(9), limit -> {
            WorldSpec slow = spec(2, false);
            OperationTerms terms = slow.operations().withTimeout(limit).withMinimumRate(10_000);
            BadNetwork network =
                    new BadNetwork(slow.withOperations(terms), Rhythm.DEFAULT, (way, before, bytes, wire) -> {
                        LockSupport.parkNanos(8_000L * bytes.length);
                        wire.write(bytes, 0, bytes.length);
                    });
            byte[] object = new byte[(int) (limit.toMillis() * 200)]; // 1.6 times the limit
            assertThat(network.run(2, world -> objects.part.accept(world, object)))
                    .containsOnlyNulls();
        });
    }

    /** A byte of the greeting's end, of a header, of its seal, of elements, of a later frame. */
    @ParameterizedTest
    @CsvSource({
        "96, false", "103, false", "121, false", "127, false", "200, false", "4300, false", "70000, false",
                "170000, false",
        "96, true", "103, true", "121, true", "135, true", "200, true", "4300, true", "70000, true", "170000, true",
    })
    @FaultCase("F34")
    void aFlippedByteIsRefusedAndNeverCounted(int place, boolean encrypted) throws IOException {
        BadNetwork network = new BadNetwork(spec(2, encrypted), Rhythm.DEFAULT, (way, before, bytes, wire) -> {
            long at = place - before;
            if (way == ChaosProxy.Way.TO_DOOR && at >= 0 && at < bytes.length) {
                bytes[(int) at] ^= 4;
            }
            wire.write(bytes, 0, bytes.length);
        });
        List<CommunicatorException> ends = network.run(2, world -> {
            sums(world);
            world.barrier(); // whose bytes were good hears of it too
        });
        assertThat(ends.get(0).code()).isEqualTo(ErrorCode.PROTOCOL);
        assertThat(ends.get(0)).hasMessageContaining("damaged").hasMessageContaining("link 1->0");
        assertThat(ends.get(1)).hasMessageContaining("damaged").hasMessageContaining("link 1->0");
    }

    @ParameterizedTest
    @CsvSource({"100, false", "100, true", "5000, false", "5000, true", "100000, false", "100000, true"})
    @FaultCase("F36")
    void aCutConnectionIsALostPeer(int place, boolean reset) throws IOException {
        BadNetwork network = new BadNetwork(spec(3, false), Rhythm.DEFAULT, (way, before, bytes, wire) -> {
            if (before + bytes.length < place) {
                wire.write(bytes, 0, bytes.length);
                return;
            }
            wire.write(bytes, 0, (int) Math.max(0, place - before));
            if (reset) {
                wire.reset();
            } else {
                wire.end();
            }
        });
        List<CommunicatorException> ends = network.run(3, world -> {
            while (true) {
                world.allReduce(HostBuffer.allocate(DataType.F32, LENGTH), ReduceOp.SUM);
            }
        });
        for (CommunicatorException end : ends) {
            assertThat(end.code()).isEqualTo(ErrorCode.PEER_LOST);
            assertThat(end).hasMessageContaining("is gone");
        }
    }

    @Test
    @FaultCase("F36")
    void aStalledDataConnectionIsATimeout() throws IOException {
        WorldSpec spec = spec(2, false).withOperationTimeout(Duration.ofMillis(500));
        BadNetwork network = new BadNetwork(spec, Rhythm.DEFAULT, (way, before, bytes, wire) -> {
            if (before > 1000) {
                wire.freeze();
            }
            wire.write(bytes, 0, bytes.length);
        });
        List<CommunicatorException> ends = network.run(2, world -> {
            while (true) {
                world.allReduce(HostBuffer.allocate(DataType.F32, 10 * LENGTH), ReduceOp.SUM);
            }
        });
        for (CommunicatorException end : ends) {
            assertThat(end.code()).isEqualTo(ErrorCode.COLLECTIVE_TIMEOUT);
            assertThat(end).hasMessageContaining("0.9 s"); // and what 4 MB take at 10 MB/s
        }
    }

    /** As if the host had vanished: nothing comes, and nobody says so. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    @FaultCase("F35")
    void silenceOfTheControlConnectionIsALostPeer(boolean hubHearsNothing) throws IOException {
        ChaosProxy.Way dead = hubHearsNothing ? ChaosProxy.Way.TO_DOOR : ChaosProxy.Way.FROM_DOOR;
        AtomicBoolean connected = new AtomicBoolean();
        BadNetwork network = new BadNetwork(spec(3, false), QUICK, new ChaosProxy.Chaos() {
            @Override
            public void pass(ChaosProxy.Way way, long before, byte[] bytes, ChaosProxy.Wire wire)
                    throws IOException, InterruptedException {
                if (way == dead && connected.get()) {
                    wire.freeze();
                }
                wire.write(bytes, 0, bytes.length);
            }

            @Override
            public boolean means(boolean control) {
                return control;
            }
        });
        List<CommunicatorException> ends = network.run(3, world -> {
            connected.set(true);
            while (true) {
                world.allReduce(Buffer.ofFloats(1), ReduceOp.SUM);
            }
        });
        for (CommunicatorException end : ends) {
            assertThat(end.code()).as(end.getMessage()).isEqualTo(ErrorCode.PEER_LOST);
            assertThat(end).hasMessageContaining("gave no sign of life for 3.0 s");
        }
    }

    @Test
    void nothingOfAnEncryptedGroupCanBeRead() throws IOException {
        String secret = "the quick brown fox jumps over the lazy dog";
        byte[] words = secret.repeat(2000).getBytes(StandardCharsets.US_ASCII);
        for (boolean encrypted : new boolean[] {false, true}) {
            BadNetwork network = new BadNetwork(
                    spec(2, encrypted),
                    Rhythm.DEFAULT,
                    (way, before, bytes, wire) -> wire.write(bytes, 0, bytes.length));
            List<CommunicatorException> ends = network.run(2, world -> {
                HostBuffer x = HostBuffer.of(DataType.U8, words.clone());
                if (world.rankInGroup() == 0) {
                    world.send(x, 1);
                } else {
                    HostBuffer got = HostBuffer.allocate(DataType.U8, words.length);
                    world.receive(got, 0);
                    assertThat(got.byteArray()).isEqualTo(words);
                }
                world.broadcastObject(secret, 0, String.class);
            });
            assertThat(ends).containsOnlyNulls();
            StringBuilder seen = new StringBuilder();
            network.records().forEach(record -> seen.append(new String(record, StandardCharsets.ISO_8859_1)));
            assertThat(seen.length()).isGreaterThan(words.length);
            assertThat(seen.indexOf("quick brown fox") >= 0).isEqualTo(!encrypted);
        }
    }

    @Test
    void eachDirectionAndConnectionHasAKeyOfItsOwn() {
        GcmSeal one = new GcmSeal(new byte[32], new byte[32]);
        ByteBuffer a = ByteBuffer.allocate(200).order(ByteOrder.LITTLE_ENDIAN);
        ByteBuffer b = ByteBuffer.allocate(200).order(ByteOrder.LITTLE_ENDIAN);
        one.seal(a, 100);
        one.seal(b, 100);
        assertThat(a).as("the same frame twice looks different").isNotEqualTo(b);
        GcmSeal other = new GcmSeal(new byte[32], new byte[32]);
        assertThat(other.isHeaderWhole(b, 0)).as("the second before the first").isFalse();
    }
}
