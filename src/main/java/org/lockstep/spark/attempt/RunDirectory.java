package org.lockstep.spark.attempt;

import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.stream.Stream;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.spark.SparkContext;
import org.apache.spark.SparkExecutorInfo;
import org.lockstep.commit.CommitPlace;
import org.lockstep.spark.settings.Settings;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Where the finished rows of a run are kept.
 *
 * <p>The directory that was named; else one of the run alone, of which the best is taken that Spark knows of: below its own
 * checkpoint directory, below the user's home in the file system that Hadoop takes by default, below the driver's temporary
 * files. The last is good for executors on the driver's host only, and a warning says so where there are others.
 *
 * @param named whether somebody named it, and so counts on it
 */
public record RunDirectory(CommitPlace place, boolean named) {
    private static final Logger LOG = LoggerFactory.getLogger(RunDirectory.class);

    public static RunDirectory of(SparkContext spark, Optional<String> name) {
        String location = name.orElseGet(() -> child(base(spark), spark));
        if (name.isEmpty() && CommitPlace.isLocal(location) && hasOtherHosts(spark)) {
            LOG.warn(
                    "finished rows are kept in {}, which executors on other hosts do not share: a retry or --resume does"
                            + " their rows again; set {} to a directory that all see",
                    location,
                    Settings.CHECKPOINT_DIR.key());
        }
        CommitPlace place =
                CommitPlace.isLocal(location) ? CommitPlace.here(location) : new CommitPlace(location, hadoop(spark));
        return new RunDirectory(place, name.isPresent());
    }

    private static String child(String base, SparkContext spark) {
        String name = "lockstep-" + spark.applicationId() + "-"
                + UUID.randomUUID().toString().substring(0, 8);
        return base + "/" + name;
    }

    private static String base(SparkContext spark) {
        if (spark.getCheckpointDir().isDefined()) {
            // as Hadoop writes a path, which is no URI where it has spaces
            return new org.apache.hadoop.fs.Path(spark.getCheckpointDir().get())
                    .toUri()
                    .toString();
        }
        if (hasOtherHosts(spark)) {
            try {
                String home = FileSystem.get(spark.hadoopConfiguration())
                        .getHomeDirectory()
                        .toUri()
                        .toString();
                if (!CommitPlace.isLocal(home)) {
                    return home + "/.lockstep";
                }
            } catch (IOException | IllegalArgumentException e) {
                LOG.warn("the default file system does not open; finished rows are kept on this host", e);
            }
        }
        return Path.of(System.getProperty("java.io.tmpdir")).toAbsolutePath().toString();
    }

    /** Whether executors run where the driver's files are not; taken for granted where that is not known. */
    private static boolean hasOtherHosts(SparkContext spark) {
        String driver = spark.getConf().get("spark.driver.host", "");
        return !spark.isLocal()
                && Stream.of(spark.statusTracker().getExecutorInfos())
                        .map(SparkExecutorInfo::host)
                        .anyMatch(host -> !host.equals(driver));
    }

    private static Map<String, String> hadoop(SparkContext spark) {
        Map<String, String> settings = new HashMap<>();
        Configuration conf = spark.hadoopConfiguration();
        conf.forEach(entry -> settings.put(entry.getKey(), entry.getValue()));
        return settings;
    }
}
