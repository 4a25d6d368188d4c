package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

/** What a rank tells of its obstacle. */
class AgreementTest {
    private static String told(String text) {
        byte[] bytes = Agreement.told(text);
        assertThat(bytes).hasSize(256);
        return new String(bytes, StandardCharsets.UTF_8).trim();
    }

    @Test
    void whatIsTooLongIsCutAtACharacterAndEndsWithAnEllipsis() {
        assertThat(told("")).isEmpty();
        assertThat(told("a".repeat(256))).isEqualTo("a".repeat(256));
        assertThat(told("a".repeat(257))).isEqualTo("a".repeat(253) + "…");
        assertThat(told("a" + "é".repeat(200))).isEqualTo("a" + "é".repeat(126) + "…");
        assertThat(told("é".repeat(200))).isEqualTo("é".repeat(126) + "…");
    }
}
