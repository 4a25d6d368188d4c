package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ProcessGroup;

/** What one thread lends another is what it lent, however many messages wait to be taken. */
class LendingTest {
    private static final int LENGTH = Board.COPIED_BYTES / 4 + 1;

    private final ProcessGroup group = ProcessGroup.of("world", 0, 0, 1);
    private final Board board = new Board(2);
    private final Link lender = board.link(group, 0, 1);
    private final Link borrower = board.link(group, 1, 0);

    private static OperationTag tag(int number) {
        return new OperationTag(number, Operation.SEND, null, DataType.F32, LENGTH, 1);
    }

    private static HostBuffer filled(int value) {
        HostBuffer buffer = HostBuffer.allocate(DataType.F32, LENGTH);
        Arrays.fill(buffer.floats(), value);
        return buffer;
    }

    private void take(int number) {
        borrower.expect(tag(number), LENGTH * 4L);
        assertThat(borrower.arrived()).isTrue();
        HostBuffer lent = Objects.requireNonNull(borrower.lent());
        assertThat(lent.floats()).as("message %d", number).containsOnly(number);
        borrower.received();
    }

    @Test
    void aLenderThatDoesNotWaitMayChangeItsBufferAndNobodyIsShownAnotherMessage() {
        HostBuffer buffer = HostBuffer.allocate(DataType.F32, LENGTH);
        int sent = 0;
        boolean pushed = true;
        while (pushed) { // until the ring has room for no more tags
            Arrays.fill(buffer.floats(), ++sent);
            lender.send(tag(sent), buffer);
            pushed = lender.pushed();
            assertThat(lender.isReturned()).isFalse();
            assertThat(lender.isReplaced()).isEqualTo(pushed);
        }
        assertThat(sent).isEqualTo(Ring.TAGS + 1);
        take(1);
        assertThat(lender.pushed()).isTrue();
        assertThat(lender.isReplaced()).isTrue();
        Arrays.fill(buffer.floats(), -1);
        for (int number = 2; number <= sent; number++) {
            take(number);
        }
        assertThat(lender.isReturned()).isTrue();
    }

    @Test
    void whatTheBorrowerLooksAtIsNotReplaced() {
        lender.send(tag(1), filled(1));
        lender.send(tag(2), filled(2));
        borrower.expect(tag(1), LENGTH * 4L);
        assertThat(borrower.arrived()).isTrue();
        assertThat(lender.isReplaced()).isFalse();
        assertThat(Objects.requireNonNull(borrower.lent()).floats()).containsOnly(1);
        borrower.received();
        assertThat(lender.isReturned()).isFalse();
        assertThat(lender.isReplaced()).isTrue();
        take(2);
        assertThat(lender.isReturned()).isTrue();
    }

    @Test
    void whoHasLeftTakesNothingAnyMoreThoughAMessageOfItLiesUnread() {
        borrower.send(tag(1), filled(1));
        int sent = 0;
        while (lender.pushed()) {
            lender.send(tag(++sent), null);
        }
        lender.check();
        board.leave(1);
        assertThatThrownBy(lender::check)
                .isInstanceOfSatisfying(
                        Failed.class,
                        failed -> assertThat(failed.verdict().text()).contains("rank 1 left the group"));
    }

    @Test
    void whatSomebodySentBeforeItLeftIsStillReceived() {
        borrower.send(tag(1), filled(1));
        board.leave(1);
        lender.expect(tag(1), LENGTH * 4L);
        lender.check();
        assertThat(lender.arrived()).isTrue();
    }
}
