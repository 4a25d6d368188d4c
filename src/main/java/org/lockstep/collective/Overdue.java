package org.lockstep.collective;

/**
 * A thread that is in an operation past its deadline and waits for no peer there, or it would have ended itself: user code that
 * writes an object, a native call. Immutable.
 *
 * @param thread that is in it
 * @param failure with which its communicators were aborted; the cause shows where the thread is
 */
public record Overdue(Thread thread, CommunicatorException failure) {}
