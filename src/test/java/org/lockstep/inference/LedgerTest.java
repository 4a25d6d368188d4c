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
    void farFromTheEndAllHaveWhatTheyAskForAndAStock() {
        Ledger ledger = new Ledger(1000, 2);
        assertThat(ledger.lease(0, 32, 8)).isEqualTo(span(0, 40));
        assertThat(ledger.lease(1, 32, 8)).isEqualTo(span(40, 40));
        ledger.complete(0, 0, 1, 2);
        assertThat(ledger.lease(0, 3, 0)).isEqualTo(span(80, 3));
        assertThat(ledger.lease(1, 0, 8)).isEqualTo(span(83, 8));
    }

    @Test
    void nobodyGetsMoreThanAnEvenShareHoweverOftenItAsks() {
        Ledger ledger = new Ledger(40, 2);
        assertThat(ledger.lease(0, 32, 8)).isEqualTo(span(0, 20));
        assertThat(ledger.lease(0, 12, 8)).isEmpty();
        assertThat(ledger.lease(1, 32, 8)).isEqualTo(span(20, 20));
        Ledger odd = new Ledger(5, 2);
        assertThat(odd.lease(1, 5, 0)).as("rounded up").isEqualTo(span(0, 3));
        assertThat(odd.lease(1, 5, 0)).isEmpty();
        assertThat(odd.lease(0, 5, 0)).isEqualTo(span(3, 2));
    }

    @Test
    void noneIsInStockWhereFewerWaitThanAreOpen() {
        Ledger ledger = new Ledger(100, 2);
        assertThat(ledger.lease(0, 32, 8)).as("60 wait").isEqualTo(span(0, 40));
        assertThat(ledger.lease(1, 32, 8)).as("20 would wait").isEqualTo(span(40, 32));
        assertThat(ledger.lease(1, 0, 8)).isEmpty();
        assertThat(ledger.lease(1, 2, 8)).as("its share is 50").isEqualTo(span(72, 2));
    }

    @Test
    void aSlowReplicaHoldsNoRowThatTheOtherCouldBegin() {
        Ledger ledger = new Ledger(100, 2);
        ledger.lease(1, 4, 1); // and none of them is done before the others are
        int done = 0;
        for (Optional<Ledger.Span> lease = ledger.lease(0, 4, 1); lease.isPresent(); lease = ledger.lease(0, 4, 1)) {
            for (long number = lease.get().from();
                    number < lease.get().from() + lease.get().count();
                    number++) {
                ledger.complete(0, number);
                done++;
            }
        }
        assertThat(done).isEqualTo(95);
    }

    @Test
    void itIsDrainedWhenAllIsCompleteAndFromTheBeginningIfThereIsNothing() {
        assertThat(new Ledger(0, 3).isDrained()).isTrue();
        Ledger ledger = new Ledger(2, 2);
        ledger.lease(0, 1, 0);
        ledger.lease(1, 1, 0);
        ledger.complete(1, 1);
        assertThat(ledger.isDrained()).isFalse();
        ledger.complete(0, 0);
        assertThat(ledger.isDrained()).isTrue();
    }

    @Test
    void whatALostReplicaHadGoesToTheOthersFirst() {
        Ledger ledger = new Ledger(100, 2);
        assertThat(ledger.lease(0, 6, 0)).isEqualTo(span(0, 6));
        assertThat(ledger.lease(1, 4, 0)).isEqualTo(span(6, 4));
        ledger.complete(0, 2, 5);
        ledger.revoke(0);
        assertThat(ledger.lease(1, 1, 0)).isEqualTo(span(0, 1));
        assertThat(ledger.lease(1, 100, 0)).isEqualTo(span(1, 1));
        assertThat(ledger.lease(1, 100, 0)).isEqualTo(span(3, 2));
        assertThat(ledger.lease(1, 100, 0)).isEqualTo(span(10, 90));
        ledger.complete(1, 0, 1, 3, 4);
        ledger.complete(1, LongStream.range(6, 100).toArray());
        assertThat(ledger.isDrained()).isTrue();
    }

    @Test
    void whatCannotBeIsRefused() {
        Ledger ledger = new Ledger(10, 2);
        ledger.lease(0, 2, 0);
        assertThatThrownBy(() -> ledger.complete(1, 0)).hasMessage("request 0 is not leased to replica 1");
        assertThatThrownBy(() -> ledger.complete(0, 0, 0)).hasMessage("request 0 is not leased to replica 0");
        assertThatThrownBy(() -> ledger.complete(0, 7)).hasMessage("request 7 is not leased to replica 0");
        assertThatThrownBy(() -> ledger.complete(0, -1)).hasMessage("request -1 is not leased to replica 0");
        assertThatThrownBy(() -> ledger.lease(0, 0, 0)).hasMessage("a lease of 0 requests and 0 ahead");
        assertThatThrownBy(() -> ledger.lease(0, -1, 2)).hasMessage("a lease of -1 requests and 2 ahead");
        assertThatThrownBy(() -> ledger.lease(0, 2, -1)).hasMessage("a lease of 2 requests and -1 ahead");
        assertThatThrownBy(() -> ledger.lease(0, 2, Integer.MAX_VALUE)).hasMessageContaining("a lease of 2 requests");
        assertThatThrownBy(() -> ledger.lease(2, 1, 0)).hasMessageContaining("replica 2 is none");
        ledger.revoke(0);
        assertThatThrownBy(() -> ledger.lease(0, 1, 0)).hasMessageContaining("replica 0 is none");
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
                    int open = held.stream().mapToInt(List::size).sum();
                    int left = total - complete.size();
                    int room = random.nextInt(20);
                    Optional<Ledger.Span> lease = ledger.lease(replica, room, 1 + random.nextInt(5));
                    assertThat(lease.isPresent() || room == 0 || left == open || !mine.isEmpty())
                            .as("who has none gets some while some wait")
                            .isTrue();
                    lease.ifPresent(span -> {
                        for (long number = span.from(); number < span.from() + span.count(); number++) {
                            long leased = number;
                            assertThat(held).noneMatch(each -> each.contains(leased));
                            mine.add(leased);
                        }
                        assertThat(mine.size()).isLessThanOrEqualTo((left + present.size() - 1) / present.size());
                    });
                } else if (!mine.isEmpty()) {
                    long number = mine.remove(random.nextInt(mine.size()));
                    ledger.complete(replica, number);
                    assertThat(complete.add(number)).isTrue();
                }
            }
            assertThat(complete).hasSize(total);
            assertThat(held).allMatch(List::isEmpty);
            assertThat(ledger.lease(present.get(0), 1, 0)).isEmpty();
        }
    }
}
