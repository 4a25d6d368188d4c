package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.FaultCase;
import org.lockstep.spark.SparkJvm;

/** A process that may open few files, by the system's own limit. */
@Timeout(120)
class FewDescriptorsTest {
    @TempDir
    private Path folder;

    @Test
    @FaultCase("F60")
    void moreRanksThanItHasDescriptorsForAreRefusedBeforeALaunch() throws IOException, InterruptedException {
        Assumptions.assumeTrue(Files.isReadable(Path.of("/proc/self/limits")), "this system has no /proc");
        List<String> words = new ArrayList<>(List.of("sh", "-c", "ulimit -n 1024 && exec \"$@\"", "sh"));
        words.addAll(SparkJvm.shortLived());
        words.addAll(List.of("-Xmx3g", "-cp", System.getProperty("java.class.path"), "org.lockstep.cli.Lockstep"));
        words.addAll(List.of("generate", "--master", "local[64]", "-tp", "4", "-dp", "16"));
        words.addAll(List.of("--conf", SparkJvm.PATIENT));
        Process process = new ProcessBuilder(words)
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("log").toFile())
                .start();
        assertThat(process.waitFor(100, TimeUnit.SECONDS)).isTrue();
        String log = Files.readString(folder.resolve("log"));
        assertThat(process.exitValue()).as(log).isEqualTo(3);
        assertThat(log)
                .containsPattern(
                        "LOCKSTEP-1023 NOT_ENOUGH_DESCRIPTORS  executor driver may have 1024 descriptors and has \\d+"
                                + " open, its ranks \\(64\\) need 1536 more for links and files")
                .contains("try     : ulimit -n ")
                .doesNotContain("\tat ");
    }
}
