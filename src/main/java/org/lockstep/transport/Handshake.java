package org.lockstep.transport;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.UUID;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Key;

/**
 * One connection until both ends have proven that they know the attempt's key. Nothing but hellos of a fixed size is read
 * before.
 *
 * <pre>
 * dialler   → hello (64)                        magic, protocol, role, attempt, group, from, to, nonce
 *           ← hello (64), proof (32)            HMAC-SHA256(key, role, dialler's hello, acceptor's hello)
 *           → proof (32)
 *           ← welcome (1)
 * </pre>
 *
 * <p>An acceptor may let a true dialler wait, or prefer another connection of the same link; so the dialler is through only when
 * it was welcomed. Each end's nonce is in both proofs, so an old recording proves nothing; the role in the proof, so a reflected one
 * does not either. Confined to one thread.
 */
final class Handshake {
    static final int HELLO_BYTES = 64;
    static final int MAGIC = 0x4c4b5350; // LKSP
    static final int PROTOCOL = 2;
    static final byte DIALLER = 1;
    static final byte ACCEPTOR = 2;

    static final int NONCE_BYTES = 16;

    private static final byte WELCOME = 1;

    /** The reason of who said nothing more. */
    static final String HUNG_UP = "closed the connection during the hello";

    private final SocketChannel channel;
    private final byte role;
    private final Key key;
    private final UUID attempt;
    private final int me;
    private final byte[] nonce;
    private final ByteBuffer in;
    private ByteBuffer out;
    private Links.@Nullable Id link;
    private byte[] diallerHello = new byte[0];
    private byte[] acceptorHello = new byte[0];
    private boolean agreed; // all that this end waited for was here
    private boolean done;

    /** When this connection must be through, in the time of {@link System#nanoTime}. */
    final long until;

    /** Why an exchange ended badly. */
    static final class Refused extends Exception {
        private static final long serialVersionUID = 1;

        /** The other end speaks as it should but cannot prove itself: to try again would not help. */
        final boolean wrongKey;

        Refused(String reason) {
            this(reason, false);
        }

        private Refused(String reason, boolean wrongKey) {
            super(reason);
            this.wrongKey = wrongKey;
        }
    }

    private Handshake(
            SocketChannel channel, byte role, Key key, UUID attempt, int me, byte[] nonce, int expected, long until) {
        this.channel = channel;
        this.role = role;
        this.key = key;
        this.attempt = attempt;
        this.me = me;
        this.nonce = nonce.clone();
        this.in = ByteBuffer.allocate(expected);
        this.out = ByteBuffer.allocate(0);
        this.until = until;
        if (nonce.length != NONCE_BYTES) {
            throw new IllegalArgumentException("a nonce has " + NONCE_BYTES + " bytes");
        }
    }

    /** This rank, {@code me}, asks for {@code link} on a connecting channel. */
    static Handshake dial(
            SocketChannel channel, Links.Id link, Key key, UUID attempt, int me, byte[] nonce, long until) {
        Handshake dial = new Handshake(channel, DIALLER, key, attempt, me, nonce, HELLO_BYTES + Key.HMAC_BYTES, until);
        dial.link = link;
        dial.diallerHello = dial.hello(link.group(), link.peer());
        dial.out = ByteBuffer.wrap(dial.diallerHello);
        return dial;
    }

    /** Somebody came; who, is to be seen. */
    static Handshake accept(SocketChannel channel, Key key, UUID attempt, int me, byte[] nonce, long until) {
        return new Handshake(channel, ACCEPTOR, key, attempt, me, nonce, HELLO_BYTES, until);
    }

    private byte[] hello(long group, int to) {
        return ByteBuffer.allocate(HELLO_BYTES)
                .putInt(MAGIC)
                .put((byte) PROTOCOL)
                .put(role)
                .putShort((short) 0)
                .putLong(attempt.getMostSignificantBits())
                .putLong(attempt.getLeastSignificantBits())
                .putLong(group)
                .putInt(me)
                .putInt(to)
                .put(nonce)
                .array();
    }

    boolean isDialler() {
        return role == DIALLER;
    }

    SocketChannel channel() {
        return channel;
    }

    /** Both ends have proven themselves. */
    boolean isDone() {
        return done;
    }

    /** Whether only the welcome of an acceptor that has proven itself is missing: it may count on this connection already. */
    boolean isAnswered() {
        return isDialler() && acceptorHello.length > 0;
    }

    /** Known from the beginning for the dialler, after its hello for the acceptor. */
    Links.@Nullable Id link() {
        return link;
    }

    /** What the selector should look for. */
    int interest() {
        if (channel.isConnectionPending()) {
            return SelectionKey.OP_CONNECT;
        }
        return out.hasRemaining() ? SelectionKey.OP_WRITE : SelectionKey.OP_READ;
    }

