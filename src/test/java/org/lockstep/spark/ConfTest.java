package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import org.apache.spark.SparkConf;
import org.junit.jupiter.api.Test;
import org.lockstep.spark.settings.Setting;
import org.lockstep.spark.settings.Settings;

/** The configuration that we hand out is one that we accept, and says the defaults that there are. */
class ConfTest {
    @Test
    void theExampleHoldsEveryKeyWithItsDefault() throws IOException {
        Properties example = new Properties();
        try (Reader file = Files.newBufferedReader(Path.of("conf/spark-defaults.conf"))) {
            example.load(file);
        }
        SparkConf conf = new SparkConf(false);
        example.forEach((key, value) -> conf.set((String) key, (String) value));

        Settings.check(conf);
        for (Setting<?> setting : Settings.all()) {
            assertThat(example.getProperty(setting.key())).as(setting.key()).isEqualTo(setting.fallback());
        }
    }
}
