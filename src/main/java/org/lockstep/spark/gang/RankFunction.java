package org.lockstep.spark.gang;

import java.io.Serializable;
import java.util.Iterator;

/**
 * A rank's whole life: its rows in, its results out. Travels in the task closure, so it may capture only what is
 * serialisable, and never a communicator.
 */
@FunctionalInterface
public interface RankFunction<T, U> extends Serializable {
    /** Runs on the task's thread; what it throws fails the gang, each peer being told at once. */
    Iterator<U> apply(Rank rank, Iterator<T> rows) throws Exception;
}
