package org.lockstep.collective;

import java.io.Serializable;
import org.lockstep.ErrorCode;

/**
 * Why the groups of a rank are dead, as its JVM knows it: what was found first, and where. Immutable.
 *
 * @param code of the failure; ABORTED for one that is not of our own kinds
 * @param finder the rank in the world that found it
 * @param culprit the rank that it is about; the finder's own where no other is known
 * @param text one line
 */
public record FirstCause(ErrorCode code, int finder, int culprit, String text) implements Serializable {}
