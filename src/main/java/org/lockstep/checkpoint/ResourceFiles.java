package org.lockstep.checkpoint;

import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.net.URLConnection;
import java.nio.channels.SeekableByteChannel;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/** A folder of the class path, its files in memory once used. Thread-safe. */
final class ResourceFiles extends ModelFiles {
    private static final int LIMIT = 256 << 20;

    private final String folder;
    private final Map<String, byte[]> held = new ConcurrentHashMap<>();

    private ResourceFiles(String folder) {
        this.folder = folder;
    }

    static ModelFiles of(String folder) {
        if (!folder.startsWith("/") || folder.endsWith("/")) {
            throw new IllegalArgumentException("a resource folder reads /like/this, not " + folder);
        }
        ResourceFiles files = new ResourceFiles(folder);
        if (!files.exists("config.json")) {
            throw LockstepException.report(
                            ErrorCode.MODEL_NOT_FOUND,
                            "no model in the class path under " + folder + ": no config.json")
                    .attempt("use the jar that bundles the model, or pass a model folder")
                    .exception();
        }
        return files;
    }

    private @Nullable URL url(String name) {
        requireSafe(name);
        return ResourceFiles.class.getResource(folder + "/" + name);
    }

    @Override
    public boolean exists(String name) {
        return url(name) != null;
    }

    @Override
    public SeekableByteChannel open(String name) {
        byte[] bytes = held.get(name);
        if (bytes == null) {
            bytes = load(name);
            held.put(name, bytes);
        }
        return new MemoryChannel(bytes);
    }

    private byte[] load(String name) {
        URL url = url(name);
        if (url == null) {
            throw invalid("there is no file " + name, null);
        }
        try {
            URLConnection connection = url.openConnection();
            connection.setUseCaches(false); // a cached jar is closed under us when another class loader closes
            try (InputStream in = connection.getInputStream()) {
                byte[] bytes = in.readNBytes(LIMIT + 1);
                if (bytes.length > LIMIT) {
                    throw invalid(name + " has more than the " + LIMIT + " bytes that a bundled file may have", null);
                }
                return bytes;
            }
        } catch (IOException e) {
            throw unreadable(name, e);
        }
    }

    @Override
    public String describe() {
        return "class path " + folder;
    }

    @Override
    public void close() {
        held.clear();
    }
}
