package org.lockstep.spark;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.Set;
import java.util.stream.Collectors;
import org.lockstep.ErrorCode;
import org.lockstep.transport.ChaosProxy;

/**
 * What one seed does to a run of four ranks, each in a JVM of its own: one blow or two, in two attempts, and how bad the network
 * is besides. The same seed is the same schedule. Immutable.
 *
 * @param shared whether ranks share memory, and only what watches them goes over connections
 */
record ChaosBlows(long seed, List<Blow> blows, boolean shared, boolean encrypted, boolean jitters, boolean fragments)
        implements Serializable {
    static final int RANKS = 4;

    /** Tensor groups {0,1} and {2,3}, a pipeline between them: the links with traffic in every step, caller first. */
    private static final int[][] LINKS = {{1, 0}, {3, 2}, {2, 0}, {3, 1}};

    private static final int DATA_BYTES = 60_000;
    private static final int CONTROL_BYTES = 400;

    /** What happens, how often among others, and as what it may be told; nothing where the run shall go on. */
    enum Kind {
        CUT(3, ErrorCode.PEER_LOST),
        RESET(3, ErrorCode.PEER_LOST),
        CORRUPT(3, ErrorCode.PROTOCOL),
        STALL(3, ErrorCode.COLLECTIVE_TIMEOUT),
        SILENCE(2, ErrorCode.PEER_LOST),
        KILL(4, ErrorCode.PEER_LOST),
        PAUSE(2),
        FREEZE(1, ErrorCode.PEER_LOST),
        THAW(
                1,
                ErrorCode.PEER_LOST,
                ErrorCode.COLLECTIVE_TIMEOUT); // by the clock of who woke up, its own peers did not come

        final int weight;
        final Set<ErrorCode> told;

        Kind(int weight, ErrorCode... told) {
            this.weight = weight;
            this.told = Set.of(told);
        }

        boolean isOfAProcess() {
            return this == KILL || this == PAUSE || this == FREEZE || this == THAW;
        }
    }

    /**
     * One of them.
     *
     * @param caller who calls over the connection that is hurt, or that tells when a process is
     * @param door whose door it came to
     * @param control whether it is the connection by which their JVMs watch each other
     * @param victim the rank whose process is hurt, where one is
     * @param place of the byte in its connection and way
     */
    record Blow(Kind kind, int caller, int door, boolean control, int victim, ChaosProxy.Way way, long place)
            implements Serializable {
        boolean meets(ChaosProxy.Ends ends) {
            return ends.caller() == caller && ends.door() == door && ends.control() == control;
        }

        /** The ranks of which one is to blame. */
        Set<Integer> guilty() {
            return kind.isOfAProcess() ? Set.of(victim) : Set.of(caller, door);
        }

        @Override
        public String toString() {
            return kind + (kind.isOfAProcess() ? " of rank " + victim + " by" : " of") + " link " + caller + "-" + door
                    + (control ? " (control) " : " ") + way + " at byte " + place;
        }
    }

    static ChaosBlows of(long seed) {
        Random random = new Random(seed);
        boolean shared = random.nextInt(5) == 0;
        boolean encrypted = random.nextInt(4) == 0;
        int many = random.nextInt(8) == 0 ? 0 : random.nextInt(5) == 0 ? 2 : 1;
        List<Blow> blows = new ArrayList<>();
        for (int i = 0; i < many; i++) {
            blows.add(blow(random, shared));
        }
        return new ChaosBlows(
                seed, List.copyOf(blows), shared, encrypted, random.nextInt(3) == 0, random.nextInt(4) == 0);
    }

    private static Blow blow(Random random, boolean shared) {
        Kind kind = kind(random);
        while (shared && !kind.isOfAProcess() && kind != Kind.SILENCE) { // no data goes over connections
            kind = kind(random);
        }
        boolean control = shared || kind == Kind.SILENCE;
        int[] link = control ? new int[] {1 + random.nextInt(RANKS - 1), 0} : LINKS[random.nextInt(LINKS.length)];
        return new Blow(
                kind,
                link[0],
                link[1],
                control,
                link[random.nextInt(2)],
                random.nextBoolean() ? ChaosProxy.Way.TO_DOOR : ChaosProxy.Way.FROM_DOOR,
                ChaosProxy.GREETING + 64 + random.nextInt(control ? CONTROL_BYTES : DATA_BYTES));
    }

    private static Kind kind(Random random) {
        int all = 0;
        for (Kind each : Kind.values()) {
            all += each.weight;
        }
        int drawn = random.nextInt(all);
        for (Kind each : Kind.values()) {
            drawn -= each.weight;
            if (drawn < 0) {
                return each;
            }
        }
        throw new IllegalStateException("weights of " + all);
    }

    @Override
    public String toString() {
        return String.format(
                Locale.ROOT,
                "seed %d: %s%s%s%s%s",
                seed,
                blows.isEmpty() ? "nothing" : blows.stream().map(Blow::toString).collect(Collectors.joining(", then ")),
                shared ? ", shared memory" : "",
                encrypted ? ", encrypted" : "",
                jitters ? ", jitter" : "",
                fragments ? ", fragments" : "");
    }
}
