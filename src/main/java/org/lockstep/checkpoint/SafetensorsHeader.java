package org.lockstep.checkpoint;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.channels.SeekableByteChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.lockstep.LockstepException;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Shape;

/**
 * Reads and validates the header of one safetensors file: eight bytes of length, little endian, then a JSON object of
 * tensors, then their bytes, which the tensors must tile from the first to the last.
 */
final class SafetensorsHeader {
    /** What the reference reader allows. */
    private static final long MAX_HEADER = 100_000_000;

    private static final long POINTER = ByteBuffer.wrap("version ".getBytes(StandardCharsets.US_ASCII))
            .order(ByteOrder.LITTLE_ENDIAN)
            .getLong(); // how a file of Git LFS begins

    private static final int MAX_TENSORS = 1 << 18;
    private static final int MAX_METADATA = 1 << 14;
    private static final int MAX_DIMS = 16;
    private static final int MAX_NAME = 1024;

    private static final Map<String, DataType> TYPES =
            Stream.of(DataType.values()).collect(Collectors.toUnmodifiableMap(DataType::name, Function.identity()));

    private final ModelFiles files;
    private final String file;
    private final long fileSize;
    private final long headerLength;

    private SafetensorsHeader(ModelFiles files, String file, long fileSize, long headerLength) {
        this.files = files;
        this.file = file;
        this.fileSize = fileSize;
        this.headerLength = headerLength;
    }

    /** The tensors of {@code file} in the order of their bytes, keyed by name. */
    static Map<String, TensorInfo> read(ModelFiles files, String file) {
        try (SeekableByteChannel channel = files.open(file)) {
            long size = channel.size();
            ByteBuffer start = ByteBuffer.allocate(9).order(ByteOrder.LITTLE_ENDIAN);
            while (start.hasRemaining() && channel.read(start) >= 0) {}
            if (size < 9 || start.hasRemaining()) {
                throw files.invalid(
                        file + " has " + size + " bytes, too few for a safetensors file: 8 of header length, then the"
                                + " header",
                        null);
            }
            long length = start.getLong(0);
            if (length == POINTER) {
                throw files.invalid(
                        file + " is not the weights but Git LFS's pointer to them, which git lfs pull replaces", null);
            }
            SafetensorsHeader header = new SafetensorsHeader(files, file, size, length);
            if (length < 1 || length > MAX_HEADER) {
                throw header.invalid("the header length " + Long.toUnsignedString(length) + " at offset 0 is not in 1.."
                        + MAX_HEADER);
            }
            if (length > size - 8) {
                throw header.invalid("the header length " + length + " at offset 0 is more than the " + (size - 8)
                        + " bytes that follow; the file has " + size);
            }
            if (start.get(8) != '{') {
                throw header.invalid(
                        "the header at offset 8 starts with byte " + (start.get(8) & 0xff) + ", not with '{'");
            }
            channel.position(8);
            return header.tiled(header.parse(new HeaderStream(Channels.newInputStream(channel), length)));
        } catch (IOException e) {
            throw files.unreadable(file, e);
        }
    }

