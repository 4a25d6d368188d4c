package org.lockstep.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.lockstep.collective.ReduceOp;
import org.lockstep.cpu.Hosts.Segment;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/** What hosts add up to, joined, has the bits of what all ranks add up to. */
class ReductionTest {
    private static final int LENGTH = 1100; // more than a run

    private static HostBuffer noise(DataType type, Random random) {
        HostBuffer buffer = HostBuffer.allocate(type, LENGTH);
        for (int i = 0; i < LENGTH; i++) {
            switch (type) {
                case F32 -> buffer.floats()[i] = odd(random, (float) random.nextGaussian());
                case F64 -> buffer.doubles()[i] = odd(random, (float) random.nextGaussian());
                case I64 -> buffer.longs()[i] = random.nextLong();
                case I32 -> buffer.ints()[i] = random.nextInt();
                case I8, U8 -> buffer.byteArray()[i] = (byte) random.nextInt();
                case BF16, F16 -> throw new IllegalArgumentException("sums of these are f32");
            }
        }
        return buffer;
    }

    /** Now and then what a sum has to be careful with. */
    private static float odd(Random random, float usual) {
        return switch (random.nextInt(200)) {
            case 0 -> Float.intBitsToFloat(0xffc0_1234); // a NaN that says something
            case 1 -> Float.POSITIVE_INFINITY;
            case 2 -> Float.NEGATIVE_INFINITY;
            case 3 -> -0f;
            default -> usual;
        };
    }

    private static Object bits(HostBuffer buffer) {
        return switch (buffer.type()) {
            case F32 ->
                IntStream.range(0, LENGTH)
                        .mapToObj(i -> Float.floatToRawIntBits(buffer.floats()[buffer.offset() + i]))
                        .toList();
            case F64 ->
                IntStream.range(0, LENGTH)
                        .mapToObj(i -> Double.doubleToRawLongBits(buffer.doubles()[buffer.offset() + i]))
                        .toList();
            default -> buffer.array();
        };
    }

    @ParameterizedTest
    @EnumSource(names = {"F32", "F64", "I64", "I32", "I8", "U8"})
    void subtreesJoinToTheSameBits(DataType type) {
        Random random = new Random(7);
        for (int round = 0; round < 60; round++) {
            int size = 2 + random.nextInt(round < 50 ? 20 : 127);
            boolean runs = random.nextBoolean();
            int[] places = random.ints(size, 0, 5).toArray();
            int[] hosts = runs ? IntStream.of(places).sorted().toArray() : places;
            List<Segment> segments = Hosts.of(hosts, 0).segments();
            HostBuffer[] ranks = IntStream.range(0, size)
                    .mapToObj(rank -> noise(type, random))
                    .toArray(HostBuffer[]::new);
            for (ReduceOp.Kind op :
                    List.of(ReduceOp.Kind.SUM, ReduceOp.Kind.PRODUCT, ReduceOp.Kind.MIN, ReduceOp.Kind.MAX)) {
                Reduction reduction = new Reduction(size);
                HostBuffer whole = HostBuffer.allocate(type, LENGTH);
                reduction.reduce(ranks, new int[size], whole, 0, LENGTH, op, 1);
                reduction.finish(whole);
                HostBuffer[] sums = segments.stream()
                        .map(segment -> {
                            HostBuffer sum = HostBuffer.allocate(type, LENGTH);
                            HostBuffer[] own = IntStream.range(segment.first(), segment.first() + segment.width())
                                    .mapToObj(rank -> ranks[rank])
                                    .toArray(HostBuffer[]::new);
                            reduction.reduce(own, new int[own.length], sum, 0, LENGTH, op, 1);
                            return sum;
                        })
                        .toArray(HostBuffer[]::new);
                HostBuffer joined = HostBuffer.allocate(type, LENGTH);
                int[] widths = segments.stream().mapToInt(Segment::width).toArray();
                reduction.reduceSubtrees(sums, widths, joined, op, 1);
                reduction.finish(joined);
                assertThat(bits(joined))
                        .as("%s of %d ranks in %s", op, size, segments)
                        .isEqualTo(bits(whole));
            }
        }
    }
}
