package org.lockstep.cli;

import java.util.List;
import java.util.Optional;
import java.util.function.IntFunction;
import org.lockstep.collective.Backend;
import org.lockstep.cpu.Cores;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.cuda.CudaBackend;
import org.lockstep.cuda.CudaDriver;
import org.lockstep.cuda.CudaOptions;
import org.lockstep.cuda.VisibleDevice;
import org.lockstep.spark.settings.DeviceChoice;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The devices of ranks that are threads of this JVM: cores, or the GPUs of the machine in turn.
 *
 * @param threads of each rank on a CPU
 * @param options on GPUs; empty on CPUs
 * @param devices that are there; none on CPUs
 */
record RankBackends(int threads, Optional<CudaOptions> options, List<VisibleDevice> devices)
        implements IntFunction<Backend> {
    private static final Logger LOG = LoggerFactory.getLogger(RankBackends.class);

    /**
     * What was asked for.
     *
     * @throws org.lockstep.LockstepException NO_DEVICE, OLD_DRIVER or NO_LIBRARY where GPUs were, and there are none
     */
    static RankBackends of(DeviceRequest request, int ranks, int threads) {
        DeviceChoice asked = Optional.ofNullable(request.choice()).orElse(DeviceChoice.AUTO);
        CudaDriver driver = asked == DeviceChoice.CPU ? null : CudaDriver.create();
        if (driver == null || (asked == DeviceChoice.AUTO && !driver.isEnabled())) {
            return new RankBackends(threads, Optional.empty(), List.of());
        }
        driver.verifyEnabled();
        int seen = driver.devices().size();
        double part = Optional.ofNullable(request.memoryUtilization()).orElse(CudaOptions.DEFAULT.memoryUtilization());
        CudaOptions options = CudaOptions.DEFAULT
                .withMemoryUtilization(part)
                .withEnforceEager(request.enforceEager())
                .withRanksPerDevice((ranks + seen - 1) / seen);
        return new RankBackends(threads, Optional.of(options), driver.devices());
    }

    @Override
    public Backend apply(int rank) {
        CpuBackend host = CpuBackend.create(Cores.exactly(threads));
        return options.<Backend>map(of -> CudaBackend.create(devices.get(rank % devices.size()), host, of, LOG::info))
                .orElse(host);
    }

    /** The kind of device, as {@code --device} has it. */
    String kind() {
        return options.isPresent() ? "cuda" : "cpu";
    }

    /** For people. */
    @Override
    public String toString() {
        return options.map(of -> "on " + devices.get(0)
                        + (devices.size() > 1 ? " and " + (devices.size() - 1) + " more" : "")
                        + (of.ranksPerDevice() > 1 ? ", shared by " + of.ranksPerDevice() + " ranks" : ""))
                .orElse("threads of each rank: " + threads);
    }
}
