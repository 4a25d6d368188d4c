package org.lockstep.spark.settings;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.spark.SparkConf;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.OperationTerms;
import org.lockstep.collective.TransportKind;
import org.lockstep.cpu.Cores;
import org.lockstep.spark.device.CpuFactory;
import org.lockstep.topology.GroupKind;

class SettingsTest {
    private static SparkConf conf() {
        return new SparkConf(false);
    }

    static Stream<Setting<?>> all() {
        return Settings.all().stream();
    }

    @ParameterizedTest
    @MethodSource("all")
    void everySettingHasAUsableDefaultAndASafeName(Setting<?> setting) {
        assertThat(setting.in(conf())).isNotNull();
        assertThat(setting.key()).startsWith("spark.lockstep.").matches("[a-zA-Z.]+");
        assertThat(setting.key().toLowerCase(java.util.Locale.ROOT))
                .as("Spark blanks the values of such keys")
                .doesNotContain("token", "secret", "password");
        assertThat(setting.meaning()).isNotBlank();
    }

    @Test
    void anUnknownKeyNamesTheNearest() {
        assertThatThrownBy(() -> Settings.check(conf().set("spark.lockstep.meeting.timeOut", "5s")))
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.UNKNOWN_SETTING))
                .hasMessageContaining("spark.lockstep.meeting.timeOut")
                .hasMessageContaining("did you mean spark.lockstep.meeting.timeout?");
    }

    @Test
    void keysOfOthersAreNoneOfOurBusiness() {
        Settings.check(conf().set("spark.lockstepper.x", "1").set("spark.app.name", "x"));
    }

    @ParameterizedTest
    @CsvSource({"500ms,500", "30s,30000", "2m,120000", "2min,120000", "1h,3600000", "5 s,5000"})
    void times(String text, long millis) {
        assertThat(Settings.MEETING_TIMEOUT.in(conf().set(Settings.MEETING_TIMEOUT.key(), text)))
                .isEqualTo(Duration.ofMillis(millis));
    }

    @Test
    void onlyWhereItMeansNeverATimeMayBeZero() {
        assertThat(Settings.RESIDENT_IDLE.in(conf().set(Settings.RESIDENT_IDLE.key(), "0s")))
                .isZero();
        assertThatThrownBy(() -> Settings.RUN_TIMEOUT.in(conf().set(Settings.RUN_TIMEOUT.key(), "0s")))
                .hasMessageContaining("it is zero");
    }

    @Test
    void aTrafficClassIsFromZeroOn() {
        String key = Settings.NCCL_TENSOR_CLASS.key();
        assertThat(Settings.NCCL_TENSOR_CLASS.in(conf())).isEmpty();
        assertThat(Settings.NCCL_TENSOR_CLASS.in(conf().set(key, "0"))).hasValue(0);
        assertThatThrownBy(() -> Settings.NCCL_TENSOR_CLASS.in(conf().set(key, "-1")))
                .isInstanceOf(LockstepException.class)
                .hasMessageContaining("a negative number");
    }

    @ParameterizedTest
    @CsvSource({"7,7", "1k,1024", "512m,536870912", "2g,2147483648", "1gb,1073741824"})
    void sizes(String text, long bytes) {
        assertThat(Settings.CACHE_MEMORY.in(conf().set(Settings.CACHE_MEMORY.key(), text)))
                .hasValue(bytes);
    }

    @Test
    void transports() {
        assertThat(Settings.TRANSPORTS.in(conf())).containsExactlyInAnyOrder(TransportKind.values());
        assertThat(Settings.TRANSPORTS.in(conf().set(Settings.TRANSPORTS.key(), "Thread, tcp")))
                .containsExactlyInAnyOrder(TransportKind.THREAD, TransportKind.TCP);
    }

    @ParameterizedTest
    @CsvSource({
        "auto, false, false, false, false",
        "auto, true, false, false, true",
        "auto, false, true, false, true",
        "auto, false, false, true, true",
        "true, false, false, false, true",
        "False, true, true, true, false",
    })
    void encryptionFollowsSparkUnlessItIsTold(
            String told, boolean crypto, boolean sasl, boolean ssl, boolean encrypts) {
        SparkConf conf = conf().set(Settings.ENCRYPT.key(), told)
                .set("spark.network.crypto.enabled", Boolean.toString(crypto))
                .set("spark.authenticate.enableSaslEncryption", Boolean.toString(sasl))
                .set("spark.ssl.rpc.enabled", Boolean.toString(ssl));
        assertThat(Settings.encrypts(conf)).isEqualTo(encrypts);
    }

    @Test
    void operationsRunOnWhatIsConfigured() {
        assertThat(Settings.operations(conf())).isEqualTo(OperationTerms.DEFAULT);
        SparkConf told = conf().set("spark.lockstep.collective.timeout", "7s")
                .set("spark.lockstep.collective.tensor.timeout", "5s")
                .set("spark.lockstep.collective.pipeline.timeout", "9s")
                .set("spark.lockstep.collective.minRate", "1k")
                .set("spark.lockstep.collective.nanCheck", "true");
        assertThat(Settings.operations(told))
                .isEqualTo(new OperationTerms(
                        Duration.ofSeconds(7),
                        Map.of(
                                GroupKind.TENSOR, Duration.ofSeconds(5),
                                GroupKind.PIPELINE, Duration.ofSeconds(9)),
                        1024,
                        true));
    }

    @Test
    void portsAreARange() {
        assertThat(CpuFactory.of(conf())).isEqualTo(new CpuFactory("auto", 0, 0, Cores.exactly(1)));
        SparkConf range = conf().set(Settings.PORT_MIN.key(), "40000").set(Settings.PORT_MAX.key(), "40100");
        assertThat(CpuFactory.of(range.set(Settings.NETWORK_INTERFACE.key(), "eth1")))
                .isEqualTo(new CpuFactory("eth1", 40000, 40100, Cores.exactly(1)));
        for (String max : new String[] {"39999", "0"}) {
            assertThatThrownBy(() -> CpuFactory.of(range.set(Settings.PORT_MAX.key(), max)))
                    .isInstanceOf(LockstepException.class)
                    .hasMessageContaining("no range of ports");
        }
    }

    @ParameterizedTest
    @CsvSource({
        "spark.lockstep.encrypt,maybe,'not one of auto, true, false'",
        "spark.lockstep.network.port.min,70000,not a port",
        "spark.lockstep.network.interface,'',it is empty",
        "spark.lockstep.meeting.timeout,soon,not a time",
        "spark.lockstep.cache.memory,-5m,not a size",
        "spark.lockstep.cache.memory,9999999999g,overflow",
        "spark.lockstep.batch.maxSequences,0,not a positive number",
        "spark.lockstep.batch.maxSequences,many,many",
        "spark.lockstep.placement.strict,maybe,neither true nor false",
        "spark.lockstep.transports,'thread,rdma','rdma'': thread, shared, tcp'",
        "spark.lockstep.transports,'',there is no transport",
        "spark.lockstep.collective.minRate,0m,it is zero",
        "spark.lockstep.collective.tensor.timeout,soon,not a time",
        "spark.lockstep.collective.pipeline.timeout,0s,it is zero",
        "spark.lockstep.collective.nanCheck,perhaps,neither true nor false",
    })
    void aBadValueIsNamedWithItsKeyAndTheDefault(String key, String value, String why) {
        assertThatThrownBy(() -> Settings.check(conf().set(key, value)))
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.USAGE))
                .hasMessageContainingAll(key, value, why, "is the default");
    }
}
