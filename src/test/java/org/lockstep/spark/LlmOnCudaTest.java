package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.Map;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.LockstepException;
import org.lockstep.cuda.CudaOptions;
import org.lockstep.cuda.HostCuda;
import org.lockstep.cuda.StandIn;
import org.lockstep.inference.SamplingParams;
import org.lockstep.spark.settings.DeviceChoice;

/** Rows in, rows out, with ranks on a GPU. */
@Timeout(300)
@HostCuda
class LlmOnCudaTest {
    private static final SamplingParams GREEDY =
            SamplingParams.greedy().withMaxTokens(8).withIgnoreEos(true); // the stand-in is slow
    private static final List<String> PROMPTS = List.of("Once upon a time", "A sly fox");

    private static SparkSession spark;
    private static List<String> told;

    @BeforeAll
    static void start() {
        spark = Sessions.with(Map.of("spark.master", "local[4]", "spark.lockstep.gpu.cublas", CudaOptions.NO_CUBLAS));
        told = Llm.bundled(spark).device(DeviceChoice.CPU).generate(PROMPTS, GREEDY);
    }

    @AfterAll
    static void stop() {
        spark.stop();
    }

    @ParameterizedTest
    @CsvSource({"1,1,1", "2,2,1", "1,1,2"})
    void storiesAreToldAsOnCpus(int tensor, int pipeline, int data) {
        try (Llm llm = Llm.bundled(spark)
                .device(DeviceChoice.CUDA)
                .tensorParallel(tensor)
                .pipelineParallel(pipeline)
                .dataParallel(data)) {
            assertThat(llm.generate(PROMPTS, GREEDY)).isEqualTo(told);
            assertThat(llm.generate(PROMPTS, GREEDY)).as("by ranks that stayed").isEqualTo(told);
        }
        assertThat(StandIn.require().allocations())
                .as("the memory of ranks that ended")
                .isZero();
    }

    @Test
    void thePlanShowsTheDeviceAndWhatOfItARankMayTake() {
        String plan = Llm.bundled(spark)
                .device(DeviceChoice.AUTO)
                .tensorParallel(2)
                .pipelineParallel(2)
                .plan()
                .toString();
        String device = StandIn.devices().get(0).toString();
        assertThat(plan)
                .contains("a rank: cuda " + device + ", shared by 4 ranks; 2 MiB of weights, ")
                .contains("; 115 MiB of GPU memory");
        assertThat(Llm.bundled(spark).device(DeviceChoice.CPU).plan().toString())
                .contains("a rank: cpu, ");
    }

    @Test
    @FaultCase("F58")
    void theCacheIsWhatIsLeftBesideAllElse() {
        Llm llm = Llm.bundled(spark).device(DeviceChoice.CUDA).dataParallel(1);
        long all = llm.plan().options().cacheBlocks();
        assertThat(all).as("room for all rows").isEqualTo(32 * 512 / 16);
        long less = llm.gpuMemoryUtilization(0.25).plan().options().cacheBlocks();
        assertThat(less).isLessThan(all).isGreaterThanOrEqualTo(512 / 16);
        assertThatThrownBy(() -> llm.gpuMemoryUtilization(0.1).plan())
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.NOT_ENOUGH_MEMORY));
    }
}
