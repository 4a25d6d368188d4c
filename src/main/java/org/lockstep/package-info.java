/**
 * The words every room of Lockstep speaks: {@link org.lockstep.ErrorCode} and {@link org.lockstep.LockstepException},
 * the error contract. Nothing else belongs here; this package imports {@code java.*} only, and every other may import it.
 *
 * <p>The house, and which room may open which door, is drawn and held by {@code HouseTest}:
 *
 * <pre>
 * topology      tensor      rendezvous        ← java.* and this package only; not each other
 *     ▲          ▲  ▲           ▲
 *     │          │  checkpoint  │             ← weights and settings of a model as files
 *     └──────── collective ─────┘             ← the seam: interfaces and values
 *               ▲         ▲
 *              cpu       model                ← cpu knows no model; model sees neither cpu nor any other backend
 *                          ▲
 *                      inference
 *                          ▲
 *                        spark ← cli          ← composition root; the only Spark and Scala imports
 * </pre>
 */
@NullMarked
package org.lockstep;

import org.jspecify.annotations.NullMarked;
