package org.lockstep.cuda;

import org.lockstep.transport.RankProcesses;

/** The same where kernels of the processes do small all-reduces, in memory that each maps of the others. */
@HostCuda
class ExchangeProcessTest extends NcclProcessTest {
    @Override
    RankProcesses.Kind kind() {
        return RankProcesses.Kind.KERNELS;
    }

    /** No test here: such kernels are for ranks with a device each. */
    @Override
    void theContractHoldsBetweenProcessesThatShareTheDevices() {}
}
