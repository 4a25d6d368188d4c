package org.lockstep.cuda;

import com.sun.jna.NativeLibrary;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.lockstep.LockstepException;

/**
 * Which of NVIDIA's libraries a process finds, and where it looked for those that it does not. Immutable.
 *
 * @param cublas for products of many tokens
 * @param nccl for groups of GPUs
 */
public record CudaLibraries(Library cublas, Library nccl) {
    private static final String NCCL = "libnccl.so.2";

    /**
     * One library.
     *
     * @param path as the loader was asked for it; empty where none loads
     * @param tried what was asked for in vain, each with the loader's answer
     */
    public record Library(Optional<String> path, String tried) {}

    /**
     * Loads what there is: only where there is a driver, for the libraries are hundreds of megabytes.
     *
     * @param cublas the path that the configuration names, if it does
     * @param environment of the process
     */
    public static CudaLibraries look(Optional<String> cublas, Map<String, String> environment) {
        return new CudaLibraries(cublas(cublas, environment), first(candidates(environment)));
    }

    private static Library cublas(Optional<String> given, Map<String, String> environment) {
        try {
            return new Library(
                    Optional.of(CublasLibrary.open(given, environment).toString()), "");
        } catch (LockstepException nowhere) {
            return new Library(Optional.empty(), nowhere.summary());
        }
    }

    private static Library first(List<String> candidates) {
        List<String> tried = new ArrayList<>();
        for (String candidate : candidates) {
            try {
                NativeLibrary.getInstance(candidate);
                return new Library(Optional.of(candidate), String.join("; ", tried));
            } catch (LinkageError e) {
                tried.add(candidate + " ("
                        + String.valueOf(e.getMessage()).lines().findFirst().orElse("") + ")");
            }
        }
        return new Library(Optional.empty(), String.join("; ", tried));
    }

    /** The plain name for the system's loader first, then the packages of a Python, as PyTorch brings it. */
    static List<String> candidates(Map<String, String> environment) {
        Stream<String> roots = Stream.concat(
                Stream.of("VIRTUAL_ENV", "CONDA_PREFIX").map(environment::get).filter(value -> value != null),
                Stream.of("/usr/local", "/usr", "/opt/conda"));
        Stream<String> files = roots.map(Path::of)
                .flatMap(root -> CublasLibrary.PACKAGES.stream()
                        .flatMap(
                                packages -> CublasLibrary.expand(root, packages + "/nvidia/nccl/lib/" + NCCL).stream()))
                .map(Path::toString);
        return Stream.concat(Stream.of(NCCL), files).distinct().toList();
    }
}
