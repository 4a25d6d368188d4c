package org.lockstep.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.SoloCommunicator;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.rendezvous.RendezvousException;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/** Worlds of several groups: from the meeting to the end, good or bad, and what is left behind: nothing. */
@Timeout(60)
class WorldLifeTest {
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4})
    void tensorAndPipelineGroupsWorkWhateverTheVenues(int venues) {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2).withPipeline(2));
        List<Integer> ranks = LocalWorld.of(4).withVenues(venues).run(rendezvous -> {
            try (CpuBackend backend = CpuBackend.create();
                    World world = World.join(rendezvous, backend, spec)) {
                int rank = world.state().rank();
                HostBuffer x = Buffer.ofFloats(rank);
                world.communicators().tensor().allReduce(x, ReduceOp.SUM);
                assertThat(x.floats()[0]).isEqualTo(rank < 2 ? 1f : 5f);
                HostBuffer y = Buffer.ofInts(rank);
                if (world.state().isPipelineFirstStage()) {
                    world.communicators().pipeline().send(y, 1);
                } else {
                    world.communicators().pipeline().receive(y, 0);
                    assertThat(y.toInts()).containsExactly(rank - 2);
                }
                assertThat(world.communicators().model())
                        .isSameAs(world.communicators().world());
                assertThat(world.communicators().data()).isInstanceOf(SoloCommunicator.class);
                assertThatThrownBy(() -> world.communicators().of(GroupKind.EXPERT))
                        .isInstanceOf(IllegalStateException.class)
                        .hasMessageContaining("EXPERT");
                world.communicators().world().barrier();
                assertThat(world.communicators().traffic().operations()).isEqualTo(3);
                assertThat(world.meetingTime()).isPositive();
                assertThat(world.connectTime()).isPositive();
                if (venues == 2) { // dealt round-robin; tensor groups stay inside a venue all the same
                    assertThat(world.roster()
                                    .shareVenue(world.communicators().tensor().group()))
                            .isTrue();
                }
                return rank;
            }
        });
        assertThat(ranks).containsExactlyInAnyOrder(0, 1, 2, 3);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4})
    void aFailureInOneGroupFreesThoseWhoWaitInAnother(int venues) {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2).withPipeline(2));
        CyclicBarrier connected = new CyclicBarrier(4);
        IllegalStateException cause = new IllegalStateException("boom");
        Throwable thrown =
                catchThrowable(() -> LocalWorld.of(4).withVenues(venues).run(rendezvous -> {
                    try (CpuBackend backend = CpuBackend.create()) {
                        World world = World.join(rendezvous, backend, spec);
                        try {
                            connected.await();
                            if (world.state().rank() == 0) {
                                throw cause;
                            }
                            HostBuffer x = Buffer.ofInts(0);
                            if (world.state().rank() == 3) {
                                world.communicators().tensor().receive(x, 0); // from 2, which waits for 0
                            } else if (world.state().rank() == 2) {
                                world.communicators().pipeline().receive(x, 0);
                            } else {
                                world.communicators().tensor().barrier();
                            }
                            return 0;
                        } catch (Exception failure) {
                            world.abort(failure);
                            throw failure;
                        }
                    }
                }));
        List<Throwable> all = new ArrayList<>(List.of(thrown.getSuppressed()));
        all.add(thrown);
        assertThat(all).hasSize(4);
        assertThat(all.remove(cause)).as("the cause itself, from its own rank").isTrue();
        for (Throwable other : all) { // whoever was faster to throw than the rank that told them
            assertThat(((CommunicatorException) other).code()).isEqualTo(ErrorCode.ABORTED);
            assertThat(other).hasMessageContaining("because of rank 0").hasMessageContaining("boom");
        }
    }

    @Test
    void disagreementIsTheSameErrorForAllAndLeavesNothing() throws Exception {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2));
        lives(2); // what is made once and for all
        int before = openSockets();
        List<RendezvousException> failures = LocalWorld.of(4).withVenues(4).run(rendezvous -> {
            WorldSpec mine = rendezvous.index() == 2 ? spec.withObjects(String[].class) : spec;
            CpuBackend backend = CpuBackend.create();
            return catchThrowableOfType(RendezvousException.class, () -> World.join(rendezvous, backend, mine));
        });
        assertThat(failures).allSatisfy(each -> {
            assertThat(each.code()).isEqualTo(ErrorCode.DISAGREEMENT);
            assertThat(each)
                    .hasMessageContaining("lockstep.objects")
                    .hasMessage(failures.get(0).getMessage());
        });
        await().untilAsserted(() -> assertThat(openSockets()).isLessThanOrEqualTo(before));
    }

    private static void lives(int count) {
        for (int life = 0; life < count; life++) {
            boolean good = life % 2 == 0;
            int venues = life % 4 < 2 ? 3 : 1;
            WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(3));
            AtomicInteger failed = new AtomicInteger();
            LocalWorld.of(3).withVenues(venues).run(rendezvous -> {
                try (CpuBackend backend = CpuBackend.create();
                        World world = World.join(rendezvous, backend, spec)) {
                    world.communicators().world().allReduce(HostBuffer.allocate(DataType.F32, 1000), ReduceOp.SUM);
                    if (!good) {
                        if (world.state().rank() == 0) {
                            world.abort(new IllegalStateException("enough"));
                        }
                        world.communicators().tensor().barrier();
                    }
                } catch (CommunicatorException expected) {
                    failed.incrementAndGet();
                }
                return 0;
            });
            assertThat(failed.get()).isEqualTo(good ? 0 : 3);
        }
    }

    /**
     * Sockets and selectors of this process; files of the class path come and go. Those of a Spark session that an earlier
     * test in this JVM stopped may still be closing, so their number can only be bounded from above.
     */
    private static int openSockets() throws Exception {
        File[] open = new File("/proc/self/fd").listFiles();
        if (open == null) {
            return 0; // no such file system here
        }
        int count = 0;
        for (File each : open) {
            Path link = each.toPath();
            if (Files.isSymbolicLink(link)) {
                String target = Files.readSymbolicLink(link).toString();
                count += target.startsWith("socket:") || target.startsWith("anon_inode:") ? 1 : 0;
            }
        }
        return count;
    }
}
