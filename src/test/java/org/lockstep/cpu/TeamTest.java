package org.lockstep.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicIntegerArray;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

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
