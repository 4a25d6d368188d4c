package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.lockstep.FaultCase;

class PromptCheckTest {
    private Tokenizer tokenizer;

    @BeforeEach
    void load() {
        tokenizer = Fable.tokenizer();
    }

    @AfterEach
    void close() {
        tokenizer.close();
    }

    @Test
    void aSoundPromptBecomesIds() {
        PromptCheck.Result result = new PromptCheck(tokenizer, 5).check("Once upon a time");
        assertThat(result.error()).isNull();
        assertThat(result.ids()).containsExactly(783, 784, 259, 505);
    }

    @Test
    @FaultCase("F69")
    void aBadPromptBecomesTheErrorOfItsRow() {
        PromptCheck check = new PromptCheck(tokenizer, 4);
        assertThat(check.check(null).error()).startsWith("LOCKSTEP-6001 PROMPT_NULL");
        assertThat(check.check("").error()).startsWith("LOCKSTEP-6003 PROMPT_EMPTY");
        assertThat(check.check("Once upon a time").error())
                .isEqualTo(
                        "LOCKSTEP-6002 PROMPT_TOO_LONG  prompt (4 tokens) + 1 to generate exceeds max-model-len (4)");
        assertThat(check.check("Once upon a").error()).isNull();
        assertThat(check.check("Once upon a time").ids()).isEmpty();
    }
}
