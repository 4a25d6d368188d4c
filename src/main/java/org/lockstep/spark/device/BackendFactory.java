package org.lockstep.spark.device;

import java.io.Serializable;
import java.net.InetAddress;
import org.lockstep.collective.Backend;

/** Makes a rank's backend inside its task. */
@FunctionalInterface
public interface BackendFactory extends Serializable {
    /**
     * A fresh backend.
     *
     * @param address of this executor, at which Spark reaches it and peers shall
     */
    Backend create(InetAddress address);
}
