package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.jna.Memory;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.IntSupplier;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import jcuda.driver.CUgraph;
import jcuda.driver.CUmodule;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** That the stand-in for the driver sees what a device would suffer, or hide. */
@HostCuda
@Timeout(60)
class StandInTest {
    private StandIn driver;
    private Launches device;

    @BeforeEach
    void open() throws IOException {
        driver = StandIn.require();
        device = new Launches();
    }

    @AfterEach
    void close() {
        if (device != null) {
            device.close();
        }
    }

    @Test
    void aWriteBeyondAnArrayIsAnIllegalAddressAndStays() {
        CUdeviceptr x = device.of(1f, 2, 3);
        CUdeviceptr y = device.of(1f, 1, 1, 1, 1, 1, 1, 1);
        device.launch("add", new int[] {1}, 256, x, y, 8L); // x has three
        assertThat(device.synchronize()).isEqualTo(CUresult.CUDA_ERROR_ILLEGAL_ADDRESS);
        assertThat(device.synchronize()).isEqualTo(CUresult.CUDA_ERROR_ILLEGAL_ADDRESS);
        assertThat(JCudaDriver.cuMemAlloc(new CUdeviceptr(), 16)).isEqualTo(CUresult.CUDA_ERROR_ILLEGAL_ADDRESS);
    }

    @Test
    void memoryThatWasFreedOrNeverAllocatedIsRefused() {
        CUdeviceptr x = device.of(1f);
        CUdeviceptr freed = new CUdeviceptr();
        Launches.check(JCudaDriver.cuMemAlloc(freed, 4));
        Launches.check(JCudaDriver.cuMemFree(freed));
        assertThat(JCudaDriver.cuMemcpyHtoD(freed, Pointer.to(new float[1]), 4))
                .isEqualTo(CUresult.CUDA_ERROR_INVALID_VALUE);
        device.launch("add", new int[] {1}, 256, x, freed, 1L);
        assertThat(device.synchronize()).isEqualTo(CUresult.CUDA_ERROR_ILLEGAL_ADDRESS);
    }

    @Test
    void whatNobodyWroteIsNoNumberAndWhatNobodyWaitedForHasNotHappened() {
        CUdeviceptr x = device.room(4);
        assertThat(device.floats(x, 1)).containsExactly(Float.NaN);
        Pointer pinned = new Pointer();
        Launches.check(JCudaDriver.cuMemHostAlloc(pinned, 4, 0));
        ByteBuffer host = pinned.getByteBuffer(0, 4).order(ByteOrder.nativeOrder());
        host.putFloat(0, 1);
        Launches.check(JCudaDriver.cuMemcpyHtoDAsync(x, pinned, 4, device.stream));
        host.putFloat(0, 2); // too early: the copy takes what is there when it comes to it
        assertThat(device.floats(x, 1)).containsExactly(2);
        Launches.check(JCudaDriver.cuMemcpyDtoHAsync(pinned, x, 4, device.stream));
        host.putFloat(0, 7);
        assertThat(host.getFloat(0)).isEqualTo(7);
        Launches.check(device.synchronize());
        assertThat(host.getFloat(0)).isEqualTo(2);
        Launches.check(JCudaDriver.cuMemFreeHost(pinned));
    }

    @Test
    void streamsWaitForEventsOnly() {
        CUstream other = new CUstream();
        CUevent event = new CUevent();
        Launches.check(JCudaDriver.cuStreamCreate(other, 1));
        Launches.check(JCudaDriver.cuEventCreate(event, 0));
        CUdeviceptr x = device.of(1f);
        CUdeviceptr copy = device.of(0f);
        device.launch("add", new int[] {1}, 256, x, x, 1L);
        Launches.check(JCudaDriver.cuEventRecord(event, device.stream));
        Launches.check(JCudaDriver.cuMemcpyDtoDAsync(copy, x, 4, other));
        Launches.check(JCudaDriver.cuStreamSynchronize(other));
        float[] seen = new float[1];
        Launches.check(JCudaDriver.cuMemcpyDtoH(Pointer.to(seen), copy, 4));
        assertThat(seen).containsExactly(1);
        Launches.check(JCudaDriver.cuStreamWaitEvent(other, event, 0));
        Launches.check(JCudaDriver.cuMemcpyDtoDAsync(copy, x, 4, other));
        Launches.check(JCudaDriver.cuStreamSynchronize(other));
        Launches.check(JCudaDriver.cuMemcpyDtoH(Pointer.to(seen), copy, 4));
        assertThat(seen).containsExactly(2);
        Launches.check(JCudaDriver.cuEventDestroy(event));
        Launches.check(JCudaDriver.cuStreamDestroy(other));
    }

