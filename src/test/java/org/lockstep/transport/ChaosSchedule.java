package org.lockstep.transport;

import java.io.IOException;
import java.util.List;
import java.util.Queue;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.lockstep.ErrorCode;

/**
 * One seed's faults for a world of ranks: what happens, to whom, after how many bytes or rounds, and how bad the network is
 * besides. The same seed is the same schedule.
 */
final class ChaosSchedule implements ChaosProxy.Chaos {
    /** What happens, and as what it may be told. */
    enum Fault {
        NONE(),
        CUT(ErrorCode.PEER_LOST),
        RESET(ErrorCode.PEER_LOST),
        STALL(ErrorCode.COLLECTIVE_TIMEOUT),
        CORRUPT(ErrorCode.PROTOCOL),
        SILENCE(ErrorCode.PEER_LOST),
        KILL(ErrorCode.PEER_LOST),
        THROW(ErrorCode.ABORTED),
        RETURN(ErrorCode.PEER_LOST),
        MISMATCH(ErrorCode.COLLECTIVE_MISMATCH);

        final Set<ErrorCode> told;

        Fault(ErrorCode... told) {
            this.told = Set.of(told);
        }

        boolean isOfTheNetwork() {
            return this == CUT || this == RESET || this == STALL || this == CORRUPT || this == SILENCE || this == KILL;
        }
    }

    final long seed;
    final int size;
    final Fault fault;
    final boolean encrypted;

    /** The rank that fails, or that calls over the connection which fails; and at whose door. */
    final int caller;

    final int door;

    /** After so many rounds a rank fails by itself. */
    final int round;

    private final ChaosProxy.Way way;
    private final long place; // of the byte in its connection and way
    private final boolean jitters;
    private final boolean fragments;
    private volatile boolean begun;
    private final AtomicLong firedAt = new AtomicLong(); // 0 while it has not
    private final Queue<ChaosProxy.Wire> wires = new ConcurrentLinkedQueue<>(); // of the rank that is killed
    private final Random random;

    ChaosSchedule(long seed, int size) {
        this.seed = seed;
        this.size = size;
        random = new Random(seed);
        Fault[] faults = Fault.values();
        fault = faults[random.nextInt(faults.length)];
        encrypted = random.nextInt(4) == 0;
        caller = 1 + random.nextInt(size - 1); // who calls does so at the door of a lower rank
        door = fault == Fault.SILENCE ? 0 : random.nextInt(caller);
        round = 1 + random.nextInt(12);
        way = random.nextBoolean() ? ChaosProxy.Way.TO_DOOR : ChaosProxy.Way.FROM_DOOR;
        place = ChaosProxy.GREETING + 64 + random.nextInt(fault == Fault.SILENCE ? 400 : 60_000);
        jitters = random.nextInt(3) == 0;
        fragments = random.nextInt(4) == 0;
    }

    /** The ranks of which one is to blame. */
    Set<Integer> guilty() {
        return switch (fault) {
            case NONE -> Set.of();
            case KILL, THROW, RETURN, MISMATCH -> Set.of(caller);
            case CUT, RESET, STALL, CORRUPT, SILENCE -> Set.of(caller, door);
        };
    }

    /** All are connected: before, silence would be that of a peer that is not here yet. */
    void begin() {
        begun = true;
    }

    /** The fault happens now. */
    void fire() {
        firedAt.compareAndSet(0, System.nanoTime() | 1);
    }

    /** Nanoseconds since the fault; 0 if it has not happened. */
    long sinceFault() {
        long at = firedAt.get();
        return at == 0 ? 0 : System.nanoTime() - at;
    }

    @Override
    public void pass(ChaosProxy.Way there, long before, byte[] bytes, ChaosProxy.Wire wire) throws IOException {
        write(bytes, bytes.length, wire);
    }

    @Override
    public ChaosProxy.Chaos on(ChaosProxy.Ends ends) {
        if (fault == Fault.KILL && (ends.caller() == caller || ends.door() == caller)) {
            return (there, before, bytes, wire) -> {
                if (before < ChaosProxy.GREETING + 64) {
                    wires.add(wire);
                }
                boolean due = !ends.control() && before + bytes.length > place;
                if (sinceFault() != 0) {
                    wire.reset(); // the dead say nothing
                } else if (due) {
                    fire();
                    for (ChaosProxy.Wire each : wires) {
                        each.reset(); // as the kernel does for a process that is gone
                    }
                } else {
                    write(bytes, bytes.length, wire);
                }
            };
        }
        boolean hit = ends.caller() == caller && ends.door() == door && ends.control() == (fault == Fault.SILENCE);
        return hit && fault.isOfTheNetwork() ? this::hurt : this;
    }

    private void hurt(ChaosProxy.Way there, long before, byte[] bytes, ChaosProxy.Wire wire)
            throws IOException, InterruptedException {
        int at = (int) Math.min(bytes.length, Math.max(0, place - before));
        if (there != way || at == bytes.length || !begun) {
            write(bytes, bytes.length, wire);
            return;
        }
        switch (fault) {
            case CORRUPT -> {
                if (place - before >= 0) {
                    fire();
                    bytes[at] ^= 0x10;
                }
                write(bytes, bytes.length, wire);
            }
            case CUT -> {
                fire();
                write(bytes, at, wire);
                wire.end();
            }
            case RESET -> {
                fire();
                write(bytes, at, wire);
                wire.reset();
            }
            default -> {
                fire();
                write(bytes, at, wire);
                wire.freeze();
            }
        }
    }

    /** Over a network that is slow now and then, and cuts what it carries into pieces. */
    private void write(byte[] bytes, int count, ChaosProxy.Wire wire) throws IOException {
        if (jitters) {
            LockSupport.parkNanos(nextInt(2_000_000));
        }
        int from = 0;
        while (from < count) {
            int piece = fragments ? Math.min(count - from, nextInt(8) == 0 ? 1 : 1 + nextInt(4000)) : count - from;
            wire.write(bytes, from, piece);
            from += piece;
        }
    }

    private int nextInt(int bound) {
        synchronized (random) {
            return random.nextInt(bound);
        }
    }

    @Override
    public String toString() {
        String who = switch (fault) {
            case NONE -> "";
            case KILL -> " of rank " + caller + " after byte " + place;
            case THROW, RETURN, MISMATCH -> " of rank " + caller + " in round " + round;
            case CUT, RESET, STALL, CORRUPT, SILENCE ->
                " of link " + caller + "-" + door + " " + way + " at byte " + place;
        };
        return String.join(
                "",
                List.of(
                        "seed " + seed + ": " + fault + who,
                        jitters ? ", jitter" : "",
                        fragments ? ", fragments" : "",
                        encrypted ? ", encrypted" : ""));
    }
}
