package org.lockstep.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.atomic.AtomicIntegerArray;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
class TeamTest {
    @ParameterizedTest
    @CsvSource({"1,true", "2,true", "2,false", "5,true", "5,false"})
    void everyPartIsDoneOnceByAWorkerOfTheTeam(int size, boolean spins) {
        try (Team team = Team.of(size, spins)) {
            assertThat(team.size()).isEqualTo(size);
            for (int round = 0; round < 2000; round++) {
                int parts = round % 13;
                AtomicIntegerArray done = new AtomicIntegerArray(parts + 1);
                team.run(
                        (part, worker) -> {
                            assertThat(worker).isBetween(0, size - 1);
                            done.incrementAndGet(part);
                        },
                        parts);
                for (int part = 0; part < parts; part++) {
                    assertThat(done.get(part)).isEqualTo(1);
                }
            }
        }
    }

    @Test
    void whatAPartThrowsReachesTheCallerAndTheTeamGoesOn() {
        try (Team team = Team.of(3, true)) {
            for (int round = 0; round < 200; round++) {
                assertThatThrownBy(() -> team.run(
                                (part, worker) -> {
                                    if (part == 7) {
                                        throw new IllegalArgumentException("part 7");
                                    }
                                },
                                10))
                        .hasMessage("part 7");
                AtomicIntegerArray done = new AtomicIntegerArray(10);
                team.run((part, worker) -> done.incrementAndGet(part), 10);
                assertThat(done).hasToString("[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]");
            }
        }
    }

    /** After the time they spin for: asked again until they do, on a machine as slow as may be. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void workersWithoutWorkAreParkedAndHoldNoCore(boolean spins) throws Exception {
        int size = 4;
        try (Team team = Team.of(size, spins)) {
            for (int round = 0; round < 20; round++) {
                Set<Thread> workers = everyThreadOf(team);
                workers.remove(Thread.currentThread());
                assertThat(workers).hasSize(size - 1);
                await().atMost(Duration.ofSeconds(50)).untilAsserted(() -> {
                    long used = nanosOfCpu(workers);
                    assertThat(workers).extracting(Thread::getState).containsOnly(Thread.State.WAITING);
                    assertThat(nanosOfCpu(workers)).as("their time on a core").isEqualTo(used);
                });
            }
        }
    }

    /** Each has one part, for none returns before all have one. */
    private static Set<Thread> everyThreadOf(Team team) {
        Set<Thread> threads = ConcurrentHashMap.newKeySet();
        CyclicBarrier together = new CyclicBarrier(team.size());
        team.run(
                (part, worker) -> {
                    threads.add(Thread.currentThread());
                    try {
                        together.await();
                    } catch (InterruptedException | BrokenBarrierException e) {
                        throw new IllegalStateException(e);
                    }
                },
                team.size());
        return threads;
    }

    private static long nanosOfCpu(Set<Thread> threads) {
        ThreadMXBean times = ManagementFactory.getThreadMXBean();
        return threads.stream()
                .mapToLong(thread -> times.getThreadCpuTime(thread.getId()))
                .sum();
    }

    @Test
    void aTeamThatWasToldToSleepAtOnceStillDoesAllItsWork() {
        try (Team team = Team.of(3, true)) {
            everyThreadOf(team);
            team.sleepAtOnce();
            assertThat(team.spins()).isFalse();
            for (int round = 0; round < 100; round++) {
                assertThat(everyThreadOf(team)).hasSize(3);
            }
        }
    }

    @Test
    void closeEndsTheThreadsAndRefusesFurtherWork() {
        Team team = Team.of(4, false);
        Set<Thread> seen = ConcurrentHashMap.newKeySet();
        team.run((part, worker) -> seen.add(Thread.currentThread()), 1000);
        team.close();
        team.close();
        seen.remove(Thread.currentThread());
        assertThat(seen).noneMatch(Thread::isAlive);
        assertThatThrownBy(() -> team.run((part, worker) -> {}, 2)).hasMessage("the kernels are closed");
    }
}
