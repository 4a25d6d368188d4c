package org.lockstep.spark.preflight;

import java.io.Serializable;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.topology.ParallelSizes;

/**
 * What decides whether ranks can start in a process, as it sees that itself. Immutable; travels from the executors.
 *
 * @param process Spark's name of the executor, or {@code driver}
 * @param endpoint host and port by which Spark knows it
 * @param descriptors of the process
 * @param seesModel whether the model's directory is there, with its settings in it
 */
public record Site(String process, String endpoint, Descriptors descriptors, boolean seesModel)
        implements Serializable {
    private static final int FILES_OF_A_MODEL = 8;

    /**
     * Of this process.
     *
     * @param directory of the model; null if it is not in a directory
     */
    static Site here(String process, String endpoint, @Nullable String directory) {
        return new Site(process, endpoint, Descriptors.here(), sees(directory));
    }

    static boolean sees(@Nullable String directory) {
        return directory == null || Files.isReadable(Path.of(directory, "config.json"));
    }

    /** What is to be said of the model. */
    public Optional<Finding> ofModel(@Nullable String directory) {
        return seesModel
                ? Optional.empty()
                : Optional.of(Finding.fail(
                        ErrorCode.MODEL_NOT_FOUND,
                        "executor " + process + " (" + endpoint + ") sees no model in " + directory,
                        "copy it to every host, or name a directory that they share"));
    }

    /**
     * What is to be said of the descriptors, as if every peer outside of the process were reached over a socket.
     *
     * @param ranks in the process
     * @param resolved sizes without one to be inferred
     * @param world how many ranks there are in all
     */
    public Optional<Finding> ofDescriptors(int ranks, ParallelSizes resolved, int world) {
        long needed = needed(ranks, resolved, world);
        long missing = descriptors.missing(needed);
        return missing == 0
                ? Optional.empty()
                : Optional.of(Finding.fail(
                        ErrorCode.NOT_ENOUGH_DESCRIPTORS,
                        "executor " + process + " may have " + descriptors.limit() + " descriptors and has "
                                + descriptors.open() + " open, its ranks (" + ranks + ") need " + needed
                                + " more for links and files",
                        "ulimit -n " + (descriptors.limit() + Math.max(missing, descriptors.limit()))
                                + " where executors are started"));
    }

    /** Descriptors that the ranks open in one process at most. */
    static long needed(int ranks, ParallelSizes resolved, int world) {
        List<Integer> groups = ranks >= world
                ? List.of()
                : List.of(resolved.tp(), resolved.pp(), resolved.tp() * resolved.pp(), world);
        return Descriptors.needed(ranks, groups, FILES_OF_A_MODEL);
    }
}
