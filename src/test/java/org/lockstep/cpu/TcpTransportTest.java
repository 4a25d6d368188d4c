package org.lockstep.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.ErrorCode;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ProcessGroup;

/** One end of a connection is ours, the other says what the test wants (F32, F36). */
@Timeout(30)
class TcpTransportTest {
    private static final ProcessGroup GROUP = ProcessGroup.of("tp", 0, 0, 1);
    private static final OperationTag BARRIER = new OperationTag(1, Operation.BARRIER, null, null, 0, -1);
    private static final OperationTag SEND = new OperationTag(1, Operation.SEND, null, DataType.F32, 3, 0);

    private SocketChannel peer;
    private TcpTransport transport;

    @BeforeEach
    void connect() throws IOException {
        try (ServerSocketChannel listener = ServerSocketChannel.open()) {
            listener.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
            peer = SocketChannel.open(listener.getLocalAddress());
            peer.setOption(StandardSocketOptions.TCP_NODELAY, true);
            SocketChannel ours = listener.accept();
            ours.configureBlocking(false);
            Links links = new Links();
            links.put(new Links.Id(Verdict.groupId(GROUP), 1), ours);
            transport = TcpTransport.over(GROUP, 0, links, new Fate());
        }
    }

    @AfterEach
    void disconnect() throws IOException {
        transport.close();
        peer.close();
    }

    private Verdict failure(Runnable operation) {
        Transport.Failed failed = catchThrowableOfType(Transport.Failed.class, operation::run);
        assertThat(failed).isNotNull();
        return failed.verdict;
    }

    private Verdict barrierFails() {
        return failure(
                () -> transport.swap(BARRIER, new HostBuffer[2], any -> null, Deadline.in(Duration.ofSeconds(10))));
    }

    private static ByteBuffer bytes(int size) {
        return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    }

    @Test
    void whatWasTakenIsClosedIfTheTransportCannotBeMade() throws IOException {
        ProcessGroup three = ProcessGroup.of("tp", 0, 0, 1, 2);
        Links links = new Links();
        SocketChannel gone = SocketChannel.open();
        gone.close(); // cannot be watched
        try (SocketChannel good = SocketChannel.open()) {
            good.configureBlocking(false);
            links.put(new Links.Id(Verdict.groupId(three), 1), good);
            links.put(new Links.Id(Verdict.groupId(three), 2), gone);
            CommunicatorException failure = catchThrowableOfType(
                    CommunicatorException.class, () -> TcpTransport.over(three, 0, links, new Fate()));
            assertThat(failure.code()).isEqualTo(ErrorCode.RENDEZVOUS_FAILED);
            assertThat(good.isOpen()).isFalse();
        }
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
        ByteBuffer frame = bytes(Frame.BYTES + 5);
        Frame.data(frame, SEND);
        frame.position(Frame.BYTES + 5).flip();
        peer.write(frame);
        peer.close();
        HostBuffer got = HostBuffer.allocate(DataType.F32, 3);
        Verdict verdict = failure(() -> transport.receive(SEND, got, 1, Deadline.in(Duration.ofSeconds(10))));
        assertThat(verdict.code()).isEqualTo(ErrorCode.PEER_LOST);
    }

    @Test
    void framesMayComeInSingleBytes() throws Exception {
        ByteBuffer frame = bytes(Frame.BYTES + 12);
        Frame.data(frame, SEND);
        frame.putFloat(1.5f).putFloat(-2f).putFloat(1e30f).flip();
        Thread slow = new Thread(() -> {
            try {
                while (frame.hasRemaining()) {
                    peer.write(ByteBuffer.wrap(new byte[] {frame.get()}));
                }
            } catch (IOException failure) {
                throw new IllegalStateException(failure);
            }
        });
        slow.start();
        HostBuffer got = HostBuffer.allocate(DataType.F32, 3);
        transport.receive(SEND, got, 1, Deadline.in(Duration.ofSeconds(10)));
        assertThat(got.toFloats()).containsExactly(1.5f, -2f, 1e30f);
        slow.join();
    }

    @Test
    void aVerdictAndAGoodbyeAreUnderstoodInTheMiddleOfWaiting() throws IOException {
        ByteBuffer abort = bytes(Frame.BYTES + Verdict.MAX_TEXT);
        Frame.abort(abort, Verdict.aborted(1, Verdict.groupId(GROUP), new IllegalStateException("größer")));
        peer.write(abort.flip());
        Verdict verdict = barrierFails();
        assertThat(verdict.code()).isEqualTo(ErrorCode.ABORTED);
        assertThat(verdict.rank()).isEqualTo(1);
        assertThat(verdict.text()).isEqualTo("java.lang.IllegalStateException: größer");
    }

    @Test
    void aGoodbyeIsALeaving() throws IOException {
        ByteBuffer goodbye = bytes(Frame.BYTES);
        Frame.goodbye(goodbye);
        peer.write(goodbye.flip());
        assertThat(barrierFails().text()).contains("rank 1 left the group");
    }

    @Test
    void nonsenseIsAProtocolErrorAndTakesNoMemory() throws IOException {
        ByteBuffer frame = bytes(Frame.BYTES);
        Frame.data(frame, new OperationTag(1, Operation.BARRIER, null, DataType.F64, Long.MAX_VALUE, -1));
        peer.write(frame.flip());
        assertThat(barrierFails().code()).isEqualTo(ErrorCode.COLLECTIVE_MISMATCH);
    }

    @Test
    void noRandomHeaderBreaksTheReader() throws IOException {
        Random random = new Random(42);
        byte[] noise = new byte[Frame.BYTES];
        for (int i = 0; i < 100_000; i++) {
            random.nextBytes(noise);
            noise[0] = (byte) (i % 5);
            noise[1] = (byte) (noise[1] % 12);
            try {
                Frame.Header header = Frame.read(ByteBuffer.wrap(noise).order(ByteOrder.LITTLE_ENDIAN));
                assertThat(header.textBytes()).isBetween(0, Verdict.MAX_TEXT);
            } catch (IllegalArgumentException refused) {
                assertThat(refused.getMessage()).isNotEmpty();
            }
        }
        peer.write(ByteBuffer.wrap(new byte[Frame.BYTES]));
        assertThat(barrierFails().code()).isEqualTo(ErrorCode.PROTOCOL);
    }

    @Test
    void aPeerThatDoesNotReadIsWaitedForUntilTheDeadline() {
        HostBuffer much = HostBuffer.allocate(DataType.F32, 16 << 20);
        OperationTag tag = new OperationTag(1, Operation.SEND, null, DataType.F32, much.length(), 1);
        Verdict verdict = failure(() -> transport.send(tag, much, 1, Deadline.in(Duration.ofMillis(200))));
        assertThat(verdict.code()).isEqualTo(ErrorCode.COLLECTIVE_TIMEOUT);
        assertThat(verdict.text()).contains("0.2 s", "rank 1 did not come");
    }
}
