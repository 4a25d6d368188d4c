package org.lockstep.checkpoint;

import java.io.IOException;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;

/** A model folder to be filled with right and wrong files. */
public final class Folder {
    public static final String MODELS = "/org/lockstep/oracle/models/";

    private final Path path;

    public Folder(Path path) throws IOException {
        this.path = Files.createDirectories(path);
        text("config.json", "{}");
    }

    public Path path() {
        return path;
    }

    public ModelFiles files() {
        return ModelFiles.directory(path);
    }

    public Folder text(String name, String content) throws IOException {
        return bytes(name, content.getBytes(StandardCharsets.UTF_8));
    }

    public Folder bytes(String name, byte[] content) throws IOException {
        Files.write(path.resolve(name), content);
        return this;
    }

    /** A safetensors file of this header, its true length before it, and {@code data} bytes counting up after it. */
    public Folder safetensors(String name, String header, int data) throws IOException {
        return bytes(name, file(header, data));
    }

    public static byte[] file(String header, int data) {
        byte[] json = header.getBytes(StandardCharsets.UTF_8);
        return file(json.length, json, data);
    }

    public static byte[] file(long length, byte[] header, int data) {
        ByteBuffer out = ByteBuffer.allocate(8 + header.length + data).order(ByteOrder.LITTLE_ENDIAN);
        out.putLong(length).put(header);
        for (int i = 0; i < data; i++) {
            out.put((byte) i);
        }
        return out.array();
    }

    /** The folder of one of the synthetic models of the test resources. */
    public static Path model(String name) {
        try {
            URL url = Objects.requireNonNull(Folder.class.getResource(MODELS + name));
            return Path.of(url.toURI());
        } catch (URISyntaxException e) {
            throw new AssertionError(e);
        }
    }
}
