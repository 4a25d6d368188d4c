package org.lockstep.spark.rows;

import java.io.Serializable;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Iterator;
import java.util.Locale;
import org.apache.spark.sql.Row;
import org.jspecify.annotations.Nullable;

/**
 * Prompts in short: equal for equal prompts in equal order, however the rows are cut into partitions.
 *
 * <p>A polynomial over the rows, modulo 2⁶⁴, whose coefficients are the first 64 bits of each prompt's SHA-256: so the digest
 * of two runs of rows follows from theirs.
 *
 * @param rows how many
 * @param value 0 for none
 */
public record PromptDigest(long rows, long value) implements Serializable {
    private static final long BASE = 0x9e3779b97f4a7c15L; // odd, so that no row's part is ever shifted out

    static final PromptDigest NONE = new PromptDigest(0, 0);

    /** Of the strings in a column. */
    static PromptDigest of(Iterator<Row> rows, int column) {
        Running running = new Running();
        while (rows.hasNext()) {
            running.add(rows.next().getString(column));
        }
        return running.digest();
    }

    /** Of rows as they pass by. Confined to one thread. */
    static final class Running {
        private final MessageDigest sha;
        private long rows;
        private long value;

        Running() {
            try {
                sha = MessageDigest.getInstance("SHA-256");
            } catch (NoSuchAlgorithmException e) {
                throw new LinkageError("every Java has SHA-256", e);
            }
        }

        void add(@Nullable String prompt) {
            sha.update((byte) (prompt == null ? 0 : 1));
            if (prompt != null) {
                sha.update(prompt.getBytes(StandardCharsets.UTF_8));
            }
            value = value * BASE + ByteBuffer.wrap(sha.digest()).getLong();
            rows++;
        }

        /** Of those until now. */
        PromptDigest digest() {
            return new PromptDigest(rows, value);
        }
    }

    /** Of these rows and then the others. */
    PromptDigest then(PromptDigest others) {
        long shift = 1;
        long power = BASE;
        for (long left = others.rows; left > 0; left >>= 1, power *= power) {
            shift = (left & 1) == 0 ? shift : shift * power;
        }
        return new PromptDigest(rows + others.rows, value * shift + others.value);
    }

    @Override
    public String toString() {
        return String.format(Locale.ROOT, "%016x", value);
    }
}
