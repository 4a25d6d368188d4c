package org.lockstep.cli.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.TransportKind;
import org.lockstep.tensor.DataType;

@Timeout(60)
class JvmRanksTest {
    private final List<Measurement> reported = new ArrayList<>();

    @AfterEach
    void noProcessIsLeft() {
        assertThat(ProcessHandle.current()
                        .children()
                        .filter(child -> child.info().commandLine().orElse("").contains(JvmRank.class.getName())))
                .isEmpty();
    }

    @Test
    void rankZeroReportsEachMeasurementInOrder() {
        JvmRanks.measure(ranks(Duration.ofMinutes(1)), plan(0), reported::add);
        assertThat(reported.stream().map(each -> each.operation() + " " + each.bytes() + " " + each.wrong()))
                .containsExactly("broadcast 64 0", "broadcast 128 0");
    }

    @Test
    void aRankThatFailsIsNamedWithItsCause() {
        LockstepException failure = catchThrowableOfType(
                LockstepException.class, () -> JvmRanks.measure(ranks(Duration.ofMinutes(1)), plan(7), reported::add));
        assertThat(failure.code().exitCode()).isEqualTo(4);
        assertThat(failure).hasMessageContaining("root (7)").hasMessageContaining("the JVM of party");
    }

    @Test
    void whatTakesTooLongIsEnded() {
        LockstepException failure = catchThrowableOfType(
                LockstepException.class, () -> JvmRanks.measure(ranks(Duration.ofMillis(1)), plan(0), reported::add));
        assertThat(failure.code()).isEqualTo(ErrorCode.RENDEZVOUS_TIMEOUT);
        assertThat(failure).hasMessageContaining("2 JVMs did not end");
    }

    @Test
    void aRankEndsWithWhoStartedIt() throws IOException, InterruptedException {
        Process process = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-cp",
                        System.getProperty("java.class.path"),
                        JvmRank.class.getName())
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        process.getOutputStream().close();
        assertThat(process.waitFor(50, TimeUnit.SECONDS)).isTrue();
        assertThat(process.exitValue()).isEqualTo(4);
    }

    private static RankSpec ranks(Duration limit) {
        return new RankSpec(BenchBackend.HOST, 2, EnumSet.allOf(TransportKind.class), limit);
    }

    private static BenchPlan plan(int root) {
        return new BenchPlan(
                List.of(Operation.BROADCAST),
                List.of(64L, 128L),
                DataType.F32,
                ReduceOp.Kind.SUM,
                root,
                BenchPlan.Sides.AS_MPI,
                2,
                1_000_000,
                0,
                1,
                true);
    }
}
