package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaFutureAction;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;
import org.awaitility.Awaitility;
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
import org.lockstep.cuda.VisibleDevice;
import org.lockstep.inference.SamplingParams;
import org.lockstep.spark.settings.DeviceChoice;
import org.lockstep.spark.settings.Settings;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.Tensor;
import org.lockstep.tensor.WeightType;
import org.lockstep.topology.ParallelSizes;

/** Rows in, rows out, with ranks on a GPU. */
@Timeout(300)
@HostCuda
class LlmOnCudaTest {
    private static final SamplingParams GREEDY =
            SamplingParams.greedy().withMaxTokens(8).withIgnoreEos(true); // the stand-in is slow
    private static final List<String> PROMPTS = List.of("Once upon a time", "A sly fox");

    /** Where a rank of this JVM is. */
    private static final CountDownLatch QUEUED = new CountDownLatch(1);

    private static final CountDownLatch LEFT = new CountDownLatch(1);

    private static SparkSession spark;
    private static List<String> told;

    @BeforeAll
    static void start() {
        spark = Sessions.with(Map.of(
                "spark.master",
                "local[4]",
                "spark.lockstep.gpu.cublas",
                CudaOptions.NO_CUBLAS,
                "spark.lockstep.cache.dtype",
                "float32"));
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
        StandIn.assertNothingAllocated();
    }

    @Test
    void ranksWithAGpuEachTellThemByNccl() {
        StandIn driver = StandIn.require();
        driver.setDevices(4);
        try (Llm llm = Llm.bundled(spark)
                .device(DeviceChoice.CUDA)
                .tensorParallel(2)
                .pipelineParallel(2)
                .dataParallel(1)) {
            assertThat(llm.plan().toString()).contains("groups by NCCL where there is one");
            assertThat(llm.generate(PROMPTS, GREEDY)).isEqualTo(told);
            assertThat(llm.generate(PROMPTS, GREEDY)).as("by ranks that stayed").isEqualTo(told);
        } finally {
            driver.setDevices(1);
        }
        assertThat(driver.allocations()).isZero();
    }

    /** In a world of one nobody but the watchdog tells it. */
    @Test
    void aKilledTaskDoesNotWaitForAKernelThatNeverEnds() throws InterruptedException {
        StandIn driver = StandIn.require();
        JavaSparkContext context = JavaSparkContext.fromSparkContext(spark.sparkContext());
        try {
            JavaFutureAction<List<Integer>> run = BarrierStage.over(context.parallelize(List.of(1), 1))
                    .with(ParallelSizes.tensor(1))
                    .ranks(1)
                    .on(DeviceChoice.CUDA)
                    .mapRanks((rank, mine) -> {
                        Kernels kernels = rank.kernels();
                        Tensor x = kernels.upload(Buffer.ofFloats(1, 2), 2);
                        kernels.synchronize();
                        StandIn.require().hold(true);
                        kernels.add(x, x);
                        QUEUED.countDown();
                        try {
                            kernels.synchronize();
                        } finally {
                            LEFT.countDown();
                        }
                        return mine;
                    })
                    .collectAsync();
            QUEUED.await();
            run.cancel(true);
            LEFT.await();
        } finally {
            driver.hold(false);
        }
        Awaitility.await()
                .atMost(Duration.ofMinutes(1))
                .until(() -> spark.sparkContext().statusTracker().getActiveStageIds().length == 0
                        && driver.allocations() == 0);
    }

