package org.lockstep.cli.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

class SampleTest {
    /** Whose neighbours differ: of 8 bits floating types have the same for some. */
    @ParameterizedTest
    @EnumSource(
            mode = EnumSource.Mode.EXCLUDE,
            names = {"F8_E4M3", "F8_E5M2"})
    void whatIsFilledIsRightAndEachOtherElementIsCounted(DataType type) {
        HostBuffer whole = HostBuffer.allocate(type, 1003);
        HostBuffer buffer = whole.slice(3, 1000);
        Sample.fill(buffer, index -> Sample.plain(1, index));
        assertThat(Sample.wrong(buffer, index -> Sample.plain(1, index))).isZero();
        assertThat(IntStream.range(0, 3).mapToDouble(whole::get)).containsOnly(0.0);

        Sample.fill(buffer.slice(7, 2), index -> 120);
        assertThat(Sample.wrong(buffer, index -> Sample.plain(1, index))).isEqualTo(2);
        assertThat(Sample.wrong(buffer, index -> Sample.plain(2, index))).isEqualTo(1000);
    }

    @Test
    void aNumberThatIsNoneIsWrong() {
        assertThat(Sample.wrong(Buffer.ofFloats(1, Float.NaN, -0f), index -> index == 0 ? 1 : 0))
                .isEqualTo(1);
    }

    @ParameterizedTest
    @CsvSource({"SUM, 0, 13", "SUM, 100, 112", "PRODUCT, 0, 2", "PRODUCT, 2, 1", "MIN, 5, 5", "MAX, 5, 18", "AVG, 7, 7"
    })
    void ofTwoRanks(ReduceOp.Kind kind, int index, double reduced) {
        assertThat(new Sample(kind, 2, DataType.F32).reduced(index)).isEqualTo(reduced);
    }

    @Test
    void sumsOfSmallTypesWrapAndRoundAsTheTypesDo() {
        Sample sample = new Sample(ReduceOp.Kind.SUM, 5, DataType.I8);
        HostBuffer bytes = HostBuffer.allocate(DataType.I8, 300);
        Sample.fill(bytes, index -> (byte) (long) sample.reduced(index));
        assertThat(Sample.wrong(bytes, sample::reduced)).isZero();
        assertThat(sample.reduced(60)).isGreaterThan(Byte.MAX_VALUE);
    }

    @ParameterizedTest
    @EnumSource(names = {"F8_E4M3", "F8_E5M2"})
    void sumsOfEightRanksAreExactInEightBits(DataType type) {
        for (ReduceOp.Kind kind : new ReduceOp.Kind[] {ReduceOp.Kind.SUM, ReduceOp.Kind.AVG, ReduceOp.Kind.PRODUCT}) {
            Sample sample = new Sample(kind, 8, type);
            HostBuffer values = HostBuffer.allocate(type, 300);
            Sample.fill(values, sample::reduced);
            for (int i = 0; i < 300; i++) {
                assertThat(values.get(i)).as("%s of %s at %d", kind, type, i).isEqualTo(sample.reduced(i));
            }
        }
    }
}
