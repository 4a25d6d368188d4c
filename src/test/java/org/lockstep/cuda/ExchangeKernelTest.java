package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import jcuda.Pointer;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.CUresult;
import jcuda.driver.CUstreamCaptureMode;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/**
 * Kernels that wait for each other, {@code exchange.cu}: each on a device of its own, or, where there are fewer real ones, in a stream
 * of its own, with which it runs beside the others.
 */
@Timeout(60)
@HostCuda
class ExchangeKernelTest {
    private static final int HEAD = 5120; // bytes of Signals
    private static final int CAPACITY = 256 << 10;
    private static final int CALL = 0x1234;
    private static final long PATIENCE = TimeUnit.SECONDS.toNanos(20);

    private final List<Rank> ranks = new ArrayList<>();

    @BeforeEach
    void show() {
        if (StandIn.isLoaded()) {
            StandIn.require().setDevices(8);
        }
    }

    @AfterEach
    void nothingIsLeft() {
        ranks.forEach(rank -> rank.told.bytes().putInt(0, 1)); // for those that still wait, where a test has failed
        ranks.forEach(Rank::close);
        if (StandIn.isLoaded()) {
            assertThat(StandIn.require().allocations()).isZero();
            StandIn.require().setDevices(1);
        }
    }

    /** A device with what its kernels of an all-reduce need. */
    private static final class Rank {
        final int me;
        final CudaDevice device;
        final KernelModule exchange;
        final KernelModule reduce;
        final Pinned told;
        final long memory;
        final long out;

        Rank(int me) {
            this.me = me;
            List<VisibleDevice> devices = StandIn.devices();
            device = CudaDevice.open(devices.get(me % devices.size()));
            device.enter();
            exchange = KernelModule.load(device, List.of("exchange"));
            reduce = KernelModule.load(device, List.of("reduce"));
            told = Pinned.allocate(device, 2 * Long.BYTES);
            told.bytes().putLong(0, 0).putLong(Long.BYTES, 0);
            memory = device.allocate(HEAD + 2L * CAPACITY);
            device.zero(memory, HEAD);
            device.synchronize();
            out = device.allocate(CAPACITY);
        }

        void know(List<Rank> all) {
            long[] sources = new long[2 * all.size()];
            device.enter();
            for (Rank each : all) {
                assumeTrue(device.peers().reaches(each.device.peers()), "devices that do not reach each other");
                assertThat(device.peers().open(each.device.peers())).isTrue();
                sources[2 * each.me] = each.memory + HEAD;
                sources[2 * each.me + 1] = Double.doubleToRawLongBits(1);
            }
            Launches.check(JCudaDriver.cuMemcpyHtoD(Raw.device(memory), Pointer.to(sources), 8L * sources.length));
        }

        void bring(float[] values) {
            device.enter();
            Launches.check(JCudaDriver.cuMemcpyHtoD(
                    Raw.device(memory + HEAD), Pointer.to(values), (long) Float.BYTES * values.length));
        }

        void launch(int size, int n, boolean twoShots) {
            launch(size, n, twoShots, CALL);
        }

        void launch(int size, int n, boolean twoShots, int fingerprint) {
            device.enter();
            exchange.with()
                    .pointer(memory)
                    .number(me)
                    .number(size)
                    .wide(n)
                    .wide(CAPACITY)
                    .number(0)
                    .number(1)
                    .wide(Double.doubleToRawLongBits(1))
                    .number(twoShots ? 1 : 0)
                    .number(fingerprint)
                    .pointer(told.address())
                    .pointer(out)
                    .launch("exchange_f32", Math.min(36, DeviceProduct.blocks(n)), 256);
        }

        float[] result(int n) {
            float[] values = new float[n];
            device.enter();
            Launches.check(JCudaDriver.cuMemcpyDtoH(Pointer.to(values), Raw.device(out), (long) Float.BYTES * n));
            return values;
        }

        /** The fingerprint of another call, and 1 + the rank it is of. */
        long differing() {
            return told.bytes().getLong(Long.BYTES);
        }

        boolean isDone() {
            device.enter();
            int result = JCudaDriver.cuStreamQuery(device.stream());
            if (result != CUresult.CUDA_ERROR_NOT_READY) {
                Launches.check(result);
            }
            return result == CUresult.CUDA_SUCCESS;
        }

        void close() {
            device.enter();
            exchange.close();
            reduce.close();
            told.close();
            device.release(memory);
            device.release(out);
            device.close();
        }
    }

    private void start(int size) {
        for (int rank = 0; rank < size; rank++) {
            ranks.add(new Rank(rank));
        }
        ranks.forEach(rank -> {
            rank.know(ranks);
            rank.device.synchronize();
        });
    }

