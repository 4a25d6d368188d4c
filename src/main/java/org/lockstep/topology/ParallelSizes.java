package org.lockstep.topology;

import java.io.Serializable;
import java.util.List;
import java.util.StringJoiner;
import org.jspecify.annotations.Nullable;

/**
 * How many ways each axis divides the work: {@code ParallelSizes.tensor(2).withPipeline(4)}.
 *
 * <p>world size = tensor × context × data × pipeline, where {@link #INFER} leaves one of them to {@link #resolve}; by
 * default that is data. Experts divide the same ranks a second time: world size = expert tensor × expert × expert data
 * × pipeline. Every size is at least 1 or {@link #INFER}; what depends on several sizes is checked by {@link #resolve}.
 * Immutable.
 *
 * @param tp tensor parallel size
 * @param cp context parallel size
 * @param ep expert parallel size
 * @param dp data parallel size
 * @param pp pipeline parallel size
 * @param etp tensor parallel size of the experts; {@link #INFER} is the same as {@code tp}
 * @param edp data parallel size of the experts
 * @param virtualPipeline chunks of layers on each pipeline stage (interleaved schedule), null for none; needs pp &gt; 1
 * @param splitRank pipeline stage at which the decoder begins in an encoder-decoder model, null for none; 0 to pp - 1
 */
