package org.lockstep.commit;

import java.io.IOException;
import java.io.Serializable;
import java.net.URI;
import java.nio.file.Path;
import java.util.Map;
import java.util.regex.Pattern;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * Where a run's rows are kept, as a value that travels to the tasks.
 *
 * @param location a path on this host, or a URI of a file system that Hadoop knows
 * @param hadoop Hadoop's settings; empty for a path on this host
 */
public record CommitPlace(String location, Map<String, String> hadoop) implements Serializable {
    private static final Pattern SCHEME = Pattern.compile("[A-Za-z][A-Za-z0-9+.-]+:.*");

    public CommitPlace {
        hadoop = Map.copyOf(hadoop);
    }

    /** Whether it is a path of the host that looks, which is shared only where the host mounts it. */
    public static boolean isLocal(String location) {
        return location.startsWith("file:") || !SCHEME.matcher(location).matches();
    }

    /**
     * A path of the host that looks, in full: tasks work in folders of their own, where a relative one would be another.
     *
     * @throws LockstepException COMMIT_FAILED for a URI that names no file
     */
    public static CommitPlace here(String location) {
        return new CommitPlace(path(location).toAbsolutePath().normalize().toString(), Map.of());
    }

    private static Path path(String location) {
        try {
            String path = location.startsWith("file:") ? URI.create(location).getPath() : location;
            if (path != null) {
                return Path.of(path);
            }
        } catch (IllegalArgumentException e) {
            throw unopened(location + " names no directory: " + e.getMessage(), e);
        }
        throw unopened(location + " names no directory: it has no path", null);
    }

    private static LockstepException unopened(String why, @Nullable Exception cause) {
        return LockstepException.report(ErrorCode.COMMIT_FAILED, why)
                .attempt("another directory for finished rows: spark.lockstep.checkpointDir")
                .cause(cause)
                .exception();
    }

    Directory open() {
        if (isLocal(location)) {
            return new LocalDirectory(path(location));
        }
        Configuration conf = new Configuration(false);
        hadoop.forEach(conf::set);
        try {
            URI uri = URI.create(location);
            return new HadoopDirectory(FileSystem.get(uri, conf), new org.apache.hadoop.fs.Path(uri));
        } catch (IOException | IllegalArgumentException | UnsupportedOperationException e) {
            throw unopened("Hadoop does not open " + location + ": " + e.getMessage(), e);
        }
    }

    @Override
    public String toString() {
        return location;
    }
}
