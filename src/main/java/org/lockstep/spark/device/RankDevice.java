package org.lockstep.spark.device;

import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.apache.spark.SparkContext;
import org.lockstep.cuda.CudaOptions;
import org.lockstep.cuda.VisibleDevice;
import org.lockstep.spark.preflight.TaskRequest;

/**
 * The kind of device that each rank of a run has. Immutable.
 *
 * @param cuda how a rank uses its GPU; empty on CPUs
 * @param seen the GPUs that the ranks share, as far as the driver sees them: under a local master
 */
public record RankDevice(Optional<CudaOptions> cuda, List<VisibleDevice> seen) {
    public static final RankDevice CPU = new RankDevice(Optional.empty(), List.of());

    public RankDevice {
        seen = List.copyOf(seen);
    }

    public static RankDevice cuda(CudaOptions options, List<VisibleDevice> seen) {
        return new RankDevice(Optional.of(options), seen);
    }

    public boolean isCuda() {
        return cuda.isPresent();
    }

    /** Bytes of the smallest GPU that one of its ranks may take; empty where they are not known, and on CPUs. */
    public OptionalLong room() {
        return cuda.isEmpty()
                ? OptionalLong.empty()
                : seen.stream().mapToLong(device -> cuda.get().budget(device)).min();
    }

    /** Bytes that ranks leave free on the smallest GPU, as {@link #room} is that one's; 0 where none is known. */
    public long spare() {
        return seen.stream().mapToLong(CudaOptions::spare).min().orElse(0);
    }

    /** Makes the backends of ranks in tasks that ask for this. */
    public BackendFactory factory(SparkContext spark, TaskRequest tasks) {
        CpuFactory host = CpuFactory.of(tasks.conf());
        return cuda.<BackendFactory>map(options -> new CudaFactory(host, options, spark.isLocal()))
                .orElse(host);
    }

    /** The device in a few words. */
    @Override
    public String toString() {
        if (cuda.isEmpty()) {
            return "cpu";
        }
        int sharing = cuda.get().ranksPerDevice();
        String where = seen.isEmpty()
                ? " as Spark gives it"
                : " " + (seen.size() == 1 ? seen.get(0) : seen.size() + " devices, first " + seen.get(0));
        return "cuda" + where + (sharing == 1 ? "" : ", shared by " + sharing + " ranks") + ", "
                + cuda.get().exchange();
    }
}
