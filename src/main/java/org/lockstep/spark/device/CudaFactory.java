package org.lockstep.spark.device;

import java.io.Serial;
import java.net.InetAddress;
import java.util.List;
import java.util.OptionalInt;
import org.apache.spark.TaskContext;
import org.apache.spark.resource.ResourceInformation;
import org.lockstep.collective.Backend;
import org.lockstep.cuda.CudaBackend;
import org.lockstep.cuda.CudaDriver;
import org.lockstep.cuda.CudaOptions;
import org.lockstep.cuda.VisibleDevice;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * GPUs, one to a rank or shared, as the task was given them; their groups are those of CPUs, in which their buffers travel by NCCL or
 * staged.
 *
 * @param host makes the backend that connects the groups
 * @param options of each rank
 * @param local whether the master is a local one
 */
record CudaFactory(CpuFactory host, CudaOptions options, boolean local) implements BackendFactory {
    @Serial
    private static final long serialVersionUID = 1;

    private static final Logger LOG = LoggerFactory.getLogger(CudaFactory.class);

    /** @throws org.lockstep.LockstepException NO_DEVICE, OLD_DRIVER or NO_LIBRARY: never another device than was asked for */
    @Override
    public Backend create(InetAddress address) {
        CudaDriver driver = CudaDriver.create();
        driver.verifyEnabled();
        VisibleDevice device = new GpuAssignment(
                        addresses(TaskContext.get()),
                        System.getenv("CUDA_VISIBLE_DEVICES"),
                        local ? OptionalInt.of(TaskContext.getPartitionId()) : OptionalInt.empty())
                .among(driver.devices());
        return CudaBackend.create(device, host.create(address), options, LOG::info);
    }

    private static List<String> addresses(TaskContext task) {
        ResourceInformation gpus = task.resourcesJMap().get("gpu");
        return gpus == null ? List.of() : List.of(gpus.addresses());
    }
}
