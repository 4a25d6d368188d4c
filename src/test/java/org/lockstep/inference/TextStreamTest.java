package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.FaultCase;
import org.lockstep.checkpoint.ModelFiles;

class TextStreamTest {
    private static final int[] PROMPT = {783, 784, 259, 505};

    private Tokenizer tokenizer;

    @BeforeEach
    void load() {
        tokenizer = Fable.tokenizer();
    }

    @AfterEach
    void close() {
        tokenizer.close();
    }

    private TextStream stream(String... stops) {
        return tokenizer.stream(
                PROMPT, SamplingParams.DEFAULT.withMaxTokens(1000).withStop(List.of(stops)));
    }

    /** Feeds until the stream stops; returns what it gave out. */
    private static String feed(TextStream stream, int... ids) {
        StringBuilder out = new StringBuilder();
        for (int id : ids) {
            out.append(stream.accept(id));
            if (stream.stop().isPresent()) {
                break;
            }
        }
        return out.append(stream.finish()).toString();
    }

    @Test
    void givesOutTheTextOfTheWhole() {
        for (Fable.Golden golden : Fable.golden()) {
            TextStream stream = tokenizer.stream(golden.promptIds(), SamplingParams.DEFAULT);
            assertThat(feed(stream, golden.greedyIds())).isEqualTo(golden.greedyText());
            assertThat(stream.text()).isEqualTo(golden.greedyText());
        }
    }

    @Test
    @FaultCase("F70")
    void neverHalfACharacter() {
        TextStream stream = stream();
        int[] ids = tokenizer.encode("é🦊日 ok");
        StringBuilder out = new StringBuilder();
        for (int id : ids) {
            String fresh = stream.accept(id);
            assertThat(fresh).doesNotContain("\uFFFD");
            assertThat(fresh.isEmpty() || !Character.isHighSurrogate(fresh.charAt(fresh.length() - 1)))
                    .isTrue();
            out.append(fresh);
        }
        assertThat(out.toString()).isEqualTo("é🦊日 ok");
        assertThat(stream.finish()).isEmpty();
    }

    /** A tokenizer as Llama 2 has it, but with an a for its only word: all else is bytes. */
    private static Tokenizer ofBytes(Path folder) throws IOException {
        StringBuilder vocabulary = new StringBuilder("\"<unk>\":0,\"a\":257,\"▁\":258");
        for (int value = 0; value < 256; value++) {
            vocabulary.append(String.format(Locale.ROOT, ",\"<0x%02X>\":%d", value, value + 1));
        }
        Files.writeString(folder.resolve("config.json"), "{}");
        Files.writeString(folder.resolve("tokenizer.json"), """
                {"version": "1.0", "added_tokens": [],
                 "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
                 "pre_tokenizer": null, "post_processor": null, "truncation": null, "padding": null,
                 "decoder": {"type": "Sequence", "decoders": [
                  {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                  {"type": "ByteFallback"}, {"type": "Fuse"}]},
                 "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": true, "fuse_unk": true,
                  "vocab": {%s}, "merges": []}}""".formatted(vocabulary));
        try (ModelFiles files = ModelFiles.directory(folder)) {
            return Tokenizer.load(files, 259);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"a", "a é", "a日", "a🦊🦊", "🦊é日🦊", "日日日", "ééé日"})
    @FaultCase("F70")
    void charactersOfByteTokensComeWholeAfterAnyPrompt(String prompt, @TempDir Path folder) throws IOException {
        try (Tokenizer bytes = ofBytes(folder)) {
            TextStream stream = bytes.stream(bytes.encode(prompt), SamplingParams.DEFAULT);
            assertThat(feed(stream, bytes.encode("🦊日é aé"))).isEqualTo("🦊日é aé");
            assertThat(bytes.decodeAfter(bytes.encode(prompt), bytes.encode("🦊日é aé"), SamplingParams.DEFAULT))
                    .isEqualTo("🦊日é aé");
        }
    }

    @Test
    @FaultCase("F70")
    void whatNeverBecomesACharacterIsReplacedAtTheEnd() {
        int[] fox = tokenizer.encode("🦊");
        TextStream stream = stream();
        for (int i = 0; i < fox.length - 1; i++) {
            assertThat(stream.accept(fox[i])).isEmpty();
        }
        assertThat(stream.finish()).isEqualTo("\uFFFD");
    }

