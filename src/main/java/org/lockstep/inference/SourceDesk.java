package org.lockstep.inference;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.lockstep.inference.Generator.Listener;
import org.lockstep.model.ModelConfig;

/**
 * What only the source rank has: the requests of one run, the schedule, the text so far, and the word when a sequence is
 * done. Mutable; confined to the source rank's thread.
 */
final class SourceDesk {
    private final ModelConfig config;
    private final @Nullable Tokenizer tokenizer;
    private final Listener listener;
    private final Scheduler scheduler;
    private final Map<Long, Integer> places = new HashMap<>(); // of request ids in the caller's order
    private final List<Request> requests;
    private final @Nullable Completion[] done;
    private final @Nullable TextStream[] texts; // by slot
    private int promptTokens;
    private int sequences;

    SourceDesk(
            ModelConfig config,
            GeneratorOptions options,
            @Nullable Tokenizer tokenizer,
            List<Request> requests,
            Listener listener) {
        this.config = config;
        this.tokenizer = tokenizer;
        this.listener = listener;
        this.requests = List.copyOf(requests);
        this.scheduler = new Scheduler(options);
        this.done = new @Nullable Completion[requests.size()];
        this.texts = new @Nullable TextStream[options.maxSequences()];
        for (int i = 0; i < requests.size(); i++) {
            Request request = requests.get(i);
            check(request);
            if (places.put(request.id(), i) != null) {
                throw new IllegalArgumentException("request id " + request.id() + " comes twice");
            }
            scheduler.add(request);
        }
    }

    private void check(Request request) {
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

    StepPlan next() {
        StepPlan plan = scheduler.next();
        sequences = plan.slots().length;
        promptTokens = 0;
        for (StepPlan.Admission admission : plan.admitted()) {
            promptTokens += admission.prompt().length;
            Request request = requests.get(place(admission.id()));
            texts[admission.slot()] = tokenizer == null ? null : tokenizer.stream(request.prompt(), request.params());
        }
        return plan;
    }

    private int place(long id) {
        Integer place = places.get(id);
        if (place == null) {
            throw new IllegalStateException("no request " + id);
        }
        return place;
    }

    /** Takes the step's tokens, which the sequences already have, and ends those that are done. */
    void accept(MicroBatch batch, int[] tokens) {
        List<Completion> ended = new ArrayList<>();
        for (int row = 0; row < tokens.length; row++) {
            Sequence sequence = batch.sequences().get(row);
            int slot = batch.slots()[row];
            Completion completion = accept(slot, sequence, tokens[row]);
            if (completion != null) {
                scheduler.finish(slot);
                texts[slot] = null;
                done[place(sequence.id())] = completion;
                ended.add(completion);
            }
        }
        listener.onStep(sequences, promptTokens, tokens.length);
        ended.forEach(listener::onCompletion);
    }

    private @Nullable Completion accept(int slot, Sequence sequence, int token) {
        SamplingParams params = requests.get(place(sequence.id())).params();
        TextStream text = texts[slot];
        if (!params.ignoreEos() && config.endTokens().contains(token)) {
            return complete(sequence, text, FinishReason.STOP, null);
        }
        if (params.stopTokenIds().contains(token)) {
            return complete(sequence, text, FinishReason.STOP, Integer.toString(token));
        }
        if (text != null) {
            text.accept(token);
        }
        if (sequence.isFull()) {
            return complete(sequence, text, FinishReason.LENGTH, null);
        }
        return text != null && text.stop().isPresent()
                ? complete(sequence, text, FinishReason.STOP, text.stop().get())
                : null;
    }

    private static Completion complete(
            Sequence sequence, @Nullable TextStream text, FinishReason reason, @Nullable String stopReason) {
        FinishReason finish = reason;
        String why = stopReason;
        String all = "";
        if (text != null) {
            text.finish();
            all = text.text();
            if (text.stop().isPresent()) { // also where the last token, or what finish gave out, completed it
                finish = FinishReason.STOP;
                why = text.stop().get();
            }
        }
        return new Completion(sequence.id(), all, sequence.output(), finish, why, sequence.promptTokens());
    }

    /** All completions, in the order of the requests. */
    List<Completion> completions() {
        List<Completion> all = new ArrayList<>(done.length);
        for (Completion each : done) {
            if (each == null) {
                throw new IllegalStateException("the run ended before request "
                        + requests.get(all.size()).id());
            }
            all.add(each);
        }
        return all;
    }
}
