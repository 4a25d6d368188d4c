/**
 * The live group: its contract, life cycle and errors, who makes it, and the one record that a rank publishes.
 *
 * <p>Interfaces and values only, the seam between those who compute ({@code model}) and those who carry ({@code cpu} and
 * {@code cuda}). A {@link org.lockstep.topology.ProcessGroup} is a plan; a
 * {@link org.lockstep.collective.Communicator} is that plan alive; the {@link org.lockstep.collective.ControlPlane} is for what
 * ranks ask each other while they compute. Never here: sockets, NCCL, Spark, words of models.
 *
 * <pre>{@code
 * List<Buffer> sums = LocalWorld.of(4).run(rendezvous -> {
 *   try (Backend backend = CpuBackend.create();
 *       World world = World.join(rendezvous, backend, WorldSpec.of(ParallelSizes.tensor(4)))) {
 *     Buffer x = Buffer.ofFloats(world.state().rank());
 *     world.communicators().tensor().allReduce(x, ReduceOp.SUM);
 *     return x;                                   // every element: 0 + 1 + 2 + 3 = 6
 *   }
 * });
 * }</pre>
 */
@NullMarked
package org.lockstep.collective;

import org.jspecify.annotations.NullMarked;
