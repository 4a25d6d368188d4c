package org.lockstep.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.assertj.core.api.AbstractThrowableAssert;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/** Indexes and shards that do not agree (F63), names and links that leave the folder (F65). */
class ShardIndexTest {
    private static final String ONE = "model-00001-of-00002.safetensors";
    private static final String TWO = "model-00002-of-00002.safetensors";

    @TempDir
    Path temp;

    private Folder folder;

    @BeforeEach
    void twoShards() throws IOException {
        folder = new Folder(temp.resolve("model"));
        folder.safetensors(ONE, "{" + tensor("a") + "}", 4);
        folder.safetensors(TWO, "{" + tensor("b") + "}", 4);
        index("\"a\":\"" + ONE + "\",\"b\":\"" + TWO + "\"");
    }

    @Test
    void agreeingShardsOpen() {
        try (Checkpoint checkpoint = Checkpoint.open(folder.files())) {
            assertThat(checkpoint.names()).containsExactly("a", "b");
        }
    }

    @Test
    void aMissingShardIsNamedWithItsTensors() throws IOException {
        Files.delete(folder.path().resolve(TWO));
        refused().hasMessageContaining("shard " + TWO + " is missing").hasMessageContaining("'b'");
    }

    @Test
    void aTruncatedShardIsNamedWithTheBytesItShouldHave() throws IOException {
        Path shard = folder.path().resolve(TWO);
        byte[] bytes = Files.readAllBytes(shard);
        Files.write(shard, Arrays.copyOf(bytes, bytes.length - 1));
        refused()
                .hasMessageContaining(TWO)
                .hasMessageContaining("'b'")
                .hasMessageContaining(
                        "would have at least " + bytes.length + " bytes, this one has " + (bytes.length - 1));
    }

    @Test
    void aTensorAbsentFromItsShardIsNamed() throws IOException {
        index("\"a\":\"" + ONE + "\",\"b\":\"" + TWO + "\",\"c\":\"" + TWO + "\"");
        refused().hasMessageContaining("'c'").hasMessageContaining(TWO + ", which does not hold it");
    }

    @Test
    void aTensorInAnotherShardThanSaidIsNamed() throws IOException {
        index("\"a\":\"" + TWO + "\",\"b\":\"" + ONE + "\"");
        refused().hasMessageContaining("but it is in shard");
    }

    @Test
    void aTensorOfAShardThatTheIndexOmitsIsNamed() throws IOException {
        folder.safetensors(ONE, "{" + tensor("a") + "," + tensor("z").replace("[0,4]", "[4,8]") + "}", 8);
        refused().hasMessageContaining("does not name tensor 'z'");
    }

    @Test
    void aTensorInTwoShardsIsNamed() throws IOException {
        folder.safetensors(TWO, "{" + tensor("b") + "," + tensor("a").replace("[0,4]", "[4,8]") + "}", 8);
        refused().hasMessageContaining("'a'").hasMessageContaining("but it is in shard " + TWO);
    }

    @Test
    void anExtraShardIsNamed() throws IOException {
        index("\"a\":\"" + ONE + "\"");
        refused().hasMessageContaining("there is a shard " + TWO);
    }

    @Test
    void aTensorTwiceInTheIndexIsNamed() throws IOException {
        index("\"a\":\"" + ONE + "\",\"a\":\"" + TWO + "\"");
        refused().hasMessageContaining("'a' occurs twice");
    }

