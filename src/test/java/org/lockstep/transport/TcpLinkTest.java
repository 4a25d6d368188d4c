package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.Random;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ProcessGroup;

/** One end of a connection is ours, the other says what the test wants (F32, F36). */
@Timeout(30)
class TcpLinkTest {
    private static final ProcessGroup GROUP = ProcessGroup.of("tp", 0, 0, 1);
    private static final OperationTag BARRIER = new OperationTag(1, Operation.BARRIER, null, null, 0, -1);
    private static final OperationTag SEND = new OperationTag(1, Operation.SEND, null, DataType.F32, 3, 0);

    private final CrcSeal seal = new CrcSeal();
    private SocketChannel peer;
    private Links links;
    private TcpLinks all;
    private Link link;

    @BeforeEach
    void connect() throws IOException {
        try (ServerSocketChannel listener = ServerSocketChannel.open()) {
            listener.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
            peer = SocketChannel.open(listener.getLocalAddress());
            peer.setOption(StandardSocketOptions.TCP_NODELAY, true);
            SocketChannel ours = listener.accept();
            ours.configureBlocking(false);
            links = new Links();
            links.put(new Links.Id(Verdict.groupId(GROUP), 1), new Links.Proven(ours, new CrcSeal()));
            all = new TcpLinks(GROUP, 0, links, () -> {}, Duration.ZERO);
            link = all.link(1);
        }
    }

    @AfterEach
    void disconnect() throws IOException {
        link.close();
        links.close(null);
        all.selector().close();
        peer.close();
    }

    /** Pumps as a mesh does, until it is over. */
    private void until(BooleanSupplier over) {
        while (!over.getAsBoolean()) {
            link.check();
            Thread.onSpinWait();
        }
    }

    private Verdict failure(Runnable operation) {
        Failed failed = catchThrowableOfType(Failed.class, operation::run);
        assertThat(failed).isNotNull();
        return failed.verdict();
    }

    private Verdict barrierFails() {
        link.send(BARRIER, null);
        link.expect(BARRIER, 0);
        return failure(() -> until(link::arrived));
    }

    private HostBuffer received(OperationTag tag) {
        HostBuffer got = HostBuffer.allocate(DataType.F32, (int) tag.count());
        link.expect(tag, got.bytes());
        until(link::arrived);
        link.into(got, got.size());
        until(link::filled);
        link.received();
        return got;
    }

    /** A sealed frame of elements. */
    private ByteBuffer frame(int kind, long word, long second, long third, float... elements) {
        ByteBuffer frame = Wire.buffer(seal.frameBytes(4 * elements.length));
        Frame.put(frame, kind, word, second, third);
        for (int i = 0; i < elements.length; i++) {
            frame.putFloat(seal.headerBytes() + 4 * i, elements[i]);
        }
        seal.seal(frame, 4 * elements.length);
        return frame;
    }

    private ByteBuffer data(OperationTag tag, float... elements) {
        return frame(Frame.DATA, Frame.word(tag), tag.sequence(), tag.count(), elements);
    }

    @Test
    void aPeerThatDiesIsLost() throws IOException {
        peer.close();
        Verdict verdict = barrierFails();
        assertThat(verdict.code()).isEqualTo(ErrorCode.PEER_LOST);
        assertThat(verdict.text()).contains("barrier #1 in tp[0]={0,1}: rank 1 is gone");
        assertThat(verdict.culprit()).isEqualTo(1);
    }

    @Test
    void aResetIsALossToo() throws IOException {
        peer.setOption(StandardSocketOptions.SO_LINGER, 0);
        peer.close();
        assertThat(barrierFails().code()).isEqualTo(ErrorCode.PEER_LOST);
    }

    @Test
    void aPeerThatDiesInsideAFrameIsLost() throws IOException {
        peer.write(data(SEND, 1, 2, 3).limit(40));
        peer.close();
        assertThat(failure(() -> received(SEND)).code()).isEqualTo(ErrorCode.PEER_LOST);
    }

    @Test
    void severalMessagesMayComeAtOnce() throws IOException {
        ByteBuffer stream = ByteBuffer.allocate(10_000);
        for (int i = 1; i <= 100; i++) {
            stream.put(data(new OperationTag(i, Operation.SEND, null, DataType.F32, 3, 0), i, 2 * i, 3 * i));
        }
        peer.write(stream.flip());
        for (int i = 1; i <= 100; i++) {
            HostBuffer got = received(new OperationTag(i, Operation.SEND, null, DataType.F32, 3, 0));
            assertThat(got.toFloats()).containsExactly(i, 2 * i, 3 * i);
        }
    }

    @Test
    void whatWasSaidBeforeTheEndIsHeard() throws IOException {
        peer.write(data(SEND, 1.5f, -2f, 1e30f));
        peer.close();
        assertThat(received(SEND).toFloats()).containsExactly(1.5f, -2f, 1e30f);
    }