    @Test
    void whatMayNotBeCapturedSpoilsTheCapture() {
        CUdeviceptr x = device.of(1f);
        CUgraph graph = new CUgraph();
        Launches.check(JCudaDriver.cuStreamBeginCapture(device.stream, 0));
        device.launch("add", new int[] {1}, 256, x, x, 1L);
        assertThat(JCudaDriver.cuMemAlloc(new CUdeviceptr(), 4))
                .isEqualTo(CUresult.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        assertThat(JCudaDriver.cuStreamEndCapture(device.stream, graph))
                .isEqualTo(CUresult.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        Launches.check(JCudaDriver.cuStreamBeginCapture(device.stream, 1));
        assertThat(device.synchronize()).isEqualTo(CUresult.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        assertThat(JCudaDriver.cuStreamEndCapture(device.stream, graph))
                .isEqualTo(CUresult.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        assertThat(device.floats(x, 1)).as("a captured kernel does not run").containsExactly(1);
    }

    /** Also of streams and events that have nothing to do with it, and of what takes memory of the host or loads code. */
    @Test
    void whatMayWaitForTheDeviceMayNotBeCalledWhileItsThreadCaptures() {
        CUstream other = new CUstream();
        CUevent event = new CUevent();
        Launches.check(JCudaDriver.cuStreamCreate(other, 1));
        Launches.check(JCudaDriver.cuEventCreate(event, 0));
        Launches.check(JCudaDriver.cuEventRecord(event, other));
        List<IntSupplier> refused = List.of(
                () -> JCudaDriver.cuMemHostAlloc(new Pointer(), 4, 0),
                () -> JCudaDriver.cuEventQuery(event),
                () -> JCudaDriver.cuEventSynchronize(event),
                () -> JCudaDriver.cuStreamQuery(other),
                () -> JCudaDriver.cuStreamSynchronize(other),
                () -> JCudaDriver.cuModuleLoadData(new CUmodule(), ""));
        CUgraph graph = new CUgraph();
        for (IntSupplier call : refused) {
            Launches.check(JCudaDriver.cuStreamBeginCapture(device.stream, 1));
            assertThat(call.getAsInt()).isEqualTo(CUresult.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
            assertThat(JCudaDriver.cuStreamEndCapture(device.stream, graph))
                    .isEqualTo(CUresult.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        }
        Launches.check(JCudaDriver.cuEventDestroy(event));
        Launches.check(JCudaDriver.cuStreamDestroy(other));
    }

    @Test
    void memoryEndsWhereItIsSaidTo() {
        long[] free = new long[1];
        long[] total = new long[1];
        Launches.check(JCudaDriver.cuMemGetInfo(free, total));
        assertThat(JCudaDriver.cuMemAlloc(new CUdeviceptr(), free[0] + 1)).isEqualTo(CUresult.CUDA_ERROR_OUT_OF_MEMORY);
        driver.refuseAllocationAfter(0);
        assertThat(JCudaDriver.cuMemAlloc(new CUdeviceptr(), 4)).isEqualTo(CUresult.CUDA_ERROR_OUT_OF_MEMORY);
        device.room(4);
    }

    @Test
    void faultsComeWhenTheyAreAskedForAndGoWithTheContext() throws IOException {
        driver.failLaunchAfter(1, CUresult.CUDA_ERROR_LAUNCH_FAILED);
        CUdeviceptr x = device.of(1f);
        device.launch("add", new int[] {1}, 256, x, x, 1L);
        Launches.check(device.synchronize());
        device.launch("add", new int[] {1}, 256, x, x, 1L);
        assertThat(device.synchronize()).isEqualTo(CUresult.CUDA_ERROR_LAUNCH_FAILED);
        device.close(); // and renews it
        device = new Launches();
        assertThat(device.floats(device.of(3f), 1)).containsExactly(3);
        assertThat(driver.allocations()).isEqualTo(1);
    }

    /** Ranks of one process load their models at the same time: a set of handles without a lock was torn by it. */
    @Test
    void handlesOfCublasComeAndGoOnManyThreadsAtOnce() throws Exception {
        CublasLibrary.open(Optional.empty(), Map.of());
        CUcontext context = new CUcontext();
        Launches.check(JCudaDriver.cuCtxGetCurrent(context));
        Callable<Integer> comeAndGo = () -> {
            Launches.check(JCudaDriver.cuCtxSetCurrent(context));
            int refused = 0;
            try (Memory handles = new Memory(64 * Long.BYTES)) {
                for (int round = 0; round < 1000; round++) {
                    for (int i = 0; i < 64; i++) {
                        refused |= CublasFunctions.cublasCreate_v2(
                                com.sun.jna.Pointer.nativeValue(handles) + i * (long) Long.BYTES);
                    }
                    for (int i = 0; i < 64; i++) {
                        refused |= CublasFunctions.cublasDestroy_v2(handles.getLong(i * (long) Long.BYTES));
                    }
                }
            }
            return refused;
        };
        ExecutorService threads = Executors.newFixedThreadPool(4);
        try {
            for (Future<Integer> refused : threads.invokeAll(Collections.nCopies(4, comeAndGo))) {
                assertThat(refused.get()).isZero();
            }
        } finally {
            threads.shutdownNow();
        }
    }

    @Test
    void launchesAndModulesThatCudaRefusesAreRefused() {
        CUdeviceptr x = device.of(1f);
        assertThat(device.launched("add", new int[] {0}, 256, x, x, 1L)).isEqualTo(CUresult.CUDA_ERROR_INVALID_VALUE);
        assertThat(device.launched("add", new int[] {1}, 512, x, x, 1L))
                .as("more threads than the kernel is bound to")
                .isEqualTo(CUresult.CUDA_ERROR_INVALID_VALUE);
        String head = ".version 9.3\n.target sm_75\n.address_size 64\n";
        assertThat(JCudaDriver.cuModuleLoadData(new CUmodule(), head))
                .isEqualTo(CUresult.CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
        String unknown = head.replace("9.3", "8.0") + ".visible .entry nobody(\n.param .u64 a\n)\n{ ret; }\n";
        assertThat(JCudaDriver.cuModuleLoadData(new CUmodule(), unknown)).isEqualTo(CUresult.CUDA_ERROR_NOT_FOUND);
        String other = unknown.replace("nobody", "add");
        assertThat(JCudaDriver.cuModuleLoadData(new CUmodule(), other)).isEqualTo(CUresult.CUDA_ERROR_INVALID_PTX);
    }
}
