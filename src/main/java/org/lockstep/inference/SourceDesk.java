package org.lockstep.inference;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.inference.Generator.Listener;
import org.lockstep.model.ModelConfig;

/**
 * What only the source rank has: the requests of one run that are not done, the text so far, and the word when a sequence is
 * done. Mutable; confined to the source rank's thread.
 *
 * <p>It asks its source for as many requests as could have a slot and blocks of the cache, and for no more: one that waits
 * here is one that another replica could have begun with. When there is nothing to compute it waits for a request, but not for
 * long: the other ranks sit in an operation with a deadline, and an empty plan keeps them there.
 */
final class SourceDesk {
    private static final Duration PATIENCE = Duration.ofMillis(200);

    private final ModelConfig config;
    private final GeneratorOptions options;
    private final @Nullable Tokenizer tokenizer;
    private final RequestSource source;
    private final Listener listener;
    private final LongSupplier clock; // nanoseconds
    private final Scheduler scheduler;
    private final Map<Long, Open> open = new HashMap<>(); // by request id: all that wait or run
    private final @Nullable Open[] bySlot;

    /** A request that is not done. */
    private static final class Open {
        final Request request;
        /** Where stop strings are looked for; else the text is made of the whole, at the end. */
        final @Nullable TextStream text;

        long since; // it waits for its next token

        Open(Request request, @Nullable TextStream text, long since) {
            this.request = request;
            this.text = text;
            this.since = since;
        }
    }

    /** Begins a run; the scheduler must be idle and may know blocks of the run before. */
    SourceDesk(
            ModelConfig config,
            GeneratorOptions options,
            @Nullable Tokenizer tokenizer,
            Scheduler scheduler,
            RequestSource source,
            Listener listener,
            LongSupplier clock) {
        this.config = config;
        this.options = options;
        this.tokenizer = tokenizer;
        this.scheduler = scheduler;
        this.source = source;
        this.listener = listener;
        this.clock = clock;
        this.bySlot = new @Nullable Open[options.maxSequences()];
    }

    /**
     * Refuses what could not be completed.
     *
     * @throws IllegalArgumentException if the prompt is empty, leaves no room for a token or has one that is not in the
     *     vocabulary, or there are stop strings and no tokenizer
     */
    static void check(Request request, ModelConfig config, GeneratorOptions options, @Nullable Tokenizer tokenizer) {
        Scheduler.check(request, options);
        for (int token : request.prompt()) {
            if (token < 0 || token >= config.vocabularySize()) {
                throw new IllegalArgumentException(
                        request + " has token " + token + ", which is not in 0.." + (config.vocabularySize() - 1));
            }
        }
        if (tokenizer == null && !request.params().stop().isEmpty()) {
            throw new IllegalArgumentException(request + " has stop strings, but there is no tokenizer");
        }
    }

    /** The plan of the next micro-batch; after the last, the end. */
    StepPlan next() {
        pull();
        if (scheduler.isIdle()) {
            if (source.isDrained()) {
                return StepPlan.last();
            }
            await();
            pull();
        }
        StepPlan plan = scheduler.next();
        for (StepPlan.Admission admission : plan.admitted()) {
            bySlot[admission.slot()] = open.get(admission.id());
        }
        return plan;
    }

    /** Takes as many as there is room for, which the lengths of those taken tell. */
    private void pull() {
        boolean more = true;
        for (int room = scheduler.room(); more && room > 0; room = scheduler.room()) {
            List<Request> taken = source.poll(room);
            taken.forEach(this::open);
            more = !taken.isEmpty();
        }
    }

    private void open(Request request) {
        check(request, config, options, tokenizer);
        SamplingParams params = request.params();
        TextStream text =
                tokenizer == null || params.stop().isEmpty() ? null : tokenizer.stream(request.prompt(), params);
        if (open.put(request.id(), new Open(request, text, clock.getAsLong())) != null) {
            throw new IllegalArgumentException("request id " + request.id() + " comes twice");
        }
        scheduler.add(request);
    }

    private void await() {
        try {
            source.await(PATIENCE);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw LockstepException.report(ErrorCode.ABORTED, "interrupted while waiting for requests")
                    .cause(interrupted)
                    .exception();
        }
    }

    /** Takes the micro-batch's tokens, which the ranks' sequences already have, and ends those that are done. */
    void accept(MicroBatch batch) {
        scheduler.land(batch.plan().slots());
        List<Completion> ended = new ArrayList<>();
        long now = clock.getAsLong();
        int chosen = 0;
        for (int row = 0; row < batch.slots().length; row++) {
            int slot = batch.slots()[row];
            int token = batch.sampled()[row];
            Sequence sequence = batch.sequences().get(row);
            Open request = request(slot);
            if (token != Sampler.NONE) {
                chosen++;
                scheduler.append(slot, token);
                listener.onToken(sequence.id(), sequence.outputTokens() - 1, token, now - request.since);
                request.since = now;
            }
            Completion completion = accept(request, sequence, token);
            if (completion != null) {
                scheduler.finish(slot);
                bySlot[slot] = null;
                open.remove(completion.id());
                ended.add(completion);
            }
        }
        listener.onStep(scheduler.stats(batch.layout().sequences(), chosen));
        ended.forEach(listener::onCompletion);
    }

    private Open request(int slot) {
        Open found = bySlot[slot];
        if (found == null) {
            throw new IllegalStateException("no request in slot " + slot);
        }
        return found;
    }

    private @Nullable Completion accept(Open row, Sequence sequence, int token) {
        SamplingParams params = row.request.params();
        TextStream text = row.text;
        if (token == Sampler.NONE) {
            return complete(row, sequence, FinishReason.ERROR, null);
        }
        boolean end = !params.ignoreEos() && contains(config.endTokens(), token);
        boolean stops = end || contains(params.stopTokenIds(), token);
        if (text != null && (!stops || params.includeStopStrInOutput())) {
            text.accept(token);
        }
        if (stops) {
            return complete(row, sequence, FinishReason.STOP, end ? null : Integer.toString(token));
        }
        if (sequence.isFull()) {
            return complete(row, sequence, FinishReason.LENGTH, null);
        }
        return text != null && text.stop().isPresent()
                ? complete(row, sequence, FinishReason.STOP, text.stop().get())
                : null;
    }

    /** Without an iterator, which every token would pay for. */
    private static boolean contains(List<Integer> tokens, int token) {
        for (int i = 0; i < tokens.size(); i++) {
            if (tokens.get(i) == token) {
                return true;
            }
        }
        return false;
    }

    private Completion complete(Open row, Sequence sequence, FinishReason reason, @Nullable String stopReason) {
        int[] output = sequence.output();
        FinishReason finish = reason;
        String why = stopReason;
        String all = "";
        TextStream text = row.text;
        if (text != null) {
            text.finish();
            all = text.text();
            // also where the last token, or what finish gave out, completed it
            if (text.stop().isPresent() && reason != FinishReason.ERROR) {
                finish = FinishReason.STOP;
                why = text.stop().get();
            }
        } else if (tokenizer != null) {
            SamplingParams params = row.request.params();
            // as there are no stop strings, it is a token that stopped it
            boolean cut = reason == FinishReason.STOP && !params.includeStopStrInOutput();
            int[] shown = cut ? Arrays.copyOf(output, output.length - 1) : output;
            all = tokenizer.decodeAfter(row.request.prompt(), shown, params);
        }
        return new Completion(sequence.id(), all, output, finish, why, sequence.promptTokens());
    }
}
