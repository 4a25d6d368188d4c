package org.lockstep.checkpoint;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.SeekableByteChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.regex.Pattern;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/** A folder of the file system; links are followed only to places under it. Thread-safe. */
final class DirectoryFiles extends ModelFiles {
    private static final String SETTINGS = "config.json";
    private static final Pattern HUB =
            Pattern.compile("[A-Za-z0-9][\\w.-]*/[A-Za-z0-9][\\w.-]*"); // a name there, or a path

    private final Path given;
    private final Path real;
    private final String settings; // the name of what is asked for as config.json

    private DirectoryFiles(Path given, Path real, String settings) {
        this.given = given;
        this.real = real;
        this.settings = settings;
    }

    static ModelFiles of(Path dir) {
        if (!Files.exists(dir)) {
            throw missing(
                    dir,
                    "does not exist",
                    (HUB.matcher(dir.toString()).matches()
                                    ? "nothing is downloaded: hf download " + dir
                                            + " --local-dir FOLDER, and pass that; or "
                                    : "")
                            + "check the path; on a cluster every host needs the files there");
        }
        if (!Files.isDirectory(dir)) {
            throw missing(dir, "is not a folder", "pass the folder that holds config.json and model.safetensors");
        }
        DirectoryFiles files;
        try {
            files = new DirectoryFiles(dir, dir.toRealPath(), SETTINGS);
        } catch (IOException e) {
            throw missing(dir, "cannot be read: " + e, "check its permissions");
        }
        if (!files.exists("config.json")) {
            boolean cache = Files.isDirectory(dir.resolve("snapshots"));
            throw missing(
                    dir,
                    "has no config.json",
                    cache
                            ? "this is a cache entry whose snapshots hold links: copy one with cp -rL snapshots/REVISION FOLDER, and pass that"
                            : "pass a model folder of Hugging Face: config.json, model.safetensors, tokenizer.json");
        }
        files.resolve("config.json");
        return files;
    }

    static ModelFiles ofSettings(Path file) {
        if (!Files.isRegularFile(file)) {
            throw LockstepException.report(ErrorCode.MODEL_NOT_FOUND, "there is no file " + file)
                    .attempt("the settings of a model, as its config.json holds them")
                    .exception();
        }
        try {
            Path real = file.toRealPath();
            return new DirectoryFiles(file, real.resolveSibling(""), String.valueOf(real.getFileName()));
        } catch (IOException e) {
            throw LockstepException.report(ErrorCode.MODEL_NOT_FOUND, file + " cannot be read: " + e)
                    .attempt("check its permissions")
                    .cause(e)
                    .exception();
        }
    }

    private String stored(String name) {
        return name.equals(SETTINGS) ? settings : name;
    }

    private static LockstepException missing(Path dir, String what, String hint) {
        return LockstepException.report(ErrorCode.MODEL_NOT_FOUND, "the model folder " + dir + " " + what)
                .attempt(hint)
                .exception();
    }

    @Override
    public boolean exists(String name) {
        requireSafe(name);
        return Files.exists(real.resolve(stored(name)));
    }

    @Override
    public SeekableByteChannel open(String name) {
        requireSafe(name);
        Path path = resolve(name);
        try {
            return FileChannel.open(path, StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS);
        } catch (IOException e) {
            throw unreadable(name, e);
        }
    }

    /** The real path of a file, which is regular and lies under the real path of the folder. */
    private Path resolve(String name) {
        Path path;
        try {
            path = real.resolve(stored(name)).toRealPath();
        } catch (NoSuchFileException e) {
            throw invalid("there is no file " + name, e);
        } catch (IOException e) {
            throw unreadable(name, e);
        }
        if (!path.startsWith(real)) {
            throw LockstepException.report(
                            ErrorCode.CHECKPOINT_INVALID,
                            name + " is a link that leaves the model's folder, to " + path)
                    .with("model", describe())
                    .attempt("copy the files themselves (cp -rL, or download to a folder instead of the cache)")
                    .exception();
        }
        if (!Files.isRegularFile(path, LinkOption.NOFOLLOW_LINKS)) {
            throw invalid(name + " is not a regular file", null);
        }
        return path;
    }

    @Override
    public String describe() {
        return given.toString();
    }

    @Override
    public void close() {}
}
