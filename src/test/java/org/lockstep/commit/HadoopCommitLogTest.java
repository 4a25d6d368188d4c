package org.lockstep.commit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.EOFException;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.LocalFileSystem;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

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

    /** A beat makes the file anew: who reads it meanwhile may find less than its length said, or a checksum of other bytes. */
    @ParameterizedTest
    @ValueSource(classes = {RawLocalFileSystem.class, LocalFileSystem.class})
    @SuppressWarnings("resource") // they are of the process
    void aFileThatIsBeingOverwrittenIsWholeOrTorn(Class<? extends FileSystem> kind) throws Exception {
        FileSystem files = FileSystem.newInstance(URI.create("file:///"), new Configuration());
        FileSystem used = kind == LocalFileSystem.class ? files : ((LocalFileSystem) files).getRaw();
        Directory directory = new HadoopDirectory(
                used, new org.apache.hadoop.fs.Path(folder.resolve("torn").toUri()));
        directory.create();
        byte[] content = new byte[100_000];
        directory.claim("owner", content);
        CompletableFuture<Void> beats = CompletableFuture.runAsync(() -> {
            for (int i = 0; i < 200; i++) {
                try {
                    directory.overwrite("owner", content);
                } catch (IOException failure) {
                    throw new UncheckedIOException(failure);
                }
            }
        });
        do {
            try {
                assertThat(directory.read("owner").length).isBetween(0, content.length);
            } catch (EOFException | FileNotFoundException torn) {
                // what is said of it
            }
        } while (!beats.isDone());
        beats.join();
        assertThat(directory.read("owner")).isEqualTo(content);
        files.close();
    }

    /** What stays torn is of an owner that died while it wrote. */
    @Test
    void aTornNameThatStaysIsOfOneThatIsGone() throws Exception {
        Directory directory = place(folder.resolve("run")).open();
        directory.create();
        directory.claim(Names.OWNER, new byte[0]);
        try (Owner owner = Owner.of(directory, "the next", BEAT, () -> {})) {
            assertThat(owner.isOurs()).isTrue();
        }
        assertThat(directory.exists(Names.OWNER)).isFalse();
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
