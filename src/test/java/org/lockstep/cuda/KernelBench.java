package org.lockstep.cuda;

import java.io.IOException;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Random;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.JCudaDriver;
import org.lockstep.tensor.WeightType;

/**
 * Times each kernel against the bytes that it moves, and what the device can do at best: a copy, and a product of cuBLAS. Prints
 * one table. Needs a device; on the stand-in, where a time means nothing, it shows that everything runs ({@code --small}).
 *
 * <p>Shapes are those of one layer of Llama 3 8B. Matrices are more than the caches hold, taken in turn.
 */
final class KernelBench {
    private static final int HIDDEN = 4096;
    private static final int INNER = 14336;
    private static final int HEADS = 32;
    private static final int KV_HEADS = 8;
    private static final int HEAD_SIZE = 128;
    private static final int BLOCK_SIZE = 16;
    private static final int VOCABULARY = 128256;

    private final Launches device;
    private final int shrink; // of the long sides
    private final int repetitions;
    private double copyBytesPerSecond = Double.NaN;

    private KernelBench(Launches device, boolean small) {
        this.device = device;
        this.shrink = small ? 64 : 1;
        this.repetitions = small ? 1 : 50;
    }

    /** @param arguments {@code --small} for a run that only shows that it runs */
    public static void main(String[] arguments) throws IOException {
        try (Launches device = new Launches()) {
            new KernelBench(device, List.of(arguments).contains("--small")).run();
        }
    }

    private void run() {
        System.out.println(CudaDriver.create());
        System.out.printf("%-42s %12s %12s %8s%n", "kernel", "us", "GB/s", "of copy");
        copy();
        for (int tokens : new int[] {1, 2, 4, 8}) {
            linear("gate or up", tokens, INNER, HIDDEN);
            linear("down", tokens, HIDDEN, INNER);
            linear("query or output", tokens, HIDDEN, HIDDEN);
            linear("key or value", tokens, KV_HEADS * HEAD_SIZE, HIDDEN);
        }
        linear("logits", 1, VOCABULARY, HIDDEN);
        for (int batch : new int[] {1, 8, 64}) {
            for (int context : new int[] {512, 2048, 8192}) {
                decode(batch, context);
            }
        }
        prefill("attention_prefill_bf16", 256, 2048);
        if (device.tensorCores) {
            prefill("flash_prefill_bf16_128", 128, 2048);
        }
        rows();
        sample(1);
        sample(64);
        launches();
        products();
    }

    // ---- what is measured

    private void copy() {
        long bytes = (1L << 30) / shrink;
        CUdeviceptr from = device.room(bytes);
        CUdeviceptr to = device.room(bytes);
        double seconds =
                time(repetitions, i -> Launches.check(JCudaDriver.cuMemcpyDtoDAsync(to, from, bytes, device.stream)));
        copyBytesPerSecond = 2 * bytes / seconds;
        report("copy of 1 GiB", seconds, 2 * bytes);
        free(from, to);
    }

    private void linear(String name, int tokens, int rows, int columns) {
        int some = Math.max(1, rows / shrink);
        long bytes = 2L * some * columns;
        CUdeviceptr[] weights = copies(bytes);
        CUdeviceptr x = zeros(4L * tokens * columns);
        CUdeviceptr out = device.room(4L * tokens * some);
        int rowsOfBlock = tokens == 1 ? 4 : tokens == 8 ? 16 : 8;
        double seconds = time(
                repetitions,
                i -> device.launch(
                        "linear_bf16_" + tokens,
                        new int[] {(some + rowsOfBlock - 1) / rowsOfBlock},
                        128,
                        weights[i % weights.length],
                        x,
                        null,
                        tokens,
                        some,
                        columns,
                        1,
                        0,
                        out));
        report("linear_bf16_" + tokens + " " + name, seconds, bytes + 4L * tokens * (columns + some));
        free(weights);
        free(x, out);
    }

