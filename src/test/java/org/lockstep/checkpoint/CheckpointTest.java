package org.lockstep.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.reflect.Array;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Shape;

class CheckpointTest {
    @TempDir
    Path temp;

    @ParameterizedTest
    @ValueSource(
            strings = {
                "llama-bf16-sharded",
                "llama-f16",
                "llama-gqa-tied",
                "llama-gqa-untied",
                "llama-mha-bias-oddvocab",
                "llama-rope-linear",
                "llama3-rope-scaled"
            })
    void slicesAreThoseOfTheWholeTensorAndCostOnlyTheirOwnBytes(String model) throws IOException {
        Random random = new Random(7);
        try (ModelFiles files = ModelFiles.directory(Folder.model(model));
                Checkpoint checkpoint = Checkpoint.open(files)) {
            assertThat(checkpoint.bytesRead()).isZero();
            for (String name : checkpoint.names()) {
                TensorInfo info = checkpoint.info(name);
                HostBuffer whole = checkpoint.read(name);
                assertThat(raw(whole)).isEqualTo(stored(Folder.model(model), info));
                Shape shape = info.shape();
                long row = shape.elements() / shape.dim(0);
                long from = random.nextLong(shape.dim(0));
                long count = random.nextLong(shape.dim(0) - from + 1);
                long before = checkpoint.bytesRead();
                HostBuffer rows = checkpoint.readRows(name, from, count);
                assertThat(raw(rows)).isEqualTo(raw(whole.slice(from * row, count * row)));
                assertThat(checkpoint.bytesRead() - before)
                        .isEqualTo(rows.length() * info.type().bytes());
                if (shape.rank() == 2) {
                    from = random.nextLong(row);
                    count = random.nextLong(row - from + 1);
                    before = checkpoint.bytesRead();
                    HostBuffer columns = columns(checkpoint, name, from, count);
                    assertThat(columns.length()).isEqualTo(shape.dim(0) * count);
                    assertThat(checkpoint.bytesRead() - before)
                            .isEqualTo(columns.length() * info.type().bytes());
                    for (int i = 0; i < shape.dim(0); i++) {
                        assertThat(raw(columns.slice(i * count, count)))
                                .isEqualTo(raw(whole.slice(i * row + from, count)));
                    }
                }
            }
        }
    }

    /** Of all rows. */
    private static HostBuffer columns(Checkpoint checkpoint, String name, long from, long count) {
        return checkpoint.readBlock(name, 0, checkpoint.info(name).shape().dim(0), from, count);
    }

    @Test
    void aRankOfTwoReadsHalf() {
        try (ModelFiles files = ModelFiles.resource("/org/lockstep/models/fable");
                Checkpoint checkpoint = Checkpoint.open(files)) {
            String down = "model.layers.0.mlp.down_proj.weight";
            TensorInfo info = checkpoint.expect(down, Shape.of(128, 384));
            columns(checkpoint, down, 192, 192);
            assertThat(checkpoint.bytesRead()).isEqualTo(info.length() / 2);
            checkpoint.readRows(down, 64, 64);
            assertThat(checkpoint.bytesRead()).isEqualTo(info.length());
        }
    }

    @Test
    void everyStoredTypeIsReadInItsOwn() throws IOException {
        Folder folder = new Folder(temp);
        StringBuilder header = new StringBuilder("{");
        int at = 0;
        for (DataType type : DataType.values()) {
            int end = at + 6 * type.bytes();
            header.append(at == 0 ? "" : ",")
                    .append("\"%s\":{\"dtype\":\"%s\",\"shape\":[3,2],\"data_offsets\":[%d,%d]}"
                            .formatted(type, type.name(), at, end));
            at = end;
        }
        folder.safetensors("model.safetensors", header.append("}  ").toString(), at);
        try (Checkpoint checkpoint = Checkpoint.open(folder.files())) {
            for (DataType type : DataType.values()) {
                TensorInfo info = checkpoint.info(type.toString());
                assertThat(info.type()).isEqualTo(type);
                HostBuffer buffer = checkpoint.read(type.toString());
                assertThat(buffer.type()).isEqualTo(type);
                assertThat(raw(buffer)).isEqualTo(stored(temp, info));
                assertThat(raw(columns(checkpoint, type.toString(), 1, 1)))
                        .isEqualTo(raw(HostBuffer.of(type, every(buffer, 1, 2))));
            }
        }
    }

