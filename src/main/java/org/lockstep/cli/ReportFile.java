package org.lockstep.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * Where the report of a run goes: one HTML file of the driver's own file system.
 *
 * @param name as given
 */
record ReportFile(String name) {
    /**
     * Finds out before a run what would spoil its end.
     *
     * @throws LockstepException USAGE
     */
    void check() {
        Path file = path();
        Path folder = file.getParent();
        if (!name.endsWith(".html")) {
            throw unusable("its name does not end in .html", null);
        }
        if (folder == null || !Files.isDirectory(folder) || !Files.isWritable(folder)) {
            throw unusable(folder + " is no directory that can be written to", null);
        }
        if (Files.isDirectory(file)) {
            throw unusable("it is a directory", null);
        }
    }

    /** Writes the page; one that is already there is replaced. */
    void write(String html) {
        try {
            Files.writeString(path(), html);
        } catch (IOException e) {
            throw unusable(e.toString(), e);
        }
    }

    private Path path() {
        try {
            return Path.of(name).toAbsolutePath();
        } catch (InvalidPathException e) {
            throw unusable(e.getReason(), e);
        }
    }

    private LockstepException unusable(String why, @Nullable Exception cause) {
        LockstepException.Report report = LockstepException.report(
                        ErrorCode.USAGE, "the report cannot be written to " + name + ": " + why)
                .attempt("--report FILE.html, in a folder that is there");
        return (cause == null ? report : report.cause(cause)).exception();
    }
}
