package org.lockstep.model;

import java.util.Arrays;
import java.util.Optional;
import java.util.stream.IntStream;
import org.lockstep.checkpoint.Checkpoint;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.Communicators;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.Tensor;
import org.lockstep.topology.ParallelState;

/** Greedy decoding of a batch on all ranks of a replica, the plainest that works. */
final class GreedyDecoding {
    static final CacheSize CACHE = new CacheSize(48, 8, DataType.F32);

    private GreedyDecoding() {}

    /**
     * What one rank saw.
     *
     * @param logits after each prompt, on the last stage; empty elsewhere
     * @param tokens that followed, by prompt
     * @param bytesRead from the files
     * @param weightBytes on the device
     */
    @SuppressWarnings("ArrayRecordComponent") // a test's result
    record Seen(float[][] logits, int[][] tokens, long bytesRead, long weightBytes) {}

    static Seen run(
            ModelFiles files,
            ParallelState state,
            Communicators communicators,
            Kernels kernels,
            int[][] prompts,
            int steps) {
        return run(files, state, communicators, kernels, prompts, steps, CACHE.type());
    }

    static Seen run(
            ModelFiles files,
            ParallelState state,
            Communicators communicators,
            Kernels kernels,
            int[][] prompts,
            int steps,
            DataType cacheType) {
        return run(files, ModelConfig.read(files), state, communicators, kernels, prompts, steps, cacheType);
    }

    /** The same with these settings in place of the model's own. */
    static Seen run(
            ModelFiles files,
            ModelConfig config,
            ParallelState state,
            Communicators communicators,
            Kernels kernels,
            int[][] prompts,
            int steps,
            DataType cacheType) {
        CacheSize cache = new CacheSize(CACHE.blocks(), CACHE.blockSize(), cacheType);
        try (Checkpoint checkpoint = Checkpoint.open(files);
                PipelineStage stage =
                        PipelineStage.load(config, checkpoint, state, communicators, kernels, cache, 128)) {
            int[][] ids = prompts;
            int[] contexts = new int[prompts.length];
            int[][] tokens = new int[prompts.length][steps];
            float[][] first = {};
            for (int step = 0; step < steps; step++) {
                BatchLayout layout = layout(ids, contexts, prompts, steps);
                int[] rows = IntStream.range(0, ids.length)
                        .map(s -> layout.queryStarts()[s + 1] - 1)
                        .toArray();
                int[] flat = Arrays.stream(ids).flatMapToInt(Arrays::stream).toArray();
                float[][] logits = forward(stage, flat, layout, rows)
                        .map(GreedyDecoding::rows)
                        .orElse(new float[0][]);
                first = step == 0 ? logits : first;
                int[] next = agree(communicators.model(), logits, ids.length);
                for (int s = 0; s < ids.length; s++) {
                    contexts[s] = layout.contextLengths()[s];
                    tokens[s][step] = next[s];
                }
                ids = Arrays.stream(next).mapToObj(id -> new int[] {id}).toArray(int[][]::new);
            }
            return new Seen(first, tokens, checkpoint.bytesRead(), stage.weightBytes());
        }
    }

    /** One batch through the whole ring, nothing else under way; the logits where they come out. */
    static Optional<Tensor> forward(PipelineStage stage, int[] ids, BatchLayout layout, int[] rows) {
        Optional<Tensor> logits = Optional.empty();
        int chunks = stage.layers().size();
        for (int chunk = 0; chunk < chunks; chunk++) {
            stage.exchange(0, stage.isFirst() && chunk == 0 ? 0 : ids.length);
            logits = stage.forward(chunk, ids, layout, rows);
            stage.exchange(stage.isLast() && chunk == chunks - 1 ? 0 : ids.length, 0);
        }
        return logits;
    }

    /** All tokens of {@code ids} in one step; sequences own their blocks from the start. */
    static BatchLayout layout(int[][] ids, int[] before, int[][] prompts, int steps) {
        int[] starts = new int[ids.length + 1];
        int[] contexts = new int[ids.length];
        int[][] blocks = new int[ids.length][];
        int next = CACHE.blocks() - 1;
        for (int s = 0; s < ids.length; s++) {
            starts[s + 1] = starts[s] + ids[s].length;
            contexts[s] = before[s] + ids[s].length;
            blocks[s] = new int[(prompts[s].length + steps + CACHE.blockSize() - 1) / CACHE.blockSize()];
            for (int b = 0; b < blocks[s].length; b++) {
                blocks[s][b] = next--;
            }
        }
        return new BatchLayout(starts, contexts, blocks, CACHE.blockSize());
    }

    /** The likeliest tokens, as the last rank of the replica sees them. */
    private static int[] agree(Communicator model, float[][] logits, int sequences) {
        HostBuffer next = Buffer.ofInts(new int[sequences]);
        for (int s = 0; s < logits.length; s++) {
            next.ints()[s] = argmax(logits[s]);
        }
        model.broadcast(next, model.size() - 1);
        return next.toInts();
    }

    static float[][] rows(Tensor logits) {
        return IntStream.range(0, (int) logits.shape().dim(0))
                .mapToObj(row -> logits.rows(row, 1).buffer().toHost().toFloats())
                .toArray(float[][]::new);
    }

    static int argmax(float[] values) {
        return IntStream.range(0, values.length)
                .reduce((a, b) -> values[b] > values[a] ? b : a)
                .orElseThrow();
    }
}
