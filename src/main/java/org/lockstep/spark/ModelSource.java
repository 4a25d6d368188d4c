package org.lockstep.spark;

import java.io.Serializable;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.lockstep.checkpoint.ModelFiles;

/**
 * Where a model's files are, as a value that travels to the tasks: a directory that all executors see, or the jar.
 *
 * @param name what it was called, for people and for what must be equal between runs
 * @param location a path, or a folder of the class path
 * @param bundled whether the files are in the jar
 */
record ModelSource(String name, String location, boolean bundled) implements Serializable {
    /** The demonstration model in our own jar. */
    static final ModelSource FABLE = new ModelSource("fable (bundled)", Llm.BUNDLED, true);

    /**
     * A path in full, for executors work in folders of their own, where a relative one would be another; what is not there
     * keeps its name, by which it is told.
     */
    static ModelSource directory(String path) {
        Path here = Path.of(path);
        return new ModelSource(path, Files.exists(here) ? here.toAbsolutePath().toString() : path, false);
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
        return name;
    }
}
