package org.lockstep.spark;

import java.io.Serializable;
import java.nio.file.Path;
import java.util.Optional;
import org.lockstep.checkpoint.ModelFiles;

/**
 * Where a model's files are, as a value that travels to the tasks: a directory that all executors see, or the jar.
 *
 * @param location a path, or a folder of the class path
 * @param bundled whether the files are in the jar
 */
record ModelSource(String location, boolean bundled) implements Serializable {
    /** The demonstration model in our own jar. */
    static final ModelSource FABLE = new ModelSource(Llm.BUNDLED, true);

    static ModelSource directory(String path) {
        return new ModelSource(path, false);
    }

    ModelFiles open() {
        return bundled ? ModelFiles.resource(location) : ModelFiles.directory(Path.of(location));
    }

    /** The directory that executors must see; empty if the files are in the jar. */
    Optional<String> folder() {
        return bundled ? Optional.empty() : Optional.of(location);
    }

    @Override
    public String toString() {
        return bundled ? "fable (bundled)" : location;
    }
}
