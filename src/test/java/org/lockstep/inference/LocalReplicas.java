package org.lockstep.inference;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.lockstep.checkpoint.Checkpoint;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.model.ModelConfig;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.topology.ParallelSizes;

/** A model on the threads of this JVM, sharded and replicated, with rows at home on every rank. */
record LocalReplicas(
        Supplier<ModelFiles> model,
        int tensor,
        int pipeline,
        int chunks,
        int data,
        boolean text,
        int venues,
        GeneratorOptions options) {

    static LocalReplicas fable(int tensor, int pipeline, int data) {
        return new LocalReplicas(Fable::files, tensor, pipeline, 1, data, true, 1, GeneratorOptions.of(512));
    }

    LocalReplicas with(GeneratorOptions other) {
        return new LocalReplicas(model, tensor, pipeline, chunks, data, text, venues, other);
    }

    /** The same with several chunks of layers on each stage. */
    LocalReplicas interleaved(int each) {
        return new LocalReplicas(model, tensor, pipeline, each, data, text, venues, options);
    }

    /** The same over several pretended JVMs, with TCP between them. */
    LocalReplicas over(int jvms) {
        return new LocalReplicas(model, tensor, pipeline, chunks, data, text, jvms, options);
    }

    /** What one rank does with its world and generator. */
    interface Work<T extends @Nullable Object> {
        T run(World world, Generator generator, CpuBackend backend) throws Exception;
    }

    <T extends @Nullable Object> List<T> onEveryRank(Work<T> work) {
        ParallelSizes sizes = ParallelSizes.tensor(tensor)
                .withPipeline(pipeline)
                .withData(data)
                .withVirtualPipeline(chunks == 1 ? null : chunks);
        WorldSpec spec = WorldSpec.of(sizes);
        return LocalWorld.of(tensor * pipeline * data)
                .withVenues(venues)
                .withDeadline(Duration.ofMinutes(3))
                .run(rendezvous -> {
                    try (CpuBackend backend = CpuBackend.create();
                            World world = World.join(rendezvous, backend, spec)) {
                        try {
                            return load(world, backend, work);
                        } catch (Throwable failure) {
                            world.abort(failure);
                            throw failure;
                        }
                    }
                });
    }

    private <T extends @Nullable Object> T load(World world, CpuBackend backend, Work<T> work) throws Exception {
        try (ModelFiles files = model.get();
                Checkpoint checkpoint = Checkpoint.open(files)) {
            ModelConfig config = ModelConfig.read(files);
            try (Tokenizer tokenizer = text ? Tokenizer.load(files, config.vocabularySize()) : null;
                    Generator generator = Generator.load(
                            config,
                            checkpoint,
                            world.state(),
                            world.communicators(),
                            backend.kernels(),
                            tokenizer,
                            options)) {
                return work.run(world, generator, backend);
            }
        }
    }

    /** Requests dealt to the ranks as rows at home, completions by id. */
    List<Completion> complete(List<Request> requests) {
        int ranks = tensor * pipeline * data;
        List<List<Completion>> byRank = onEveryRank((world, generator, backend) -> {
            List<Request> home = new ArrayList<>();
            for (int i = 0; i < requests.size(); i++) {
                if (i * 7 % ranks == world.state().rank()) {
                    home.add(requests.get(i));
                }
            }
            return pull(world, generator, backend, home);
        });
        return byRank.stream()
                .flatMap(List::stream)
                .sorted(Comparator.comparingLong(Completion::id))
                .toList();
    }

    /** One rank's part in completing all rows of the world: those at home here. */
    static List<Completion> pull(World world, Generator generator, CpuBackend backend, List<Request> home) {
        return new RequestExchange(world.communicators(), world.state(), backend.kernels(), Duration.ofMinutes(5))
                .run(
                        home.iterator(),
                        (source, done) -> generator.run(source, new Generator.Listener() {
                            @Override
                            public void onCompletion(Completion completion) {
                                done.accept(completion);
                            }
                        }));
    }
}
