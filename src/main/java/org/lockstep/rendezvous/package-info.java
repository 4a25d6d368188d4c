/**
 * How ranks meet, once: one all-gather of a short record, and what the parties inside one JVM have in common.
 *
 * <p>Meeting is separate from, and over before, any conversation (gloo's rule). Here are the door
 * ({@link org.lockstep.rendezvous.Rendezvous}), the in-JVM world for tests and laptops
 * ({@link org.lockstep.rendezvous.LocalWorld}) and {@link org.lockstep.rendezvous.Venue}. Never here: Spark, words of
 * parallelism (a party has an index, not yet a rank), anything after the meeting.
 *
 * <pre>{@code
 * List<String> greetings = LocalWorld.of(4).run(rendezvous ->
 *     String.join(" ", rendezvous.allGather("party " + rendezvous.index())));
 * }</pre>
 */
@NullMarked
package org.lockstep.rendezvous;

import org.jspecify.annotations.NullMarked;