    private void decode(int batch, int context) {
        int length = Math.max(BLOCK_SIZE, context / shrink);
        int blocks = (length + BLOCK_SIZE - 1) / BLOCK_SIZE;
        int parts = (length + 127) / 128;
        long cacheBytes = 2L * batch * blocks * BLOCK_SIZE * KV_HEADS * HEAD_SIZE;
        CUdeviceptr keys = zeros(cacheBytes);
        CUdeviceptr values = zeros(cacheBytes);
        CUdeviceptr query = zeros(4L * batch * HEADS * HEAD_SIZE);
        CUdeviceptr out = device.room(4L * batch * HEADS * HEAD_SIZE);
        CUdeviceptr partial = device.room(4L * batch * HEADS * parts * HEAD_SIZE);
        CUdeviceptr stats = device.room(8L * batch * HEADS * parts);
        CUdeviceptr starts = device.of(sequence(batch + 1));
        CUdeviceptr contexts = device.of(all(batch, length));
        CUdeviceptr tables = device.of(sequence(batch * blocks));
        double seconds = time(repetitions, i -> {
            device.launch(
                    "attention_decode_bf16",
                    new int[] {parts, KV_HEADS, batch},
                    128,
                    query,
                    keys,
                    values,
                    starts,
                    contexts,
                    tables,
                    blocks,
                    BLOCK_SIZE,
                    HEADS,
                    KV_HEADS,
                    HEAD_SIZE,
                    0.088388346f,
                    partial,
                    stats);
            device.launch(
                    "attention_combine",
                    new int[] {HEADS, batch},
                    128,
                    partial,
                    stats,
                    starts,
                    contexts,
                    parts,
                    HEADS,
                    HEAD_SIZE,
                    out);
        });
        report("attention_decode_bf16 " + batch + " × " + length, seconds, 2 * cacheBytes);
        free(keys, values, query, out, partial, stats, starts, contexts, tables);
    }

    private void prefill(String kernel, int threads, int prompt) {
        int length = prompt / shrink;
        int blocks = (length + BLOCK_SIZE - 1) / BLOCK_SIZE;
        CUdeviceptr keys = zeros(2L * blocks * BLOCK_SIZE * KV_HEADS * HEAD_SIZE);
        CUdeviceptr values = zeros(2L * blocks * BLOCK_SIZE * KV_HEADS * HEAD_SIZE);
        CUdeviceptr query = zeros(4L * length * HEADS * HEAD_SIZE);
        CUdeviceptr out = device.room(4L * length * HEADS * HEAD_SIZE);
        CUdeviceptr starts = device.of(0, length);
        CUdeviceptr contexts = device.of(length);
        CUdeviceptr tables = device.of(sequence(blocks));
        double seconds = time(
                repetitions,
                i -> device.launch(
                        kernel,
                        new int[] {(length * (HEADS / KV_HEADS) + 63) / 64, KV_HEADS, 1},
                        threads,
                        query,
                        keys,
                        values,
                        starts,
                        contexts,
                        tables,
                        blocks,
                        BLOCK_SIZE,
                        HEADS,
                        KV_HEADS,
                        HEAD_SIZE,
                        0.088388346f,
                        out));
        rate(kernel + " " + length, seconds, 2.0 * length * length * HEADS * HEAD_SIZE);
        free(keys, values, query, out, starts, contexts, tables);
    }

