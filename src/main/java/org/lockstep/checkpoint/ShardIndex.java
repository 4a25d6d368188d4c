package org.lockstep.checkpoint;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.channels.Channels;
import java.nio.channels.SeekableByteChannel;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.lockstep.LockstepException;

/** Reads {@code model.safetensors.index.json} and the headers of all shards it names, and checks that they agree. */
final class ShardIndex {
    static final String NAME = "model.safetensors.index.json";

    private static final long LIMIT = 64 << 20;
    private static final int MAX_TENSORS = 1 << 18;
    private static final int MAX_SHARDS = 1 << 14;
    private static final Pattern NUMBERED = Pattern.compile("(.*-)(\\d{5})(-of-)(\\d{5})(\\.safetensors)");

    private final ModelFiles files;

    private ShardIndex(ModelFiles files) {
        this.files = files;
    }

    /** The tensors of all shards, in the order of the shards and of their bytes. */
    static Map<String, TensorInfo> read(ModelFiles files) {
        ShardIndex index = new ShardIndex(files);
        Map<String, String> fileOf = index.parse();
        Set<String> shards = new LinkedHashSet<>(fileOf.values());
        index.refuseExtraShard(shards);
        return index.collect(fileOf, shards);
    }

    private Map<String, String> parse() {
        Map<String, String> fileOf = new LinkedHashMap<>();
        Set<String> known = new LinkedHashSet<>();
        try (SeekableByteChannel channel = files.open(NAME)) {
            if (channel.size() > LIMIT) {
                throw invalid("it has " + channel.size() + " bytes, more than the " + LIMIT + " that are read", null);
            }
            try (JsonParser parser = Json.parser(new HeaderStream(Channels.newInputStream(channel), channel.size()))) {
                if (parser.nextToken() != JsonToken.START_OBJECT) {
                    throw new Json.MalformedException("not a JSON object");
                }
                boolean seen = false;
                while (parser.nextToken() == JsonToken.FIELD_NAME) {
                    boolean map = parser.currentName().equals("weight_map");
                    parser.nextToken();
                    if (!map) {
                        parser.skipChildren();
                        continue;
                    }
                    if (seen) {
                        throw new Json.MalformedException("weight_map occurs twice");
                    }
                    seen = true;
                    parseMap(parser, fileOf, known);
                }
                if (parser.nextToken() != null) {
                    throw new Json.MalformedException("something follows the JSON object");
                }
            }
        } catch (IOException e) {
            if (!Json.isContent(e)) {
                throw files.unreadable(NAME, e);
            }
            throw invalid(Json.explain(e), e);
        }
        if (fileOf.isEmpty()) {
            throw invalid("weight_map is missing or empty", null);
        }
        return fileOf;
    }

    private void parseMap(JsonParser parser, Map<String, String> fileOf, Set<String> known) throws IOException {
        if (parser.currentToken() != JsonToken.START_OBJECT) {
            throw new Json.MalformedException("weight_map must be an object");
        }
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String tensor = parser.currentName();
            if (parser.nextToken() != JsonToken.VALUE_STRING) {
                throw new Json.MalformedException(
                        "weight_map must name one file for tensor " + ModelFiles.quote(tensor));
            }
            String shard = parser.getText();
            if (known.add(shard)) {
                String fault = ModelFiles.fault(shard);
                if (fault == null && !shard.endsWith(".safetensors")) {
                    fault = "it does not end in .safetensors";
                }
                if (fault != null) {
                    throw invalid(
                            "weight_map puts tensor " + ModelFiles.quote(tensor) + " into the file "
                                    + ModelFiles.quote(shard) + ", which is refused: " + fault,
                            null);
                }
            }
            if (fileOf.put(tensor, shard) != null) {
                throw new Json.MalformedException("tensor " + ModelFiles.quote(tensor) + " occurs twice in weight_map");
            }
            if (fileOf.size() > MAX_TENSORS || known.size() > MAX_SHARDS) {
                throw new Json.MalformedException(
                        "weight_map names more than " + MAX_TENSORS + " tensors or " + MAX_SHARDS + " files");
            }
        }
    }

    /** One shard of a numbered set that the index does not name: the files are not of one download. */
    private void refuseExtraShard(Set<String> shards) {
        for (String shard : shards) {
            Matcher numbered = NUMBERED.matcher(shard);
            if (!numbered.matches()) {
                continue;
            }
            int count = Math.min(Integer.parseInt(numbered.group(4)), MAX_SHARDS);
            for (int i = 1; i <= count; i++) {
                String other = numbered.group(1)
                        + String.format(Locale.ROOT, "%05d", i)
                        + numbered.group(3)
                        + numbered.group(4)
                        + numbered.group(5);
                if (!shards.contains(other) && files.exists(other)) {
                    throw invalid(
                            "there is a shard " + other + " beside " + shard + ", but weight_map names no tensor"
                                    + " in it",
                            null);
                }
            }
            return; // all shards of a set lead to the same question
        }
    }

    private Map<String, TensorInfo> collect(Map<String, String> fileOf, Set<String> shards) {
        Map<String, TensorInfo> all = new LinkedHashMap<>();
        for (String shard : shards) {
            if (!files.exists(shard)) {
                long count = fileOf.values().stream().filter(shard::equals).count();
                throw invalid(
                        "shard " + shard + " is missing; weight_map puts " + count + " tensors there, among them "
                                + ModelFiles.quote(firstOf(fileOf, shard)),
                        null);
            }
            for (TensorInfo tensor : SafetensorsHeader.read(files, shard).values()) {
                String promised = fileOf.get(tensor.name());
                if (promised == null) {
                    throw invalid(
                            "weight_map does not name tensor " + ModelFiles.quote(tensor.name())
                                    + ", which is in shard " + shard,
                            null);
                }
                if (!promised.equals(shard)) {
                    throw invalid(
                            "weight_map puts tensor " + ModelFiles.quote(tensor.name()) + " into " + promised
                                    + ", but it is in shard " + shard,
                            null);
                }
                all.put(tensor.name(), tensor);
            }
        }
        for (Map.Entry<String, String> entry : fileOf.entrySet()) {
            if (!all.containsKey(entry.getKey())) {
                throw invalid(
                        "weight_map puts tensor " + ModelFiles.quote(entry.getKey()) + " into shard " + entry.getValue()
                                + ", which does not hold it",
                        null);
            }
        }
        return all;
    }

    private static String firstOf(Map<String, String> fileOf, String shard) {
        return fileOf.entrySet().stream()
                .filter(entry -> entry.getValue().equals(shard))
                .map(Map.Entry::getKey)
                .findFirst()
                .orElse("");
    }

    private LockstepException invalid(String what, @Nullable Throwable cause) {
        return files.invalid(NAME + ": " + what, cause);
    }
}
