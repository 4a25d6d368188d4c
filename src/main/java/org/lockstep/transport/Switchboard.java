package org.lockstep.transport;

import java.util.Queue;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.ControlPlane;
import org.lockstep.collective.ControlPlane.Service;

/**
 * The calls of one JVM's ranks in one attempt: who answers where, who waits for which answer, and what goes out to other
 * JVMs, which {@link Control} carries. Thread-safe.
 *
 * <p>Nothing here waits. A failure seals the fate, and that fails every call which has no answer.
 */
final class Switchboard {
    private final Fate fate;
    private final ConcurrentMap<Place, Service> services = new ConcurrentHashMap<>();
    private final ConcurrentMap<Long, Waiting> waiting = new ConcurrentHashMap<>();
    private final Set<Message.Envelope> open =
            ConcurrentHashMap.newKeySet(); // questions to ranks here, not answered yet
    private final AtomicLong numbers = new AtomicLong();
    private final Queue<Message> outgoing = new ConcurrentLinkedQueue<>();

    /** Where a rank of this JVM answers. */
    private record Place(int rank, int port) {}

    /** A call without its answer: what it asked, and what a verdict is as its exception. */
    private record Waiting(
            Message.Envelope call,
            CompletableFuture<byte[]> answer,
            Function<Verdict, CommunicatorException> failure) {}

    Switchboard(Fate fate) {
        this.fate = fate;
        fate.listen(this::fail);
    }

    /** What is to go out next; null if there is nothing. */
    @Nullable
    Message next() {
        return outgoing.poll();
    }

    void serve(int rank, int port, Service service) {
        if (services.putIfAbsent(new Place(rank, port), service) != null) {
            throw new IllegalStateException("rank " + rank + " answers at port " + port + " already");
        }
    }

    void retire(int rank, int port) {
        services.remove(new Place(rank, port));
    }

    /**
     * Rank {@code rank} answers nowhere any more; if it owes an answer, that is as if it were lost. It waits for none itself.
     */
    void leave(int rank) {
        services.keySet().removeIf(place -> place.rank == rank);
        open.removeIf(call -> call.from() == rank);
        for (Message.Envelope call : open) {
            if (call.to() == rank) {
                String how = "rank " + rank + " left without the answer that rank " + call.from() + " waits for";
                fate.seal(new Verdict(ErrorCode.PEER_LOST, rank, Control.GROUP, how, rank, null));
            }
        }
    }

    /**
     * Rank {@code from} of this JVM asks.
     *
     * @param here whether {@code to} is in this JVM too
     * @param failure a verdict as the exception of this call
     */
    CompletableFuture<byte[]> call(
            int from,
            int to,
            boolean here,
            int port,
            byte[] question,
            Function<Verdict, CommunicatorException> failure) {
        Message message = Message.call(port, numbers.incrementAndGet(), from, to, question);
        CompletableFuture<byte[]> answer = new CompletableFuture<>();
        waiting.put(message.envelope().number(), new Waiting(message.envelope(), answer, failure));
        if (fate.verdict() != null) {
            fail(); // it may have been sealed before this call was seen to wait
        } else if (here) {
            answer(message, this::hear);
        } else {
            post(message);
        }
        return answer;
    }

    /** A message of another JVM to a rank of this one. */
    void arrive(Message message) {
        if (message.envelope().answers()) {
            hear(message);
        } else {
            answer(message, this::post);
        }
    }

    private void hear(Message message) {
        Message.Envelope answer = message.envelope();
        Waiting call = waiting.get(answer.number());
        if (call == null
                || call.call.to() != answer.from()
                || call.call.from() != answer.to()
                || call.call.port() != answer.port()) {
            refuse(answer.to(), answer.from(), "an answer to nothing that was asked, number " + answer.number(), null);
        } else if (waiting.remove(answer.number(), call)) {
            call.answer.complete(message.content());
        }
    }

    private void answer(Message message, Consumer<Message> back) {
        Message.Envelope call = message.envelope();
        open.add(call); // before it is known who answers, or a rank that leaves now would not see it
        Service service = services.get(new Place(call.to(), call.port()));
        if (service == null) {
            open.remove(call);
            refuse(call.to(), call.from(), "a call to port " + call.port() + ", where nobody answers", null);
            return;
        }
        try {
            service.answer(call.from(), message.content()).whenComplete((words, failure) -> {
                open.remove(call);
                if (words == null) {
                    refuse(call, String.valueOf(failure), failure);
                } else if (words.length > ControlPlane.MAX_BYTES) {
                    refuse(call, "the answer has " + words.length + " bytes", null);
                } else {
                    back.accept(message.answer(words));
                }
            });
        } catch (RuntimeException | Error failure) {
            refuse(call, failure.toString(), failure);
        }
    }

    private void refuse(Message.Envelope call, String why, @Nullable Throwable cause) {
        String what = "a call to port " + call.port() + " that cannot be answered: " + why;
        refuse(call.to(), call.from(), what, cause);
    }

    private void refuse(int rank, int culprit, String what, @Nullable Throwable cause) {
        fate.seal(new Verdict(
                ErrorCode.PROTOCOL, rank, Control.GROUP, "rank " + culprit + " sent " + what, culprit, cause));
    }

    private void post(Message message) {
        outgoing.add(message);
        fate.hurry();
    }

    private void fail() {
        Verdict verdict = fate.verdict();
        for (Waiting call : waiting.values()) {
            if (verdict != null && waiting.remove(call.call.number(), call)) {
                call.answer.completeExceptionally(call.failure.apply(verdict));
            }
        }
    }
}