    private Map<String, TensorInfo> parse(InputStream in) throws IOException {
        Map<String, TensorInfo> tensors = new LinkedHashMap<>();
        String name = null;
        try (JsonParser parser = Json.parser(in)) {
            parser.nextToken(); // '{', as the caller saw
            boolean metadata = false;
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                name = parser.currentName();
                parser.nextToken();
                if (name.equals("__metadata__")) {
                    if (metadata) {
                        throw new Json.MalformedException("it occurs twice");
                    }
                    metadata = true;
                    checkMetadata(parser);
                } else {
                    if (name.length() > MAX_NAME) {
                        throw new Json.MalformedException("a name has more than " + MAX_NAME + " characters");
                    }
                    if (tensors.put(name, parseTensor(name, parser)) != null) {
                        throw new Json.MalformedException("it occurs twice");
                    }
                    if (tensors.size() > MAX_TENSORS) {
                        throw new Json.MalformedException("there are more than " + MAX_TENSORS + " tensors");
                    }
                }
                name = null;
            }
            if (parser.nextToken() != null) {
                throw new Json.MalformedException("something follows the JSON object");
            }
        } catch (IOException e) {
            if (!Json.isContent(e)) {
                throw files.unreadable(file, e);
            }
            throw files.invalid(
                    file + ": the header (bytes 8.." + (8 + headerLength) + ") is wrong"
                            + (name == null ? "" : " at " + ModelFiles.quote(name)) + ": " + Json.explain(e),
                    e);
        }
        return tensors;
    }

    private static void checkMetadata(JsonParser parser) throws IOException {
        require(parser.currentToken() == JsonToken.START_OBJECT, "it must be an object");
        Set<String> keys = new HashSet<>();
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            require(parser.currentName().length() <= MAX_NAME, "a key has more than " + MAX_NAME + " characters");
            require(keys.add(parser.currentName()), "a key occurs twice");
            require(keys.size() <= MAX_METADATA, "it has more than " + MAX_METADATA + " keys");
            require(parser.nextToken() == JsonToken.VALUE_STRING, "a value is not a string");
        }
    }

    private TensorInfo parseTensor(String name, JsonParser parser) throws IOException {
        require(parser.currentToken() == JsonToken.START_OBJECT, "a tensor must be an object");
        String type = null;
        List<Long> dims = null;
        List<Long> range = null;
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String key = parser.currentName();
            parser.nextToken();
            switch (key) {
                case "dtype" -> {
                    require(type == null, "dtype occurs twice");
                    require(parser.currentToken() == JsonToken.VALUE_STRING, "dtype must be a string");
                    type = parser.getText();
                }
                case "shape" -> {
                    require(dims == null, "shape occurs twice");
                    dims = counts(parser, "shape", MAX_DIMS);
                }
                case "data_offsets" -> {
                    require(range == null, "data_offsets occurs twice");
                    range = counts(parser, "data_offsets", 2);
                }
                default -> throw new Json.MalformedException("unknown key " + ModelFiles.quote(key));
            }
        }
        if (type == null || dims == null || range == null || range.size() != 2) {
            throw new Json.MalformedException("a tensor needs dtype, shape and two data_offsets");
        }
        return located(name, type, dims, range.get(0), range.get(1));
    }

    private static List<Long> counts(JsonParser parser, String what, int most) throws IOException {
        require(parser.currentToken() == JsonToken.START_ARRAY, what + " must be an array");
        List<Long> counts = new ArrayList<>();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
            require(parser.currentToken() == JsonToken.VALUE_NUMBER_INT, what + " must hold whole numbers");
            require(counts.size() < most, what + " has more than " + most + " numbers");
            require(
                    parser.getNumberType() != JsonParser.NumberType.BIG_INTEGER,
                    what + " holds a number beyond 9223372036854775807");
            long count = parser.getLongValue();
            require(count >= 0, what + " holds the negative " + count);
            counts.add(count);
        }
        return counts;
    }

    /** A tensor whose own numbers agree: type and shape with its length, its range with the file. */
    private TensorInfo located(String name, String typeName, List<Long> dims, long begin, long end) {
        String what = "tensor " + ModelFiles.quote(name);
        DataType type = TYPES.get(typeName);
        if (type == null) {
            throw invalid(what + " has dtype " + ModelFiles.quote(typeName)
                    + "; Lockstep reads F64, F32, BF16, F16, I64, I32, I8, U8, F8_E4M3 and F8_E5M2");
        }
        Shape shape;
        long length;
        try {
            shape = Shape.of(dims.stream().mapToLong(Long::longValue).toArray());
            length = Math.multiplyExact(shape.elements(), (long) type.bytes());
        } catch (ArithmeticException e) {
            throw invalid(what + " has shape " + dims + ", more bytes than a 64-bit number can count");
        }
        if (begin > end) {
            throw invalid(what + " has data_offsets [" + begin + ", " + end + "], of which the first is the larger");
        }
        long dataStart = 8 + headerLength;
        if (end > fileSize - dataStart) {
            throw invalid(what + " has data_offsets [" + begin + ", " + end + "], but only " + (fileSize - dataStart)
                    + " bytes follow the header: a complete file would have at least " + saturated(dataStart, end)
                    + " bytes, this one has " + fileSize);
        }
        if (end - begin != length) {
            throw invalid(what + " has data_offsets [" + begin + ", " + end + "], " + (end - begin) + " bytes, but "
                    + type + " " + shape + " takes " + length);
        }
        return new TensorInfo(name, type, shape, file, dataStart + begin, length);
    }

    private static String saturated(long a, long b) {
        long sum = a + b;
        return sum < 0 ? "2^63" : Long.toString(sum);
    }

    /** Checks that the tensors cover the data, each byte once; returns them in that order. */
    private Map<String, TensorInfo> tiled(Map<String, TensorInfo> tensors) {
        List<TensorInfo> ordered = new ArrayList<>(tensors.values());
        ordered.sort(Comparator.comparingLong(TensorInfo::offset).thenComparingLong(TensorInfo::length));
        Map<String, TensorInfo> result = new LinkedHashMap<>();
        long expected = 8 + headerLength;
        TensorInfo before = null;
        for (TensorInfo tensor : ordered) {
            if (tensor.offset() != expected) {
                String kind = tensor.offset() > expected ? "leaves a hole after " : "overlaps ";
                throw invalid(describe(tensor) + " " + kind
                        + (before == null ? "the header, which ends at " + expected : describe(before)));
            }
            if (before != null && before.length() == 0 && tensor.length() == 0) {
                throw invalid(describe(tensor) + " and " + describe(before) + " are empty and share an offset");
            }
            result.put(tensor.name(), tensor);
            expected += tensor.length();
            before = tensor;
        }
        if (expected != fileSize) {
            throw invalid("the last tensor ends at offset " + expected + ", but the file has " + fileSize + " bytes: "
                    + (fileSize - expected) + " belong to no tensor");
        }
        return result;
    }

    private static String describe(TensorInfo tensor) {
        return "tensor " + ModelFiles.quote(tensor.name()) + " (bytes " + tensor.offset() + ".."
                + (tensor.offset() + tensor.length()) + ")";
    }

    private static void require(boolean holds, String what) throws Json.MalformedException {
        if (!holds) {
            throw new Json.MalformedException(what);
        }
    }

    private LockstepException invalid(String what) {
        return files.invalid(file + ": " + what, null);
    }
}
