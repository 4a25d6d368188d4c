package org.lockstep.cuda;

import com.sun.jna.Memory;
import java.util.OptionalInt;

/**
 * What a communicator is made with, as NCCL's {@code ncclConfig_t} has it; what is empty is left to NCCL. Immutable.
 *
 * @param maxCtas of the device that its kernels take at most, from 1 on
 * @param trafficClass of its messages in the network, from 0 on; for a library of {@link NcclLibrary#TRAFFIC_CLASS} or newer
 */
record NcclConfig(OptionalInt maxCtas, OptionalInt trafficClass) {
    static final NcclConfig DEFAULT = new NcclConfig(OptionalInt.empty(), OptionalInt.empty());

    // of 2.18.6, which every later library takes: what it lacks gets the library's defaults
    private static final int BYTES = 48;
    private static final int MAGIC = 0xcafebeef;
    private static final int VERSION = 21_806;

    // of 2.26.2: as large, for the new field is where the old had padding; later libraries read it of such a version
    // alone
    private static final int VERSION_WITH_TRAFFIC_CLASS = 22_602;

    private static final int UNDEFINED = Integer.MIN_VALUE; // NCCL_CONFIG_UNDEF_INT

    /** The structure, in memory that the caller closes. */
    Memory structure() {
        Memory config = new Memory(BYTES);
        config.setLong(0, BYTES);
        config.setInt(8, MAGIC);
        config.setInt(12, trafficClass.isPresent() ? VERSION_WITH_TRAFFIC_CLASS : VERSION);
        config.setInt(16, 0); // blocking
        config.setInt(20, UNDEFINED); // cgaClusterSize
        config.setInt(24, UNDEFINED); // minCTAs
        config.setInt(28, maxCtas.orElse(UNDEFINED));
        config.setLong(32, 0); // netName
        config.setInt(40, UNDEFINED); // splitShare
        config.setInt(44, trafficClass.orElse(UNDEFINED)); // 2.26 reads it whatever the version
        return config;
    }
}
