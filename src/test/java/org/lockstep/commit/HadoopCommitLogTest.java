package org.lockstep.commit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.FileNotFoundException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.junit.jupiter.api.Test;

/** The same where Hadoop's interface is between: a file system of another name, mounted into a view of several. */
class HadoopCommitLogTest extends CommitLogTest {
    @Override
    CommitPlace place(Path path) {
        String mounted = folder.toString();
        return new CommitPlace(
                "viewfs://cluster/kept/" + folder.relativize(path),
                Map.of(
                        "fs.viewfs.impl", "org.apache.hadoop.fs.viewfs.ViewFileSystem",
                        "fs.viewfs.impl.disable.cache", "true",
                        "fs.viewfs.mounttable.cluster.link./kept", "file://" + mounted,
                        "fs.file.impl", RawLocalFileSystem.class.getName(), // without checksums beside the files
                        "fs.file.impl.disable.cache", "true"));
    }

    @Override
    String partial() {
        return "_partial-";
    }

    @Test
    void itIsOnAFileSystemOfHadoops() throws Exception {
        Directory directory = place(folder.resolve("hadoop")).open();
        assertThat(directory).isInstanceOf(HadoopDirectory.class);
        assertThat(directory.list()).isEmpty();
        directory.create();
        directory.publish("a", new byte[] {1, 2, 3});
        assertThat(directory.claim("b", new byte[] {4})).isTrue();
        assertThat(directory.claim("b", new byte[] {5})).isFalse();
        directory.overwrite("b", new byte[] {6, 7});
        assertThat(directory.list()).containsExactlyInAnyOrder("a", "b");
        assertThat(directory.read("a")).containsExactly(1, 2, 3);
        assertThat(directory.read("b")).containsExactly(6, 7);
        assertThat(Files.readAllBytes(folder.resolve("hadoop/b"))).containsExactly(6, 7);
        assertThatThrownBy(() -> directory.read("c")).isInstanceOf(FileNotFoundException.class);
        assertThat(directory.free()).isPositive();
        Files.writeString(folder.resolve("hadoop/_partial-x"), "half");
        directory.sweep();
        directory.removeIfEmpty();
        assertThat(directory.exists("a")).isTrue();
        directory.delete("a");
        directory.delete("b");
        directory.removeIfEmpty();
        assertThat(folder.resolve("hadoop")).doesNotExist();
    }
}