    @Test
    void anyTokensGiveTheTextOfTheWhole() {
        Random random = new Random(9);
        for (int round = 0; round < 300; round++) {
            int[] ids =
                    random.ints(40, 0, round % 2 == 0 ? Fable.VOCABULARY : 257).toArray();
            assertThat(feed(stream(), ids)).as(Arrays.toString(ids)).isEqualTo(tokenizer.decode(ids, true));
            assertThat(tokenizer.decodeAfter(PROMPT, ids, SamplingParams.DEFAULT))
                    .as(Arrays.toString(ids))
                    .isEqualTo(tokenizer.decode(ids, true));
        }
    }

    @Test
    void garbageIsNotHeldForEver() {
        TextStream stream = stream();
        int half = tokenizer.encode("🦊")[0];
        int shown = 0;
        for (int i = 0; i < 1000; i++) {
            shown += stream.accept(half).length();
        }
        assertThat(shown).isGreaterThan(900);
        assertThat(stream.finish().length() + shown).isBetween(995, 1005);
    }

    @Test
    void skipsSpecialTokensOrShowsThem() {
        assertThat(feed(stream(), 65, 0, 66)).isEqualTo("ab");
        SamplingParams shown = SamplingParams.DEFAULT.withSkipSpecialTokens(false);
        assertThat(feed(tokenizer.stream(PROMPT, shown), 65, 0, 66)).isEqualTo("a<|endoftext|>b");
    }

    @Test
    @FaultCase("F70")
    void stopStringsEndTheTextAlsoAcrossTokens() {
        int[] ids = tokenizer.encode(", a quiet donkey named Gus lived");
        for (String stop : List.of(" quiet", "quiet don", "y named", "t donkey name", "Gus", "d")) {
            TextStream stream = stream("never", stop);
            String whole = ", a quiet donkey named Gus lived";
            assertThat(feed(stream, ids)).as(stop).isEqualTo(whole.substring(0, whole.indexOf(stop)));
            assertThat(stream.stop()).contains(stop);
            assertThatThrownBy(() -> stream.accept(1)).isInstanceOf(IllegalStateException.class);
        }
        TextStream none = stream("donkey Gus");
        assertThat(feed(none, ids)).isEqualTo(", a quiet donkey named Gus lived");
        assertThat(none.stop()).isEmpty();
    }

    @Test
    void theStopStringThatBeginsFirstCounts() {
        TextStream stream = stream("onkey", " donkey", "key");
        assertThat(feed(stream, tokenizer.encode(" quiet donkey"))).isEqualTo(" quiet");
        assertThat(stream.stop()).contains(" donkey");
    }

    @Test
    void holdsBackWhatMayBecomeAStopString() {
        TextStream stream = stream("END");
        StringBuilder out = new StringBuilder();
        for (int id : tokenizer.encode("xEN")) {
            out.append(stream.accept(id));
        }
        assertThat(out.toString()).isEqualTo("x");
        assertThat(stream.text()).isEqualTo("xEN");
        for (int id : tokenizer.encode("E")) {
            out.append(stream.accept(id));
        }
        assertThat(out.toString()).isEqualTo("xEN");
        assertThat(stream.finish()).isEqualTo("E");
    }

    @Test
    void keepsTheStopStringIfAsked() {
        SamplingParams params =
                SamplingParams.DEFAULT.withStop(List.of("donkey")).withIncludeStopStrInOutput(true);
        assertThat(feed(tokenizer.stream(PROMPT, params), tokenizer.encode(" quiet donkeys")))
                .isEqualTo(" quiet donkey");
    }

    @Test
    void looksForStopStringsOnlyAfterTheLeastNumberOfTokens() {
        SamplingParams params = SamplingParams.DEFAULT.withStop(List.of("a")).withMinTokens(2);
        TextStream stream = tokenizer.stream(PROMPT, params);
        assertThat(feed(stream, 65, 65, 66, 65, 66)).isEqualTo("aab");
        assertThat(stream.stop()).contains("a");
    }
}
