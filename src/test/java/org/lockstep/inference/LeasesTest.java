package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import java.lang.ref.WeakReference;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.LockstepException;
import org.lockstep.collective.ControlPlane;
import org.lockstep.collective.ObjectCodec;

/** The two services of an exchange, asked by whoever may ask. */
class LeasesTest {
    private final ObjectCodec codec = Leases.codec();

    private CompletableFuture<byte[]> tell(ControlPlane.Service service, int from, Object word) {
        return service.answer(from, codec.encode(word)).toCompletableFuture();
    }

    private Leases.Grant grant(CompletableFuture<byte[]> answer) {
        return codec.decode(answer.getNow(new byte[0]), Leases.Grant.class);
    }

    private static Request request(long id) {
        return new Request(id, new int[] {1, 2}, SamplingParams.greedy());
    }

    private static Completion completion(long id) {
        return new Completion(id, "", new int[] {3}, FinishReason.LENGTH, null, 2);
    }

    @Test
    void whoAsksInVainHearsWhenRequestsComeBackOrAllAreComplete() {
        LedgerService service = new LedgerService(new Ledger(2, 3), List.of(0, 4, 8));
        assertThat(grant(tell(service, 0, new Leases.Ask(5, 0)))).isEqualTo(new Leases.Grant(0, 1, false));
        assertThat(grant(tell(service, 4, new Leases.Ask(5, 0)))).isEqualTo(new Leases.Grant(1, 1, false));
        CompletableFuture<byte[]> waits = tell(service, 8, new Leases.Ask(5, 0));
        CompletableFuture<byte[]> other = tell(service, 0, new Leases.Ask(5, 0));
        assertThat(waits).isNotDone();
        tell(service, 4, new Leases.Leave());
        assertThat(grant(waits)).isEqualTo(new Leases.Grant(1, 1, false));
        tell(service, 8, new Leases.Done(new long[] {1}));
        assertThat(other).isNotDone();
        tell(service, 0, new Leases.Done(new long[] {0}));
        assertThat(grant(other)).isEqualTo(Leases.Grant.OVER);
        assertThat(grant(tell(service, 8, new Leases.Ask(1, 0)))).isEqualTo(Leases.Grant.OVER);
    }

    @Test
    void whoHasItsShareHearsWhenThatGrewAndAtOnceOfAStock() {
        LedgerService service = new LedgerService(new Ledger(8, 2), List.of(0, 1));
        assertThat(grant(tell(service, 0, new Leases.Ask(6, 1)))).isEqualTo(new Leases.Grant(0, 4, false));
        assertThat(grant(tell(service, 0, new Leases.Ask(0, 1)))).isEqualTo(Leases.Grant.NOTHING);
        CompletableFuture<byte[]> waits = tell(service, 0, new Leases.Ask(2, 1));
        assertThat(waits).isNotDone();
        tell(service, 0, new Leases.Done(new long[] {0, 1})); // 2 of the 6 that are left
        assertThat(grant(waits)).isEqualTo(new Leases.Grant(4, 1, false));
    }

    @Test
    void whoLeavesWaitsForNothing() {
        LedgerService service = new LedgerService(new Ledger(1, 2), List.of(0, 1));
        tell(service, 0, new Leases.Ask(1, 0));
        CompletableFuture<byte[]> waits = tell(service, 1, new Leases.Ask(1, 0));
        tell(service, 1, new Leases.Leave());
        assertThat(grant(waits)).isEqualTo(Leases.Grant.OVER);
    }

    @Test
    void theLedgerRefusesWhatCannotBe() {
        LedgerService service = new LedgerService(new Ledger(9, 1), List.of(2));
        assertThatThrownBy(() -> tell(service, 1, new Leases.Ask(1, 0)))
                .hasMessageContaining("rank 1 is no replica's source");
        assertThatThrownBy(() -> tell(service, 2, new Leases.Ask(0, 0)))
                .hasMessage("a lease of 0 requests and 0 ahead");
        assertThatThrownBy(() -> tell(service, 2, new Leases.Done(new long[] {7})))
                .hasMessage("request 7 is not leased to replica 0");
        assertThatThrownBy(() -> tell(service, 2, new Leases.Fetch(0, 1))).hasMessageContaining("the ledger is told");
        assertThatThrownBy(() -> service.answer(2, new byte[] {1, 2, 3})).isInstanceOf(LockstepException.class);
    }