    /** All devices move on, as real ones do by themselves. */
    private void finish() {
        long end = System.nanoTime() + PATIENCE;
        boolean over = false;
        while (!over) {
            assertThat(System.nanoTime() - end).as("the kernels wait").isNegative();
            over = true;
            for (Rank rank : ranks) {
                over &= rank.isDone();
            }
        }
    }

    private static float[] values(int rank, int n, int salt) {
        HostBuffer random = HostBuffer.allocate(DataType.F32, n);
        Random source = new Random(31L * rank + salt);
        for (int i = 0; i < n; i++) {
            random.floats()[i] = (float) source.nextGaussian();
        }
        return random.floats();
    }

    /** The bits of the kernel that joins what lies still, which are the host's. */
    private float[] expected(int n) {
        Rank first = ranks.get(0);
        first.device.enter();
        first.reduce
                .with()
                .pointer(first.memory) // whose sources come first
                .number(ranks.size())
                .wide(0)
                .wide(n)
                .number(0)
                .number(1)
                .pointer(first.out)
                .launch("reduce_f32", DeviceProduct.blocks(n), 256);
        first.device.synchronize();
        return first.result(n);
    }

    @ParameterizedTest
    @CsvSource({"2,1", "2,1003", "3,5000", "7,1003", "7,40000"})
    void allGetTheSumInOneShotAndInTwo(int size, int n) {
        start(size);
        for (int times = 0; times < 3; times++) {
            for (boolean twoShots : new boolean[] {false, true}) {
                for (Rank rank : ranks) {
                    rank.bring(values(rank.me, n, times));
                }
                float[] sum = expected(n);
                ranks.forEach(rank -> rank.launch(size, n, twoShots));
                finish();
                for (Rank rank : ranks) {
                    assertThat(rank.result(n))
                            .as("rank %d, two shots: %s", rank.me, twoShots)
                            .isEqualTo(sum);
                }
            }
        }
    }

    @Test
    void aGraphRepeatsIt() {
        int n = 3000;
        start(3);
        List<CUgraphExec> graphs = ranks.stream().map(rank -> recorded(rank, n)).toList();
        for (int times = 0; times < 3; times++) {
            for (Rank rank : ranks) {
                rank.bring(values(rank.me, n, times));
            }
            float[] sum = expected(n);
            for (Rank rank : ranks) {
                rank.device.enter();
                Launches.check(JCudaDriver.cuGraphLaunch(graphs.get(rank.me), rank.device.stream()));
            }
            finish();
            for (Rank rank : ranks) {
                assertThat(rank.result(n)).isEqualTo(sum);
            }
        }
        graphs.forEach(graph -> Launches.check(JCudaDriver.cuGraphExecDestroy(graph)));
    }

    private static CUgraphExec recorded(Rank rank, int n) {
        CUgraph graph = new CUgraph();
        CUgraphExec made = new CUgraphExec();
        rank.device.enter();
        Launches.check(JCudaDriver.cuStreamBeginCapture(
                rank.device.stream(), CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
        rank.launch(3, n, true);
        rank.launch(3, n, false);
        Launches.check(JCudaDriver.cuStreamEndCapture(rank.device.stream(), graph));
        Launches.check(JCudaDriver.cuGraphInstantiate(made, graph, 0));
        Launches.check(JCudaDriver.cuGraphDestroy(graph));
        return made;
    }

    @Test
    void whoWaitsForARankThatDoesNotComeWaitsUntilTheWordIsSet() {
        start(2);
        Rank first = ranks.get(0);
        first.bring(values(0, 100, 0));
        first.launch(2, 100, false);
        for (int looks = 0; looks < 1000; looks++) {
            assertThat(first.isDone()).isFalse();
        }
        first.told.bytes().putInt(0, 1);
        first.device.synchronize();
        assertThat(first.isDone()).isTrue();
        assertThat(first.differing()).isZero();
    }

    /** The counts differ too: blocks that one rank has alone wait for nobody. */
    @ParameterizedTest
    @CsvSource({"100,100,8", "100,30000,8", "30000,100,8", "100,30000,1"})
    void whoMeetsAnotherCallSaysWhoseAndDoesNothingFromThenOn(int n, int other, int devices) {
        if (StandIn.isLoaded()) {
            StandIn.require().setDevices(devices);
        }
        int stranger = 1;
        start(3);
        for (Rank rank : ranks) {
            boolean differs = rank.me == stranger;
            rank.launch(3, 10, false);
            rank.launch(3, differs ? other : n, differs, differs ? CALL + 1 : CALL);
            rank.launch(3, n, false, differs ? CALL : CALL + 1); // what would fit if the call before were forgotten
        }
        finish();
        for (Rank rank : ranks) {
            long theirs = rank.me == stranger ? CALL : CALL + 1;
            assertThat(rank.differing() >>> Integer.SIZE).isEqualTo(theirs);
            int met = (int) rank.differing() - 1;
            assertThat(met == stranger).isEqualTo(rank.me != stranger);
        }
    }
}
