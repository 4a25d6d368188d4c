package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.ModelFiles;

class TokenizerTest {
    private static final Path STORIES = Fable.oracle().resolve("models/stories260K");

    private Tokenizer tokenizer;

    @BeforeEach
    void load() {
        tokenizer = Fable.tokenizer();
    }

    @AfterEach
    void close() {
        tokenizer.close();
        tokenizer.close();
    }

    @Test
    void goldenPromptsAndStories() {
        assertThat(Fable.golden()).hasSize(12);
        for (Fable.Golden golden : Fable.golden()) {
            assertThat(tokenizer.encode(golden.prompt())).as(golden.id()).isEqualTo(golden.promptIds());
            assertThat(tokenizer.decode(golden.promptIds(), true)).isEqualTo(golden.prompt());
            assertThat(tokenizer.decode(golden.greedyIds(), true)).isEqualTo(golden.greedyText());
        }
    }

    @Test
    void nothingIsPutBeforeAPromptThatHasNone() {
        assertThat(tokenizer.encode("")).isEmpty();
    }

    @Test
    void specialTokensSpelledOutAreThemselves() {
        assertThat(tokenizer.encode("a<|endoftext|>b")).containsExactly(65, 0, 66);
        assertThat(tokenizer.decode(new int[] {65, 0, 66}, true)).isEqualTo("ab");
        assertThat(tokenizer.decode(new int[] {65, 0, 66}, false)).isEqualTo("a<|endoftext|>b");
    }

    @Test
    @FaultCase("F70")
    void anyTextComesBack() {
        for (String text :
                List.of("naïve 🦊 fox", "\0 nul", "tab\tand\r\nline", "日本語", "👩‍👩‍👧", "\uFFFD", "  a  ")) {
            assertThat(tokenizer.decode(tokenizer.encode(text), true)).isEqualTo(text);
        }
        assertThat(tokenizer.encode("word ".repeat(5000)).length)
                .as("not truncated")
                .isGreaterThan(5000);
    }

    @Test
    @FaultCase("F70")
    void loneSurrogatesAreReplaced() {
        for (String broken : List.of("a\uD83Eb", "a\uDD8Ab", "a\uDD8A\uD83Eb", "ab\uD83E", "\uD83E\uD83E\uDD8A")) {
            String expected = new String(broken.getBytes(StandardCharsets.UTF_16), StandardCharsets.UTF_16);
            assertThat(tokenizer.decode(tokenizer.encode(broken), true)).isEqualTo(expected);
        }
    }

    @Test
    void idsThatItDoesNotKnowBecomeNothing() {
        assertThat(tokenizer.decode(new int[] {783, 2048, 1 << 30, 784}, true)).isEqualTo("Once upon");
    }

    @Test
    void aMissingOrBrokenFileIsAnError(@TempDir Path dir) throws IOException {
        Files.writeString(dir.resolve("config.json"), "{}");
        assertInvalid(dir, "there is no tokenizer.json");
        String sound;
        try (ModelFiles files = Fable.files()) {
            sound = new String(files.readFully("tokenizer.json", 1 << 20), StandardCharsets.UTF_8);
        }
        for (String broken : List.of(
                "",
                "{}",
                "nonsense",
                sound.substring(0, sound.length() / 2),
                sound.replaceFirst("\"BPE\"", "\"Weird\""),
                sound.replaceFirst("\"ByteLevel\"", "\"NotYetInvented\""))) {
            Files.writeString(dir.resolve("tokenizer.json"), broken);
            assertInvalid(dir, "tokenizer.json");
        }
    }

    private static void assertInvalid(Path dir, String what) {
        try (ModelFiles files = ModelFiles.directory(dir)) {
            assertThatThrownBy(() -> Tokenizer.load(files, Fable.VOCABULARY))
                    .isInstanceOf(LockstepException.class)
                    .hasMessageContaining(what)
                    .extracting(e -> ((LockstepException) e).code())
                    .isEqualTo(ErrorCode.TOKENIZER_INVALID);
        }
    }

    @Test
    void moreTokensThanTheEmbeddingHasRowsIsAnotherModelsTokenizer() {
        try (ModelFiles files = Fable.files()) {
            assertThatThrownBy(() -> Tokenizer.load(files, 2047))
                    .isInstanceOf(LockstepException.class)
                    .hasMessageContaining("token id 2047")
                    .hasMessageContaining("2047 rows");
            assertThatThrownBy(() -> Tokenizer.load(files, 320)).hasMessageContaining("320 rows");
            Tokenizer.load(files, 4096).close();
        }
    }

    @Test
    void aBeginTokenComesFromThePostProcessor() {
        Assumptions.assumeTrue(Files.isDirectory(STORIES), "third-party model " + STORIES + " is not here");
        try (ModelFiles files = ModelFiles.directory(STORIES);
                Tokenizer stories = Tokenizer.load(files, 512)) {
            assertThat(stories.encode("Once upon a time")).containsExactly(1, 403, 407, 261, 378);
            assertThat(stories.encode("")).containsExactly(1);
            assertThat(new PromptCheck(stories, 10).check("").error()).isNull();
            TextStream stream = stories.stream(new int[] {1, 403, 407, 261, 378}, SamplingParams.DEFAULT);
            StringBuilder text = new StringBuilder();
            int[] fox = stories.encode("x 🦊 é.");
            for (int id : Arrays.copyOfRange(fox, 1, fox.length)) {
                String fresh = stream.accept(id);
                assertThat(fresh).doesNotContain("\uFFFD");
                text.append(fresh);
            }
            text.append(stream.finish());
            assertThat(text.toString())
                    .as("the space between prompt and output is kept")
                    .isEqualTo(" x 🦊 é.");
        }
    }
}
