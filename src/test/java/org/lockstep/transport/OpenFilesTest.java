package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.FaultCase;

/** A connection that is first needed when its process may open no more files, by the system's own limit. */
@Timeout(120)
@FaultCase("F60")
class OpenFilesTest {
    @TempDir
    private Path folder;

    private String run(String what) throws IOException, InterruptedException {
        Assumptions.assumeTrue(Files.isReadable(Path.of("/proc/self/limits")), "this system has no /proc");
        Path java = Path.of(System.getProperty("java.home"), "bin", "java");
        Path log = folder.resolve("log");
        Process process = new ProcessBuilder(List.of(
                        "sh",
                        "-c",
                        "ulimit -n 256 && exec \"$@\"",
                        "sh",
                        java.toString(),
                        "-Xmx64m",
                        "-Dorg.apache.logging.log4j.simplelog.level=info",
                        "-XX:TieredStopAtLevel=1",
                        "-cp",
                        RankProcesses.classPath(),
                        FewFiles.class.getName(),
                        what))
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        assertThat(process.waitFor(100, TimeUnit.SECONDS)).isTrue();
        return Files.readString(log, StandardCharsets.UTF_8);
    }

    /** It is the caller's own process that lacks it, and not the peer that is lost. */
    @Test
    void whoCannotCallSaysWhatItsProcessLacks() throws Exception {
        assertThat(run("call"))
                .contains("NOT_ENOUGH_DESCRIPTORS of 0: rank 0 cannot open a connection to rank 1 at [127.0.0.1] port ")
                .contains("where its process may have 256 files open")
                .contains("(try: a higher ulimit -n where executors are started");
    }

    @Test
    void soDoesWhoCannotLetAPeerIn() throws Exception {
        assertThat(run("visit"))
                .contains("NOT_ENOUGH_DESCRIPTORS: rank 0 cannot accept a connection: ")
                .contains("where its process may have 256 files open try a higher ulimit -n");
    }

    /** Who has proven nothing yet shall not be the reason. */
    @Test
    void aGuestMakesRoomForTheNext() throws Exception {
        assertThat(run("visits")).contains("was pushed out").contains("the second is there");
    }
}
