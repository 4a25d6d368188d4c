/**
 * How messages travel between the ranks of a group, in host memory: what kind of link fits a pair of ranks, and the steps
 * over links that algorithms are made of.
 *
 * <p>The meeting is over before anything here begins; the algorithms ({@code cpu}) know no link. A
 * {@link org.lockstep.transport.Link} is one peer: a thread of this JVM or a JVM of this host, with whom a
 * {@code Ring} of memory is shared, or a connection. A {@link org.lockstep.transport.Mesh} is all links of a rank in a
 * group, whatever their kinds; a {@link org.lockstep.transport.Door} makes them. All ranks of a JVM share one
 * {@link org.lockstep.transport.Fate}.
 *
 * <p>A connection is proven by a {@code Handshake} before anything else is read from it; its frames are sealed, by a checksum
 * or by encryption ({@code Seal}). Most are made at the meeting ({@code Handshakes}); in a large group those that its algorithms
 * do not use are made when a rank first needs them, for which its door stays open ({@code Doorkeeper}). The JVMs of a world watch each other over connections of their own ({@code Control}): that
 * is how a verdict travels, how a death is known where memory is shared and nobody would see it, and how a rank that computes
 * is asked something ({@code Switchboard}). Its thread, which keeps the doors too, is the only one here; data moves in the rank's own thread, inside its
 * operations.
 *
 * <p>Never here: what a reduction is, devices other than the host, Spark, words of models.
 */
@NullMarked
package org.lockstep.transport;

import org.jspecify.annotations.NullMarked;
