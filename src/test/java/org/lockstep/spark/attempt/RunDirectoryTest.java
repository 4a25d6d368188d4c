package org.lockstep.spark.attempt;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;
import java.util.Optional;
import org.apache.spark.SparkContext;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.spark.Sessions;

/** Where finished rows are kept, by what it is called and by what Spark knows. */
@Timeout(60)
class RunDirectoryTest {
    @TempDir
    private Path folder;

    private SparkSession session;

    @BeforeEach
    void start() {
        session = Sessions.local(1);
    }

    @AfterEach
    void stop() {
        session.stop();
    }

    private String location(Optional<String> name) {
        return RunDirectory.of(session.sparkContext(), name).place().location();
    }

    /** A task's working directory is another. */
    @Test
    void aRelativeNameIsOfTheDriversWorkingDirectory() {
        assertThat(location(Optional.of("kept/run")))
                .isEqualTo(Path.of("kept/run").toAbsolutePath().toString());
    }

    @Test
    void sparksCheckpointDirectoryMayHaveSpaces() throws IOException {
        Sessions.assumeThatExecutorsStart(); // where they do not, Spark makes no such directory either
        SparkContext context = session.sparkContext();
        context.setCheckpointDir(folder.resolve("my dir, 100%").toString());
        assertThat(location(Optional.empty()))
                .startsWith(folder.resolve("my dir, 100%") + "/")
                .contains("/lockstep-");

        context.hadoopConfiguration()
                .set("fs.viewfs.mounttable.kept.link./rows", folder.toUri().toString());
        context.setCheckpointDir("viewfs://kept/rows/my dir, 100%");
        URI elsewhere = URI.create(location(Optional.empty()));
        assertThat(elsewhere.getHost()).isEqualTo("kept");
        assertThat(elsewhere.getPath()).startsWith("/rows/my dir, 100%/");
    }
}
