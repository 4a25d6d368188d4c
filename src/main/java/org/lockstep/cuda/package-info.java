/**
 * The GPU twin of {@code cpu}: device memory, kernels of our own beside those of cuBLAS, and groups.
 *
 * <p>The only room with native code. JCuda reaches the driver: devices, memory, streams, modules ({@link
 * org.lockstep.cuda.CudaDriver} loads it and says what is there, or why nothing is). JNA reaches the libraries that must
 * be the host's own: cuBLAS ({@code CublasLibrary}), NCCL ({@code NcclLibrary}) and NVML ({@code Nvml}). The kernels are
 * the PTX of {@code src/main/cuda}, loaded as text: the driver compiles it for the device at hand.
 *
 * <p>A rank has a {@code CudaDevice}, the primary context of its device and one stream of its own, and in it a {@code
 * DeviceArena} from which all it holds is taken: what is given back is used again, and all of it goes when the {@link
 * org.lockstep.cuda.CudaBackend} closes. Ranks of a process may share a device; but for what their groups exchange
 * ({@code PeerGroup}) they share nothing else. Everything a rank does is in the order of its stream, so nothing but a
 * copy to the host waits; it asks the device, up to a deadline ({@code DeviceWait}).
 *
 * <p>A step is told to the kernels ahead ({@code StepTables}), and one that only decodes is replayed as a graph ({@code
 * StepGraphs}) where no exchange through the host is in it.
 *
 * <p>Groups are those of another backend, for host memory, which who composes the rank hands in; here is what carries
 * buffers of the device in them ({@link org.lockstep.collective.Carrier}). By NCCL, where each rank has a device of its
 * own: {@code NcclGroups} makes a communicator of each group, {@code NcclCarrier} queues operations on the rank's
 * stream, and what is asynchronous on one beside it ({@code DeviceQueue}). Who waits for the device looks after what
 * is queued ({@code CudaDevice.Watch}), and an abort, from any thread, ends all communicators of the rank together ({@code
 * DeviceQueues}, {@code NcclCalls}). NCCL ends none of which a graph holds a kernel: graphs are dropped before an orderly
 * end, and an abort, which comes when it comes, stays in the one thread that is made here until they are. Where there is none, or ranks share a
 * device, and all ranks of a group are of one JVM and their devices reach each other, {@code PeerGroups} lets them read
 * each other's memory: ranks meet in the host's group, and their streams by events ({@code PeerCarrier}, looked after by
 * {@code PeerWatch}). Else {@code StagedCarrier} copies down, lets the host's group communicate, and copies up. Never here: {@code cpu}, Spark, words of
 * models.
 *
 * <p>Between devices of a host that reach each other, small all-reduces that NCCL or, between JVMs, the host would carry
 * are done by kernels that wait for each other ({@code ExchangeCarrier}, around NCCL's carrier, beside which a graph
 * repeats them, or the staged one). {@code ExchangeGroups} says for which groups: by what all know, by what {@code Nvml}
 * tells of NVLink, and by a first all-reduce ({@code ExchangeTrial}), after each of which the ranks agree ({@code
 * Agreement}) to go on or to leave it. {@code ExchangeMemory} is what they write to and how long it lives.
 */
@NullMarked
package org.lockstep.cuda;

import org.jspecify.annotations.NullMarked;
