package org.lockstep.simd;

import static jdk.incubator.vector.VectorOperators.ADD;
import static jdk.incubator.vector.VectorOperators.ASHR;
import static jdk.incubator.vector.VectorOperators.LSHL;
import static jdk.incubator.vector.VectorOperators.MAX;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorSpecies;

/** What is done along a row, in vectors. Sums have {@value Arithmetic#LANES} lanes on every machine. */
final class VectorRows {
    private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    private static final int L = FLOATS.length();

    private VectorRows() {}

    private static FloatVector load(float[] values, int at) {
        return FloatVector.fromArray(FLOATS, values, at);
    }

    private static FloatVector all(float value) {
        return FloatVector.broadcast(FLOATS, value);
    }

    private static FloatVector exp(FloatVector value) {
        FloatVector x = value.max(all(Exponential.LEAST)).min(all(Exponential.MOST));
        FloatVector shifted = x.fma(all(Exponential.LOG2_E), all(Exponential.ROUNDING));
        FloatVector n = shifted.sub(all(Exponential.ROUNDING));
        FloatVector r = n.fma(all(-Exponential.LN2_LOW), n.fma(all(-Exponential.LN2_HIGH), x));
        FloatVector p = all(Exponential.C7).fma(r, all(Exponential.C6));
        p = p.fma(r, all(Exponential.C5));
        p = p.fma(r, all(Exponential.C4));
        p = p.fma(r, all(Exponential.C3));
        p = p.fma(r, all(Exponential.C2));
        p = p.fma(r.mul(r), r).add(all(1));
        IntVector power = shifted.reinterpretAsInts().sub(Exponential.ROUNDING_BITS);
        IntVector half = power.lanewise(ASHR, 1);
        return p.mul(two(half)).mul(two(power.sub(half)));
    }

    private static FloatVector two(IntVector power) {
        return power.add(Exponential.BIAS)
                .lanewise(LSHL, Exponential.MANTISSA_BITS)
                .reinterpretAsFloats();
    }

    static float largest(float[] x, int at, int count) {
        FloatVector most = all(Float.NEGATIVE_INFINITY);
        for (int i = 0; i < count; i += L) {
            most = most.max(load(x, at + i));
        }
        return most.reduceLanes(MAX);
    }

    static float exponentials(float[] x, int at, int count, float less, float[] lanes) {
        for (int lane = 0; lane < Arithmetic.LANES; lane += L) {
            FloatVector sum = FloatVector.zero(FLOATS);
            for (int i = lane; i < count; i += Arithmetic.LANES) {
                FloatVector e = exp(load(x, at + i).sub(all(less)));
                e.intoArray(x, at + i);
                sum = sum.add(e);
            }
            sum.intoArray(lanes, lane);
        }
        return PlainArithmetic.tree(lanes);
    }

    static float sumOfSquares(float[] x, int at, int count, float[] lanes) {
        int whole = count - count % Arithmetic.LANES;
        for (int lane = 0; lane < Arithmetic.LANES; lane += L) {
            FloatVector sum = FloatVector.zero(FLOATS);
            for (int i = lane; i < whole; i += Arithmetic.LANES) {
                FloatVector v = load(x, at + i);
                sum = v.fma(v, sum);
            }
            sum.intoArray(lanes, lane);
        }
        PlainArithmetic.addSquares(x, at + whole, count - whole, lanes);
        return PlainArithmetic.tree(lanes);
    }

    static void swiGlu(float[] gate, int gateAt, float[] up, int upAt, int count) {
        int whole = count - count % L;
        for (int i = 0; i < whole; i += L) {
            FloatVector g = load(gate, gateAt + i);
            FloatVector divisor = exp(g.neg()).add(all(1));
            g.div(divisor).mul(load(up, upAt + i)).intoArray(gate, gateAt + i);
        }
        PlainArithmetic.gate(gate, gateAt + whole, up, upAt + whole, count - whole);
    }

    static void add(float[] x, int at, float[] y, int yAt, int count) {
        int whole = count - count % L;
        for (int i = 0; i < whole; i += L) {
            load(x, at + i).add(load(y, yAt + i)).intoArray(x, at + i);
        }
        PlainArithmetic.sum(x, at + whole, y, yAt + whole, count - whole);
    }

    static void scale(float[] x, int at, float scale, float[] weight, int weightAt, float[] out, int outAt, int count) {
        int whole = count - count % L;
        FloatVector all = all(scale);
        for (int i = 0; i < whole; i += L) {
            load(x, at + i).mul(all).mul(load(weight, weightAt + i)).intoArray(out, outAt + i);
        }
        PlainArithmetic.product(x, at + whole, scale, weight, weightAt + whole, out, outAt + whole, count - whole);
    }

    /** As {@link Sums#add}; returns the sum of all sums times 0. */
    static float add(float[] a, int aAt, float[] b, int bAt, float[] out, int outAt, int count) {
        int whole = count - count % (2 * L);
        FloatVector zero = FloatVector.zero(FLOATS);
        FloatVector other = zero;
        for (int i = 0; i < whole; i += 2 * L) {
            FloatVector sum = load(a, aAt + i).add(load(b, bAt + i));
            FloatVector next = load(a, aAt + i + L).add(load(b, bAt + i + L));
            sum.intoArray(out, outAt + i);
            next.intoArray(out, outAt + i + L);
            zero = zero.add(sum.mul(0f));
            other = other.add(next.mul(0f));
        }
        return zero.add(other).reduceLanes(ADD)
                + Sums.oneByOne(a, aAt + whole, b, bAt + whole, out, outAt + whole, count - whole);
    }
}
