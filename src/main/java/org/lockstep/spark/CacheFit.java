package org.lockstep.spark;

import java.util.Locale;
import java.util.OptionalLong;
import org.apache.spark.SparkConf;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.ReduceOp;
import org.lockstep.inference.GeneratorOptions;
import org.lockstep.model.CacheSize;
import org.lockstep.model.ModelConfig;
import org.lockstep.model.RankMemory;
import org.lockstep.spark.device.RankDevice;
import org.lockstep.spark.settings.Settings;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Device;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.WeightType;
import org.lockstep.topology.ParallelSizes;

/**
 * How large the cache may be: what the configuration says, and where it does not say, what fits beside all else.
 *
 * @param stored how the files hold the matrices
 * @param sizes of the axes, resolved
 * @param room in bytes that a rank has for everything: heap, or memory of its GPU; empty where the driver does not know
 */
record CacheFit(ModelConfig config, WeightType stored, ParallelSizes sizes, RankDevice device, OptionalLong room) {
    /** Of a rank on a GPU, beside what a model asks for: the workspace of products, tables of a step, staged copies. */
    private static final long OVERHEAD = 64L << 20;

    /** What the fullest rank takes. */
    RankMemory memory(GeneratorOptions options) {
        return RankMemory.of(
                config,
                stored,
                sizes,
                new CacheSize(
                        options.cacheBlocks(), options.blockSize(), options.maxModelLength(), options.cacheType()),
                options.maxTokensPerStep(),
                options.maxSequences());
    }

    /**
     * The limits in numbers, as far as the driver knows the devices; its figures hold for all ranks, but that those on GPUs
     * {@link #agree} on less where less is there.
     */
    GeneratorOptions resolve(LlmLimits limits, SparkConf conf) {
        OptionalLong set = Settings.CACHE_MEMORY.in(conf);
        DataType type = type(conf);
        long elements = device.isCuda() ? Long.MAX_VALUE : HostBuffer.MOST_LENGTH;
        if (set.isPresent()) {
            return limits.resolve(conf, config, sizes, type, set.getAsLong(), elements);
        }
        GeneratorOptions wanted = limits.resolve(conf, config, sizes, type, Long.MAX_VALUE, elements);
        if (room.isEmpty()) {
            return wanted;
        }
        long block = LlmLimits.bytesPerBlock(config, sizes, wanted.blockSize(), type);
        RankMemory beside = memory(wanted);
        if (!device.isCuda()) { // where not even a block is left, the whole is refused with all its parts
            long heap = Math.max(block, ofHeap(room.getAsLong(), beside, conf));
            return limits.resolve(conf, config, sizes, type, heap, elements);
        }
        long left = left(room.getAsLong(), beside);
        if (left < block) {
            throw nothingLeft(room.getAsLong(), beside);
        }
        return limits.resolve(conf, config, sizes, type, left, elements);
    }

    /**
     * Of the heap that weights and a step leave, the part that Spark leaves to others of the whole: the rest is for rows, answers
     * and shuffles, of which Spark takes what is free and does not see ours.
     */
    private static long ofHeap(long heap, RankMemory memory, SparkConf conf) {
        double spark = conf.getDouble("spark.memory.fraction", 0.6);
        return (long) ((heap - memory.weights() - memory.step()) * (1 - spark));
    }

    /** Of keys and values. */
    private DataType type(SparkConf conf) {
        WeightType weights = config.weightType() == null ? stored : config.weightType();
        String set = Settings.CACHE_DTYPE.in(conf);
        DataType type = switch (set) {
            case "float32" -> DataType.F32;
            case "bfloat16" -> DataType.BF16;
            case "float16" -> DataType.F16;
            default -> weights.cacheOn(device.isCuda() ? Device.Kind.CUDA : Device.Kind.CPU);
        };
        if (type != DataType.F32 && !device.isCuda()) {
            throw LockstepException.report(
                            ErrorCode.USAGE,
                            Settings.CACHE_DTYPE.key() + " = " + set + ": keys and values in heap are float32")
                    .attempt("--conf " + Settings.CACHE_DTYPE.key() + "=auto, or --device cuda")
                    .exception();
        }
        return type;
    }

    private LockstepException nothingLeft(long room, RankMemory memory) {
        return LockstepException.report(
                        ErrorCode.NOT_ENOUGH_MEMORY,
                        String.format(
                                Locale.ROOT,
                                "weights (%,d bytes), twice a step (%,d) and workspace (%,d) leave nothing for a cache of the"
                                        + " %,d bytes that a rank may take: %s",
                                memory.weights(),
                                memory.step(),
                                OVERHEAD,
                                room,
                                device))
                .attempt(
                        "more tensor or pipeline ranks on other devices, a smaller --max-num-batched-tokens, --dtype q8, or"
                                + " a larger --gpu-memory-utilization")
                .exception();
    }

    /** Bytes that are left for the cache of {@code room}; rounded activations and partial sums are at most another step. */
    private static long left(long room, RankMemory memory) {
        return room - memory.weights() - 2 * memory.step() - OVERHEAD;
    }

    /**
     * The options with no more blocks than all ranks of the world can hold. Every rank calls it.
     *
     * @param memory that the fullest rank takes; its cache is not looked at
     * @throws LockstepException NOT_ENOUGH_MEMORY on all ranks if not even one row fits
     */
    static GeneratorOptions agree(
            GeneratorOptions options, RankMemory memory, long bytesPerBlock, Kernels kernels, Communicator world) {
        long available = kernels.available();
        if (available == Long.MAX_VALUE) {
            return options; // nobody counts, on any rank: they all have the same kind of device
        }
        long mine = Math.max(0, left(available, memory)) / bytesPerBlock;
        long blocks = Math.min(options.cacheBlocks(), least(mine, kernels, world));
        if (blocks < options.blocksPerSequence()) {
            throw LockstepException.report(
                            ErrorCode.NOT_ENOUGH_MEMORY,
                            String.format(
                                    Locale.ROOT,
                                    "a row of %,d positions needs %,d blocks of cache, %,d bytes; beside weights (%,d) and"
                                            + " steps (%,d) the rank with least memory has room for %,d blocks",
                                    options.maxModelLength(),
                                    options.blocksPerSequence(),
                                    options.blocksPerSequence() * bytesPerBlock,
                                    memory.weights(),
                                    memory.step(),
                                    blocks))
                    .attempt("more tensor or pipeline ranks, a smaller --max-model-len, --dtype q8, or a larger"
                            + " --gpu-memory-utilization")
                    .exception();
        }
        return options.withCacheBlocks((int) blocks);
    }

    private static long least(long mine, Kernels kernels, Communicator world) {
        try (Buffer blocks = kernels.upload(HostBuffer.of(DataType.I64, new long[] {mine}), 1)
                .buffer()) {
            world.allReduce(blocks, ReduceOp.MIN);
            HostBuffer agreed = blocks.toHost();
            return agreed.longs()[agreed.offset()];
        }
    }
}
