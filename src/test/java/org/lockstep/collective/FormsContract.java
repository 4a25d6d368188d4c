package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.lockstep.collective.Values.assertHolds;
import static org.lockstep.collective.Values.assertUntouched;
import static org.lockstep.collective.Values.filled;
import static org.lockstep.collective.Values.framed;
import static org.lockstep.collective.Values.given;
import static org.lockstep.collective.Values.room;

import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/**
 * Every operation has one result, in whatever form it is called. What ranks give differs, and so do all counts, roots and
 * reductions where they can: an argument that takes the place of another shows.
 */
public interface FormsContract extends Ranks {
    /** How an operation can be called. */
    enum Form {
        DIRECT {
            @Override
            void call(Communicator communicator, Consumer<? super Communicator> operation) {
                operation.accept(communicator);
            }
        },

        QUEUED {
            @Override
            void call(Communicator communicator, Consumer<? super Communicator> operation) {
                communicator.async(operation).await();
            }
        },

        GROUPED {
            @Override
            void call(Communicator communicator, Consumer<? super Communicator> operation) {
                communicator.grouped(operation);
            }
        };

        abstract void call(Communicator communicator, Consumer<? super Communicator> operation);

        /** Groups of operations have none of objects. */
        boolean hasObjects() {
            return this != GROUPED;
        }
    }

    @ParameterizedTest
    @EnumSource
    default void everyOperationHasOneResultInEveryForm(Form form) {
        everyOperationOf(3, form);
    }

    /** The same of a group of {@code size}, two or more. */
    default void everyOperationOf(int size, Form form) {
        Values values = new Values();
        onEvery(size, communicator -> {
            Caller caller = new Caller(communicator, form, values);
            caller.reductions();
            caller.moves();
            caller.allToAlls();
            caller.transfers();
            caller.barriers();
            if (form.hasObjects()) {
                caller.objects();
            }
            for (Operation operation : Operation.values()) {
                assertThat(communicator.traffic(operation).operations())
                        .as("%s, called %s", operation, form)
                        .isEqualTo(caller.calls(operation));
            }
            return true;
        });
    }

    /** One rank, that calls every operation in one form. */
    final class Caller {
        private static final int LENGTH = 5;

        private final Communicator communicator;
        private final Form form;
        private final Values values;
        private final int size;
        private final int rank;
        private final int next;
        private final int previous;
        private final Blocks even;
        private final Blocks uneven;

        Caller(Communicator communicator, Form form, Values values) {
            this.communicator = communicator;
            this.form = form;
            this.values = values;
            this.size = communicator.size();
            this.rank = communicator.rankInGroup();
            this.next = (rank + 1) % size;
            this.previous = (rank + size - 1) % size;
            this.even = Blocks.even(size, LENGTH);
            this.uneven = Blocks.of(unevenCounts());
        }

        /** 2, 3, 4 and so on. */
        private long[] unevenCounts() {
            return IntStream.range(0, size).mapToLong(each -> each + 2).toArray();
        }

        /** How many elements {@code from} has for {@code to}: of no two pairs as many. */
        private long count(int from, int to) {
            return 1 + (long) from * size + to;
        }

        private long[] sent(int from) {
            return IntStream.range(0, size).mapToLong(to -> count(from, to)).toArray();
        }

        private long[] received(int to) {
            return IntStream.range(0, size).mapToLong(from -> count(from, to)).toArray();
        }

        private void call(Consumer<? super Communicator> operation) {
            form.call(communicator, operation);
        }

        /** How often each operation is called. */
        long calls(Operation operation) {
            return switch (operation) {
                case CONNECT -> 0;
                case REDUCE, BROADCAST, GATHER, SCATTER -> size;
                case SEND, BARRIER -> 2;
                case BROADCAST_OBJECT -> form.hasObjects() ? size : 0;
                case ALL_GATHER_OBJECT -> form.hasObjects() ? 1 : 0;
                case SEND_OBJECT -> form.hasObjects() ? 2 : 0;
                default -> 1;
            };
        }

        void reductions() {
            HostBuffer sum = room(DataType.F32, LENGTH);
            call(group -> group.allReduce(given(DataType.F32, LENGTH, rank), sum, ReduceOp.SUM));
            assertHolds(sum, values.reduced(DataType.F32, ReduceOp.Kind.SUM, LENGTH, size));

            for (int each = 0; each < size; each++) {
                int root = each;
                HostBuffer max = room(DataType.I32, LENGTH);
                call(group -> group.reduce(given(DataType.I32, LENGTH, rank), max, ReduceOp.MAX, root));
                if (rank == root) {
                    assertHolds(max, values.reduced(DataType.I32, ReduceOp.Kind.MAX, LENGTH, size));
                } else {
                    assertUntouched(max);
                }
            }

            HostBuffer min = room(DataType.F64, LENGTH);
            call(group -> group.reduceScatter(given(DataType.F64, size * LENGTH, rank), min, ReduceOp.MIN));
            assertHolds(min, reducedBlock(DataType.F64, ReduceOp.Kind.MIN, even));

            HostBuffer product = room(DataType.I64, (int) uneven.count(rank));
            call(group -> {
                long[] counts = unevenCounts();
                HostBuffer send = given(DataType.I64, (int) uneven.total(), rank);
                group.reduceScatterV(send, product, ReduceOp.PRODUCT, counts);
                Arrays.fill(counts, 0); // what was said stays said
            });
            assertHolds(product, reducedBlock(DataType.I64, ReduceOp.Kind.PRODUCT, uneven));
        }

