package org.lockstep.collective;

import java.io.Serial;
import java.io.Serializable;
import java.util.Arrays;
import java.util.HexFormat;

/**
 * What lets the ranks of one group find each other where a library does the connecting (NCCL): 128 opaque bytes, made by
 * one party, carried by any means. Immutable.
 */
public final class UniqueId implements Serializable {
    /** Bytes of an id. */
    public static final int BYTES = 128;

    @Serial
    private static final long serialVersionUID = 1;

    private final byte[] bytes;

    private UniqueId(byte[] bytes) {
        this.bytes = bytes;
    }

    /**
     * The id of these bytes.
     *
     * @throws IllegalArgumentException if they are not {@link #BYTES} many
     */
    public static UniqueId of(byte[] bytes) {
        if (bytes.length != BYTES) {
            throw new IllegalArgumentException("a unique id has " + BYTES + " bytes, not " + bytes.length);
        }
        return new UniqueId(bytes.clone());
    }

    /** A copy of the bytes. */
    public byte[] bytes() {
        return bytes.clone();
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof UniqueId that && Arrays.equals(bytes, that.bytes);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(bytes);
    }

    /** The first bytes only: enough to tell two apart in a log. */
    @Override
    public String toString() {
        return "UniqueId[" + HexFormat.of().formatHex(bytes, 0, 8) + "…]";
    }
}
