package org.lockstep.cuda;

import org.junit.jupiter.api.AfterEach;

/** A device to each rank, whose small all-reduces are done by kernels that wait for each other; all else by NCCL. */
@HostCuda
class ExchangeCommunicatorTest extends NcclCommunicatorTest {
    @AfterEach
    void nothingIsLeft() {
        StandIn.assertNothingAllocated();
    }

    @Override
    CudaOptions options() {
        return OPTIONS.withPeer(PeerOptions.DEFAULT.withLimit(64 << 10));
    }
}
