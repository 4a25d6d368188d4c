package org.lockstep.cli.bench;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.lockstep.collective.Backend;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.cuda.CudaBackend;
import org.lockstep.cuda.CudaDriver;
import org.lockstep.cuda.CudaOptions;
import org.lockstep.cuda.NcclOptions;
import org.lockstep.cuda.PeerOptions;
import org.lockstep.cuda.Use;
import org.lockstep.cuda.VisibleDevice;

/** In what memory the buffers of ranks are, and what carries them. */
public enum BenchBackend {
    /** The host's, by the transports between the ranks. */
    HOST(2) {
        @Override
        Backend open(int party, int ranks) {
            return CpuBackend.create();
        }
    },

    /** Of a device for each rank, by NCCL. */
    NCCL(1) {
        @Override
        Backend open(int party, int ranks) {
            return device(party, ranks, byNccl(NcclOptions.DEFAULT.withUse(Use.ON)));
        }
    },

    /** The same, of devices that ranks in processes of their own may share: for checks, not to measure by. */
    NCCL_SHARED(1) {
        @Override
        Backend open(int party, int ranks) {
            return device(
                    party, ranks, byNccl(NcclOptions.DEFAULT.withUse(Use.ON).withShared(true)));
        }
    },

    /** Of a device for each rank, or one that ranks of a JVM share, by what reaches its peers' memory. */
    PEER(2) {
        @Override
        Backend open(int party, int ranks) {
            return device(party, ranks, CudaOptions.DEFAULT.withPeer(PeerOptions.DEFAULT.withUse(Use.ON)));
        }
    };

    private final int fewest;

    BenchBackend(int fewest) {
        this.fewest = fewest;
    }

    /** What a party of {@code ranks} without Spark computes on: of a host with devices the one of its number. */
    abstract Backend open(int party, int ranks);

    private static CudaOptions byNccl(NcclOptions nccl) {
        return CudaOptions.DEFAULT.withNccl(nccl).withPeer(PeerOptions.NONE);
    }

    private static Backend device(int party, int ranks, CudaOptions options) {
        CudaDriver driver = CudaDriver.create();
        driver.verifyEnabled();
        List<VisibleDevice> devices = driver.devices();
        return CudaBackend.create(
                devices.get(party % devices.size()),
                CpuBackend.create(),
                options.withCublas(CudaOptions.NO_CUBLAS)
                        .withRanksPerDevice((ranks + devices.size() - 1) / devices.size()));
    }

    /** The fewest ranks that make something to measure. */
    public int fewestRanks() {
        return fewest;
    }

    /** The backend of a word of {@link #words}. */
    public static Optional<BenchBackend> of(String word) {
        return Arrays.stream(values())
                .filter(each -> each.word().equals(word.toLowerCase(Locale.ROOT)))
                .findFirst();
    }

    public static List<String> words() {
        return Arrays.stream(values()).map(BenchBackend::word).toList();
    }

    public String word() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
}
