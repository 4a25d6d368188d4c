package org.lockstep.spark.device;

import java.io.Serial;
import java.net.InetAddress;
import org.apache.spark.SparkConf;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Backend;
import org.lockstep.cpu.Cores;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.spark.preflight.ClusterPreflight;
import org.lockstep.spark.settings.Settings;

/**
 * CPUs, whose ranks listen where the configuration says and compute on the cores that it gives them.
 *
 * @param interfaces as {@link CpuBackend#create(InetAddress, String, int, int, Cores)} takes them
 * @param portMin 0 for any port
 * @param portMax not less
 * @param cores of a rank
 */
public record CpuFactory(String interfaces, int portMin, int portMax, Cores cores) implements BackendFactory {
    @Serial
    private static final long serialVersionUID = 1;

    public static CpuFactory of(SparkConf conf) {
        int min = Settings.PORT_MIN.in(conf);
        int max = Settings.PORT_MAX.in(conf);
        if (min > max || (min == 0 && max > 0)) {
            throw LockstepException.report(
                            ErrorCode.USAGE,
                            Settings.PORT_MIN.key() + " = " + min + " and " + Settings.PORT_MAX.key() + " = " + max
                                    + " are no range of ports")
                    .attempt("both, such as 40000 and 40100, or neither")
                    .exception();
        }
        return new CpuFactory(Settings.NETWORK_INTERFACE.in(conf), min, max, ClusterPreflight.cores(conf));
    }

    @Override
    public Backend create(InetAddress address) {
        return CpuBackend.create(address, interfaces, portMin, portMax, cores);
    }
}
