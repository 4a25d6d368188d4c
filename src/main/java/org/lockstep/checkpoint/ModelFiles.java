package org.lockstep.checkpoint;

import java.io.Closeable;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.SeekableByteChannel;
import java.nio.file.Path;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * The files of one model, read only, by name: a folder of the file system or of the class path.
 *
 * <p>A name is relative, with {@code /} between folders. Absolute names, {@code ..}, backslashes, drive letters and
 * control characters are refused, and so is a file whose real path lies outside the model's folder. Thread-safe.
 */
public abstract sealed class ModelFiles implements Closeable permits DirectoryFiles, ResourceFiles {
    ModelFiles() {}

    /**
     * The model in folder {@code dir}, in the layout of Hugging Face.
     *
     * @throws LockstepException MODEL_NOT_FOUND if {@code dir} is missing, is not a folder or has no config.json;
     *     CHECKPOINT_INVALID if config.json is a link that leaves the folder
     */
    public static ModelFiles directory(Path dir) {
        return DirectoryFiles.of(dir);
    }

    /**
     * A model of which only the settings count: {@code file}, of any name, is its config.json.
     *
     * @throws LockstepException MODEL_NOT_FOUND if it is no file
     */
    public static ModelFiles settings(Path file) {
        return DirectoryFiles.ofSettings(file);
    }

    /**
     * The model in a folder of the class path, for example {@code /org/lockstep/models/fable}. Files are held in memory
     * from their first use to {@link #close()}: meant for small models that travel inside the jar.
     *
     * @throws LockstepException MODEL_NOT_FOUND if the folder has no config.json
     */
    public static ModelFiles resource(String folder) {
        return ResourceFiles.of(folder);
    }

    /** Whether there is a file of this name; whether it may be read, {@link #open} tells. */
    public abstract boolean exists(String name);

    /**
     * Opens a file for reading, at its start. The caller closes the channel.
     *
     * @throws LockstepException CHECKPOINT_INVALID if there is no such file or it may not be read
     */
    public abstract SeekableByteChannel open(String name);

    /** Where the files are, for people: the folder's path, or the resource's. */
    public abstract String describe();

    /** Lets go of what is held in memory. Channels already open stay usable. */
    @Override
    public abstract void close();

    /**
     * All bytes of a file of at most {@code limit} bytes.
     *
     * @throws LockstepException CHECKPOINT_INVALID if it is longer, missing, or ends early
     */
    public byte[] readFully(String name, long limit) {
        try (SeekableByteChannel channel = open(name)) {
            long size = channel.size();
            if (size > Math.min(limit, Integer.MAX_VALUE - 8)) {
                throw invalid(name + " has " + size + " bytes, more than the " + limit + " that are read", null);
            }
            byte[] bytes = new byte[(int) size];
            ByteBuffer into = ByteBuffer.wrap(bytes);
            while (into.hasRemaining()) {
                if (channel.read(into) < 0) {
                    throw new EOFException("ended after " + into.position() + " of " + size + " bytes");
                }
            }
            return bytes;
        } catch (IOException e) {
            throw unreadable(name, e);
        }
    }

    final LockstepException invalid(String what, @Nullable Throwable cause) {
        return LockstepException.report(ErrorCode.CHECKPOINT_INVALID, what)
                .with("model", describe())
                .attempt("download or convert the model again")
                .cause(cause)
                .exception();
    }

    final LockstepException unreadable(String name, IOException cause) {
        if (cause instanceof ClosedByInterruptException) {
            return LockstepException.report(ErrorCode.ABORTED, "interrupted while reading " + name)
                    .with("model", describe())
                    .cause(cause)
                    .exception();
        }
        return LockstepException.report(ErrorCode.CHECKPOINT_INVALID, "cannot read " + name + ": " + cause)
                .with("model", describe())
                .attempt("check its permissions and its disk, on every host")
                .cause(cause)
                .exception();
    }

    final void requireSafe(String name) {
        String wrong = fault(name);
        if (wrong != null) {
            throw invalid("refused the file name " + quote(name) + ": " + wrong, null);
        }
    }

    /** What is wrong with a name, or null. */
    static @Nullable String fault(String name) {
        if (name.isEmpty() || name.length() > 512) {
            return "it has " + name.length() + " characters, not 1 to 512";
        }
        for (int i = 0; i < name.length(); i++) {
            char c = name.charAt(i);
            if (c < ' ' || c == '\\' || c == ':' || c == 0x7f || Character.isSurrogate(c)) {
                return "it contains " + quote(String.valueOf(c));
            }
        }
        if (name.startsWith("/")) {
            return "it is absolute";
        }
        for (String part : name.split("/", -1)) {
            if (part.isEmpty() || part.equals(".") || part.equals("..")) {
                return "it has the part '" + part + "'; it must stay under the model's folder";
            }
        }
        return null;
    }

    /** Text from outside, made fit to print: shortened, control characters spelled out. */
    public static String quote(String text) {
        return "'" + shorten(text) + "'";
    }

    static String shorten(String text) {
        StringBuilder out = new StringBuilder();
        int shown = Math.min(text.length(), 120);
        for (int i = 0; i < shown; i++) {
            char c = text.charAt(i);
            if (c < ' ' || (c >= 0x7f && c < 0xa0) || Character.isSurrogate(c) || c == 0x2028 || c == 0x2029) {
                out.append(String.format(Locale.ROOT, "\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        return out.append(shown < text.length() ? "…" : "").toString();
    }
}
