package org.lockstep.collective;

import java.io.InvalidObjectException;
import java.io.Serial;
import java.io.Serializable;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * The secret that the parties of one attempt share: 32 random bytes that travel in the task closure and nowhere else.
 *
 * <p>Neither {@link #toString} nor any error reveals it. Immutable.
 */
public final class Key implements Serializable {
    /** Bytes of a key. */
    public static final int BYTES = 32;

    /** Bytes of what {@link #hmacSha256} returns. */
    public static final int HMAC_BYTES = 32;

    @Serial
    private static final long serialVersionUID = 1;

    private static final String ALGORITHM = "HmacSHA256";

    private final byte[] bytes;

    private Key(byte[] bytes) {
        this.bytes = bytes;
    }

    /** A fresh key from the system's secure source of randomness. */
    public static Key random() {
        byte[] bytes = new byte[BYTES];
        new SecureRandom().nextBytes(bytes);
        return new Key(bytes);
    }

    /**
     * The key of these bytes.
     *
     * @throws IllegalArgumentException if they are not {@link #BYTES} many
     */
    public static Key of(byte[] bytes) {
        if (bytes.length != BYTES) {
            throw new IllegalArgumentException("a key has " + BYTES + " bytes, not " + bytes.length);
        }
        return new Key(bytes.clone());
    }

    /** The HMAC-SHA256 (RFC 2104) of the parts, one after the other, under this key. */
    public byte[] hmacSha256(byte[]... parts) {
        try {
            Mac mac = Mac.getInstance(ALGORITHM);
            mac.init(new SecretKeySpec(bytes, ALGORITHM));
            for (byte[] part : parts) {
                mac.update(part);
            }
            return mac.doFinal();
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException("every Java platform has " + ALGORITHM, impossible);
        }
    }

    @Serial
    private Object readResolve() throws InvalidObjectException {
        if (bytes == null || bytes.length != BYTES) {
            throw new InvalidObjectException("a key has " + BYTES + " bytes");
        }
        return this;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Key that && MessageDigest.isEqual(bytes, that.bytes);
    }

    /** The same for all keys: a hash would be a hint. */
    @Override
    public int hashCode() {
        return BYTES;
    }

    @Override
    public String toString() {
        return "Key[hidden]";
    }
}
