package org.lockstep.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.Hello;
import org.lockstep.collective.Identity;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.collective.Roster;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.rendezvous.Rendezvous;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.ProcessGroup;
import org.lockstep.transport.Door;
import org.lockstep.transport.Listen;
import org.lockstep.transport.Mesh;
import org.lockstep.transport.Rhythm;

/** What ranks tell each other of their blocks before these travel; that all come to their places is tried in large groups. */
@Timeout(60)
class BruckAllToAllTest {
    private static final int RANKS = 5;
    private static final int STEPS = 3;
    private static final int MUCH = 1000;

    /** Elements of one rank for another: one, but much of rank 0 for rank 3. */
    private static int count(int from, int to) {
        return from == 0 && to == 3 ? MUCH : 1;
    }

    /** A rank may wait for one that waits for another's much: it must not give up sooner than those two. */
    @Test
    void whoHasLittleHasTheTimeOfTheRankWithTheMost() {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(RANKS)).withKinds(Set.of(GroupKind.WORLD));
        List<Long> allowed = LocalWorld.of(RANKS).run(rendezvous -> allowed(rendezvous, spec));
        long most = 4L * (MUCH + RANKS - 1);
        assertThat(allowed).hasSize(RANKS).containsOnly(STEPS * most);
    }

    /** The bytes that a rank has the time for. */
    private static long allowed(Rendezvous rendezvous, WorldSpec spec) {
        try (Door door = Door.open(rendezvous.venue(), spec, Listen.loopback(), Rhythm.DEFAULT)) {
            Hello hello = new Hello(
                    spec.attempt(),
                    "test",
                    Identity.local(),
                    rendezvous.index(),
                    0,
                    "cpu",
                    door.addresses(),
                    door.port(),
                    spec.sizes(),
                    spec.order(),
                    new Hello.Settings(0, List.of()),
                    List.of());
            Roster roster = Roster.of(rendezvous.allGather(hello.encode(spec.key())), spec);
            int rank = roster.rank(rendezvous.index());
            ProcessGroup group = roster.grid().group(GroupKind.WORLD, rank).orElseThrow();
            Door.Connected connected = door.connect(roster, rank, List.of(group));
            Mesh mesh = connected.mesh(group);
            long[] out = new long[RANKS];
            long[] in = new long[RANKS];
            Arrays.setAll(out, peer -> count(rank, peer));
            Arrays.setAll(in, peer -> count(peer, rank));
            HostBuffer send =
                    HostBuffer.allocate(DataType.I32, Arrays.stream(out).sum());
            HostBuffer receive =
                    HostBuffer.allocate(DataType.I32, Arrays.stream(in).sum());
            Arrays.fill(send.ints(), rank + 1);
            AtomicLong bytes = new AtomicLong(Math.max(send.bytes(), receive.bytes()));
            OperationTag tag = new OperationTag(1, Operation.ALL_TO_ALL_V, null, DataType.I32, 0, -1);
            mesh.begin(tag, Duration.ofMinutes(1), more -> {
                bytes.addAndGet(more);
                return Duration.ZERO;
            });
            new BruckAllToAll(mesh).run(tag, send, Blocks.of(out), receive, Blocks.of(in));
            mesh.close();
            connected.end();
            assertThat(Arrays.stream(receive.ints()).sum())
                    .isEqualTo(rank == 3 ? MUCH + 2 + 3 + 4 + 5 : 1 + 2 + 3 + 4 + 5);
            return bytes.get();
        }
    }
}