    @ParameterizedTest
    @CsvSource({"spark.lockstep.encrypt", "spark.network.crypto.enabled"})
    void ncclCarriesNothingOfRanksThatEncryptUnlessItMay(String encrypts) {
        SparkConf conf = spark.sparkContext().conf();
        StandIn driver = StandIn.require();
        driver.setDevices(2);
        try (Llm llm =
                Llm.bundled(spark).device(DeviceChoice.CUDA).tensorParallel(2).dataParallel(1)) {
            conf.set(encrypts, "true");
            assertThat(llm.plan().toString()).contains("else through the host").doesNotContain("NCCL");
            String library = Settings.GPU_NCCL.key();
            conf.set(library, "libnccl.so.2");
            assertThatThrownBy(llm::plan)
                    .isInstanceOfSatisfying(LockstepException.class, e -> {
                        assertThat(e.code()).isEqualTo(ErrorCode.PLAIN_TRAFFIC);
                        assertThat(e.advice())
                                .contains("--conf spark.lockstep.nccl.plain=true")
                                .contains("spark.lockstep.gpu.nccl=none");
                    })
                    .hasMessageContaining("spark.lockstep.gpu.nccl=libnccl.so.2: NCCL does not encrypt");
            conf.set(Settings.NCCL_PLAIN.key(), "true");
            assertThat(llm.plan().toString()).contains("groups by NCCL (libnccl.so.2)");
            conf.remove(library);
            assertThat(llm.plan().toString()).contains("groups by NCCL where there is one");
        } finally {
            List.of(encrypts, Settings.GPU_NCCL.key(), Settings.NCCL_PLAIN.key())
                    .forEach(conf::remove);
            driver.setDevices(1);
        }
    }

    @Test
    void thePlanShowsTheDeviceAndWhatOfItARankMayTake() {
        String plan = Llm.bundled(spark)
                .device(DeviceChoice.AUTO)
                .tensorParallel(2)
                .pipelineParallel(2)
                .plan()
                .toString();
        VisibleDevice device = StandIn.devices().get(0);
        long budget = CudaOptions.DEFAULT.withRanksPerDevice(4).budget(device) >> 20;
        assertThat(plan)
                .contains("a rank: cuda " + device
                        + ", shared by 4 ranks, groups through each other's device memory where"
                        + " ranks of one JVM reach it, else through the host; 2 MiB of weights, ")
                .contains("; " + String.format(Locale.ROOT, "%,d", budget)
                        + " MiB of GPU memory; 26 MiB of each GPU stay free for graphs and groups");
        assertThat(Llm.bundled(spark).device(DeviceChoice.CPU).plan().toString())
                .contains("a rank: cpu, ");
    }

    /** As if Spark had been started with it: in the context and in its session. */
    private static void setting(String key, String value) {
        spark.sparkContext().conf().set(key, value);
        spark.conf().set(key, value);
    }

    @Test
    void theCacheHasTheTypeOfTheWeightsOrWhatIsSaid() {
        String key = Settings.CACHE_DTYPE.key();
        Llm llm = Llm.bundled(spark)
                .weightType(WeightType.BF16)
                .device(DeviceChoice.CUDA)
                .dataParallel(1);
        long all = llm.plan().perRank().memory().cache();
        try {
            setting(key, "auto");
            assertThat(llm.plan().toString()).contains("in its cache, in bf16, ");
            assertThat(llm.plan().perRank().memory().cache()).isEqualTo(all / 2);
            assertThat(llm.generate(PROMPTS, GREEDY)).hasSize(2).doesNotContain("");
            assertThat(llm.weightType(WeightType.Q8).plan().options().cacheType())
                    .isEqualTo(DataType.F32);
            assertThat(llm.device(DeviceChoice.CPU).plan().options().cacheType())
                    .isEqualTo(DataType.F32);
            setting(key, "float16");
            assertThat(llm.plan().options().cacheType()).isEqualTo(DataType.F16);
            assertThatThrownBy(() -> llm.device(DeviceChoice.CPU).plan())
                    .isInstanceOfSatisfying(
                            LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.USAGE))
                    .hasMessageContaining(key + " = float16: keys and values in heap are float32");
        } finally {
            setting(key, "float32");
            llm.close();
        }
    }

    @Test
    @FaultCase("F58")
    void theCacheIsWhatIsLeftBesideAllElse() {
        Llm llm = Llm.bundled(spark).device(DeviceChoice.CUDA).dataParallel(1);
        long all = llm.plan().options().cacheBlocks();
        assertThat(all).as("room for all rows").isEqualTo(32 * 512 / 16);
        double mebibyte = 1024.0 * 1024 / StandIn.devices().get(0).bytes();
        long less = llm.gpuMemoryUtilization(128 * mebibyte).plan().options().cacheBlocks();
        assertThat(less).isLessThan(all).isGreaterThanOrEqualTo(512 / 16);
        assertThatThrownBy(() -> llm.gpuMemoryUtilization(51 * mebibyte).plan())
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.NOT_ENOUGH_MEMORY));
    }
}