    /**
     * Goes on as far as it can without waiting.
     *
     * @param expected whether a link is one that the acceptor waits for
     * @throws Refused if the other end is not who it should be
     */
    void proceed(Predicate<Links.Id> expected) throws IOException, Refused {
        if (channel.isConnectionPending() && !channel.finishConnect()) {
            return;
        }
        while (!done) {
            if (out.hasRemaining()) {
                channel.write(out);
                if (out.hasRemaining()) {
                    return;
                }
            }
            if (agreed) {
                done = true;
                return;
            }
            int read = channel.read(in);
            if (read < 0) {
                throw new Refused(HUNG_UP);
            }
            if (in.hasRemaining()) {
                return;
            }
            in.flip();
            if (isDialler() && acceptorHello.length == 0) {
                onAnswer();
            } else if (isDialler()) {
                onWelcome();
            } else if (diallerHello.length == 0) {
                onHello(expected);
            } else {
                onProof(expected);
            }
        }
    }

    private void onHello(Predicate<Links.Id> expected) throws Refused {
        byte[] bytes = take(HELLO_BYTES);
        Links.Id id = check(bytes, DIALLER);
        if (!expected.test(id)) {
            throw new Refused("claims to be rank " + id.peer() + " of a group where nobody waits for it");
        }
        link = id;
        diallerHello = bytes;
        acceptorHello = hello(id.group(), id.peer());
        out = ByteBuffer.allocate(HELLO_BYTES + Key.HMAC_BYTES)
                .put(acceptorHello)
                .put(proof(ACCEPTOR))
                .flip();
        in.clear().limit(Key.HMAC_BYTES);
    }

    private void onAnswer() throws Refused {
        byte[] bytes = take(HELLO_BYTES);
        Links.Id id = check(bytes, ACCEPTOR);
        if (!id.equals(link)) {
            throw new Refused("answered as rank " + id.peer() + " of another group");
        }
        acceptorHello = bytes;
        requireProof(ACCEPTOR);
        out = ByteBuffer.wrap(proof(DIALLER));
        in.clear().limit(1);
    }

    private void onWelcome() throws Refused {
        if (in.get() != WELCOME) {
            throw new Refused("answered the proof with something else than a welcome");
        }
        agreed = true;
    }

    private void onProof(Predicate<Links.Id> expected) throws Refused {
        requireProof(DIALLER);
        if (link == null || !expected.test(link)) {
            throw new Refused("is a second connection for the same link");
        }
        out = ByteBuffer.wrap(new byte[] {WELCOME});
        agreed = true;
    }

    /** The fixed fields, by comparison only. */
    Links.Id check(byte[] bytes, byte wantedRole) throws Refused {
        ByteBuffer hello = ByteBuffer.wrap(bytes);
        if (hello.getInt() != MAGIC) {
            throw new Refused("does not speak Lockstep's protocol");
        }
        int protocol = hello.get();
        int itsRole = hello.get();
        if (protocol != PROTOCOL || itsRole != wantedRole || hello.getShort() != 0) {
            throw new Refused("speaks protocol " + protocol + " in role " + itsRole);
        }
        if (!new UUID(hello.getLong(), hello.getLong()).equals(attempt)) {
            throw new Refused("belongs to another attempt");
        }
        long group = hello.getLong();
        int from = hello.getInt();
        int to = hello.getInt();
        if (to != me) {
            throw new Refused("is looking for rank " + to);
        }
        return new Links.Id(group, from);
    }

    private byte[] proof(byte prover) {
        return key.hmacSha256(new byte[] {prover}, diallerHello, acceptorHello);
    }

    private void requireProof(byte prover) throws Refused {
        if (!MessageDigest.isEqual(take(Key.HMAC_BYTES), proof(prover))) {
            throw new Refused("does not know the key", true);
        }
    }

    private byte[] take(int count) {
        byte[] bytes = new byte[count];
        in.get(bytes);
        return bytes;
    }

    /** The connection, from now on without its selector: both ends have proven themselves. */
    Links.Proven proven(SelectionKey key, boolean encrypted) throws IOException {
        key.cancel();
        Sockets.tune(channel);
        return new Links.Proven(channel, seal(encrypted));
    }

    private Seal seal(boolean encrypted) {
        if (!encrypted) {
            return new CrcSeal();
        }
        byte other = isDialler() ? ACCEPTOR : DIALLER;
        return new GcmSeal(frameKey(role), frameKey(other));
    }

    /** HKDF-Expand (RFC 5869) of the attempt's key, which is random in all its bits, for what {@code sender} sends. */
    private byte[] frameKey(byte sender) {
        byte[] label = "lockstep aes-256-gcm".getBytes(StandardCharsets.US_ASCII);
        return key.hmacSha256(label, new byte[] {sender}, diallerHello, acceptorHello, new byte[] {1});
    }

    /** The other end, for errors. */
    String remote() {
        try {
            return channel.getRemoteAddress() instanceof InetSocketAddress address
                    ? address.getAddress().getHostAddress() + ":" + address.getPort()
                    : "an unconnected peer";
        } catch (IOException gone) {
            return "a closed connection";
        }
    }
}