    @Test
    void aVerdictIsUnderstoodInTheMiddleOfWaiting() throws IOException {
        peer.configureBlocking(false);
        Outlet out = new Outlet(peer, seal, Verdict.MAX_TEXT);
        out.lastWords(Verdict.aborted(1, Verdict.groupId(GROUP), new IllegalStateException("größer")));
        Verdict verdict = barrierFails();
        assertThat(verdict.code()).isEqualTo(ErrorCode.ABORTED);
        assertThat(verdict.rank()).isEqualTo(1);
        assertThat(verdict.text()).isEqualTo("java.lang.IllegalStateException: größer");
    }

    @Test
    void aVerdictMayComeBetweenTheFramesOfAMessage() throws IOException {
        peer.configureBlocking(false);
        int length = 2 * Frame.CHUNK / 4;
        OperationTag tag = new OperationTag(1, Operation.SEND, null, DataType.F32, length, 0);
        peer.configureBlocking(true);
        peer.write(data(tag, new float[Frame.CHUNK / 4]));
        peer.configureBlocking(false);
        new Outlet(peer, seal, Verdict.MAX_TEXT).lastWords(Verdict.aborted(1, 0, new IllegalStateException("enough")));
        assertThat(failure(() -> received(tag)).text()).contains("enough");
    }

    @Test
    void aGoodbyeIsALeaving() throws IOException {
        peer.write(frame(Frame.GOODBYE, 0, 0, 0));
        assertThat(barrierFails().text()).contains("rank 1 left the group");
    }

    @Test
    @FaultCase("F32")
    void anotherLengthIsAMismatchAndTakesNoMemory() throws IOException {
        peer.write(data(new OperationTag(1, Operation.BARRIER, null, DataType.F64, Long.MAX_VALUE, -1)));
        assertThat(barrierFails().code()).isEqualTo(ErrorCode.COLLECTIVE_MISMATCH);
    }

    @Test
    @FaultCase("F32")
    void framesOutOfPlaceAreRefused() throws IOException {
        int length = 2 * Frame.CHUNK / 4;
        OperationTag tag = new OperationTag(1, Operation.SEND, null, DataType.F32, length, 0);
        peer.write(data(tag, new float[Frame.CHUNK / 4]));
        peer.write(frame(Frame.MORE, 0, Frame.CHUNK / 2, 0, 1, 2)); // not where the first frame ended
        Verdict verdict = failure(() -> received(tag));
        assertThat(verdict.code()).isEqualTo(ErrorCode.PROTOCOL);
        assertThat(verdict.text()).contains("in the middle of a message", "link 1->0");
    }

    @Test
    void kindsThatAreNoneAreRefused() throws IOException {
        peer.write(frame(9, 0, 0, 0));
        assertThat(barrierFails().code()).isEqualTo(ErrorCode.PROTOCOL);
    }

    @Test
    void operationsThatAreNoneAreRefused() throws IOException {
        peer.write(frame(Frame.DATA, 0x7f, 0, 0));
        Verdict verdict = barrierFails();
        assertThat(verdict.code()).isEqualTo(ErrorCode.PROTOCOL);
        assertThat(verdict.text()).contains("unknown operation 127");
    }

    @Test
    void verdictsThatAreNoneAreRefused() throws IOException {
        peer.write(frame(Frame.ABORT, 0xffff, 0, 0));
        Verdict verdict = barrierFails();
        assertThat(verdict.code()).isEqualTo(ErrorCode.PROTOCOL);
        assertThat(verdict.text()).contains("a verdict of 65535 bytes");
    }

    @Test
    @FaultCase("F32")
    void noRandomHeaderBreaksTheReader() throws IOException {
        Random random = new Random(42);
        ByteBuffer noise = Wire.buffer(Frame.BYTES);
        for (int i = 0; i < 100_000; i++) {
            noise.putLong(0, random.nextLong() & (i % 2 == 0 ? -1 : 0xffffffff00ff07ffL));
            noise.putLong(8, random.nextLong()).putLong(16, random.nextLong());
            try {
                Frame.tag(noise, 0);
                assertThat(Frame.textBytes(noise, 0)).isBetween(0, Verdict.MAX_TEXT);
                Frame.verdict(noise, 0, "");
            } catch (IllegalArgumentException refused) {
                assertThat(refused.getMessage()).isNotEmpty();
            }
        }
        peer.write(ByteBuffer.wrap(new byte[64]));
        assertThat(barrierFails().text()).contains("a damaged header");
    }

    @Test
    void aPeerThatDoesNotReadIsNotWaitedFor() {
        HostBuffer much = HostBuffer.allocate(DataType.F32, 16 << 20);
        OperationTag tag = new OperationTag(1, Operation.SEND, null, DataType.F32, much.length(), 1);
        link.send(tag, much);
        assertThat(link.pushed()).isFalse();
        assertThat(link.pushedBytes()).isBetween(1L, much.bytes() - 1L);
    }
}
