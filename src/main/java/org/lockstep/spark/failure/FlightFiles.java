package org.lockstep.spark.failure;

import java.io.IOException;
import java.io.OutputStream;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.Optional;
import org.apache.hadoop.conf.Configuration;
import org.apache.spark.SparkContext;
import org.lockstep.commit.CommitPlace;
import org.lockstep.flight.FlightJson;
import org.lockstep.flight.FlightRecord;
import org.lockstep.flight.FlightVerdict;
import org.lockstep.spark.settings.Settings;

/**
 * Where the driver writes the flight record of a failed attempt: one file for each attempt. Immutable.
 *
 * @param directory on any file system; empty if nothing is to be written
 * @param attempt the name of the attempt
 * @param hadoop of the application
 */
record FlightFiles(String directory, String attempt, Configuration hadoop) {

    /**
     * By {@link Settings#FLIGHT_DIRECTORY}.
     *
     * @param kept where the finished rows of the run are kept, if somebody named that
     */
    static FlightFiles of(SparkContext context, String attempt, Optional<String> kept) {
        String set = Settings.FLIGHT_DIRECTORY.in(context.getConf());
        String directory = switch (set) {
            case "none" -> "";
            case "auto" ->
                kept.map(rows -> rows + "/flight")
                        .orElseGet(() -> Path.of(
                                        System.getProperty("java.io.tmpdir"),
                                        "lockstep-flight",
                                        context.applicationId())
                                .toString());
            default -> set;
        };
        return new FlightFiles(directory, attempt, context.hadoopConfiguration());
    }

    /**
     * Writes the record.
     *
     * @return its path, or why there is none, in words: whoever asks has a failure to tell that matters more
     */
    String write(String report, FlightVerdict verdict, Collection<FlightRecord> records) {
        if (directory.isEmpty()) {
            return "not written: " + Settings.FLIGHT_DIRECTORY.key() + " = none";
        }
        String path = directory + "/attempt-" + attempt + ".json";
        try (OutputStream out = open(path)) {
            FlightJson.write(out, attempt, report, verdict, records);
            return path;
        } catch (IOException | RuntimeException failure) {
            return path + " could not be written: " + failure;
        }
    }

    /** Plain paths without Hadoop, whose file systems do not start on every Java. */
    private OutputStream open(String path) throws IOException {
        if (CommitPlace.isLocal(directory)) {
            Path local = directory.startsWith("file:") ? Path.of(URI.create(path)) : Path.of(path);
            Files.createDirectories(local.toAbsolutePath().getParent());
            return Files.newOutputStream(local);
        }
        org.apache.hadoop.fs.Path remote = new org.apache.hadoop.fs.Path(path);
        return remote.getFileSystem(hadoop).create(remote, true);
    }
}
