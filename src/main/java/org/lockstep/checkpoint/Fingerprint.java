package org.lockstep.checkpoint;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Locale;

/** Tells contents apart: 64 bits of their SHA-256. Confined to one thread; its text ends it. */
public final class Fingerprint {
    private final MessageDigest sha;

    /** Of nothing yet. */
    public Fingerprint() {
        try {
            sha = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new LinkageError("every Java has SHA-256", e);
        }
    }

    void add(String text) {
        sha.update(text.getBytes(StandardCharsets.UTF_8));
    }

    /** Of all that remains in the buffer. */
    public Fingerprint add(ByteBuffer bytes) {
        sha.update(bytes);
        return this;
    }

    /** Sixteen hexadecimal digits. */
    @Override
    public String toString() {
        return String.format(Locale.ROOT, "%016x", ByteBuffer.wrap(sha.digest()).getLong());
    }
}
