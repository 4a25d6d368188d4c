package org.lockstep.simd;

import static org.assertj.core.api.Assumptions.assumeThat;

import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What holds in plain Java of every panel, in vectors, and on the way from one to the other. */
abstract class ArithmeticContract {
    final Random random = new Random(1);

    abstract void check(Arithmetic arithmetic);

    /** Checks until the vectors, where there are any, have taken over. */
    int roundsOfWarming() {
        return 2000;
    }

    final float[] numbers(int count) {
        float[] numbers = new float[count];
        for (int i = 0; i < count; i++) {
            numbers[i] = (float) random.nextGaussian();
        }
        return numbers;
    }

    @ParameterizedTest
    @ValueSource(ints = {8, 16, 32, 64})
    void inPlainJava(int panel) {
        check(Arithmetic.plain(panel));
    }

    @Test
    void inVectors() {
        assumeThat(Arithmetic.isVectorEnabled()).as("the module of the vectors").isTrue();
        check(Arithmetic.vectors());
    }

    @Test
    void fromOneToTheOther() {
        Arithmetic warming = Arithmetic.create();
        for (int round = 0; round < roundsOfWarming(); round++) {
            check(warming);
        }
    }
}