    @ParameterizedTest
    @CsvSource({"-1, 1", "0, 0", "0, -1", "0, 4", "3, 1", "2, 2147483647", "2147483647, 2"})
    void aHomeGivesOnlyWhatItHas(int from, int count) {
        HomeService home =
                new HomeService(List.of(request(5), request(6), request(7)).iterator());
        assertThatThrownBy(() -> tell(home, 1, new Leases.Fetch(from, count)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("of a rank that holds 3 requests");
    }

    @Test
    void aHomeTakesEachCompletionOnce() {
        HomeService home = new HomeService(List.of(request(5), request(6)).iterator());
        assertThat(codec.decode(tell(home, 1, new Leases.Fetch(1, 1)).join(), Request[].class))
                .containsExactly(request(6));
        Completion[] six = {completion(6)};
        for (int place : new int[] {-1, 0, 2}) {
            assertThatThrownBy(() -> tell(home, 1, new Leases.Delivery(new int[] {place}, six)))
                    .hasMessageContaining("is of no request at place " + place);
        }
        assertThatThrownBy(() -> tell(home, 1, new Leases.Delivery(new int[] {0, 1}, six)))
                .hasMessageContaining("the home of requests is told");
        tell(home, 1, new Leases.Delivery(new int[] {1}, six));
        assertThatThrownBy(() -> tell(home, 1, new Leases.Delivery(new int[] {1}, six)))
                .hasMessageContaining("comes twice");
        assertThatThrownBy(home::completions).hasMessageContaining("1 of 2 requests of this rank were left undone");
        assertThatThrownBy(() -> tell(home, 1, new Leases.Fetch(0, 2)))
                .hasMessageContaining("of which the one at 1 is complete");
        tell(home, 3, new Leases.Delivery(new int[] {0}, new Completion[] {completion(5)}));
        assertThat(home.completions()).containsExactly(completion(5), completion(6));
    }

    @Test
    void aHomeHoldsAPromptUntilItsCompletionHasCome() {
        Queue<Request> given = new ArrayDeque<>(List.of(request(5), request(6)));
        WeakReference<int[]> first = new WeakReference<>(given.element().prompt());
        HomeService home =
                new HomeService(Stream.generate(given::remove).limit(2).iterator());
        assertThat(codec.decode(tell(home, 1, new Leases.Fetch(0, 1)).join(), Request[].class))
                .containsExactly(request(5));
        tell(home, 1, new Leases.Delivery(new int[] {0}, new Completion[] {completion(5)}));
        await().atMost(Duration.ofMinutes(1)).untilAsserted(() -> {
            System.gc();
            assertThat(first.get()).isNull();
        });
        assertThat(codec.decode(tell(home, 1, new Leases.Fetch(1, 1)).join(), Request[].class))
                .containsExactly(request(6));
    }

    @Test
    void aCompletionMayTravelWithoutItsTokens() {
        Completion whole = new Completion(7, "ab", new int[] {3, 4}, FinishReason.STOP, "b", 5);
        Completion bare = codec.decode(codec.encode(whole.withoutTokens()), Completion.class);
        assertThat(bare).isEqualTo(whole.withoutTokens()).isNotEqualTo(whole);
        assertThat(bare.tokens()).isEmpty();
        assertThat(bare.outputTokens()).isEqualTo(2);
        assertThat(bare).hasToString(whole.toString());
        assertThatThrownBy(() -> new Completion(7, "", new int[] {3}, 2, FinishReason.STOP, null, 5))
                .hasMessage("1 tokens of completion 7, which put out 2");
    }
}
