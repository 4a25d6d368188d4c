package org.lockstep.model;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.checkpoint.Checkpoint;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.collective.ReduceOp;
import org.lockstep.spark.SparkJvm;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/** A step of decoding writes to memory that is there: what it allocates are small objects, in no relation to the model's size. */
@Timeout(300)
class StepAllocationTest {
    private static final int LAYERS = 3;

    /** Kernels box their vectors until Java has compiled them: the window that counts is the best, seen as the 2nd to the 17th. */
    private static final int WINDOWS = 100;

    private static final int STEPS = 100;

    /** That may have to be tried. */
    private static final int JVMS = 6;

    /** Shapes, views and operands of some twenty kernel calls and two collectives. */
    private static final long MOST_BYTES_OF_A_LAYER = 16 << 10;

    /** What the JIT may leave of them in one run and not in another; a row of the large model's logits is four times that. */
    private static final long MORE = 8 << 10;

    @TempDir
    private Path folder;

    /** Bytes that a step allocates on each rank's thread, once that is little enough on all of them. */
    private static List<Long> bytesOfAStep(
            Path folder, ModelConfig config, int tensor, int sequences, int context, long enough) throws IOException {
        SyntheticModel model = SyntheticModel.of(config);
        ModelFiles files = model.write(Files.createTempDirectory(folder, "model"));
        CacheSize cache = new CacheSize(sequences * (context / 8 + 1), 8, DataType.F32);
        BatchLayout layout = layout(sequences, context);
        return ModelWorld.run(tensor, 1, (state, communicators, kernels) -> {
            ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
            int[] ids = IntStream.range(0, sequences).toArray();
            int[] rows = ids.clone();
            int[] next = new int[sequences];
            try (Checkpoint checkpoint = Checkpoint.open(files);
                    PipelineStage stage =
                            PipelineStage.load(config, checkpoint, state, communicators, kernels, cache, sequences)) {
                long least = Long.MAX_VALUE;
                HostBuffer over = Buffer.ofInts(1);
                for (int window = 0; window < WINDOWS && over.get(0) != 0; window++) {
                    long before = threads.getThreadAllocatedBytes(
                            Thread.currentThread().getId());
                    for (int step = 0; step < STEPS; step++) {
                        kernels.argmax(stage.forward(0, ids, layout, rows).orElseThrow(), next);
                    }
                    long after = threads.getThreadAllocatedBytes(
                            Thread.currentThread().getId());
                    least = Math.min(least, (after - before) / STEPS);
                    over.ints()[0] = least > enough ? 1 : 0;
                    communicators.tensor().allReduce(over, ReduceOp.MAX); // all go on, or none
                }
                return least;
            }
        });
    }

    private static BatchLayout layout(int sequences, int context) {
        int blocks = context / 8 + 1;
        return new BatchLayout(
                IntStream.rangeClosed(0, sequences).toArray(),
                IntStream.range(0, sequences).map(s -> context).toArray(),
                IntStream.range(0, sequences)
                        .mapToObj(s ->
                                IntStream.range(s * blocks, (s + 1) * blocks).toArray())
                        .toArray(int[][]::new),
                8);
    }

    private static ModelConfig config(int headSize, int vocabulary) {
        return new ModelConfig(
                "LlamaForCausalLM",
                8 * headSize,
                LAYERS,
                8,
                4,
                headSize,
                16 * headSize,
                vocabulary,
                512,
                1e-5f,
                10000,
                RopeScaling.NONE,
                true,
                true,
                false,
                List.of(),
                null,
                null);
    }

    /**
     * In a JVM of its own: what others have run before in one decides what Java compiles, and thereby what it boxes. Now
     * and then one keeps a kernel boxed for good, by the order in which its threads came to compile; what the code itself
     * allocates it allocates in every one.
     */
    @ParameterizedTest
    @CsvSource({"1,1", "1,5", "2,1", "2,5"})
    void aStepAllocatesNextToNothingHoweverLargeTheModel(int tensor, int sequences) throws Exception {
        Path said = folder.resolve("said");
        int end = 1;
        for (int jvm = 0; jvm < JVMS && end != 0; jvm++) {
            end = measured(tensor, sequences, said);
        }
        assertThat(end).as(Files.readString(said)).isZero();
    }

    private int measured(int tensor, int sequences, Path said) throws Exception {
        List<String> words = SparkJvm.command();
        words.addAll(List.of(
                "--add-modules=jdk.incubator.vector",
                "-Xmx512m",
                "-cp",
                System.getProperty("java.class.path"),
                StepAllocationTest.class.getName(),
                Integer.toString(tensor),
                Integer.toString(sequences),
                folder.toString()));
        Process process = new ProcessBuilder(words)
                .redirectErrorStream(true)
                .redirectOutput(said.toFile())
                .start();
        return process.waitFor();
    }

    /** Tensor ranks, sequences, and where to write models. */
    public static void main(String[] args) throws IOException {
        int tensor = Integer.parseInt(args[0]);
        int sequences = Integer.parseInt(args[1]);
        Path folder = Path.of(args[2]);
        long most = LAYERS * MOST_BYTES_OF_A_LAYER;
        List<Long> small = bytesOfAStep(folder, config(2, 33), tensor, sequences, 9, most);
        assertThat(small).allMatch(bytes -> bytes <= most);
        long more = Collections.max(small) + MORE;
        List<Long> large = bytesOfAStep(folder, config(16, 8009), tensor, sequences, 300, more);
        assertThat(large).allMatch(bytes -> bytes <= more);
    }
}