    private void rows() {
        int tokens = 2048 / shrink;
        long n = (long) tokens * HIDDEN;
        CUdeviceptr x = zeros(4 * n);
        CUdeviceptr y = zeros(4 * n);
        CUdeviceptr narrow = device.room(2 * n);
        CUdeviceptr weight = zeros(4L * HIDDEN);
        CUdeviceptr out = device.room(4 * n);
        CUdeviceptr indices = device.room(4L * tokens);
        int[] elements = {Math.toIntExact((n + 1023) / 1024)};
        int[] each = {tokens};
        report(
                "rms_norm",
                time(repetitions, i -> device.launch("rms_norm", each, 256, x, weight, 1e-5f, HIDDEN, out)),
                8 * n);
        report(
                "add_rms_norm",
                time(repetitions, i -> device.launch("add_rms_norm", each, 256, x, y, weight, 1e-5f, HIDDEN, out)),
                16 * n);
        report("swiglu", time(repetitions, i -> device.launch("swiglu", elements, 256, x, y, n)), 12 * n);
        report("add", time(repetitions, i -> device.launch("add", elements, 256, x, y, n)), 12 * n);
        report(
                "cast_f32_bf16",
                time(repetitions, i -> device.launch("cast_f32_bf16", elements, 256, x, narrow, n)),
                6 * n);
        report("argmax", time(repetitions, i -> device.launch("argmax", each, 1024, x, HIDDEN, indices)), 4 * n);
        free(x, y, narrow, weight, out, indices);
    }

