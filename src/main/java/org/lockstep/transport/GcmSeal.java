package org.lockstep.transport;

import java.nio.ByteBuffer;
import java.security.GeneralSecurityException;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * Against readers and forgers: AES-256-GCM, a key for each direction, the number of the sealed piece as nonce. Header and
 * payload are a piece each, so that a header is believed before it is looked at, and nothing is left in the clear; a piece
 * that was moved, dropped or said twice has the wrong number.
 */
final class GcmSeal implements Seal {
    private static final int TAG_BYTES = 16;
    private static final int NONCE_BYTES = 12;

    private final Side out;
    private final Side in;

    /** One direction. */
    private static final class Side {
        private final int mode;
        private final SecretKeySpec key;
        private final Cipher cipher;
        private final ByteBuffer nonce = ByteBuffer.allocate(NONCE_BYTES);
        private long number;
        private byte[] before = new byte[0];
        private byte[] after = new byte[0];

        Side(int mode, byte[] key) {
            this.mode = mode;
            this.key = new SecretKeySpec(key, "AES");
            try {
                cipher = Cipher.getInstance("AES/GCM/NoPadding");
            } catch (GeneralSecurityException impossible) {
                throw new IllegalStateException("every Java platform has AES-GCM", impossible);
            }
        }

        /** Turns the {@code count} bytes at {@code at}, in their place, into what they are on the other side. */
        void turn(ByteBuffer bytes, int at, int count) throws GeneralSecurityException {
            if (before.length < count + TAG_BYTES) {
                before = new byte[count + TAG_BYTES];
                after = new byte[count + TAG_BYTES];
            }
            nonce.putLong(NONCE_BYTES - 8, number++);
            cipher.init(mode, key, new GCMParameterSpec(8 * TAG_BYTES, nonce.array()));
            bytes.get(at, before, 0, count);
            int turned = cipher.doFinal(before, 0, count, after, 0);
            bytes.put(at, after, 0, turned);
        }
    }

    /** With keys of 32 bytes. */
    GcmSeal(byte[] sending, byte[] receiving) {
        out = new Side(Cipher.ENCRYPT_MODE, sending);
        in = new Side(Cipher.DECRYPT_MODE, receiving);
    }

    @Override
    public int headerBytes() {
        return Frame.BYTES + TAG_BYTES;
    }

    @Override
    public int tailBytes() {
        return TAG_BYTES;
    }

    @Override
    public void seal(ByteBuffer frame, int payload) {
        try {
            out.turn(frame, 0, Frame.BYTES);
            if (payload > 0) {
                out.turn(frame, headerBytes(), payload);
            }
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException("cannot encrypt", impossible);
        }
    }

    @Override
    public boolean isHeaderWhole(ByteBuffer buffer, int at) {
        return isWhole(buffer, at, headerBytes());
    }

    @Override
    public boolean isPayloadWhole(ByteBuffer buffer, int at, int payload) {
        return isWhole(buffer, at + headerBytes(), payload + TAG_BYTES);
    }

    private boolean isWhole(ByteBuffer buffer, int at, int count) {
        try {
            in.turn(buffer, at, count);
            return true;
        } catch (GeneralSecurityException forged) {
            return false;
        }
    }
}
