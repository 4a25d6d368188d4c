package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class GeneratorOptionsTest {
    @Test
    void aStepMayBeShorterThanAPromptButHasATokenForEverySequence() {
        GeneratorOptions options =
                GeneratorOptions.of(10_000).withMaxSequences(7).withMaxTokensPerStep(7);
        assertThat(options.maxTokensPerStep()).isEqualTo(7);
        assertThatThrownBy(() -> options.withMaxTokensPerStep(6)).hasMessage("maxTokensPerStep (6) is less than 7");
        assertThat(options.withMaxSequences(9).maxTokensPerStep()).isEqualTo(9);
    }

    @Test
    void oneSequenceOfTheGreatestLengthAlwaysFits() {
        GeneratorOptions options = GeneratorOptions.of(100).withBlockSize(8);
        assertThat(options.withCacheBlocks(13).cacheBlocks()).isEqualTo(13);
        assertThatThrownBy(() -> options.withCacheBlocks(12)).hasMessage("cacheBlocks (12) is less than 13");
        assertThat(options.enablePrefixCaching()).isTrue();
        assertThat(options.withEnablePrefixCaching(false).withMaxSequences(3).enablePrefixCaching())
                .isFalse();
    }
}
