package org.lockstep.inference;

import ai.djl.huggingface.tokenizers.Encoding;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.Fingerprint;
import org.lockstep.checkpoint.ModelFiles;

/**
 * Text to token ids and back, as the model's {@code tokenizer.json} says: Hugging Face's own tokenizer, through DJL.
 *
 * <p>Nothing is ever downloaded: the CPU library travels in DJL's jar, and the system properties {@code ai.djl.offline}
 * and {@code RUST_FLAVOR} are set before it is first used. Confined to one thread; holds native memory until
 * {@link #close}.
 */
public final class Tokenizer implements AutoCloseable {
    static final String FILE = "tokenizer.json";
    private static final long FILE_LIMIT = 256L << 20;
    private static final int PROBES = 1024;

    private final HuggingFaceTokenizer tokenizer;
    private final int vocabularySize;
    private final String name;

    private Tokenizer(HuggingFaceTokenizer tokenizer, int vocabularySize, String name) {
        this.tokenizer = tokenizer;
        this.vocabularySize = vocabularySize;
        this.name = name;
    }

    /**
     * The tokenizer of a model.
     *
     * @param vocabularySize rows of the model's embedding; a tokenizer with fewer tokens is sound, with more it is not
     *     this model's
     * @throws LockstepException TOKENIZER_INVALID if there is no tokenizer.json, it is over 256 MiB, is not one that
     *     Hugging Face's library reads, or knows ids from {@code vocabularySize} on
     */
    public static Tokenizer load(ModelFiles files, int vocabularySize) {
        if (!files.exists(FILE)) {
            throw invalid(files.describe(), "there is no " + FILE, null);
        }
        byte[] json;
        try {
            json = files.readFully(FILE, FILE_LIMIT);
        } catch (LockstepException unreadable) {
            throw unreadable.code() == ErrorCode.ABORTED
                    ? unreadable
                    : invalid(files.describe(), unreadable.summary(), unreadable);
        }
        return of(json, vocabularySize, files.describe());
    }

    /** Of a model's tokenizer, by its file: another one gives other texts. */
    public static String fingerprint(ModelFiles files) {
        return new Fingerprint()
                .add(ByteBuffer.wrap(files.readFully(FILE, FILE_LIMIT)))
                .toString();
    }

    private static Tokenizer of(byte[] json, int vocabularySize, String name) {
        System.setProperty("ai.djl.offline", "true");
        System.setProperty("RUST_FLAVOR", "cpu");
        HuggingFaceTokenizer made;
        try {
            made = HuggingFaceTokenizer.newInstance(
                    new ByteArrayInputStream(json), Map.of("truncation", "false", "padding", "false"));
        } catch (IOException | RuntimeException | LinkageError e) {
            throw invalid(name, FILE + ": " + e.getMessage(), e);
        }
        Tokenizer tokenizer = new Tokenizer(made, vocabularySize, name);
        try {
            tokenizer.checkSize();
            return tokenizer;
        } catch (RuntimeException wrong) {
            made.close();
            throw wrong;
        }
    }

    /** Ids are dense, so a tokenizer of too many tokens knows some of the first ids beyond the embedding. */
    private void checkSize() {
        long[][] beyond = new long[PROBES][];
        Arrays.setAll(beyond, i -> new long[] {vocabularySize + (long) i});
        String[] texts = tokenizer.batchDecode(beyond, false);
        for (int i = 0; i < texts.length; i++) {
            if (!texts[i].isEmpty()) {
                throw tooLarge(vocabularySize + i);
            }
        }
    }

    private LockstepException tooLarge(long id) {
        return invalid(
                name, FILE + " has token id " + id + ", the model's embedding has " + vocabularySize + " rows", null);
    }

    private static LockstepException invalid(String model, String what, @Nullable Throwable cause) {
        return LockstepException.report(ErrorCode.TOKENIZER_INVALID, what)
                .with("model", model)
                .attempt("take tokenizer.json from the same place as the weights")
                .cause(cause)
                .exception();
    }

    /**
     * The ids of a text, with what the tokenizer's post-processor puts around it, as Hugging Face's
     * {@code AutoTokenizer(text)} gives them. Special tokens spelled out in the text become those tokens. A lone
     * surrogate counts as U+FFFD.
     *
     * @throws LockstepException TOKENIZER_INVALID if an id is outside the model's embedding
     */
    public int[] encode(String text) {
        Encoding encoding = tokenizer.encode(wellFormed(text), true, false);
        long[] ids = encoding.getIds();
        int[] narrow = new int[ids.length];
        for (int i = 0; i < ids.length; i++) {
            if (ids[i] < 0 || ids[i] >= vocabularySize) {
                throw tooLarge(ids[i]);
            }
            narrow[i] = (int) ids[i];
        }
        return narrow;
    }

    /**
     * The text of ids; bytes that are no UTF-8 become U+FFFD, ids that the tokenizer does not know become nothing.
     *
     * @param skipSpecial whether special tokens are left out
     */
    public String decode(int[] ids, boolean skipSpecial) {
        return decode(ids, 0, ids.length, skipSpecial);
    }

    String decode(int[] ids, int from, int to, boolean skipSpecial) {
        long[] wide = new long[to - from];
        for (int i = from; i < to; i++) {
            wide[i - from] = ids[i];
        }
        return tokenizer.decode(wide, skipSpecial);
    }

    /** The text of an output, as it follows {@code prompt}: the spaces where they meet come out as in the whole. */
    String decodeAfter(int[] prompt, int[] output, SamplingParams params) {
        boolean skipSpecial = params.skipSpecialTokens();
        int[] tail = TextStream.tail(this, prompt, skipSpecial);
        int before = decode(tail, skipSpecial).length();
        int[] whole = Arrays.copyOf(tail, tail.length + output.length);
        System.arraycopy(output, 0, whole, tail.length, output.length);
        String text = decode(whole, skipSpecial);
        return text.substring(Math.min(before, text.length()));
    }

    /** A stream for the output that follows {@code prompt}; confined to this tokenizer's thread. */
    public TextStream stream(int[] prompt, SamplingParams params) {
        return new TextStream(this, prompt, params);
    }

    private static String wellFormed(String text) {
        StringBuilder copy = null;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (Character.isHighSurrogate(c) && i + 1 < text.length() && Character.isLowSurrogate(text.charAt(i + 1))) {
                i++;
            } else if (Character.isSurrogate(c)) {
                copy = copy == null ? new StringBuilder(text) : copy;
                copy.setCharAt(i, '\uFFFD');
            }
        }
        return copy == null ? text : copy.toString();
    }

    @Override
    public void close() {
        tokenizer.close();
    }
}
