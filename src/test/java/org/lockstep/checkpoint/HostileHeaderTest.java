package org.lockstep.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/** Files that lie: F61 and F62 of the fault list, one by one, then at random. */
class HostileHeaderTest {
    @TempDir
    Path temp;

    static Stream<Arguments> files() {
        String good = tensor("a", "U8", "[4]", 0, 4);
        return Stream.of(
                arguments("empty file", new byte[0], "has 0 bytes, too few"),
                arguments("seven bytes", new byte[7], "has 7 bytes, too few"),
                arguments("no header", Folder.file(0, new byte[0], 0), "has 8 bytes, too few"),
                arguments(
                        "pointer of Git LFS",
                        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
                                .getBytes(StandardCharsets.US_ASCII),
                        "git lfs pull"),
                arguments("header length 0", length(0), "header length 0 at offset 0 is not in 1..100000000"),
                arguments("header length above the limit", length(100_000_001), "100000001"),
                arguments("negative header length", length(-1), "18446744073709551615"),
                arguments("smallest long", length(Long.MIN_VALUE), "9223372036854775808"),
                arguments("header longer than the file", length(3000), "is more than the 60 bytes that follow"),
                arguments("not an object", Folder.file("[1]", 0), "starts with byte 91, not with '{'"),
                arguments("space first", Folder.file(" {" + good + "}", 4), "starts with byte 32"),
                arguments("UTF-16", utf16("{" + good + "}"), "not valid JSON"),
                arguments("bad UTF-8", latin1("{\"\u00e9\u00e9\":1}"), "not valid UTF-8"),
                arguments("overlong UTF-8", latin1("{\"\u00c0\u0080\":1}"), "not valid UTF-8"),
                arguments("not JSON", Folder.file("{hello}", 0), "not valid JSON"),
                arguments("cut JSON", Folder.file("{\"a\":{\"dtype\":\"U8\",", 0), "not valid JSON"),
                arguments("cut inside a string", Folder.file("{\"a", 0), "not valid JSON"),
                arguments("deep nesting", Folder.file("{\"a\":" + "[".repeat(100_000), 0), "at 'a'"),
                arguments(
                        "deep metadata", Folder.file("{\"__metadata__\":" + "{\"a\":".repeat(9000), 0), "not a string"),
                arguments("duplicate tensor", Folder.file("{" + good + "," + good + "}", 4), "'a': it occurs twice"),
                arguments(
                        "duplicate key",
                        Folder.file(
                                "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1),
                        "dtype occurs twice"),
                arguments(
                        "duplicate metadata",
                        Folder.file("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}," + good + "}", 4),
                        "a key occurs twice"),
                arguments(
                        "metadata of numbers",
                        Folder.file("{\"__metadata__\":{\"k\":1}," + good + "}", 4),
                        "not a string"),
                arguments("bytes after the object", Folder.file("{" + good + "} x", 4), "not valid JSON"),
                arguments("a second object", Folder.file("{" + good + "} {}", 4), "something follows"),
                arguments("bytes after the data", Folder.file("{" + good + "}", 5), "1 belong to no tensor"),
                arguments("data but no tensor", Folder.file("{}", 9), "9 belong to no tensor"),
                arguments("tensor is a number", Folder.file("{\"a\":1}", 0), "a tensor must be an object"),
                arguments("no dtype", Folder.file("{\"a\":{\"shape\":[],\"data_offsets\":[0,0]}}", 0), "needs dtype"),
                arguments(
                        "three offsets",
                        Folder.file("{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1,2]}}", 1),
                        "more than 2 numbers"),
                arguments(
                        "one offset",
                        Folder.file("{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0]}}", 1),
                        "two data_offsets"),
                arguments("unknown dtype", one("Q4_0", "[4]", 0, 4), "has dtype 'Q4_0'; Lockstep reads"),
                arguments("float8 without a sign", one("F8_E8M0", "[4]", 0, 4), "has dtype 'F8_E8M0'"),
                arguments("negative dim", one("U8", "[-4]", 0, 4), "the negative -4"),
                arguments("fraction dim", one("U8", "[4.0]", 0, 4), "whole numbers"),
                arguments("huge dim", one("U8", "[9223372036854775808]", 0, 4), "beyond 9223372036854775807"),
                arguments("endless number", one("U8", "[" + "9".repeat(500) + "]", 0, 4), "not valid JSON"),
                arguments(
                        "more digits",
                        one("U8", "[" + "9".repeat(5000) + "]", 0, 4),
                        "a word has more than 1024 bytes"),
                arguments("endless name", Folder.file("{\"" + "a\\\"".repeat(9 << 20) + "\":1}", 0), "4194304"),
                arguments(
                        "endless space",
                        Folder.file("{" + " ".repeat(20 << 20) + good + "}", 5),
                        "1 belong to no tensor"),
                arguments("long name", one("U8", "[4]", 0, 4, "a".repeat(1025)), "more than 1024 characters"),
                arguments("many dims", one("U8", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,4]", 0, 4), "more than 16"),
                arguments("shape wraps to 4", one("U8", "[4194305,4194305,211106198978564]", 0, 4), "64-bit"),
                arguments("bytes wrap", one("F32", "[4611686018427387905]", 0, 4), "64-bit"),
                arguments("begin after end", one("U8", "[4]", 4, 0), "of which the first is the larger"),
                arguments("negative offset", one("U8", "[4]", -4, 0), "the negative -4"),
                arguments("beyond the file", one("U8", "[5]", 0, 5), "only 4 bytes follow the header"),
                arguments("far beyond", one("U8", "[9223372036854775807]", 0, Long.MAX_VALUE), "2^63"),
                arguments("too short for its shape", one("F32", "[2]", 0, 4), "4 bytes, but f32 [2] takes 8"),
                arguments("hole at the start", one("U8", "[3]", 1, 4), "leaves a hole after the header"),
                arguments(
                        "hole between",
                        Folder.file(
                                "{" + tensor("a", "U8", "[1]", 0, 1) + "," + tensor("b", "U8", "[1]", 2, 3) + "}", 3),
                        "tensor 'b' (bytes 115..116) leaves a hole after tensor 'a' (bytes 113..114)"),
                arguments(
                        "overlap",
                        Folder.file("{" + good + "," + tensor("b", "U8", "[2]", 3, 5) + "}", 5),
                        "overlaps tensor 'a'"),
                arguments(
                        "the same bytes twice",
                        Folder.file("{" + good + "," + tensor("b", "U8", "[4]", 0, 4) + "}", 4),
                        "overlaps tensor 'a'"),
                arguments(
                        "empty inside another",
                        Folder.file("{" + good + "," + tensor("b", "U8", "[0]", 2, 2) + "}", 4),
                        "overlaps tensor 'a'"),
                arguments(
                        "empty tensors share an offset",
                        Folder.file(
                                "{" + good + "," + tensor("b", "U8", "[0]", 4, 4) + ","
                                        + tensor("c", "F64", "[0,9]", 4, 4) + "}",
                                4),
                        "are empty and share an offset"));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("files")
    void isRefusedNamingFileAndNumbers(String name, byte[] file, String said) throws IOException {
        Folder folder = new Folder(temp).bytes("model.safetensors", file);
        ModelFiles files = folder.files();
        long before = allocated();
        Throwable thrown = catchThrowable(() -> Checkpoint.open(files));
        long after = allocated();
        assertThat(thrown)
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.CHECKPOINT_INVALID))
                .hasMessageContaining("model.safetensors")
                .hasMessageContaining(said)
                .hasMessageContaining(temp.toString());
        assertThat(after - before).as("bytes of heap").isLessThan(24 << 20);
    }

    @Test
    void aNameThatWouldForgeOutputIsSpelledOut() throws IOException {
        String header = "{" + tensor("a\\n\\u001b[2J", "U9", "[4]", 0, 4) + "}";
        Folder folder = new Folder(temp).safetensors("model.safetensors", header, 4);
        assertThat(catchThrowable(() -> Checkpoint.open(folder.files()))).hasMessageContaining("'a\\u000a\\u001b[2J'");
    }

    @Test
    void damageAtRandomIsAnErrorOrAReadableModel() throws IOException {
        String header = "{\"__metadata__\":{\"format\":\"pt\"}," + tensor("model.a.weight", "F32", "[3,4]", 0, 48) + ","
                + tensor("model.b.weight", "BF16", "[4,2]", 48, 64) + "," + tensor("none", "U8", "[0]", 64, 64) + ","
                + tensor("model.c", "I64", "[1]", 64, 72) + "}";
        byte[] good = Folder.file(header, 72);
        Random random = new Random(20260101);
        int refused = 0;
        Folder folder = new Folder(temp);
        for (int round = 0; round < 6000; round++) {
            byte[] bad = damage(good, header.length(), random);
            folder.bytes("model.safetensors", bad);
            try (Checkpoint checkpoint = Checkpoint.open(folder.files())) {
                for (String name : checkpoint.names()) {
                    checkpoint.read(name);
                }
            } catch (LockstepException e) {
                assertThat(e.code()).isEqualTo(ErrorCode.CHECKPOINT_INVALID);
                refused++;
            } catch (Throwable e) {
                throw new AssertionError("round " + round + " " + Arrays.toString(bad), e);
            }
        }
        assertThat(refused).isGreaterThan(4000);
    }

    private static byte[] damage(byte[] good, int header, Random random) {
        List<String> words = List.of(
                "-1",
                "1e999",
                "9223372036854775807",
                "99999999999999999999",
                "null",
                "{}",
                "[[",
                "\"",
                "}",
                ",",
                "\\u0000",
                "0",
                "F64",
                "[0]",
                "\"dtype\":",
                "NaN");
        byte[] bytes = good.clone();
        int changes = 1 + random.nextInt(3);
        for (int i = 0; i < changes; i++) {
            int at = random.nextInt(8 + header);
            switch (random.nextInt(6)) {
                case 0 -> bytes[at % bytes.length] = (byte) random.nextInt();
                case 1 -> bytes[at % bytes.length] ^= (byte) (1 << random.nextInt(8));
                case 2 -> bytes = Arrays.copyOf(bytes, random.nextInt(bytes.length + 20));
                case 3 -> bytes[at % 8 % Math.max(1, bytes.length)] = (byte) random.nextInt();
                default -> {
                    byte[] word = words.get(random.nextInt(words.size())).getBytes(StandardCharsets.UTF_8);
                    int to = Math.min(8 + random.nextInt(header), bytes.length);
                    System.arraycopy(word, 0, bytes, to, Math.min(word.length, bytes.length - to));
                }
            }
            if (bytes.length == 0) {
                return bytes;
            }
        }
        return bytes;
    }

    private static long allocated() {
        return ((com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean())
                .getThreadAllocatedBytes(Thread.currentThread().getId());
    }

    private static String tensor(String name, String type, String shape, long begin, long end) {
        return "\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%d,%d]}"
                .formatted(name, type, shape, begin, end);
    }

    /** One tensor in a file with four bytes of data. */
    private static byte[] one(String type, String shape, long begin, long end) {
        return one(type, shape, begin, end, "a");
    }

    private static byte[] one(String type, String shape, long begin, long end, String name) {
        return Folder.file("{" + tensor(name, type, shape, begin, end) + "}", 4);
    }

    private static byte[] length(long length) {
        return Folder.file(length, "{}".getBytes(StandardCharsets.UTF_8), 58);
    }

    private static byte[] latin1(String header) {
        byte[] bytes = header.getBytes(StandardCharsets.ISO_8859_1);
        return Folder.file(bytes.length, bytes, 0);
    }

    private static byte[] utf16(String header) {
        byte[] bytes = header.getBytes(StandardCharsets.UTF_16LE);
        return Folder.file(bytes.length, bytes, 4);
    }
}