    @Test
    void slicesLargerThanTheChunkAreWhole() throws IOException {
        int rows = 1500;
        int columns = 1001;
        String header = "{\"w\":{\"dtype\":\"I8\",\"shape\":[%d,%d],\"data_offsets\":[0,%d]}}"
                .formatted(rows, columns, rows * columns);
        Folder folder = new Folder(temp).safetensors("model.safetensors", header, rows * columns);
        try (Checkpoint checkpoint = Checkpoint.open(folder.files())) {
            byte[] whole = checkpoint.read("w").byteArray();
            assertThat(whole).isEqualTo(stored(temp, checkpoint.info("w")));
            byte[] slice = columns(checkpoint, "w", 100, 900).byteArray();
            for (int i = 0; i < rows; i++) {
                assertThat(ByteBuffer.wrap(slice, i * 900, 900))
                        .isEqualTo(ByteBuffer.wrap(whole, i * columns + 100, 900));
            }
            assertThat(checkpoint.bytesRead()).isEqualTo(rows * columns + rows * 900L);
        }
    }

    @Test
    void scalarsVectorsAndEmptyTensorsAreTensors() throws IOException {
        String header = """
                {"none":{"dtype":"F32","shape":[0,4611686018427387904],"data_offsets":[0,0]},\
                "one":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"v":{"dtype":"U8","shape":[5],"data_offsets":[1,6]}}""";
        Folder folder = new Folder(temp).safetensors("model.safetensors", header, 6);
        try (Checkpoint checkpoint = Checkpoint.open(folder.files())) {
            assertThat(checkpoint.names()).containsExactly("none", "one", "v");
            assertThat(checkpoint.read("none").length()).isZero();
            assertThat(columns(checkpoint, "none", 4611686018427387000L, 3).length())
                    .isZero();
            assertThat(checkpoint.read("one").byteArray()).containsExactly(0);
            assertThat(checkpoint.readRows("v", 1, 3).byteArray()).containsExactly(2, 3, 4);
            assertThatThrownBy(() -> checkpoint.readRows("one", 0, 1)).isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> columns(checkpoint, "v", 0, 1)).isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> checkpoint.readRows("v", 3, 3)).isInstanceOf(IndexOutOfBoundsException.class);
            assertThatThrownBy(() -> checkpoint.read("w"))
                    .isInstanceOfSatisfying(
                            LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.CHECKPOINT_INVALID))
                    .hasMessageContaining("there is no tensor 'w' among the 3 stored");
            assertThatThrownBy(() -> checkpoint.expect("v", Shape.of(6)))
                    .hasMessageContaining("tensor 'v' u8 [5]")
                    .hasMessageContaining("[6]");
        }
    }

    /** A value in the middle of one tensor is enough; where the files lie is not of it. */
    @Test
    void aFingerprintTellsWeightsOfAnotherTrainingApart(@TempDir Path folder) throws IOException {
        Path model = Path.of("src/main/resources/org/lockstep/models/fable");
        String there = fingerprint(model);
        for (String name : List.of("model.safetensors", "config.json")) {
            Files.copy(model.resolve(name), folder.resolve(name));
        }
        assertThat(fingerprint(folder)).isEqualTo(there).hasSize(16);
        TensorInfo info;
        try (ModelFiles files = ModelFiles.directory(folder);
                Checkpoint checkpoint = Checkpoint.open(files)) {
            info = checkpoint.info("model.layers.1.mlp.up_proj.weight");
        }
        try (RandomAccessFile file =
                new RandomAccessFile(folder.resolve("model.safetensors").toFile(), "rw")) {
            file.seek(info.offset() + info.length() / 2);
            int value = file.read();
            file.seek(info.offset() + info.length() / 2);
            file.write(value ^ 1);
        }
        assertThat(fingerprint(folder)).isNotEqualTo(there);
    }

    private static String fingerprint(Path folder) {
        try (ModelFiles files = ModelFiles.directory(folder);
                Checkpoint checkpoint = Checkpoint.open(files)) {
            return checkpoint.fingerprint();
        }
    }

    @Test
    void shardsAreOneModel() {
        try (ModelFiles files = ModelFiles.resource(Folder.MODELS + "llama-bf16-sharded");
                Checkpoint checkpoint = Checkpoint.open(files)) {
            assertThat(checkpoint.names()).hasSize(39).contains("model.embed_tokens.weight", "lm_head.weight");
            assertThat(checkpoint.info("lm_head.weight").file()).isEqualTo("model-00003-of-00003.safetensors");
            // to and fro between files
            HostBuffer first = checkpoint.read("model.embed_tokens.weight");
            checkpoint.read("lm_head.weight");
            assertThat(raw(checkpoint.read("model.embed_tokens.weight"))).isEqualTo(raw(first));
        }
    }

    @Test
    void aFileCutShortAfterOpeningIsAnErrorNotACrash() throws IOException {
        String header = "{\"w\":{\"dtype\":\"F32\",\"shape\":[1000,4],\"data_offsets\":[0,16000]}}";
        Folder folder = new Folder(temp).safetensors("model.safetensors", header, 16000);
        try (Checkpoint checkpoint = Checkpoint.open(folder.files())) {
            checkpoint.readRows("w", 0, 1);
            try (FileChannel file = FileChannel.open(temp.resolve("model.safetensors"), StandardOpenOption.WRITE)) {
                file.truncate(5000);
            }
            assertThatThrownBy(() -> checkpoint.read("w"))
                    .isInstanceOfSatisfying(
                            LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.CHECKPOINT_INVALID))
                    .hasMessageContaining("tensor 'w'")
                    .hasMessageContaining("ends early, at offset 5000");
            Files.delete(temp.resolve("model.safetensors"));
            assertThatThrownBy(() -> columns(checkpoint, "w", 0, 1))
                    .isInstanceOf(LockstepException.class)
                    .hasMessageContaining("there is no file model.safetensors");
        }
    }

    @Test
    void anInterruptIsAnAbortNotADamagedFile() {
        try (ModelFiles files = ModelFiles.directory(Folder.model("llama-f16"));
                Checkpoint checkpoint = Checkpoint.open(files)) {
            Thread.currentThread().interrupt();
            assertThatThrownBy(() -> checkpoint.read("model.embed_tokens.weight"))
                    .isInstanceOfSatisfying(
                            LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.ABORTED));
            assertThatThrownBy(() -> Checkpoint.open(files))
                    .isInstanceOfSatisfying(
                            LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.ABORTED));
            assertThat(Thread.interrupted()).isTrue();
            assertThat(checkpoint.read("model.embed_tokens.weight").length()).isEqualTo(320 * 64);
        }
    }

    @Test
    void noWeightsIsSaidWithWhatToDo() throws IOException {
        Folder folder = new Folder(temp);
        assertThatThrownBy(() -> Checkpoint.open(folder.files()))
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.MODEL_NOT_FOUND))
                .hasMessageContaining(temp.toString());
        folder.text("pytorch_model.bin", "");
        assertThatThrownBy(() -> Checkpoint.open(folder.files())).hasMessageContaining("convert pytorch_model.bin");
    }

    /** The elements as little-endian bytes. */
    private static byte[] raw(HostBuffer buffer) {
        int size = buffer.type().bytes();
        ByteBuffer out = ByteBuffer.allocate(buffer.size() * size).order(ByteOrder.LITTLE_ENDIAN);
        int from = buffer.offset();
        int count = buffer.size();
        switch (buffer.type()) {
            case F64 -> out.asDoubleBuffer().put(buffer.doubles(), from, count);
            case F32 -> out.asFloatBuffer().put(buffer.floats(), from, count);
            case BF16, F16 -> out.asShortBuffer().put(buffer.shorts(), from, count);
            case I64 -> out.asLongBuffer().put(buffer.longs(), from, count);
            case I32 -> out.asIntBuffer().put(buffer.ints(), from, count);
            case I8, U8, F8_E4M3, F8_E5M2 -> out.put(buffer.byteArray(), from, count);
        }
        return out.array();
    }

    private static byte[] stored(Path folder, TensorInfo info) throws IOException {
        byte[] file = Files.readAllBytes(folder.resolve(info.file()));
        return Arrays.copyOfRange(file, (int) info.offset(), (int) (info.offset() + info.length()));
    }

    private static Object every(HostBuffer buffer, int from, int step) {
        int[] at =
                IntStream.iterate(from, i -> i < buffer.size(), i -> i + step).toArray();
        Object out = Array.newInstance(buffer.array().getClass().getComponentType(), at.length);
        for (int i = 0; i < at.length; i++) {
            Array.set(out, i, Array.get(buffer.array(), at[i]));
        }
        return out;
    }
}
