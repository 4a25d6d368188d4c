package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.ErrorCode;
import org.lockstep.collective.ControlPlane;
import org.lockstep.collective.Roster;
import org.lockstep.collective.WorldSpec;
import org.lockstep.topology.ParallelSizes;

/** The first rank's end of a control connection; the other one, which has proven itself, says what the test wants. */
@Timeout(30)
class ControlTest {
    private static final int PORT = 3;
    private static final Rhythm OFTEN = new Rhythm(Duration.ofMillis(10), Duration.ofMinutes(1), Duration.ofMinutes(1));

    private final WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2));
    private final Roster roster = Rosters.of(spec, List.of("127.0.0.1"), 1, 2);
    private final Fate fate = Rosters.fate(spec);
    private final Extension plane = new Extension(fate.switchboard(), roster, 0);
    private final CrcSeal seal = new CrcSeal();
    private final CountDownLatch sealed = new CountDownLatch(1);
    private SocketChannel peer;

    @BeforeEach
    void connect() throws IOException {
        fate.listen(sealed::countDown);
        plane.serve(PORT, (from, question) -> CompletableFuture.completedFuture(question));
        try (ServerSocketChannel listener = ServerSocketChannel.open()) {
            listener.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
            peer = SocketChannel.open(listener.getLocalAddress());
            SocketChannel ours = listener.accept();
            ours.configureBlocking(false);
            Control.start(fate, roster, 0, OFTEN).add(List.of(1), new Links.Proven(ours, new CrcSeal()));
        }
    }

    @AfterEach
    void disconnect() throws IOException {
        fate.leave();
        peer.close();
    }

    private void say(int kind, long word, long second, long third, int payload) throws IOException {
        ByteBuffer frame = Wire.buffer(seal.frameBytes(payload));
        Frame.put(frame, kind, word, second, third);
        seal.seal(frame, payload);
        peer.write(frame.clear());
    }

    private void call(int kind, int bytes, int number, int from, int to, int payload) throws IOException {
        say(kind, PORT | (long) bytes << 32, number, from | (long) to << 32, payload);
    }

    private void assertRefused(String what) throws InterruptedException {
        assertThat(sealed.await(20, TimeUnit.SECONDS)).isTrue();
        Verdict verdict = fate.verdict();
        assertThat(verdict).isNotNull();
        assertThat(verdict.code()).isEqualTo(ErrorCode.PROTOCOL);
        assertThat(verdict.culprit()).isEqualTo(1);
        assertThat(verdict.text()).startsWith("rank 1 sent ").contains(what);
    }

    /** What comes from there: the words of the first frame that is no sign of life, and its payload. */
    private ByteBuffer answer(int payload) throws IOException {
        while (true) {
            ByteBuffer header = ByteBuffer.allocate(seal.headerBytes()).order(ByteOrder.LITTLE_ENDIAN);
            read(header);
            if (Frame.kind(header, 0) != Frame.HEARTBEAT) {
                read(ByteBuffer.allocate(payload));
                return header;
            }
        }
    }

    private void read(ByteBuffer into) throws IOException {
        while (into.hasRemaining()) {
            assertThat(peer.read(into)).isPositive();
        }
    }

    @Test
    void signsOfLifeMayComeBetweenTheParcelsOfACall() throws IOException {
        int bytes = Frame.PARCEL + 5;
        call(Frame.CALL, bytes, 77, 1, 0, Frame.PARCEL);
        say(Frame.HEARTBEAT, 0, 0, 0, 0);
        call(Frame.CALL, bytes, 77, 1, 0, 5);
        Message.Envelope answer = Frame.envelope(answer(Frame.PARCEL), 0);
        assertThat(answer).isEqualTo(new Message.Envelope(true, PORT, 77, 0, 1, bytes));
        assertThat(Frame.envelope(answer(5), 0)).isEqualTo(answer);
        assertThat(fate.verdict()).isNull();
    }

    @Test
    void aSignOfLifeDoesNotWaitForTheEndOfALongCall() throws IOException {
        int bytes = 32 << 20; // more than sockets hold
        plane.call(1, PORT, new byte[bytes]);
        answer(Frame.PARCEL);
        long later = System.nanoTime() + OFTEN.beat().multipliedBy(10).toNanos();
        while (System.nanoTime() - later < 0) {
            Thread.onSpinWait(); // the socket is full, and a sign of life is due
        }
        int beats = 0;
        for (int left = bytes - Frame.PARCEL; left > 0; ) {
            ByteBuffer header = ByteBuffer.allocate(seal.headerBytes()).order(ByteOrder.LITTLE_ENDIAN);
            read(header);
            if (Frame.kind(header, 0) == Frame.HEARTBEAT) {
                beats++;
            } else {
                int parcel = Math.min(left, Frame.PARCEL);
                read(ByteBuffer.allocate(parcel));
                left -= parcel;
            }
        }
        assertThat(beats).isPositive();
    }

    @ParameterizedTest
    @CsvSource({
        "-1, a call of -1 bytes",
        "67108865, a call of 67108865 bytes",
        "2147483647, a call of 2147483647 bytes",
    })
    void aCallOfImpossibleLengthIsRefusedAndTakesNoMemory(int bytes, String what) throws Exception {
        assertThat(ControlPlane.MAX_BYTES).isEqualTo(67108864);
        call(Frame.CALL, bytes, 1, 1, 0, 0);
        assertRefused(what);
    }

    @Test
    void kindsThatAreNoneAreRefused() throws Exception {
        say(9, 0, 0, 0, 0);
        assertRefused("a frame of kind 9");
    }

    @Test
    void elementsHaveNoPlaceHere() throws Exception {
        say(Frame.DATA, 0, 1, 4, 0);
        assertRefused("a frame of kind 1");
    }

    @Test
    void aCallInTheMiddleOfAnotherIsRefused() throws Exception {
        call(Frame.CALL, Frame.PARCEL + 5, 1, 1, 0, Frame.PARCEL);
        call(Frame.CALL, 5, 2, 1, 0, 5);
        assertRefused("a call in the middle of another");
    }

    @ParameterizedTest
    @CsvSource({"0, 0", "2, 0", "1, 2", "1, -1", "-1, 0"})
    void aCallInAnothersNameOrToNobodyIsRefused(int from, int to) throws Exception {
        say(Frame.CALL, PORT, 1, from & 0xffffffffL | (long) to << 32, 0);
        assertRefused("a call of rank " + from + " to rank " + to);
    }

    @Test
    void anAnswerToNothingIsRefused() throws Exception {
        call(Frame.ANSWER, 0, 4711, 1, 0, 0);
        assertRefused("an answer to nothing that was asked, number 4711");
    }

    @Test
    void anAnswerFromAnotherPortThanWasAskedIsRefused() throws Exception {
        CompletableFuture<byte[]> call = plane.call(1, PORT + 1, new byte[0]);
        long number = Frame.envelope(answer(0), 0).number();
        call(Frame.ANSWER, 0, (int) number, 1, 0, 0);
        assertRefused("an answer to nothing that was asked, number " + number);
        assertThat(call).isCompletedExceptionally();
    }

    @Test
    void aPortWhereNobodyAnswersIsRefused() throws Exception {
        say(Frame.CALL, 200, 1, 1, 0);
        assertRefused("a call to port 200, where nobody answers");
    }

    @Test
    void aDamagedParcelIsRefused() throws Exception {
        ByteBuffer frame = Wire.buffer(seal.frameBytes(8));
        Frame.put(frame, Frame.CALL, PORT | 8L << 32, 1, 1);
        seal.seal(frame, 8);
        frame.put(seal.headerBytes() + 2, (byte) 1);
        peer.write(frame.clear());
        assertRefused("damaged bytes of a call");
    }

    @Test
    void aJvmThatLeavesAndOwesAnAnswerIsLost() throws Exception {
        CompletableFuture<byte[]> call = plane.call(1, PORT, new byte[0]);
        answer(0);
        say(Frame.GOODBYE, 0, 0, 0, 0);
        assertThat(sealed.await(20, TimeUnit.SECONDS)).isTrue();
        assertThat(call).isCompletedExceptionally();
        assertThat(fate.verdict().code()).isEqualTo(ErrorCode.PEER_LOST);
        assertThat(fate.verdict().text()).contains("rank 1 left without the answer that rank 0 waits for");
    }

    @Test
    void aJvmThatLeftInOrderCannotBeCalled() throws Exception {
        say(Frame.GOODBYE, 0, 0, 0, 0);
        while (peer.read(ByteBuffer.allocate(1000)) >= 0) {
            Thread.onSpinWait(); // until our end is closed too
        }
        CompletableFuture<byte[]> call = plane.call(1, PORT, new byte[0]);
        assertThat(sealed.await(20, TimeUnit.SECONDS)).isTrue();
        assertThat(call).isCompletedExceptionally();
        assertThat(fate.verdict().code()).isEqualTo(ErrorCode.PEER_LOST);
        assertThat(fate.verdict().text()).contains("rank 1 left before a call of rank 0 reached it");
    }

    @Test
    void aJvmThatDiedBeforeAMessageReachedItIsGoneAndDidNotLeave() throws Exception {
        int fatal = PORT + 1;
        plane.serve(fatal, (from, question) -> {
            try {
                peer.close(); // while the control thread hears its call, so that the end comes before the answer goes
            } catch (IOException failure) {
                throw new UncheckedIOException(failure);
            }
            return CompletableFuture.completedFuture(question);
        });
        say(Frame.CALL, fatal, 1, 1, 0);
        assertThat(sealed.await(20, TimeUnit.SECONDS)).isTrue();
        assertThat(fate.verdict().code()).isEqualTo(ErrorCode.PEER_LOST);
        assertThat(fate.verdict().text()).contains("rank 1 is gone, its control connection");
    }

    @Test
    void whoLeftInOrderIsOwedNoAnswer() throws Exception {
        CompletableFuture<byte[]> answer = new CompletableFuture<>();
        int slow = PORT + 1;
        plane.serve(slow, (from, question) -> answer);
        say(Frame.CALL, slow, 1, 1, 0);
        say(Frame.GOODBYE, 0, 0, 0, 0);
        while (peer.read(ByteBuffer.allocate(1000)) >= 0) {
            Thread.onSpinWait(); // until our end is closed too
        }
        answer.complete(new byte[0]);
        assertThat(sealed.await(300, TimeUnit.MILLISECONDS))
                .as("thirty signs of life later")
                .isFalse();
    }
}
