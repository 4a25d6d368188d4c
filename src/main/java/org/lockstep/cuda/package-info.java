/**
 * The GPU twin of {@code cpu}: device memory, kernels of our own beside those of cuBLAS, and groups through the host.
 *
 * <p>The only room with native code. JCuda reaches the driver: devices, memory, streams, modules
 * ({@link org.lockstep.cuda.CudaDriver} loads it and says what is there, or why nothing is). JNA reaches the libraries that
 * must be the host's own: cuBLAS ({@code CublasLibrary}), and NCCL ({@code NcclLibrary}), by whose communicators
 * ({@code NcclHandle}) groups are to exchange without the host; no group does so yet. The kernels are the PTX of {@code src/main/cuda}, loaded as text:
 * the driver compiles it for the device at hand.
 *
 * <p>A rank has a {@code CudaDevice}, the primary context of its device and one stream of its own, and in it a
 * {@code DeviceArena} from which all it holds is taken: what is given back is used again, and all of it goes when the
 * {@link org.lockstep.cuda.CudaBackend} closes. Ranks of a process may share a device; they share nothing else. Everything a
 * rank does is in the order of its stream, so nothing but a copy to the host waits.
 *
 * <p>A step is told to the kernels ahead ({@code StepTables}), and one that only decodes is replayed as a graph
 * ({@code StepGraphs}) where no exchange with other ranks is in it.
 *
 * <p>Groups are those of another backend, for host memory, which who composes the rank hands in: {@code StagedCommunicator}
 * copies down, lets that one communicate, and copies up. Never here: {@code cpu}, Spark, words of models.
 */
@NullMarked
package org.lockstep.cuda;

import org.jspecify.annotations.NullMarked;
