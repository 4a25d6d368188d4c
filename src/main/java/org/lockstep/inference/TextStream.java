package org.lockstep.inference;

import java.util.Arrays;
import java.util.Optional;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Text as it comes, token by token: never half a character, and never the beginning of what may become a stop string.
 *
 * <p>Tokens are decoded behind a window of those before them, the end of the prompt at first, so that spaces come out as in
 * the whole; they wait while the text ends in U+FFFD, which may be the beginning of a character (the way of vLLM and of
 * Hugging Face's streamer). After {@value #MOST_PENDING} tokens it is no beginning but garbage, and is given out. Of several
 * stop strings the one that begins first counts. Mutable; confined to its tokenizer's thread.
 */
public final class TextStream {
    private static final int PROMPT_TAIL = 5;
    private static final int LONGEST_CHARACTER = 4; // in tokens, where each is a byte
    private static final int MOST_PENDING = 64;

    private final Tokenizer tokenizer;
    private final SamplingParams params;
    private int[] window;
    private int windowSize;
    private int settled; // tokens of the window whose text is out
    private String before; // their text
    private final StringBuilder text = new StringBuilder();
    private int released;
    private int accepted;
    private int searchFrom;
    private @Nullable String stop;

    TextStream(Tokenizer tokenizer, int[] prompt, SamplingParams params) {
        this.tokenizer = tokenizer;
        this.params = params;
        this.window = tail(tokenizer, prompt, params.skipSpecialTokens());
        this.windowSize = window.length;
        this.settled = windowSize;
        this.before = decode();
    }

    /**
     * The end of the prompt, from where a character begins: the byte tokens of one that is cut spoil all that follow them up
     * to the next token of another kind, those of the output too.
     */
    static int[] tail(Tokenizer tokenizer, int[] prompt, boolean skipSpecial) {
        int shortest = Math.max(0, prompt.length - PROMPT_TAIL);
        int from = IntStream.rangeClosed(0, Math.min(shortest, LONGEST_CHARACTER - 1))
                .map(more -> shortest - more)
                .filter(start -> !tokenizer
                        .decode(prompt, start, prompt.length, skipSpecial)
                        .startsWith("\uFFFD"))
                .findFirst()
                .orElse(shortest);
        return Arrays.copyOfRange(prompt, from, prompt.length);
    }

    /**
     * Takes the next token.
     *
     * @return what can be shown now; may be empty
     * @throws IllegalStateException after a stop string
     */
    public String accept(int token) {
        if (stop != null) {
            throw new IllegalStateException("token " + token + " comes after the stop string '" + stop + "'");
        }
        if (windowSize == window.length) {
            window = Arrays.copyOf(window, windowSize + MOST_PENDING);
        }
        window[windowSize++] = token;
        accepted++;
        String all = decode();
        boolean whole = all.length() > before.length() && all.charAt(all.length() - 1) != '\uFFFD';
        if (whole || windowSize - settled > MOST_PENDING) {
            settle(all);
        }
        return release(params.stop().isEmpty() || stop != null ? text.length() : text.length() - heldBack());
    }

    /** Gives out what was held back; half a character becomes U+FFFD, as it does for Hugging Face. */
    public String finish() {
        if (stop == null && windowSize > settled) {
            settle(decode());
        }
        return release(text.length());
    }

    /** All text so far, that still held back because of stop strings included. */
    public String text() {
        return text.toString();
    }

    /** The stop string that was met, if one was; the text ends before it, or with it if so asked. */
    public Optional<String> stop() {
        return Optional.ofNullable(stop);
    }

    private String decode() {
        return tokenizer.decode(window, 0, windowSize, params.skipSpecialTokens());
    }

    private void settle(String all) {
        int from = text.length();
        text.append(all, Math.min(before.length(), all.length()), all.length());
        window = Arrays.copyOfRange(window, settled, windowSize);
        windowSize = window.length;
        settled = windowSize;
        before = decode();
        if (accepted > params.minTokens()) {
            search(from);
        } else {
            searchFrom = text.length();
        }
    }

    /** Looks for stop strings that end behind {@code from}. */
    private void search(int from) {
        int first = Integer.MAX_VALUE;
        for (String each : params.stop()) {
            int at = text.indexOf(each, Math.max(searchFrom, from - each.length() + 1));
            if (at >= 0 && at < first) {
                first = at;
                stop = each;
            }
        }
        if (stop != null) {
            text.setLength(params.includeStopStrInOutput() ? first + stop.length() : first);
        }
    }

    /** Length of the longest end of the text that begins a stop string. */
    private int heldBack() {
        int longest = 0;
        for (String each : params.stop()) {
            for (int length = Math.min(each.length() - 1, text.length() - released); length > longest; length--) {
                if (endsWith(each, length)) {
                    longest = length;
                }
            }
        }
        return longest;
    }

    private boolean endsWith(String whole, int length) {
        return whole.startsWith(text.substring(text.length() - length));
    }

    private String release(int to) {
        String fresh = text.substring(Math.min(released, to), to);
        released = to;
        return fresh;
    }
}
