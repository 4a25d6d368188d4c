package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.lockstep.tensor.Buffer;

/** Who waits for a peer that is busy elsewhere does not burn the core that the peer may need. */
public interface WaitingContract extends Ranks {
    @Test
    default void whoWaitsLeavesTheCores() {
        int size = 5; // on the two cores of a small machine they are too many to spin
        CountDownLatch waiting = new CountDownLatch(size - 1);
        CountDownLatch never = new CountDownLatch(1);
        ThreadMXBean threads = ManagementFactory.getThreadMXBean();
        List<Double> shares = onEvery(size, all -> {
            all.barrier();
            if (all.rankInGroup() == size - 1) {
                waiting.await();
                assertThat(never.await(1, TimeUnit.SECONDS)).isFalse();
            }
            long cpu = threads.getCurrentThreadCpuTime();
            long start = System.nanoTime();
            waiting.countDown(); // not before: the second in which the last rank waits is part of the time
            all.allReduce(Buffer.ofFloats(1, 2), ReduceOp.SUM);
            return (threads.getCurrentThreadCpuTime() - cpu) / (double) (System.nanoTime() - start);
        });
        assertThat(shares.subList(0, size - 1))
                .as("parts of a core while the last rank let them wait for a second")
                .allSatisfy(share -> assertThat(share).isLessThan(0.25));
    }
}
