package org.lockstep.cuda;

import com.sun.jna.NativeLibrary;
import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * The host's own cuBLAS, of CUDA 13 or 12, wherever it is: among the system's libraries, in a toolkit, or among the packages of
 * a Python. Immutable.
 */
final class CublasLibrary {
    /** The environment's say, after the configuration's. */
    static final String VARIABLE = "LOCKSTEP_CUBLAS";

    private static final List<String> NAMES = List.of("libcublas.so.13", "libcublas.so.12");

    /** Where pip and conda put Python packages, below a root. */
    static final List<String> PACKAGES = List.of("lib/python3*/site-packages", "lib/python3*/dist-packages");

    private static final List<String> IN_PACKAGES =
            List.of("nvidia/cu13/lib/libcublas.so.13", "nvidia/cublas/lib/libcublas.so.12");

    private final String found;

    private CublasLibrary(String found) {
        this.found = found;
    }

    /**
     * Binds the first that there is: the one given, or else the environment's, a plain name, a file in a usual place.
     *
     * @param given a path or a name; nothing else is tried then
     * @param environment of the process
     * @throws LockstepException NO_LIBRARY with all that was tried
     */
    static CublasLibrary open(Optional<String> given, Map<String, String> environment) {
        Optional<String> asked = given.or(() -> Optional.ofNullable(environment.get(VARIABLE)));
        List<String> tried = new ArrayList<>();
        for (String candidate : asked.map(List::of).orElseGet(() -> candidates(environment))) {
            try {
                CublasFunctions.bind(NativeLibrary.getInstance(candidate));
                return new CublasLibrary(candidate);
            } catch (LinkageError e) {
                tried.add(candidate + " (" + firstLine(e) + ")");
            }
        }
        throw LockstepException.report(ErrorCode.NO_LIBRARY, "no cuBLAS loads: " + String.join("; ", tried))
                .attempt("spark.lockstep.gpu.cublas or " + VARIABLE
                        + " = the path of a libcublas.so.13 or .12 that has its libcublasLt beside it")
                .exception();
    }

    private static String firstLine(Throwable error) {
        return String.valueOf(error.getMessage()).lines().findFirst().orElse("");
    }

    /** Plain names for the system's loader first, then files. */
    static List<String> candidates(Map<String, String> environment) {
        List<String> all = new ArrayList<>(NAMES);
        for (String toolkit : List.of("cuda", "cuda-13*", "cuda-12*")) {
            for (String name : NAMES) {
                expand(Path.of("/usr/local"), toolkit + "/lib64/" + name).forEach(file -> all.add(file.toString()));
            }
        }
        Stream<String> roots = Stream.concat(
                Stream.of("VIRTUAL_ENV", "CONDA_PREFIX").map(environment::get).filter(value -> value != null),
                Stream.of("/usr/local", "/usr", "/opt/conda", environment.getOrDefault("HOME", "/root") + "/.local"));
        roots.map(Path::of)
                .forEach(root -> PACKAGES.forEach(packages -> IN_PACKAGES.forEach(
                        file -> expand(root, packages + "/" + file).forEach(there -> all.add(there.toString())))));
        return all.stream().distinct().toList();
    }

    /** The files below {@code root} that a pattern names, a star standing for part of a folder's name. */
    static List<Path> expand(Path root, String pattern) {
        List<Path> found = List.of(root);
        for (String part : pattern.split("/", -1)) {
            List<Path> next = new ArrayList<>();
            for (Path folder : found) {
                if (!part.contains("*")) {
                    next.add(folder.resolve(part));
                } else {
                    next.addAll(matching(folder, part));
                }
            }
            found = next;
        }
        return found.stream().filter(Files::exists).sorted().toList();
    }

    /** A folder that is not there, or cannot be read, holds no library for us. */
    private static List<Path> matching(Path folder, String glob) {
        List<Path> found = new ArrayList<>();
        try (DirectoryStream<Path> some = Files.newDirectoryStream(folder, glob)) {
            some.forEach(found::add);
            return found;
        } catch (IOException | DirectoryIteratorException unreadable) {
            return List.of();
        }
    }

    /** Where it is, as the loader was asked for it. */
    @Override
    public String toString() {
        return found;
    }
}
