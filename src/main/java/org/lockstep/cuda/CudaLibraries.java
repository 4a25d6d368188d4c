package org.lockstep.cuda;

import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import org.lockstep.LockstepException;

/**
 * Which of NVIDIA's libraries a process finds, and where it looked for those that it does not. Immutable.
 *
 * @param cublas for products of many tokens
 * @param nccl for groups of GPUs
 */
public record CudaLibraries(Library cublas, Library nccl) {
    /**
     * One library.
     *
     * @param found its path as the loader was asked for it, with its version where it tells one; empty where none loads
     * @param tried what was asked for in vain, each with the loader's answer, where none loads
     */
    public record Library(Optional<String> found, String tried) {}

    /**
     * Loads what there is, with a driver or without: hundreds of megabytes of address space, so only a
     * look at the machine calls it.
     *
     * @param cublas the path that the configuration names, if it does
     * @param nccl the same
     * @param environment of the process
     */
    public static CudaLibraries look(Optional<String> cublas, Optional<String> nccl, Map<String, String> environment) {
        return new CudaLibraries(
                library(() -> CublasLibrary.open(cublas, environment)),
                library(() -> NcclLibrary.open(nccl, environment)));
    }

    private static Library library(Supplier<Object> open) {
        try {
            return new Library(Optional.of(open.get().toString()), "");
        } catch (LockstepException nowhere) {
            return new Library(Optional.empty(), nowhere.summary());
        }
    }
}
