package org.lockstep.cli.bench;

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.CompilationMXBean;
import java.lang.management.ManagementFactory;
import java.util.concurrent.locks.LockSupport;

/**
 * Whether what is repeated has settled: it gets no faster and the JIT is idle. What ran in between may have made it compile
 * again, and while it does, it takes a core that a rank needs. Mutable; confined to one thread.
 */
public final class Settling {
    private static final double FASTER = 0.9;

    private final int blocks;
    private final double nanosAtMost;
    private double best = Double.MAX_VALUE;
    private double spent;
    private int idle;

    /**
     * Nothing ran so far.
     *
     * @param blocks that must run one after the other with an idle JIT, none of them much faster than those before
     * @param nanosAtMost after which it counts as settled, however it is
     */
    public Settling(int blocks, long nanosAtMost) {
        this.blocks = blocks;
        this.nanosAtMost = (double) nanosAtMost;
    }

    public boolean isSettled() {
        return idle >= blocks || spent >= nanosAtMost;
    }

    /**
     * A block ran.
     *
     * @param nanos that it took
     * @param compiled by which {@link #compilation} grew meanwhile
     */
    public void ran(double nanos, double compiled) {
        spent += nanos;
        idle = compiled > 0 || nanos < FASTER * best ? 0 : idle + 1;
        best = Math.min(best, nanos);
    }

    /** From now on blocks are of another length, and take about so long. */
    void restart(double nanos) {
        best = nanos;
        idle = 0;
    }

    /**
     * Leaves this process's core to the JIT for so long, which ranks that spin hold up and which tells of a method only when it
     * is compiled; returns the milliseconds of processor time that went by meanwhile, as far as the machine tells.
     */
    static double restOfTheJit(long nanos) {
        double before = processMillis();
        LockSupport.parkNanos(nanos);
        return processMillis() - before;
    }

    private static double processMillis() {
        return ManagementFactory.getOperatingSystemMXBean() instanceof OperatingSystemMXBean system
                ? system.getProcessCpuTime() / 1e6
                : 0;
    }

    /** What the JIT has spent so far, in milliseconds; 0 where it does not tell. */
    public static double compilation() {
        CompilationMXBean jit = ManagementFactory.getCompilationMXBean();
        return jit != null && jit.isCompilationTimeMonitoringSupported() ? jit.getTotalCompilationTime() : 0;
    }
}
