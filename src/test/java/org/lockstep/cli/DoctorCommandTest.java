package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.FaultCase;
import org.lockstep.spark.SparkJvm;

/** What {@code lockstep doctor} prints, and how it exits. */
@Timeout(120)
class DoctorCommandTest {
    @Test
    void whatCanRunIsSaidToRun() {
        Run run = Run.of("doctor", "-tp", "2");
        assertThat(run.err()).isEmpty();
        assertThat(run.out())
                .contains("OK    Java " + System.getProperty("java.version"), "OK    /dev/shm: ", "any free port")
                .contains("OK    fable (bundled) on 2 ranks = tensor 2 × pipeline 1 × data 1; a replica: ")
                .doesNotContain("FAIL");
        assertThat(run.out().strip()).endsWith(": it can run");
        assertThat(run.code()).isZero();
    }

    @Test
    void whatCannotRunIsNotStarted() throws Exception {
        Run run = Run.of(
                "doctor",
                "--json",
                "--master",
                "spark://nowhere.invalid:7077",
                "--conf",
                "spark.dynamicAllocation.enabled=true");
        assertThat(run.code()).isEqualTo(3);
        JsonNode found = new ObjectMapper().readTree(run.out()).get("findings");
        assertThat(found).hasSize(2);
        assertThat(found.get(0).get("level").asText()).isEqualTo("FAIL");
        assertThat(found.get(0).get("code").asInt()).isEqualTo(1004);
        assertThat(found.get(0).get("name").asText()).isEqualTo("DYNAMIC_ALLOCATION");
        assertThat(found.get(0).get("line").asText()).isEqualTo("--conf spark.dynamicAllocation.enabled=false");
        assertThat(found.get(1).get("level").asText()).isEqualTo("WARN");
    }

    /** The same is an error of generate: nobody there has asked for a list. */
    @ParameterizedTest
    @ValueSource(strings = {"two", "3000000000"})
    void aSettingOfSparkThatCannotBeReadIsAFinding(String cpus) throws Exception {
        Run run = Run.of("doctor", "--json", "--conf", "spark.task.cpus=" + cpus);
        assertThat(run.err()).isEmpty();
        assertThat(run.code()).isEqualTo(2);
        JsonNode found = new ObjectMapper().readTree(run.out()).get("findings");
        assertThat(found).hasSize(1);
        assertThat(found.get(0).get("name").asText()).isEqualTo("USAGE");
        assertThat(found.get(0).get("sentence").asText()).startsWith("spark.task.cpus = " + cpus + ": ");

        Run generate = Run.of("generate", "--conf", "spark.task.cpus=" + cpus);
        assertThat(generate.code()).isEqualTo(2);
        assertThat(generate.err()).startsWith("LOCKSTEP-1000 USAGE  spark.task.cpus = " + cpus + ": ");
    }

    /** A product beyond all ints, which no machine has. */
    @Test
    void moreCoresThanThereAreNumbersForIsNoErrorOfOurs() {
        Run run = Run.of("doctor", "--conf", "spark.task.cpus=2000000000");
        assertThat(run.out() + run.err()).contains("local[8000000000]").doesNotContain("INTERNAL");
        assertThat(run.code()).isEqualTo(3);
    }

    @Test
    void aModelThatDoesNotDivideIsAFinding() {
        Run run = Run.of("doctor", "-tp", "7");
        assertThat(run.code()).isEqualTo(2);
        assertThat(run.out())
                .contains(
                        "FAIL  LOCKSTEP-1002 MODEL_SHAPE",
                        "  try     : set tensor parallel to",
                        "1 FAIL",
                        "it cannot run");
    }

    /** The same words as for generate, and the same defaults. */
    @Test
    void itLooksAtWhatGenerateWouldDo() {
        Run unsized = Run.of("doctor", "--master", "local[2]");
        assertThat(unsized.code())
                .isEqualTo(Run.of("generate", "--master", "local[2]").code());
        assertThat(unsized.out()).contains("need 4 slots = tensor 2 × pipeline 2 × data 1, local[2] offers 2");

        Run tooLong = Run.of("doctor", "--dtype", "q8", "--max-model-len", "100000");
        assertThat(tooLong.code()).isEqualTo(2);
        assertThat(tooLong.out()).contains("max model length (100000) is not in 2..", "try     : --max-model-len ");

        assertThat(Run.of("doctor", "-pp", "2", "--order", "tp-dp").out()).contains("LOCKSTEP-1001 WORLD_SIZE", "pp");
        Run misused = Run.of("doctor", "--gpu-memory-utilization", "2");
        assertThat(misused.code()).isEqualTo(2);
        assertThat(misused.err()).contains("gpu memory utilization (2.0) is not in (0, 1]", "lockstep doctor --help");
    }

    @Test
    void whereThereIsNoGpuAskingForOneFailsAndNothingCrashes() throws Exception {
        Run run = Run.of("doctor", "--device", "cuda", "--json", "--conf", "spark.lockstep.device=cuda");
        JsonNode all = new ObjectMapper().readTree(run.out());
        assertThat(all.get("machines").get(0).get("executor").asText()).isEqualTo("driver");
        if (all.get("machines").get(0).get("GPUs").asText().equals("none")) {
            assertThat(run.code()).isEqualTo(3);
            assertThat(all.get("findings").toString()).contains("NO_DEVICE", "libcuda.so.1", "--device cpu");
        }
    }

    /** More ranks than descriptors: said before any of them opens one. */
    @Test
    @FaultCase("F60")
    void tooFewDescriptorsAreAFinding() throws Exception {
        List<String> command = new ArrayList<>(List.of("bash", "-c", "ulimit -n 500; exec \"$@\"", "bash"));
        command.addAll(SparkJvm.shortLived());
        command.addAll(List.of(
                "-XX:-MaxFDLimit",
                "-cp",
                System.getProperty("java.class.path"),
                "org.lockstep.cli.Lockstep",
                "doctor",
                "--master",
                "local[64]",
                "-pp",
                "8",
                "-dp",
                "8"));
        Process doctor = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(doctor.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(doctor.waitFor()).as(said).isEqualTo(3);
        assertThat(said).contains("NOT_ENOUGH_DESCRIPTORS", "may have 500 descriptors", "  try     : ulimit -n ");
    }
}
