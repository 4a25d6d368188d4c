package org.lockstep.cli.bench.inference;

import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.stream.Stream;

/**
 * Rows of ragged lengths, the same whenever the numbers are. Immutable.
 *
 * @param count of the rows
 * @param promptLetters the longest prompt, of letters and spaces; the shortest has one
 * @param outputTokens the longest output; the shortest has one
 * @param lengths how outputs are distributed between these
 * @param atOnce rows that a replica generates together at most
 */
public record RaggedRows(int count, int promptLetters, int outputTokens, Lengths lengths, int atOnce) {
    private static final int SEED = 7;
    private static final String LETTERS = "abcdefghijklmnopqrstuvwxyz ";

    /** How the lengths of outputs are distributed. */
    public enum Lengths {
        /** Each as often as any other. */
        UNIFORM,

        /** Most are short: exponentially, an eighth of the longest in the mean before what is longer is cut. */
        EXPONENTIAL;

        private int next(Random random, int longest) {
            return switch (this) {
                case UNIFORM -> 1 + random.nextInt(longest);
                case EXPONENTIAL -> (int) Math.min(longest, 1 - longest / 8.0 * Math.log1p(-random.nextDouble()));
            };
        }

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /**
     * A prompt and how much is put out for it.
     *
     * @param prompt begins with a letter: a tokenizer may drop what is before
     */
    public record Row(String prompt, int outputTokens) {}

    /** All of them, in order. */
    public List<Row> rows() {
        Random random = new Random(SEED);
        return Stream.generate(() -> row(random)).limit(count).toList();
    }

    private Row row(Random random) {
        int length = 1 + random.nextInt(promptLetters);
        StringBuilder prompt = new StringBuilder("a");
        while (prompt.length() < length) {
            prompt.append(LETTERS.charAt(random.nextInt(LETTERS.length())));
        }
        return new Row(prompt.toString(), lengths.next(random, outputTokens));
    }

    /** The most positions of a row: a letter is a token at most, and a few are what a tokenizer puts before it. */
    public int positions() {
        return promptLetters + outputTokens + 16;
    }

    /** For people. */
    @Override
    public String toString() {
        return count + " rows, prompts of 1 to " + promptLetters + " letters, outputs of 1 to " + outputTokens
                + " tokens (" + lengths + "), " + atOnce + " at once";
    }
}
