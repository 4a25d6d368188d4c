package org.lockstep.spark.preflight;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import org.apache.spark.SparkConf;
import org.apache.spark.resource.ResourceProfile;
import org.apache.spark.resource.ResourceProfileBuilder;
import org.apache.spark.resource.TaskResourceRequests;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.LockstepException;
import org.lockstep.cpu.Cores;
import org.lockstep.spark.Sessions;
import org.lockstep.spark.settings.Settings;
import org.lockstep.topology.ParallelSizes;

/** What Spark would say late, badly or never is said at once, with the line to set. */
@Timeout(60)
class ClusterPreflightTest {
    @AfterEach
    void stop() {
        SparkSession.getActiveSession().foreach(session -> {
            session.stop();
            return null;
        });
    }

    private static void assertRefused(Map<String, String> conf, ErrorCode code, String... words) {
        SparkSession session = Sessions.with(conf);
        assertThatThrownBy(() -> ClusterPreflight.check(
                        session.sparkContext(), ParallelSizes.tensor(2).withData(1), OptionalInt.empty()))
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(code))
                .hasMessageContainingAll(words);
    }

    @Test
    @FaultCase("F45")
    void tooFewSlots() {
        assertRefused(
                Map.of("spark.master", "local[1]"),
                ErrorCode.NOT_ENOUGH_SLOTS,
                "need 2 slots = tensor 2 × pipeline 1 × data 1, local[1] offers 1",
                "--master local[2]");
    }

    @Test
    void theSlotsOfALocalMasterAreKnownBeforeSparkStarts() {
        ParallelSizes two = ParallelSizes.tensor(2).withData(1);
        for (String master : new String[] {"local", "local[1]", "local[1, 4]"}) {
            assertThatThrownBy(() -> ClusterPreflight.check(
                            new SparkConf(false).set("spark.master", master), two, OptionalInt.empty()))
                    .hasMessageContainingAll("need 2 slots", master + " offers 1");
        }
        for (String master : new String[] {"local[2]", "local[*]", "spark://somewhere:7077", "yarn"}) {
            ClusterPreflight.check(new SparkConf(false).set("spark.master", master), two, OptionalInt.empty());
        }
    }

    private static Cores cores(String master, String... more) {
        SparkConf conf = new SparkConf(false).set("spark.master", master);
        for (int i = 0; i < more.length; i += 2) {
            conf.set(more[i], more[i + 1]);
        }
        return ClusterPreflight.cores(conf);
    }

    @Test
    void aRankHasTheCoresOfItsTaskOrItsPartOfTheOneJvm() {
        int all = Runtime.getRuntime().availableProcessors();
        assertThat(cores("local[2]")).isEqualTo(Cores.shared(Math.min(2, all)));
        assertThat(cores("local[*]")).isEqualTo(Cores.shared(all));
        assertThat(cores("local")).isEqualTo(Cores.shared(1));
        assertThat(cores("local[999]").of(1)).isEqualTo(all);
        assertThat(cores("local[999]").of(999)).isEqualTo(1);
        assertThat(cores("spark://a:7077")).isEqualTo(Cores.exactly(1));
        assertThat(cores("local-cluster[2,4,1024]", "spark.task.cpus", "4")).isEqualTo(Cores.exactly(4));
        String key = Settings.CPU_THREADS.key();
        assertThat(cores("local[2]", key, "3")).isEqualTo(Cores.exactly(3));
        assertThat(cores("yarn", "spark.task.cpus", "2", "spark.executor.cores", "4", key, "8"))
                .as("with a warning")
                .isEqualTo(Cores.exactly(8));
        assertThatThrownBy(() -> cores("yarn", key, "0"))
                .isInstanceOf(LockstepException.class)
                .hasMessageContainingAll(key, "not a positive number");
    }

    @Test
    void cpusOfATaskCount() {
        assertRefused(
                Map.of("spark.master", "local[2]", "spark.task.cpus", "2"),
                ErrorCode.NOT_ENOUGH_SLOTS,
                "need 2 slots",
                "offers 1, each of 2 cores (spark.task.cpus)",
                "--master local[4]");
    }

    @Test
    void cpusOfAProfileAreNotThoseOfTheConfiguration() {
        SparkSession session = Sessions.local(2);
        ResourceProfile profile = new ResourceProfileBuilder()
                .require(new TaskResourceRequests().cpus(2))
                .build();
        TaskRequest tasks =
                new TaskRequest(session.sparkContext().getConf().set("spark.task.cpus", "2"), Optional.of(profile));
        assertThatThrownBy(() -> ClusterPreflight.check(
                        session.sparkContext(), tasks, ParallelSizes.tensor(2).withData(1), OptionalInt.empty()))
                .hasMessageContaining("offers 1, each of 2 cores (cpus of the resource profile)");
    }

    @Test
    @FaultCase("F46")
    void dynamicAllocation() {
        assertRefused(
                Map.of("spark.master", "local[2]", "spark.dynamicAllocation.enabled", "true"),
                ErrorCode.DYNAMIC_ALLOCATION,
                "--conf spark.dynamicAllocation.enabled=false");
    }

    @Test
    @FaultCase("F53")
    void gpusUnderALocalMaster() {
        SparkConf conf =
                new SparkConf(false).set("spark.master", "local[2]").set("spark.task.resource.gpu.amount", "1");
        assertThatThrownBy(() -> ClusterPreflight.check(conf))
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.LOCAL_GPU))
                .hasMessageContainingAll("spark.task.resource.gpu.amount = 1", "remove spark.task.resource.gpu.amount");
        assertRefused(
                Map.of(
                        "spark.master", "local[2]",
                        "spark.executor.resource.gpu.amount", "1",
                        "spark.task.resource.gpu.amount", "1"),
                ErrorCode.LOCAL_GPU,
                "under the local master local[2]");
        ClusterPreflight.check(
                conf.set("spark.master", "local-cluster[1,1,1024]").set("spark.executor.resource.gpu.amount", "1"));
    }

    @Test
    void ranksOfAnExecutorThatShareAGpuBesideThoseOfOthers() {
        SparkConf conf = new SparkConf(false)
                .set("spark.master", "spark://gpu:7077")
                .set("spark.executor.cores", "2")
                .set("spark.executor.resource.gpu.amount", "1")
                .set("spark.task.resource.gpu.amount", "0.5")
                .set("spark.lockstep.nccl.sharedGpu", "true");
        assertThatThrownBy(() -> ClusterPreflight.check(conf))
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.TASK_RESOURCES))
                .hasMessageContainingAll("would share a GPU", "--conf spark.task.cpus=2, one rank to an executor");
    }

    @Test
    void anUnknownSetting() {
        assertRefused(
                Map.of("spark.master", "local[2]", "spark.lockstep.placement.strikt", "true"),
                ErrorCode.UNKNOWN_SETTING,
                "did you mean spark.lockstep.placement.strict?");
    }

    @Test
    void aSessionThatWasStopped() {
        SparkSession session = Sessions.local(1);
        session.stop();
        assertThatThrownBy(() -> ClusterPreflight.context(session))
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.NO_SPARK))
                .hasMessageContainingAll("lockstep-test, was stopped", "a new SparkSession");
    }

    @Test
    void aSettingOfTheSessionAlone() {
        SparkSession session = Sessions.with(Map.of("spark.master", "local[2]", "spark.lockstep.attempts", "2"));
        String key = Settings.ATTEMPTS.key();
        assertThat(ClusterPreflight.context(session)).isSameAs(session.sparkContext());
        session.conf().set(key, "5");
        assertThatThrownBy(() -> ClusterPreflight.context(session))
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.NO_EFFECT))
                .hasMessageContainingAll(key + " = 5", "was started with: 2", "spark.conf.unset(\"" + key + "\")");
        session.conf().unset(key);
        assertThat(ClusterPreflight.context(session)).isSameAs(session.sparkContext());
        SparkSession.builder().config(key, "7").getOrCreate();
        assertThatThrownBy(() -> ClusterPreflight.context(session))
                .hasMessageContainingAll(key + " = 7", "SparkSession.builder().config when Spark ran already");
    }

    /** Ranks do as it says. */
    @Test
    void theDefaultMayBeSetInASession() {
        SparkSession session = Sessions.local(1);
        String key = Settings.ATTEMPTS.key();
        session.conf().set(key, Settings.ATTEMPTS.fallback());
        assertThat(ClusterPreflight.context(session)).isSameAs(session.sparkContext());
        session.conf().set(key, "5");
        assertThatThrownBy(() -> ClusterPreflight.context(session))
                .hasMessageContaining("was started with: 3, the default");
    }

    /** Setting it elsewhere would not help. */
    @Test
    void anUnknownSettingOfASession() {
        SparkSession session = Sessions.local(1);
        session.conf().set("spark.lockstep.atempts", "5");
        assertThatThrownBy(() -> ClusterPreflight.context(session))
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.UNKNOWN_SETTING))
                .hasMessageContaining("did you mean spark.lockstep.attempts?");
    }

    @Test
    void aWorldThatFits() {
        SparkSession session = Sessions.local(5);
        var context = session.sparkContext();
        assertThat(ClusterPreflight.check(context, ParallelSizes.tensor(2), OptionalInt.empty()))
                .as("whole replicas only")
                .isEqualTo(4);
        assertThat(ClusterPreflight.check(context, ParallelSizes.tensor(2), OptionalInt.of(2)))
                .isEqualTo(2);
        assertThat(ClusterPreflight.check(context, ParallelSizes.tensor(2).withData(2), OptionalInt.empty()))
                .isEqualTo(4);
    }
}
