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
    void isNoneOfAFolderOfClasses() {
        assertThat(OwnJar.of(folder)).isEmpty();
        assertThat(OwnJar.find()).isEmpty(); // as tests run
    }
}
