package org.lockstep.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.FaultCase;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.topology.ParallelSizes;

/** What a rank says where there is less shared memory than it needs: in a process with a small one of its own. */
@Timeout(60)
class FullSharedMemoryTest {
    private static final int NO_MOUNT = 77;

    @Test
    @FaultCase("F59")
    void theErrorNamesPathNeedAndFreeAndNothingIsLeft() throws Exception {
        String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        String mounted = "mount -t tmpfs -o size=64k tmpfs /dev/shm || exit " + NO_MOUNT + "; exec \"$@\"";
        ProcessBuilder builder = new ProcessBuilder(
                List.of("unshare", "-m", "sh", "-c", mounted, "sh", java, "-Xmx256m", Child.class.getName()));
        builder.environment().put("CLASSPATH", System.getProperty("java.class.path"));
        assumeTrue(new File("/usr/bin/unshare").canExecute(), "no unshare here");
        Process child = builder.redirectErrorStream(true).start();
        String said = new String(child.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(child.waitFor(30, TimeUnit.SECONDS)).isTrue();
        assumeTrue(child.exitValue() != NO_MOUNT && !said.contains("unshare failed"), "may not mount: " + said);
        assertThat(said)
                .contains("RENDEZVOUS_FAILED")
                .containsPattern("no shared memory of \\d{6,} bytes for .* in /dev/shm, where 65536 bytes are free")
                .contains("No space left on device")
                .contains("spark.lockstep.transports=thread,tcp")
                .contains("left: []");
    }

    /** Two pretended JVMs that try. */
    static final class Child {
        private Child() {}

        public static void main(String[] arguments) {
            WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2)).withTransports(Set.of(TransportKind.SHARED));
            try {
                LocalWorld.of(2).withVenues(2).run(rendezvous -> {
                    try (CpuBackend backend = CpuBackend.create();
                            World world = World.join(rendezvous, backend, spec)) {
                        return world.state().rank();
                    }
                });
            } catch (RuntimeException failure) {
                System.out.println(failure.getMessage());
                System.out.println(Arrays.toString(failure.getSuppressed()));
            }
            System.out.println("left: " + Arrays.toString(Objects.requireNonNull(new File("/dev/shm").list())));
        }
    }
}
