/**
 * Prompts become completions: tokens, sequences, the schedule of steps, sampling, and the loop that joins them.
 *
 * <p>One decides, all follow. Every rank of a replica runs the same {@link org.lockstep.inference.Generator}; only its
 * source rank (first pipeline stage, tensor rank 0) holds requests, a {@code Scheduler} and the text. Per step:
 *
 * <pre>
 * source : RequestSource → SourceDesk → Scheduler.next() → StepPlan ── broadcast over MODEL ──▶ every rank
 * all    : StepPlan → Sequences → MicroBatch → forward pass, stage by stage
 * sampler: (last pipeline stage, tensor rank 0) logits → Sampler → token ids ── broadcast over MODEL ──▶ every rank
 * source : ids → TextStream → stop? → the slot and its blocks are free for the next step
 * </pre>
 *
 * <p>There is no prefill and no decode, only tokens that are known and not computed (vLLM's V1 scheduler). A plan names
 * sequences by slot and says how many tokens of each a step computes, so that a prompt in chunks, a shared prefix, or a
 * sequence that was put off are other plans, not other doors. Whether a step samples a sequence follows from the counts: it
 * does when all tokens known so far have been computed. {@code BlockManager} gives out the cache block by block;
 * {@code PrefixIndex} finds the blocks that begin alike. Sequence, block table and tokens are the same on all ranks, for all
 * of them follow the same plans; nothing is ever asked back.
 *
 * <p>With pipeline parallelism as many micro-batches are on their way as there are stages, each in a lane of the ring that
 * {@code Timetable} describes. A tick of a rank: tokens of the micro-batch that has arrived, the plan of the one that takes
 * its lane, hidden states to the next stage and from the one before at once, its own layers. A lane without a micro-batch
 * costs no hidden states. What is on its way has nothing left to compute, so the scheduler cannot plan it twice. With one
 * stage there is one lane, and a tick is a step.
 *
 * <p>{@link org.lockstep.inference.RequestExchange} stands outside a replica: rows stay where they are, only token ids
 * and completions travel, by pull:
 *
 * <pre>
 * source : room for n more ── Ask ──▶ first rank : Ledger ── numbers ──▶ source ── Fetch ──▶ home ── token ids ──▶ source
 * source : done ── completions ──▶ home;  ── their numbers ──▶ Ledger: all complete ── the end ──▶ every source
 * </pre>
 *
 * All of that goes over the control plane, whose thread answers for ranks that compute; the only waits are a source's
 * that has nothing to compute.
 *
 * <p>A seed draws the same tokens from equal logits on every device, but where rounding decides: on hosts always, by {@code simd}
 * on the threads that the kernels have there, with vectors or without; where a device draws from its own memory, as it does unless
 * penalties change the logits or an end token is held back, its sums have another order.
 *
 * <p>Never here: Spark, device memory, arithmetic of ranks (asked of {@code topology}), sockets. Mutable state lives in
 * {@code Sequence}, {@code BlockManager}, {@code Scheduler} and {@code TextStream}, each confined to its rank's thread, and
 * in {@code LedgerService}, {@code HomeService} and {@code LeasedSource}, which several threads enter.
 */
@NullMarked
package org.lockstep.inference;

import org.jspecify.annotations.NullMarked;
