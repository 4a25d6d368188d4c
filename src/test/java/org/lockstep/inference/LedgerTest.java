package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LedgerTest {
    private static Optional<Ledger.Span> span(long from, int count) {
        return Optional.of(new Ledger.Span(from, count));
    }

    @Test
    void leasesGetSmallerTowardsTheEnd() {
        Ledger ledger = new Ledger(20, 2);
        assertThat(ledger.lease(0, 100)).isEqualTo(span(0, 5));
        assertThat(ledger.lease(1, 2)).isEqualTo(span(5, 2));
        assertThat(ledger.lease(1, 100)).isEqualTo(span(7, 3));
        assertThat(ledger.lease(1, 100)).isEqualTo(span(10, 2));
        assertThat(ledger.lease(0, 100)).isEqualTo(span(12, 2));
        for (int number = 14; number < 20; number++) {
            assertThat(ledger.lease(1, 100)).isEqualTo(span(number, 1));
        }
        assertThat(ledger.lease(0, 1)).isEmpty();
        assertThat(ledger.isDrained()).isFalse();
    }

    @Test
    void aReplicaAloneGetsWhatItAsksFor() {
        Ledger ledger = new Ledger(20, 1);
        assertThat(ledger.lease(0, 15)).isEqualTo(span(0, 15));
        assertThat(ledger.lease(0, 15)).isEqualTo(span(15, 5));
    }

    @Test
    void itIsDrainedWhenAllIsCompleteAndFromTheBeginningIfThereIsNothing() {
        assertThat(new Ledger(0, 3).isDrained()).isTrue();
        Ledger ledger = new Ledger(2, 2);
        ledger.lease(0, 1);
        ledger.lease(1, 1);
        ledger.complete(1, 1);
        assertThat(ledger.isDrained()).isFalse();
        ledger.complete(0, 0);
        assertThat(ledger.isDrained()).isTrue();
    }

    @Test
    void whatALostReplicaHadGoesToTheOthersFirst() {
        Ledger ledger = new Ledger(100, 2);
        assertThat(ledger.lease(0, 6)).isEqualTo(span(0, 6));
        assertThat(ledger.lease(1, 4)).isEqualTo(span(6, 4));
        ledger.complete(0, 2, 5);
        ledger.revoke(0);
        assertThat(ledger.lease(1, 1)).isEqualTo(span(0, 1));
        assertThat(ledger.lease(1, 100)).isEqualTo(span(1, 1));
        assertThat(ledger.lease(1, 100)).isEqualTo(span(3, 2));
        assertThat(ledger.lease(1, 100)).isEqualTo(span(10, 90));
        ledger.complete(1, 0, 1, 3, 4);
        ledger.complete(1, LongStream.range(6, 100).toArray());
        assertThat(ledger.isDrained()).isTrue();
    }

    @Test
    void whatCannotBeIsRefused() {
        Ledger ledger = new Ledger(10, 2);
        ledger.lease(0, 2);
        assertThatThrownBy(() -> ledger.complete(1, 0)).hasMessage("request 0 is not leased to replica 1");
        assertThatThrownBy(() -> ledger.complete(0, 0, 0)).hasMessage("request 0 is not leased to replica 0");
        assertThatThrownBy(() -> ledger.complete(0, 7)).hasMessage("request 7 is not leased to replica 0");
        assertThatThrownBy(() -> ledger.complete(0, -1)).hasMessage("request -1 is not leased to replica 0");
        assertThatThrownBy(() -> ledger.lease(0, 0)).hasMessage("a lease of 0 requests");
        assertThatThrownBy(() -> ledger.lease(2, 1)).hasMessageContaining("replica 2 is none");
        ledger.revoke(0);
        assertThatThrownBy(() -> ledger.lease(0, 1)).hasMessageContaining("replica 0 is none");
        assertThatThrownBy(() -> ledger.complete(0, 1)).hasMessageContaining("replica 0 is none");
        assertThatThrownBy(() -> ledger.revoke(0)).hasMessageContaining("replica 0 is none");
    }

    /** Replicas of random speeds that come, work and vanish in random order, all but one. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void everyRequestIsCompletedOnceWhoeverIsLost(long seed) {
        Random random = new Random(seed);
        for (int run = 0; run < 200; run++) {
            int total = random.nextInt(300);
            int replicas = 1 + random.nextInt(6);
            Ledger ledger = new Ledger(total, replicas);
            List<List<Long>> held = new ArrayList<>();
            List<Integer> present = new ArrayList<>();
            for (int replica = 0; replica < replicas; replica++) {
                held.add(new ArrayList<>());
                present.add(replica);
            }
            Set<Long> complete = new HashSet<>();
            while (!ledger.isDrained()) {
                int replica = present.get(random.nextInt(present.size()));
                List<Long> mine = held.get(replica);
                int what = random.nextInt(100);
                if (what < 2 && present.size() > 1) {
                    ledger.revoke(replica);
                    present.remove((Integer) replica);
                    mine.clear();
                } else if (what < 40) {
                    ledger.lease(replica, 1 + random.nextInt(20)).ifPresent(span -> {
                        for (long number = span.from(); number < span.from() + span.count(); number++) {
                            long leased = number;
                            assertThat(held).noneMatch(each -> each.contains(leased));
                            mine.add(leased);
                        }
                    });
                } else if (!mine.isEmpty()) {
                    long number = mine.remove(random.nextInt(mine.size()));
                    ledger.complete(replica, number);
                    assertThat(complete.add(number)).isTrue();
                }
            }
            assertThat(complete).hasSize(total);
            assertThat(held).allMatch(List::isEmpty);
            assertThat(ledger.lease(present.get(0), 1)).isEmpty();
        }
    }
}
