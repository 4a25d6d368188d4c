package org.lockstep.cuda;

import org.junit.jupiter.api.AfterEach;
import org.lockstep.collective.Backend;
import org.lockstep.collective.CommunicatorContract;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.rendezvous.Rendezvous;

/** All ranks on one device, whose buffers are read where they are. */
@HostCuda
class PeerCommunicatorTest extends CommunicatorContract {
    static final CudaOptions OPTIONS =
            CudaOptions.DEFAULT.withCublas(CudaOptions.NO_CUBLAS).withPeer(PeerOptions.DEFAULT.withUse(Use.ON));

    @AfterEach
    void nothingIsLeft() {
        StandIn.assertNothingAllocated();
    }

    /** The copies that {@link OnDevice} makes are not queued behind what hangs on a future. */
    @Override
    public void whatHangsOnAFutureMayUseTheCommunicator() {}

    @Override
    protected LocalWorld world(int size) {
        return LocalWorld.of(size);
    }

    @Override
    public Backend backend(Rendezvous rendezvous) {
        return new OnDeviceBackend(CudaBackend.create(
                device(rendezvous), CpuBackend.create(), OPTIONS.withRanksPerDevice(rendezvous.size())));
    }

    VisibleDevice device(Rendezvous rendezvous) {
        return StandIn.devices().get(0);
    }
}