public record ParallelSizes(
        int tp,
        int cp,
        int ep,
        int dp,
        int pp,
        int etp,
        int edp,
        @Nullable Integer virtualPipeline,
        @Nullable Integer splitRank)
        implements Serializable {

    /** The size that follows from the world size and the others. */
    public static final int INFER = -1;

    private static final List<String> DENSE = List.of("tensor", "pipeline", "context", "data");
    private static final List<String> EXPERT = List.of("expert tensor", "pipeline", "expert", "expert data");

    public ParallelSizes {
        requireSize("tensor", tp);
        requireSize("context", cp);
        requireSize("expert", ep);
        requireSize("data", dp);
        requireSize("pipeline", pp);
        requireSize("expert tensor", etp);
        requireSize("expert data", edp);
        if (virtualPipeline != null && virtualPipeline < 1) {
            throw new IllegalArgumentException("virtual pipeline (" + virtualPipeline + ") must be at least 1");
        }
        if (splitRank != null && splitRank < 0) {
            throw new IllegalArgumentException("split rank (" + splitRank + ") must be at least 0");
        }
    }

    /** Tensor parallelism of this size, data parallelism over what the world has left. */
    public static ParallelSizes tensor(int size) {
        return new ParallelSizes(size, 1, 1, INFER, 1, INFER, INFER, null, null);
    }

    /** Pipeline parallelism of this size, data parallelism over what the world has left. */
    public static ParallelSizes pipeline(int size) {
        return tensor(1).withPipeline(size);
    }

    /** Data parallelism of this size and nothing else. */
    public static ParallelSizes data(int size) {
        return tensor(1).withData(size);
    }

    /** These sizes with another tensor parallel size. */
    public ParallelSizes withTensor(int size) {
        return new ParallelSizes(size, cp, ep, dp, pp, etp, edp, virtualPipeline, splitRank);
    }

    /** These sizes with another context parallel size. */
    public ParallelSizes withContext(int size) {
        return new ParallelSizes(tp, size, ep, dp, pp, etp, edp, virtualPipeline, splitRank);
    }

    /** These sizes with another expert parallel size. */
    public ParallelSizes withExpert(int size) {
        return new ParallelSizes(tp, cp, size, dp, pp, etp, edp, virtualPipeline, splitRank);
    }

    /** These sizes with another data parallel size. */
    public ParallelSizes withData(int size) {
        return new ParallelSizes(tp, cp, ep, size, pp, etp, edp, virtualPipeline, splitRank);
    }

    /** These sizes with another pipeline parallel size. */
    public ParallelSizes withPipeline(int size) {
        return new ParallelSizes(tp, cp, ep, dp, size, etp, edp, virtualPipeline, splitRank);
    }

    /** These sizes with another tensor parallel size of the experts. */
    public ParallelSizes withExpertTensor(int size) {
        return new ParallelSizes(tp, cp, ep, dp, pp, size, edp, virtualPipeline, splitRank);
    }

    /** These sizes with another data parallel size of the experts. */
    public ParallelSizes withExpertData(int size) {
        return new ParallelSizes(tp, cp, ep, dp, pp, etp, size, virtualPipeline, splitRank);
    }

    /** These sizes with this many chunks of layers on each pipeline stage, or without chunks (null). */
    public ParallelSizes withVirtualPipeline(@Nullable Integer size) {
        return new ParallelSizes(tp, cp, ep, dp, pp, etp, edp, size, splitRank);
    }

    /** These sizes with the decoder beginning at this pipeline stage, or without a split (null). */
    public ParallelSizes withSplitRank(@Nullable Integer stage) {
        return new ParallelSizes(tp, cp, ep, dp, pp, etp, edp, virtualPipeline, stage);
    }

    /** The size along an axis of the dense view, as given: {@link #INFER} is possible before {@link #resolve}. */
    public int size(Axis axis) {
        return switch (axis) {
            case TP -> tp;
            case CP -> cp;
            case EP -> ep;
            case DP -> dp;
            case PP -> pp;
        };
    }

    /** The chunks of layers on each pipeline stage: 1 without a virtual pipeline. */
    public int chunks() {
        return virtualPipeline == null ? 1 : virtualPipeline;
    }

    /** Whether experts divide the ranks otherwise than the dense layers do. */
    public boolean hasExperts() {
        return ep != 1 || (etp != INFER && etp != tp);
    }

    /**
     * The sizes in a world: nothing is left to infer, and the equations hold.
     *
     * @param worldSize at least 1
     * @throws IllegalArgumentException if the sizes do not fill the world, or a virtual pipeline or a split rank does
     *     not fit the pipeline
     */
    public ParallelSizes resolve(int worldSize) {
        if (worldSize < 1) {
            throw new IllegalArgumentException("world size (" + worldSize + ") must be at least 1");
        }
        int[] dense = solve(worldSize, DENSE, tp, pp, cp, dp);
        int tensor = dense[0];
        int pipeline = dense[1];
        int[] expert = solve(worldSize, EXPERT, etp == INFER ? tensor : etp, pipeline, ep, edp);
        if (virtualPipeline != null && pipeline == 1) {
            throw new IllegalArgumentException(
                    "virtual pipeline (" + virtualPipeline + ") needs more than one stage, but pipeline is (1)");
        }
        if (splitRank != null && splitRank >= pipeline) {
            throw new IllegalArgumentException(
                    "split rank (" + splitRank + ") must be less than pipeline (" + pipeline + ")");
        }
        return new ParallelSizes(
                tensor, dense[2], expert[2], dense[3], pipeline, expert[0], expert[3], virtualPipeline, splitRank);
    }

    /** Finds the one factor that is to be inferred, or checks the product where none is. */
    private static int[] solve(int worldSize, List<String> names, int... factors) {
        int unknown = -1;
        long product = 1;
        StringJoiner equation = new StringJoiner(" × ");
        for (int i = 0; i < factors.length; i++) {
            if (factors[i] != INFER) {
                product = Math.min(product * factors[i], 1L << 31); // more than any world, and never an overflow
                if (factors[i] != 1 || !names.get(i).equals("context")) {
                    equation.add(names.get(i) + " (" + factors[i] + ")");
                }
            } else if (unknown < 0) {
                unknown = i;
            } else {
                throw new IllegalArgumentException("one size can be inferred from the world size, but both "
                        + names.get(unknown) + " and " + names.get(i) + " are " + INFER);
            }
        }
        if (unknown < 0 && product != worldSize) {
            throw new IllegalArgumentException("world size (" + worldSize + ") is not equal to " + equation);
        }
        if (worldSize % product != 0) {
            throw new IllegalArgumentException("world size (" + worldSize + ") is not divisible by " + equation);
        }
        if (unknown >= 0) {
            factors[unknown] = (int) (worldSize / product);
        }
        return factors;
    }

    private static void requireSize(String name, int size) {
        if (size < 1 && size != INFER) {
            throw new IllegalArgumentException(
                    name + " size (" + size + ") must be at least 1, or " + INFER + " to infer it");
        }
    }

    /** The sizes in one line, such as {@code tp=2 cp=1 ep=1 dp=2 pp=4}. */
    @Override
    public String toString() {
        return "tp=" + tp + " cp=" + cp + " ep=" + ep + " dp=" + dp + " pp=" + pp
                + (hasExperts() ? " etp=" + etp + " edp=" + edp : "")
                + (virtualPipeline != null ? " virtualPipeline=" + virtualPipeline : "")
                + (splitRank != null ? " splitRank=" + splitRank : "");
    }
}
