package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class OwnJarTest {
    @TempDir
    private Path folder;

    @Test
    void isTheOneThatHasAllWeNeedWhereItLiesBesideOurs() throws IOException {
        Path thin = Files.createFile(folder.resolve("lockstep-1.2.3.jar"));
        assertThat(OwnJar.of(thin)).contains(thin);
        Path whole = Files.createFile(folder.resolve("lockstep-1.2.3-all.jar"));
        assertThat(OwnJar.of(thin)).contains(whole);
        assertThat(OwnJar.of(whole)).contains(whole);
    }

    @Test
    void goesBesideTheJarsThatAreAskedFor() {
        Path ours = folder.resolve("lockstep-1.2.3-all.jar");
        assertThat(OwnJar.with(ours, "")).isEqualTo(ours.toString());
        assertThat(OwnJar.with(ours, "a.jar, hdfs:/b.jar")).isEqualTo(ours + ",a.jar,hdfs:/b.jar");
        assertThat(OwnJar.with(ours, "a.jar,s3://jars/lockstep-1.2.3-all.jar"))
                .isEqualTo("a.jar,s3://jars/lockstep-1.2.3-all.jar");
    }

    @Test
    void isNoneOfAFolderOfClasses() {
        assertThat(OwnJar.of(folder)).isEmpty();
        assertThat(OwnJar.find()).isEmpty(); // as tests run
    }
}
