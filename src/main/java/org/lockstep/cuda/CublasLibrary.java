package org.lockstep.cuda;

import com.sun.jna.NativeLibrary;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
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
                Binding.of(CublasFunctions.class, NativeLibrary.getInstance(candidate));
                return new CublasLibrary(candidate);
            } catch (LinkageError e) {
                tried.add(LibrarySearch.refusal(candidate, e));
            }
        }
        throw LockstepException.report(ErrorCode.NO_LIBRARY, "no cuBLAS loads: " + String.join("; ", tried))
                .attempt("spark.lockstep.gpu.cublas or " + VARIABLE
                        + " = the path of a libcublas.so.13 or .12 that has its libcublasLt beside it")
                .exception();
    }

    /** Plain names for the system's loader first, then files. */
    static List<String> candidates(Map<String, String> environment) {
        List<String> all = new ArrayList<>(NAMES);
        for (String toolkit : List.of("cuda", "cuda-13*", "cuda-12*")) {
            for (String name : NAMES) {
                LibrarySearch.expand(Path.of("/usr/local"), toolkit + "/lib64/" + name)
                        .forEach(file -> all.add(file.toString()));
            }
        }
        all.addAll(LibrarySearch.inPackages(environment, IN_PACKAGES));
        return all.stream().distinct().toList();
    }

    /** Where it is, as the loader was asked for it. */
    @Override
    public String toString() {
        return found;
    }
}
