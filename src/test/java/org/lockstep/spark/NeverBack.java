package org.lockstep.spark;

import java.io.IOException;
import java.io.Serial;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.spark.TaskContext;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Backend;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.Venue;
import org.lockstep.spark.device.BackendFactory;
import org.lockstep.tensor.Kernels;

/** A backend whose rank fails of a deadline, and whose device then does not come back, which is not the first that goes wrong. */
record NeverBack(Backend real) implements Backend {
    /** One of them, on partition 1, which leaves the number of its process in a file; then none. */
    record Once(String folder) implements BackendFactory {
        @Serial
        private static final long serialVersionUID = 1;

        static final String FILE = "never-back";

        @Override
        public Backend create(InetAddress address) {
            Backend real = CpuBackend.create(address);
            if (TaskContext.getPartitionId() != 1) {
                return real;
            }
            try {
                Path file = Files.createFile(Path.of(folder, FILE));
                Files.writeString(file, Long.toString(ProcessHandle.current().pid()));
                return new NeverBack(real);
            } catch (FileAlreadyExistsException already) {
                return real;
            } catch (IOException failure) {
                throw new UncheckedIOException(failure);
            }
        }
    }

    @Override
    public String name() {
        return real.name();
    }

    @Override
    public Kernels kernels() {
        throw LockstepException.report(ErrorCode.COLLECTIVE_TIMEOUT, "planned: not complete in time")
                .exception();
    }

    @Override
    public Endpoint open(Venue venue, WorldSpec spec) {
        return real.open(venue, spec);
    }

    @Override
    public void close() {
        real.close();
        IllegalStateException first = new IllegalStateException("planned: what is given back before");
        first.addSuppressed(
                LockstepException.report(ErrorCode.DEVICE_LOST, "planned: what was queued does not come to its end")
                        .attempt("another process")
                        .exception());
        throw first;
    }
}
