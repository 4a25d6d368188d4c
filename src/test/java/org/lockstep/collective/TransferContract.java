package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.lockstep.collective.Values.LENGTHS;
import static org.lockstep.collective.Values.assertHolds;
import static org.lockstep.collective.Values.assertSame;
import static org.lockstep.collective.Values.filled;
import static org.lockstep.collective.Values.given;
import static org.lockstep.collective.Values.room;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ParallelSizes;

/** Transfers between two ranks, objects, and operations in groups. */
public interface TransferContract extends Ranks {
    @ParameterizedTest
    @ValueSource(ints = {2, 3, 4, 7})
    default void messagesGoAroundTheRing(int size) {
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            int previous = (rank + size - 1) % size;
            for (int length : LENGTHS) {
                for (DataType type : Values.types(length).toList()) {
                    HostBuffer mine = given(type, length, rank);
                    HostBuffer theirs = room(type, length);
                    communicator.send(mine);
                    mine.copyFrom(room(type, length)); // it may be changed at once
                    communicator.receive(theirs);
                    assertHolds(theirs, filled(type, length, previous));
                }
            }
            return true;
        });
    }

    @Test
    default void messagesBetweenAnyTwoKeepTheirOrder() {
        onEvery(4, communicator -> {
            int rank = communicator.rankInGroup();
            for (int peer = 0; peer < 4; peer++) {
                for (int number = 0; number < 3 && peer != rank; number++) {
                    communicator.send(filled(DataType.I32, 5 + number, 10 * rank + number), peer);
                }
            }
            for (int peer = 3; peer >= 0; peer--) {
                for (int number = 0; number < 3 && peer != rank; number++) {
                    HostBuffer got = room(DataType.I32, 5 + number);
                    communicator.receive(got, peer);
                    assertHolds(got, filled(DataType.I32, 5 + number, 10 * peer + number));
                }
            }
            communicator.barrier();
            return true;
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {300_003, 3_000_001})
    default void aLargeMessageArrivesWhole(int length) {
        onEvery(2, communicator -> {
            HostBuffer expected = filled(DataType.BF16, length, 5);
            if (communicator.rankInGroup() == 1) {
                communicator.send(Values.framed(expected));
            } else {
                HostBuffer got = room(DataType.BF16, length);
                communicator.receive(got);
                assertHolds(got, expected);
            }
            return true;
        });
    }

    /** Something of the user's that travels. */
    record Note(UUID id, List<Integer> numbers, String text, float[] weights) {}

    /** Something that nobody registered. */
    record Stranger(int number) {}

    @EverySize
    default void objectsOfRegisteredClassesReachEverybody(int size) {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(size)).withObjects(Note.class);
        UUID id = UUID.randomUUID();
        onEvery(size, spec, communicator -> {
            int root = size - 1;
            boolean isRoot = communicator.rankInGroup() == root;
            Note sent = new Note(id, new ArrayList<>(List.of(1, 2, 3)), "x".repeat(100_000), new float[] {1, 2});
            Note got = communicator.broadcastObject(isRoot ? sent : null, root, Note.class);
            assertThat(got.id()).isEqualTo(id);
            assertThat(got.numbers()).containsExactly(1, 2, 3);
            assertThat(got.text()).hasSize(100_000);
            assertThat(got.weights()).containsExactly(1, 2);
            HashMap<String, Object> map = new HashMap<>(Map.of("a", 1, "b", new int[] {7}));
            assertThat(communicator.broadcastObject(isRoot ? map : null, root, HashMap.class))
                    .containsKeys("a", "b");
            return true;
        });
    }

    @Test
    @FaultCase("F71")
    default void anObjectThatCannotTravelIsToldToEveryRank() {
        List<CommunicatorException> failures = failuresOf(
                3,
                communicator -> communicator.broadcastObject(
                        communicator.rankInGroup() == 1 ? List.of(new Stranger(1)) : null, 1, List.class));
        assertThat(failures.get(1).code()).isEqualTo(ErrorCode.UNREGISTERED_CLASS);
        Ranks.assertAll(List.of(failures.get(0), failures.get(2)), ErrorCode.ABORTED, "because of rank 1");
        for (CommunicatorException failure : failures) {
            assertThat(failure)
                    .hasMessageContaining("UNREGISTERED_CLASS")
                    .hasMessageContaining("Stranger")
                    .hasMessageContaining("withObjects");
        }
        List<CommunicatorException> unlike = failuresOf(2, communicator -> {
            if (communicator.rankInGroup() == 0) {
                communicator.sendObject("x", 1);
                communicator.barrier();
            } else {
                communicator.receiveObject(0, List.class);
            }
            return true;
        });
        String text = "an object of java.util.List was expected, not java.lang.String";
        Ranks.assertAll(unlike.subList(0, 1), ErrorCode.ABORTED, text);
        Ranks.assertAll(unlike.subList(1, 2), ErrorCode.PROTOCOL, text);
    }

    @EverySize
    default void objectsOfAllRanksAreGatheredInTheirOrder(int size) {
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            List<String> all = communicator.allGatherObject("x".repeat(rank * 1000) + rank, String.class);
            assertThat(all).hasSize(size);
            for (int peer = 0; peer < size; peer++) {
                assertThat(all.get(peer)).isEqualTo("x".repeat(peer * 1000) + peer);
            }
            return true;
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 7})
    default void objectsGoAroundTheRing(int size) {
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            int previous = (rank + size - 1) % size;
            communicator.sendObject(List.of("from", "rank", Integer.toString(rank)), (rank + 1) % size);
            assertThat(communicator.receiveObject(previous, List.class))
                    .isEqualTo(List.of("from", "rank", "" + previous));
            communicator.sendObject("to the next of " + rank);
            assertThat(communicator.receiveObject(String.class)).isEqualTo("to the next of " + previous);
            communicator.barrier();
            return true;
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 7})
    default void aGroupOfTransfersDoesNotBlockWhateverItsOrder(int size) {
        int length = 10_000;
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            List<HostBuffer> got = new ArrayList<>();
            communicator.grouped(group -> {
                for (int peer = 0; peer < size; peer++) {
                    HostBuffer place = room(DataType.I32, length);
                    got.add(place);
                    if (peer != rank && rank % 2 == 0) {
                        group.receive(place, peer);
                        group.send(filled(DataType.I32, length, 10 * rank + peer), peer);
                    } else if (peer != rank) {
                        group.send(filled(DataType.I32, length, 10 * rank + peer), peer);
                        group.receive(place, peer);
                    }
                }
            });
            for (int peer = 0; peer < size; peer++) {
                if (peer != rank) {
                    assertHolds(got.get(peer), filled(DataType.I32, length, 10 * peer + rank));
                }
            }
            assertThat(communicator.traffic().operations()).isEqualTo(2L * (size - 1));
            assertThat(communicator.traffic().bytes()).isEqualTo(2L * (size - 1) * length * 4);
            assertThat(communicator.traffic(OperationTag.Operation.SEND)).isEqualTo(communicator.traffic());
            return true;
        });
    }

    @EverySize
    default void operationsOfAGroupRunAfterItWasSpoken(int size) {
        Values values = new Values();
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            HostBuffer sum = given(DataType.F32, 100, rank);
            HostBuffer all = room(DataType.F32, 100 * size);
            HostBuffer ragged = room(DataType.F32, 3 * size);
            long[] counts = new long[size];
            java.util.Arrays.fill(counts, 3);
            communicator.grouped(group -> {
                group.allReduce(sum, ReduceOp.SUM);
                group.allGather(sum, all);
                group.allGatherV(given(DataType.F32, 3, rank), ragged, counts);
                group.barrier();
                group.barrier(Duration.ofSeconds(30));
                assertHolds(sum, filled(DataType.F32, 100, rank)); // nothing has happened yet
                counts[0] = 99; // and what was said stays said
                assertThat(group.size()).isEqualTo(size);
                assertThat(group.rankInGroup()).isEqualTo(rank);
            });
            assertHolds(sum, values.reduced(DataType.F32, ReduceOp.Kind.SUM, 100, size));
            for (int peer = 0; peer < size; peer++) {
                assertSame(all.slice(peer * 100L, 100), sum);
                assertSame(ragged.slice(peer * 3L, 3), filled(DataType.F32, 3, peer));
            }
            communicator.grouped(group -> {});
            return true;
        });
    }

    @Test
    default void whatCannotBeInAGroupIsRefusedAndNothingOfItRuns() {
        onEvery(2, communicator -> {
            int peer = 1 - communicator.rankInGroup();
            HostBuffer x = room(DataType.F32, 4);
            assertThatThrownBy(() -> communicator.grouped(group -> {
                        group.allReduce(x, ReduceOp.SUM);
                        group.send(x, peer);
                        group.broadcastObject("x", 0, String.class);
                    }))
                    .isInstanceOf(UnsupportedOperationException.class)
                    .hasMessageContaining("broadcastObject cannot be part of a group of operations");
            for (Part<Communicator, Object> refused : List.<Part<Communicator, Object>>of(
                    group -> group.allGatherObject("x", String.class),
                    group -> group.receiveObject(peer, String.class),
                    group -> {
                        group.sendObject("x", peer);
                        return true;
                    },
                    group -> group.async(inner -> {}),
                    group -> {
                        group.grouped(inner -> {});
                        return true;
                    },
                    group -> {
                        group.close();
                        return true;
                    })) {
                assertThatThrownBy(() -> communicator.grouped(group -> {
                            try {
                                refused.run(group);
                            } catch (RuntimeException expected) {
                                throw expected;
                            } catch (Exception unexpected) {
                                throw new AssertionError(unexpected);
                            }
                        }))
                        .isInstanceOf(UnsupportedOperationException.class)
                        .hasMessageContaining("cannot be part of a group");
            }
            assertThatThrownBy(() -> communicator.grouped(group -> {
                        group.allReduce(x, ReduceOp.SUM);
                        group.broadcast(x, 2);
                    }))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("root (2)");
            AtomicReference<Communicator> kept = new AtomicReference<>();
            communicator.grouped(kept::set);
            assertThatThrownBy(() -> kept.get().barrier())
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("is over");
            assertThat(communicator.traffic().operations()).isZero();
            communicator.barrier();
            return true;
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 7})
    default void aRingOfLargeMessagesAllSendingFirstDoesNotBlock(int size) {
        int length = 1 << 18; // 1 MiB, beyond what sockets and mailboxes hold
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            List<HostBuffer> got = List.of(
                    room(DataType.F32, length),
                    room(DataType.F32, length),
                    room(DataType.F32, length),
                    room(DataType.F32, length),
                    room(DataType.F32, length),
                    room(DataType.F32, length));
            communicator.grouped(group -> {
                for (int i = 0; i < got.size(); i++) {
                    group.send(filled(DataType.F32, length, 10 * rank + i));
                }
                got.forEach(group::receive);
            });
            for (int i = 0; i < got.size(); i++) {
                assertHolds(got.get(i), filled(DataType.F32, length, 10 * ((rank + size - 1) % size) + i));
            }
            return true;
        });
    }
}
