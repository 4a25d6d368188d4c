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
 * Prompts, and what rows say of their sampling, in short: equal for equal ones in equal order, however the rows are cut into
 * partitions.
 *
 * <p>A polynomial over the rows, modulo 2⁶⁴, whose coefficients are the first 64 bits of each row's SHA-256: so the digest
 * of two runs of rows follows from theirs.
 *
 * @param rows how many
 * @param value 0 for none
 */
public record PromptDigest(long rows, long value) implements Serializable {
    private static final long BASE = 0x9e3779b97f4a7c15L; // odd, so that no row's part is ever shifted out

    static final PromptDigest NONE = new PromptDigest(0, 0);

    static PromptDigest of(Iterator<Row> rows, RowColumns columns) {
        Running running = new Running();
        while (rows.hasNext()) {
            running.add(rows.next(), columns);
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

        void add(Row row, RowColumns columns) {
            add(columns.promptOf(row));
            String sampling = columns.samplingOf(row);
            if (sampling != null) {
                sha.update((byte) 0xff); // which no text has in it
                add(sampling);
            }
            value = value * BASE + ByteBuffer.wrap(sha.digest()).getLong();
            rows++;
        }

        private void add(@Nullable String text) {
            sha.update((byte) (text == null ? 0 : 1));
            if (text != null) {
                sha.update(text.getBytes(StandardCharsets.UTF_8));
            }
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
