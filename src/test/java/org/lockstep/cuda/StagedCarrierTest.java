package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.BiConsumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.collective.Backend;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/** Each operation on buffers of a device gives what the same operation gives on buffers of the host. */
@Timeout(120)
@HostCuda
class StagedCarrierTest {
    private static final int COUNT = 12;

    /** On what is sent and where it is received, both of {@code size} · COUNT elements. */
    private interface Operation {
        void on(Communicator group, Buffer send, Buffer receive);
    }

    private static Map<String, Operation> operations() {
        Map<String, Operation> all = new TreeMap<>();
        all.put("all-reduce", (group, send, receive) -> group.allReduce(send, receive, ReduceOp.SUM));
        all.put("all-reduce in place", (group, send, receive) -> group.allReduce(receive, ReduceOp.MAX));
        all.put("reduce", (group, send, receive) -> group.reduce(send, receive, ReduceOp.SUM, 1));
        all.put("broadcast", (group, send, receive) -> group.broadcast(send, receive, 1));
        all.put("broadcast in place", (group, send, receive) -> group.broadcast(receive, 1));
        all.put("all-gather", (group, send, receive) -> group.allGather(send.slice(0, COUNT), receive));
        all.put(
                "all-gather in place",
                (group, send, receive) ->
                        group.allGather(receive.slice((long) group.rankInGroup() * COUNT, COUNT), receive));
        all.put(
                "reduce-scatter",
                (group, send, receive) -> group.reduceScatter(send, receive.slice(0, COUNT), ReduceOp.SUM));
        all.put(
                "gather",
                (group, send, receive) ->
                        group.gather(send.slice(0, COUNT), group.rankInGroup() == 1 ? receive : null, 1));
        all.put(
                "scatter",
                (group, send, receive) ->
                        group.scatter(group.rankInGroup() == 1 ? send : null, receive.slice(0, COUNT), 1));
        all.put("all-to-all", Communicator::allToAll);
        all.put(
                "ring",
                (group, send, receive) -> group.grouped(together -> {
                    together.send(send);
                    together.receive(receive);
                }));
        all.put(
                "queued",
                (group, send, receive) -> group.async(queue -> queue.allReduce(send, receive, ReduceOp.SUM))
                        .await());
        return all;
    }

    private static Buffer values(Kernels kernels, int rank, int size, int salt) {
        HostBuffer values = HostBuffer.allocate(DataType.F32, (long) size * COUNT);
        for (int i = 0; i < values.size(); i++) {
            values.floats()[i] = salt + rank * 1000 + i * 0.25f;
        }
        return kernels.upload(values, values.length()).buffer();
    }

    private static List<Boolean> onEveryRank(int size, BiConsumer<World, Kernels> part) {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(size));
        CudaOptions options = CudaOptions.DEFAULT
                .withCublas(CudaOptions.NO_CUBLAS)
                .withPeer(PeerOptions.NONE)
                .withRanksPerDevice(size);
        return LocalWorld.of(size).run(rendezvous -> {
            try (Backend backend = CudaBackend.create(StandIn.devices().get(0), CpuBackend.create(), options);
                    World world = World.join(rendezvous, backend, spec)) {
                try {
                    part.accept(world, backend.kernels());
                } catch (Throwable failure) {
                    world.abort(failure);
                    throw failure;
                }
            }
            return true;
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3})
    void everyOperationGivesWhatItGivesOnTheHost(int size) {
        onEveryRank(size, (world, kernels) -> {
            Communicator group = world.communicators().tensor();
            int rank = group.rankInGroup();
            operations().forEach((name, operation) -> {
                Buffer send = values(kernels, rank, size, 1);
                Buffer receive = values(kernels, rank, size, 7);
                HostBuffer hostSend = send.toHost();
                HostBuffer hostReceive = receive.toHost();
                operation.on(group, hostSend, hostReceive);
                operation.on(group, send, receive);
                assertThat(receive.toHost().toFloats())
                        .as("%s, rank %d", name, rank)
                        .isEqualTo(hostReceive.toFloats());
                assertThat(send.toHost().toFloats())
                        .as("%s, what was sent", name)
                        .isEqualTo(hostSend.toFloats());
                send.close();
                receive.close();
            });
            assertThat(world.communicators().of(GroupKind.TENSOR)).isSameAs(group);
        });
    }

    @Test
    void wrongArgumentsAreRefusedBeforeAnythingIsSent() {
        onEveryRank(2, (world, kernels) -> {
            Communicator group = world.communicators().tensor();
            Buffer some = values(kernels, 0, 2, 0);
            assertThatThrownBy(() -> group.allReduce(some, some.slice(0, 3), ReduceOp.SUM))
                    .isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> group.send(some, 7)).isInstanceOf(IllegalArgumentException.class);
            group.barrier();
        });
    }

    @Test
    void ranksOfADeviceOfTheirOwnAreKnownByItAndOthersAreNot() {
        VisibleDevice device = StandIn.devices().get(0);
        try (CpuBackend host = CpuBackend.create()) {
            assertThat(CudaBackend.create(device, host, CudaOptions.DEFAULT).gpu())
                    .contains(device.gpu());
            assertThat(CudaBackend.create(device, host, CudaOptions.DEFAULT.withRanksPerDevice(2))
                            .gpu())
                    .isEmpty();
        }
    }
}