    /** Rows of logits that are drawn from, against one reading of them. */
    private void sample(int draws) {
        int n = VOCABULARY / shrink;
        Random random = new Random(1);
        float[] values = new float[draws * n];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (3 * random.nextGaussian());
        }
        CUdeviceptr logits = device.of(values);
        CUdeviceptr indices = device.room(4L * draws);
        for (double topP : new double[] {1, 0.9}) {
            for (int topK : new int[] {0, 50}) {
                IntBuffer told = IntBuffer.allocate(8 * draws);
                for (int row = 0; row < draws; row++) {
                    for (double each : new double[] {random.nextDouble(), topP}) {
                        long bits = Double.doubleToRawLongBits(each);
                        told.put((int) bits).put((int) (bits >>> 32));
                    }
                    told.put(Float.floatToRawIntBits(1)).put(0).put(topK).put(row);
                }
                CUdeviceptr how = device.of(told.array());
                double seconds = time(
                        repetitions, i -> device.launch("sample", new int[] {draws}, 1024, logits, n, how, indices));
                String what = "sample " + draws + " × " + n + (topP < 1 ? " top-p" : "") + (topK > 0 ? " top-k" : "");
                report(what, seconds, 4L * draws * n);
                free(how);
            }
        }
        free(logits, indices);
    }

    /** What a launch costs by itself, queued one by one and in a graph. */
    private void launches() {
        int count = 1000 / shrink;
        CUdeviceptr x = zeros(4);
        double alone = time(1, i -> {
            for (int j = 0; j < count; j++) {
                device.launch("add", new int[] {1}, 256, x, x, 1L);
            }
        });
        Launches.check(JCudaDriver.cuStreamBeginCapture(device.stream, 2));
        for (int j = 0; j < count; j++) {
            device.launch("add", new int[] {1}, 256, x, x, 1L);
        }
        CUgraph graph = new CUgraph();
        CUgraphExec replay = new CUgraphExec();
        Launches.check(JCudaDriver.cuStreamEndCapture(device.stream, graph));
        Launches.check(JCudaDriver.cuGraphInstantiate(replay, graph, 0));
        double together = time(repetitions, i -> Launches.check(JCudaDriver.cuGraphLaunch(replay, device.stream)));
        row("a launch, one by one", alone / count, "", "");
        row("a launch, of a graph of " + count, together / count, "", "");
        JCudaDriver.cuGraphExecDestroy(replay);
        JCudaDriver.cuGraphDestroy(graph);
        free(x);
    }

    /** The ceiling of prefill: products by the host's cuBLAS. */
    private void products() {
        CudaDevice hold = CudaDevice.open(CudaDriver.create().devices().get(0));
        try (hold;
                DeviceArena arena = DeviceArena.create(hold, (64L << 20) + (2L << 30) / shrink);
                Cublas cublas = Cublas.create(CublasLibrary.open(Optional.empty(), System.getenv()), hold, arena)) {
            int tokens = 2048 / shrink;
            int[][] sizes = {{INNER / shrink, HIDDEN}, {HIDDEN / shrink, INNER}, {8192 / shrink, 8192}};
            for (int[] size : sizes) {
                DeviceArena.Block weight = arena.allocate(2L * size[0] * size[1]);
                DeviceArena.Block x = arena.allocate(2L * tokens * size[1]);
                DeviceArena.Block out = arena.allocate(4L * tokens * size[0]);
                double seconds = time(
                        hold,
                        repetitions,
                        i -> cublas.multiply(
                                WeightType.BF16,
                                weight.address(),
                                x.address(),
                                out.address(),
                                tokens,
                                size[0],
                                size[1]));
                rate(
                        "cuBLAS bf16 " + tokens + " × " + size[1] + " × " + size[0],
                        seconds,
                        2.0 * tokens * size[0] * size[1]);
                out.close();
                x.close();
                weight.close();
            }
        }
    }

    // ---- how

    /** Does the i-th of a row of equal things. */
    @FunctionalInterface
    private interface Step {
        void queue(int i);
    }

    private double time(int count, Step step) {
        return seconds(device.stream, count, step);
    }

    private static double time(CudaDevice hold, int count, Step step) {
        return seconds(hold.stream(), count, step);
    }

    /** Device time of one, by events, the median of five rounds after one in vain. */
    private static double seconds(jcuda.driver.CUstream stream, int count, Step step) {
        CUevent begin = new CUevent();
        CUevent end = new CUevent();
        Launches.check(JCudaDriver.cuEventCreate(begin, 0));
        Launches.check(JCudaDriver.cuEventCreate(end, 0));
        double[] rounds = new double[5];
        for (int round = -1; round < rounds.length; round++) {
            Launches.check(JCudaDriver.cuEventRecord(begin, stream));
            for (int i = 0; i < count; i++) {
                step.queue(i);
            }
            Launches.check(JCudaDriver.cuEventRecord(end, stream));
            Launches.check(JCudaDriver.cuEventSynchronize(end));
            float[] milliseconds = new float[1];
            Launches.check(JCudaDriver.cuEventElapsedTime(milliseconds, begin, end));
            if (round >= 0) {
                rounds[round] = milliseconds[0] / 1e3 / count;
            }
        }
        JCudaDriver.cuEventDestroy(begin);
        JCudaDriver.cuEventDestroy(end);
        Arrays.sort(rounds);
        return rounds[2];
    }

    private void report(String name, double seconds, long bytes) {
        row(
                name,
                seconds,
                String.format(Locale.ROOT, "%.0f", bytes / seconds / 1e9),
                String.format(Locale.ROOT, "%.0f %%", 100 * bytes / seconds / copyBytesPerSecond));
    }

    private void rate(String name, double seconds, double operations) {
        row(name, seconds, String.format(Locale.ROOT, "%.1f TFLOP/s", operations / seconds / 1e12), "");
    }

    private static void row(String name, double seconds, String rate, String share) {
        System.out.printf(Locale.ROOT, "%-42s %12.2f %12s %8s%n", name, seconds * 1e6, rate, share);
    }

    /** As many arrays as are together more than any cache holds. */
    private CUdeviceptr[] copies(long bytes) {
        List<CUdeviceptr> made = new ArrayList<>();
        for (long all = 0; all < (512L << 20) / shrink; all += bytes) {
            made.add(zeros(bytes));
        }
        return made.toArray(new CUdeviceptr[0]);
    }

    private CUdeviceptr zeros(long bytes) {
        CUdeviceptr made = device.room(bytes);
        Launches.check(JCudaDriver.cuMemsetD8(made, (byte) 0, bytes));
        return made;
    }

    private void free(CUdeviceptr... arrays) {
        device.free(arrays);
    }

    private static int[] sequence(int count) {
        int[] values = new int[count];
        Arrays.setAll(values, i -> i);
        return values;
    }

    private static int[] all(int count, int value) {
        int[] values = new int[count];
        Arrays.fill(values, value);
        return values;
    }
}
