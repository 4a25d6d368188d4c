package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.lockstep.collective.Values.assertSame;
import static org.lockstep.collective.Values.filled;

import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Tensor;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

@Timeout(60)
class TensorMapsTest implements Ranks {
    private static final int HIDDEN = 48_000;

    @Override
    public LocalWorld localWorld(int size) {
        return LocalWorld.of(size).withVenues(Math.min(2, size));
    }

    /** What a pipeline stage passes on: the two large ones are cut, the odd one is not, the empty one not sent. */
    private static Map<String, Tensor> activations() {
        Map<String, Tensor> map = new LinkedHashMap<>();
        map.put("residual", Tensor.of(filled(DataType.F32, HIDDEN, 1), 4, HIDDEN / 4));
        map.put("hidden", Tensor.of(filled(DataType.BF16, HIDDEN, 2), 4, HIDDEN / 8, 2));
        map.put("positions", Tensor.of(filled(DataType.I32, 7, 3), 7));
        map.put("none", Tensor.of(filled(DataType.I64, 0, 0), 3, 0));
        map.put("scalar", Tensor.of(filled(DataType.F64, 1, 5)));
        return map;
    }

    private static void assertActivations(Map<String, Tensor> got) {
        Map<String, Tensor> expected = activations();
        assertThat(got.keySet()).containsExactlyElementsOf(expected.keySet());
        expected.forEach((name, tensor) -> {
            assertThat(got.get(name).shape()).as(name).isEqualTo(tensor.shape());
            assertSame((HostBuffer) got.get(name).buffer(), (HostBuffer) tensor.buffer());
        });
        assertThatThrownBy(() -> got.remove("hidden")).isInstanceOf(UnsupportedOperationException.class);
    }