    @Test
    void anIndexThatNamesItselfIsRefused() throws IOException {
        index("\"a\":\"model.safetensors.index.json\"");
        refused().hasMessageContaining("does not end in .safetensors");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "../../etc/passwd|the part '..'",
                "x/../../y.safetensors|the part '..'",
                "./y.safetensors|the part '.'",
                "/etc/passwd|it is absolute",
                "x//y.safetensors|the part ''",
                "a\\u0000.safetensors|it contains '\\u0000'",
                "C:\\\\x.safetensors|it contains ':'",
                "..\\\\x.safetensors|it contains '\\'",
                "C:x.safetensors|it contains ':'",
                "a\\n.safetensors|it contains '\\u000a'",
            })
    void aNameThatLeavesTheFolderIsRefused(String name, String said) throws IOException {
        index("\"a\":\"" + name + "\"");
        refused().hasMessageContaining("tensor 'a'").hasMessageContaining(said);
    }

    @Test
    void aLinkOutOfTheFolderIsRefusedThoughItsTargetIsFine() throws IOException {
        Path blob = temp.resolve("blob.safetensors");
        Files.move(folder.path().resolve(TWO), blob);
        Files.createSymbolicLink(folder.path().resolve(TWO), Path.of("../blob.safetensors"));
        refused()
                .hasMessageContaining(TWO + " is a link that leaves the model's folder")
                .hasMessageContaining(blob.toString())
                .hasMessageContaining("copy the files");
    }

    @Test
    void linksWithinTheFolderAndToTheFolderAreFollowed() throws IOException {
        Files.createDirectory(folder.path().resolve("blobs"));
        Files.move(folder.path().resolve(TWO), folder.path().resolve("blobs/two"));
        Files.createSymbolicLink(folder.path().resolve(TWO), Path.of("blobs/two"));
        Path link = Files.createSymbolicLink(temp.resolve("link"), folder.path());
        try (Checkpoint checkpoint = Checkpoint.open(ModelFiles.directory(link))) {
            assertThat(checkpoint.read("b").byteArray()).containsExactly(0, 1, 2, 3);
        }
    }

    @Test
    void aFolderInPlaceOfAFileIsRefused() throws IOException {
        Files.delete(folder.path().resolve(TWO));
        Files.createDirectory(folder.path().resolve(TWO));
        refused().hasMessageContaining(TWO + " is not a regular file");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "[]|not a JSON object",
                "{}|weight_map is missing or empty",
                "{\"weight_map\":{}}|missing or empty",
                "{\"weight_map\":[]}|must be an object",
                "{\"weight_map\":{\"a\":1}}|must name one file for tensor 'a'",
                "{\"weight_map\":{\"a\":{\"b\":\"c\"}}}|must name one file",
                "{\"weight_map\":{},\"weight_map\":{}}|weight_map occurs twice",
                "{\"weight_map\":|not valid JSON",
                "{\"metadata\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[|not valid JSON",
            })
    void anIndexThatIsNoneIsRefused(String json, String said) throws IOException {
        folder.text("model.safetensors.index.json", json);
        refused().hasMessageContaining("model.safetensors.index.json").hasMessageContaining(said);
    }

    @Test
    void damageAtRandomIsAnErrorOrAReadableModel() throws IOException {
        Path index = folder.path().resolve("model.safetensors.index.json");
        byte[] good = Files.readAllBytes(index);
        Random random = new Random(5);
        for (int round = 0; round < 2000; round++) {
            byte[] bad = good.clone();
            for (int i = random.nextInt(3); i >= 0; i--) {
                bad[random.nextInt(bad.length)] = (byte) random.nextInt();
            }
            Files.write(index, bad);
            try (Checkpoint checkpoint = Checkpoint.open(folder.files())) {
                checkpoint.names().forEach(checkpoint::read);
            } catch (LockstepException e) {
                assertThat(e.code()).isEqualTo(ErrorCode.CHECKPOINT_INVALID);
            }
        }
    }

    private AbstractThrowableAssert<?, ? extends Throwable> refused() {
        ModelFiles files = folder.files();
        return assertThat(catchThrowable(() -> Checkpoint.open(files)))
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.CHECKPOINT_INVALID));
    }

    private void index(String map) throws IOException {
        folder.text("model.safetensors.index.json", "{\"metadata\":{\"total_size\":8},\"weight_map\":{" + map + "}}");
    }

    private static String tensor(String name) {
        return "\"" + name + "\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}";
    }
}
