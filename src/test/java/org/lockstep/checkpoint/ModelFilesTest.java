package org.lockstep.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.SeekableByteChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

class ModelFilesTest {
    @TempDir
    Path temp;

    @Test
    void aFolderThatIsNoModelIsSaidWithWhatToTry() throws IOException {
        Path none = temp.resolve("none");
        fails(ErrorCode.MODEL_NOT_FOUND, () -> ModelFiles.directory(none), none + " does not exist");
        fails(
                ErrorCode.MODEL_NOT_FOUND,
                () -> ModelFiles.directory(Path.of("meta-llama/Llama-3.1-8B")),
                "hf download meta-llama/Llama-3.1-8B --local-dir FOLDER");
        Path file = Files.writeString(temp.resolve("file"), "");
        fails(ErrorCode.MODEL_NOT_FOUND, () -> ModelFiles.directory(file), "is not a folder");
        Path empty = Files.createDirectory(temp.resolve("empty"));
        fails(ErrorCode.MODEL_NOT_FOUND, () -> ModelFiles.directory(empty), "has no config.json");
        Files.createDirectory(empty.resolve("snapshots"));
        fails(ErrorCode.MODEL_NOT_FOUND, () -> ModelFiles.directory(empty), "cp -rL snapshots/REVISION FOLDER");
        fails(ErrorCode.MODEL_NOT_FOUND, () -> ModelFiles.resource("/org/lockstep/none"), "/org/lockstep/none");
    }

    @Test
    void aConfigThatIsALinkOutOfTheFolderIsRefusedAtOnce() throws IOException {
        Path dir = Files.createDirectory(temp.resolve("model"));
        Files.writeString(temp.resolve("config.json"), "{}");
        Files.createSymbolicLink(dir.resolve("config.json"), Path.of("../config.json"));
        fails(ErrorCode.CHECKPOINT_INVALID, () -> ModelFiles.directory(dir), "config.json is a link that leaves");
    }

    @Test
    void filesAreReadWholeUpToALimit() throws IOException {
        Folder folder = new Folder(temp).text("a.txt", "hello");
        ModelFiles files = folder.files();
        assertThat(files.exists("a.txt")).isTrue();
        assertThat(files.exists("b.txt")).isFalse();
        assertThat(files.readFully("a.txt", 5)).asString().isEqualTo("hello");
        fails(ErrorCode.CHECKPOINT_INVALID, () -> files.readFully("a.txt", 4), "a.txt has 5 bytes, more than the 4");
        fails(ErrorCode.CHECKPOINT_INVALID, () -> files.readFully("b.txt", 4), "there is no file b.txt");
        assertThat(files.describe()).isEqualTo(temp.toString());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"", "../x", "a/../../x", "/etc/passwd", "a\\b", "C:/x", "a\0b", ".", "a//b", "a/", "\ud800"})
    void unsafeNamesAreRefusedEverywhere(String name) throws IOException {
        ModelFiles folder = new Folder(temp).files();
        ModelFiles resource = ModelFiles.resource("/org/lockstep/models/fable");
        for (ModelFiles files : new ModelFiles[] {folder, resource}) {
            fails(ErrorCode.CHECKPOINT_INVALID, () -> files.exists(name), "refused the file name");
            fails(ErrorCode.CHECKPOINT_INVALID, () -> files.open(name), "refused the file name");
            fails(ErrorCode.CHECKPOINT_INVALID, () -> files.readFully(name, 9), "refused the file name");
        }
    }

    @Test
    void aResourceIsSeekable() throws IOException {
        try (ModelFiles files = ModelFiles.resource("/org/lockstep/models/fable");
                SeekableByteChannel channel = files.open("model.safetensors")) {
            byte[] all = files.readFully("model.safetensors", 1 << 24);
            assertThat(channel.size()).isEqualTo(all.length).isEqualTo(3_682_304);
            ByteBuffer four = ByteBuffer.allocate(4);
            assertThat(channel.position(1000).read(four)).isEqualTo(4);
            assertThat(channel.position()).isEqualTo(1004);
            assertThat(four.array()).containsExactly(Arrays.copyOfRange(all, 1000, 1004));
            assertThat(channel.position(all.length).read(four.clear())).isEqualTo(-1);
            channel.close();
            assertThatThrownBy(() -> channel.read(four)).isInstanceOf(ClosedChannelException.class);
            assertThat(files.describe()).contains("fable");
            fails(ErrorCode.CHECKPOINT_INVALID, () -> files.open("none"), "there is no file none");
        }
    }

    private static void fails(ErrorCode code, ThrowingCallable what, String said) {
        assertThatThrownBy(what)
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(code))
                .hasMessageContaining(said);
    }
}