        private HostBuffer reducedBlock(DataType type, ReduceOp.Kind kind, Blocks blocks) {
            return (HostBuffer) blocks.of(values.reduced(type, kind, (int) blocks.total(), size), rank);
        }

        void moves() {
            HostBuffer all = room(DataType.U8, size * LENGTH);
            call(group -> group.allGather(given(DataType.U8, LENGTH, rank), all));
            assertHolds(all, MovingContract.gathered(DataType.U8, even));

            HostBuffer ragged = room(DataType.F16, (int) uneven.total());
            call(group -> {
                long[] counts = unevenCounts();
                group.allGatherV(given(DataType.F16, (int) uneven.count(rank), rank), ragged, counts);
                Arrays.fill(counts, 0);
            });
            assertHolds(ragged, MovingContract.gathered(DataType.F16, uneven));

            for (int each = 0; each < size; each++) {
                rooted(each);
            }
        }

        private void rooted(int root) {
            HostBuffer got = room(DataType.BF16, LENGTH);
            call(group -> group.broadcast(given(DataType.BF16, LENGTH, rank), got, root));
            assertHolds(got, filled(DataType.BF16, LENGTH, root));

            HostBuffer all = room(DataType.I8, size * LENGTH);
            call(group -> group.gather(given(DataType.I8, LENGTH, rank), rank == root ? all : null, root));
            if (rank == root) {
                assertHolds(all, MovingContract.gathered(DataType.I8, even));
            } else {
                assertUntouched(all);
            }

            HostBuffer whole = filled(DataType.F32, size * LENGTH, root);
            HostBuffer mine = room(DataType.F32, LENGTH);
            call(group -> group.scatter(rank == root ? framed(whole) : null, mine, root));
            assertHolds(mine, (HostBuffer) even.of(whole, rank));
        }

        void allToAlls() {
            HostBuffer swapped = room(DataType.F8_E4M3, size * LENGTH);
            call(group -> group.allToAll(given(DataType.F8_E4M3, size * LENGTH, rank), swapped));
            HostBuffer expected = HostBuffer.allocate(DataType.F8_E4M3, (long) size * LENGTH);
            for (int peer = 0; peer < size; peer++) {
                HostBuffer theirs = filled(DataType.F8_E4M3, size * LENGTH, peer);
                even.of(expected, peer).toHost().copyFrom((HostBuffer) even.of(theirs, rank));
            }
            assertHolds(swapped, expected);

            Blocks out = Blocks.of(sent(rank));
            Blocks in = Blocks.of(received(rank));
            HostBuffer ragged = room(DataType.I32, (int) in.total());
            call(group -> {
                long[] sendCounts = sent(rank);
                long[] receiveCounts = received(rank);
                HostBuffer send = given(DataType.I32, (int) out.total(), rank);
                group.allToAllV(send, sendCounts, ragged, receiveCounts);
                Arrays.fill(sendCounts, 0);
                Arrays.fill(receiveCounts, 0);
            });
            HostBuffer unequal = HostBuffer.allocate(DataType.I32, in.total());
            for (int peer = 0; peer < size; peer++) {
                Blocks theirs = Blocks.of(sent(peer));
                HostBuffer send = filled(DataType.I32, (int) theirs.total(), peer);
                in.of(unequal, peer).toHost().copyFrom((HostBuffer) theirs.of(send, rank));
            }
            assertHolds(ragged, unequal);
        }

        /** Around the ring, every other rank sending first: a send may wait for who receives. */
        void transfers() {
            HostBuffer got = room(DataType.F8_E5M2, LENGTH);
            call(group -> {
                if (rank % 2 == 0) {
                    group.send(given(DataType.F8_E5M2, LENGTH, rank), next);
                }
                group.receive(got, previous);
                if (rank % 2 == 1) {
                    group.send(given(DataType.F8_E5M2, LENGTH, rank), next);
                }
            });
            assertHolds(got, filled(DataType.F8_E5M2, LENGTH, previous));
        }

        /** That nobody is let go too early is tried elsewhere; here that they are called at all. */
        void barriers() {
            call(Communicator::barrier);
            call(group -> group.barrier(Duration.ofSeconds(30)));
        }

        void objects() {
            for (int each = 0; each < size; each++) {
                int root = each;
                AtomicReference<String> got = new AtomicReference<>();
                call(group ->
                        got.set(group.broadcastObject(rank == root ? "of root " + root : null, root, String.class)));
                assertThat(got).hasValue("of root " + root);
            }
            AtomicReference<List<String>> all = new AtomicReference<>();
            call(group -> all.set(group.allGatherObject("of rank " + rank, String.class)));
            assertThat(all.get())
                    .isEqualTo(IntStream.range(0, size)
                            .mapToObj(peer -> "of rank " + peer)
                            .toList());
            AtomicReference<String> theirs = new AtomicReference<>();
            call(group -> {
                if (rank % 2 == 0) {
                    group.sendObject("from rank " + rank, next);
                }
                theirs.set(group.receiveObject(previous, String.class));
                if (rank % 2 == 1) {
                    group.sendObject("from rank " + rank, next);
                }
            });
            assertThat(theirs).hasValue("from rank " + previous);
        }
    }
}
