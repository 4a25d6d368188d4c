package org.lockstep.inference;

/**
 * Which micro-batch a pipeline stage works on when: a ring in which as many go round as there are stages, each in a lane of
 * its own. Pure arithmetic, the same on all ranks.
 *
 * <p>Time goes in ticks. In tick t the lane t mod stages may take a micro-batch in, if it is empty. A micro-batch of age a is
 * in chunk a / stages of stage a mod stages; so in tick t stage p works on lane (t - p) mod stages, and on no other. With one
 * chunk this is the plain pipeline; with several the interleaved one (Narayanan et al., 2021), in which a stage's turn is
 * shorter, and so is the time in which the ring fills and empties.
 *
 * @param stages of the pipeline; at least 1
 * @param chunks of layers on each stage; at least 1
 * @param stage of this rank, from 0
 */
record Timetable(int stages, int chunks, int stage) {
    /** Ticks that a micro-batch spends in the ring; at this age its tokens are known. */
    int length() {
        return stages * chunks;
    }

    /** The lane whose micro-batch ends, and begins, with this tick. */
    int entering(long tick) {
        return (int) (tick % stages);
    }

    /** The lane that this rank works on in this tick. */
    int working(long tick) {
        return (int) Math.floorMod(tick - stage, (long) stages);
    }

    /** The chunk that takes a micro-batch of this age on. */
    int chunk(int age) {
        return age / stages;
    }

    /** Whether logits come out of a micro-batch of this age. */
    boolean isLast(int age) {
        return age == length() - 1;
    }
}