    @ParameterizedTest
    @CsvSource({"2, false, 288036", "2, true, 144036", "3, true, 96036", "4, true, 72036"
    }) // 48,000 · (4 + 2) bytes or a share of them, 7 · 4, 1 · 8
    void aPipelineStageSendsAllItsTensorsOrItsShareOfThem(int width, boolean cut, long bytes) {
        WorldSpec grid = WorldSpec.of(ParallelSizes.tensor(width).withPipeline(2))
                .withKinds(Set.of(GroupKind.TENSOR, GroupKind.PIPELINE));
        inWorld(2 * width, grid, world -> {
            Communicator pipeline = world.communicators().pipeline();
            Communicator tensor = world.communicators().tensor();
            TensorMaps maps = cut ? TensorMaps.in(pipeline).gatheredOver(tensor) : TensorMaps.in(pipeline);
            if (world.state().isPipelineFirstStage()) {
                maps.send(activations());
                assertThat(tensor.traffic()).isEqualTo(Traffic.NONE);
            } else {
                assertActivations(maps.receive());
                assertThat(tensor.traffic().operations()).isEqualTo(cut ? 2 : 0);
            }
            assertThat(pipeline.traffic().bytes()).isEqualTo(bytes);
            assertThat(pipeline.traffic().operations()).isEqualTo(5); // the names, and four that are not empty
            return true;
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3})
    void aBroadcastReachesEveryRank(int size) {
        onEvery(size, group -> {
            for (int root = 0; root < size; root++) {
                Map<String, Tensor> mine = root == group.rankInGroup() ? activations() : null;
                Map<String, Tensor> got = TensorMaps.in(group).broadcast(mine, root);
                assertActivations(got);
                if (mine != null) {
                    assertThat(got).isEqualTo(mine);
                }
                assertThat(TensorMaps.in(group).broadcast(mine == null ? null : Map.of(), root))
                        .isEmpty();
            }
            return true;
        });
    }

    @Test
    void wrongMapsAreRefusedBeforeAnythingIsSent() {
        onEvery(2, group -> {
            int peer = 1 - group.rankInGroup();
            TensorMaps maps = TensorMaps.in(group);
            Tensor tensor = Tensor.of(Buffer.ofInts(1), 1);
            Map<String, Tensor> nullName = new LinkedHashMap<>();
            nullName.put(null, tensor);
            Map<String, Tensor> nullTensor = new LinkedHashMap<>();
            nullTensor.put("x", null);
            Map<String, Tensor> twice = new IdentityHashMap<>();
            twice.put("x", tensor);
            twice.put(new StringBuilder("x").toString(), tensor);
            assertThatThrownBy(() -> maps.send(nullName, peer)).hasMessageContaining("neither null names");
            assertThatThrownBy(() -> maps.send(nullTensor, peer)).hasMessageContaining("x = null");
            assertThatThrownBy(() -> maps.send(twice, peer)).hasMessageContaining("'x' is twice");
            assertThatThrownBy(() -> maps.send(null, peer))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("gives it, not null");
            assertThatThrownBy(() -> maps.broadcast(null, group.rankInGroup())).hasMessageContaining("not null");
            assertThatThrownBy(() -> maps.broadcast(Map.of(), 2)).hasMessageContaining("root (2)");
            assertThatThrownBy(() -> maps.send(Map.of(), 2)).hasMessageContaining("peer (2)");
            assertThatThrownBy(() -> maps.receive(group.rankInGroup())).hasMessageContaining("itself");
            assertThatThrownBy(() -> maps.withLimit(-1)).hasMessageContaining("limit (-1)");
            assertThat(group.traffic()).isEqualTo(Traffic.NONE);
            return true;
        });
    }

    private static TensorContents.Entry entry(String name, Long... dims) {
        return new TensorContents.Entry(name, DataType.F32, List.of(dims));
    }

    /** What {@code contents}, sent as a map of tensors, makes of the one who receives it and of the sender. */
    private List<CommunicatorException> received(TensorContents contents) {
        return onEvery(
                2,
                group -> catchThrowableOfType(CommunicatorException.class, () -> {
                    if (group.rankInGroup() == 0) {
                        group.sendObject(contents, 1);
                        group.barrier();
                    } else {
                        TensorMaps.in(group).withLimit(1000).receive(0);
                    }
                }));
    }

    @Test
    @FaultCase("F71")
    void whatAPeerMayNotSendEndsTheGroupBeforeMemoryIsTaken() {
        Map<TensorContents, String> nonsense = Map.of(
                new TensorContents(1, 0, List.of(entry("vast", 1L << 40))), "'vast' f32[1099511627776]",
                new TensorContents(1, 0, List.of(entry("wraps", 1L << 32, 1L << 32))), "more than 2^63 - 1",
                new TensorContents(1, 0, List.of(entry("negative", 4L, -1L))), "negative dim",
                new TensorContents(1, 0, List.of(entry("a", 200L), entry("b", 51L))), "limit of 1000 bytes, with 'b'",
                new TensorContents(1, 0, List.of(entry("same", 1L), entry("same", 1L))), "'same' twice");
        nonsense.forEach((contents, text) -> {
            List<CommunicatorException> failures = received(contents);
            assertThat(failures.get(0).code()).isEqualTo(ErrorCode.ABORTED);
            assertThat(failures.get(1).code()).isEqualTo(ErrorCode.PROTOCOL);
            assertThat(failures.get(0)).hasMessageContaining(text).hasMessageContaining("because of rank 1");
            assertThat(failures.get(1))
                    .hasMessageContaining(text)
                    .hasMessageContaining("rank 0 of world[0]={0,1} sent");
        });
    }

    @Test
    void endsThatCutDifferentlyAreTold() {
        List<CommunicatorException> failures = received(new TensorContents(2, 1, List.of(entry("x", 4L))));
        assertThat(failures.get(1).code()).isEqualTo(ErrorCode.COLLECTIVE_MISMATCH);
        assertThat(failures.get(1)).hasMessageContaining("rank 0 sends share 1 of 2, but rank 1 receives share 0 of 1");
        assertThat(failures.get(0)).hasMessageContaining("share 1 of 2");
    }

    @Test
    void nullsFromAPeerAreNoContents() {
        assertThatThrownBy(() -> new TensorContents.Entry(null, DataType.F32, List.of()))
                .hasMessageContaining("name");
        assertThatThrownBy(() -> new TensorContents.Entry("x", null, List.of())).hasMessageContaining("type");
        assertThatThrownBy(() -> new TensorContents.Entry("x", DataType.F32, null))
                .isNotNull();
        assertThatThrownBy(() -> new TensorContents(1, 0, null)).isNotNull();
    }
}
