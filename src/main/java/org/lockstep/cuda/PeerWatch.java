package org.lockstep.cuda;

import java.time.Duration;
import jcuda.driver.CUevent;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Carriers;
import org.lockstep.collective.OperationTag;
import org.lockstep.topology.ProcessGroup;

/**
 * What a rank's stream waits for that its peers' were given, as who waits for the device sees that: a wait for others is no fault of
 * this device. Thread-safe.
 */
final class PeerWatch implements CudaDevice.Watch, AutoCloseable {
    /** Whose device it is says so by the deadline itself, and is heard before those that wait for it say anything. */
    private static final int DEADLINES = 2;

    private final CudaDevice device;
    private final Duration operation;
    private final CUevent own; // behind what was queued before the first wait for peers that is not known to be over
    private @Nullable Behind last; // guarded by this

    private record Behind(OperationTag tag, ProcessGroup group, Carriers.Life life, long count) {}

    /** @param operation how long one may take */
    PeerWatch(CudaDevice device, Duration operation) {
        this.device = device;
        this.operation = operation;
        this.own = device.event();
        device.watch(this);
    }

    /** What is queued next waits for peers, as a part of an operation of {@code group}. */
    synchronized void follows(OperationTag tag, ProcessGroup group, Carriers.Life life) {
        if (behind() == null) {
            device.record(own);
        }
        last = new Behind(tag, group, life, device.backlog().count() + 1);
    }

    private @Nullable Behind behind() {
        Behind known = last;
        return known == null || device.backlog().isReached(known.count()) ? null : known;
    }

    /** Throws the first cause if the group is dead: what waits here ends then, and lets go of what an abort needs. */
    @Override
    public synchronized void look(long waited) {
        Behind known = behind();
        if (known == null || waited == 0) {
            return;
        }
        if (known.life().firstCause().isPresent()) {
            known.life().requireAlive(known.tag());
        }
        if (isBehindOthers() && waited > DEADLINES * operation.toNanos()) {
            throw LockstepException.report(
                            ErrorCode.COLLECTIVE_TIMEOUT,
                            known.tag() + " in " + known.group() + " not complete on " + device + " in "
                                    + DEADLINES * operation.toMillis() / 1000.0
                                    + " s: it waits for what devices of other ranks were given before")
                    .attempt(
                            "see the logs of the others; spark.lockstep.collective.timeout where their steps take so long")
                    .exception();
        }
    }

    @Override
    public synchronized boolean isBehindOthers() {
        return behind() != null && JCudaDriver.cuEventQuery(own) == CUresult.CUDA_SUCCESS;
    }

    /** The device must be done with it. */
    @Override
    public void close() {
        device.unwatch(this);
        device.destroy(own);
    }
}
