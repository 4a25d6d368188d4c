package org.lockstep;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** That what is left is seen. */
@Timeout(60)
class LeftTest {
    @Test
    void aTwinOfAThreadThatWasThereIsSeen() throws Exception {
        CountDownLatch over = new CountDownLatch(1);
        List<Thread> twins = new ArrayList<>();
        try {
            twins.add(waiting(over));
            Left before = Left.now();
            twins.add(waiting(over));
            Left after = Left.now();
            assertThatThrownBy(() -> after.requireNoMoreThan(before))
                    .isInstanceOf(AssertionError.class)
                    .hasMessageContaining("threads named lockstep-twin");
        } finally {
            over.countDown();
            for (Thread twin : twins) {
                twin.join();
            }
        }
    }

    private static Thread waiting(CountDownLatch over) {
        Thread thread = new Thread(
                () -> {
                    try {
                        over.await();
                    } catch (InterruptedException end) {
                        Thread.currentThread().interrupt();
                    }
                },
                "lockstep-twin");
        thread.start();
        return thread;
    }
}
