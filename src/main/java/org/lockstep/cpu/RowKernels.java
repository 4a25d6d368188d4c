package org.lockstep.cpu;

import org.jspecify.annotations.Nullable;
import org.lockstep.simd.Arithmetic;
import org.lockstep.tensor.HostBuffer;

/**
 * What is done token by token or element by element: norms, gates, sums. Cut into parts only where there is enough to do that
 * waking a worker pays. One caller at a time.
 */
final class RowKernels {
    private final Arithmetic arithmetic;
    private final Team team;
    private final float[][] lanes; // by worker
    private final Team.Job norm = this::norm;
    private final Team.Job gate = this::gate;
    private final Team.Job add = this::add;

    private @Nullable HostBuffer first;
    private @Nullable HostBuffer second;
    private @Nullable HostBuffer third;
    private @Nullable HostBuffer added;
    private int width;
    private float epsilon;

    RowKernels(Arithmetic arithmetic, Team team) {
        this.arithmetic = arithmetic;
        this.team = team;
        this.lanes = new float[team.size()][Arithmetic.LANES];
    }

    /** {@code out = x / sqrt(mean(x²) + epsilon) · weight} for rows of {@code width}. */
    void rmsNorm(HostBuffer x, HostBuffer weight, int width, float epsilon, HostBuffer out) {
        norm(x, null, weight, width, epsilon, out);
    }

    /** {@code x += y}, then {@link #rmsNorm} of it, row by row while it is in the cache. */
    void addRmsNorm(HostBuffer x, HostBuffer y, HostBuffer weight, int width, float epsilon, HostBuffer out) {
        norm(x, y, weight, width, epsilon, out);
    }

    private void norm(
            HostBuffer x, @Nullable HostBuffer y, HostBuffer weight, int width, float epsilon, HostBuffer out) {
        this.first = x;
        this.added = y;
        this.second = weight;
        this.third = out;
        this.width = width;
        this.epsilon = epsilon;
        int rows = x.size() / width;
        team.run(norm, (rows + rowsOfAPart() - 1) / rowsOfAPart());
    }

    private int rowsOfAPart() {
        return Math.max(1, Team.PART / width);
    }

    private void norm(int part, int worker) {
        HostBuffer x = given(first);
        HostBuffer weight = given(second);
        HostBuffer out = given(third);
        HostBuffer y = added;
        int from = part * rowsOfAPart() * width;
        int end = Math.min(from + rowsOfAPart() * width, x.size());
        for (int at = from; at < end; at += width) {
            if (y != null) {
                arithmetic.add(x.floats(), x.offset() + at, y.floats(), y.offset() + at, width);
            }
            float squares = arithmetic.sumOfSquares(x.floats(), x.offset() + at, width, lanes[worker]);
            float scale = (float) (1 / Math.sqrt((double) squares / width + epsilon));
            arithmetic.scale(
                    x.floats(),
                    x.offset() + at,
                    scale,
                    weight.floats(),
                    weight.offset(),
                    out.floats(),
                    out.offset() + at,
                    width);
        }
    }

    /** {@code gate = silu(gate) · up}, in place. */
    void swiGlu(HostBuffer gated, HostBuffer up) {
        first = gated;
        second = up;
        team.run(gate, parts(gated.size()));
    }

    private void gate(int part, int worker) {
        HostBuffer gated = given(first);
        HostBuffer up = given(second);
        int from = part * Team.PART;
        int count = Math.min(Team.PART, gated.size() - from);
        arithmetic.swiGlu(gated.floats(), gated.offset() + from, up.floats(), up.offset() + from, count);
    }

    /** {@code x = x + y}, in place. */
    void add(HostBuffer x, HostBuffer y) {
        first = x;
        second = y;
        team.run(add, parts(x.size()));
    }

    private void add(int part, int worker) {
        HostBuffer x = given(first);
        HostBuffer y = given(second);
        int from = part * Team.PART;
        arithmetic.add(
                x.floats(), x.offset() + from, y.floats(), y.offset() + from, Math.min(Team.PART, x.size() - from));
    }

    private static int parts(int elements) {
        return (elements + Team.PART - 1) / Team.PART;
    }

    private static HostBuffer given(@Nullable HostBuffer operand) {
        if (operand == null) {
            throw new IllegalStateException("nothing is under way");
        }
        return operand;
    }
}
