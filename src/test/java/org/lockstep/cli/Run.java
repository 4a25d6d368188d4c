package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.lockstep.spark.SparkJvm;

/**
 * A command that has run.
 *
 * @param code its exit code
 * @param out what it wrote to standard output
 * @param err what it wrote to standard error
 */
record Run(int code, String out, String err) {
    /** In this JVM. */
    static Run of(String... args) {
        StringWriter out = new StringWriter();
        StringWriter err = new StringWriter();
        int code = Lockstep.execute(new Screen(new PrintWriter(out), new PrintWriter(err), false), args);
        return new Run(code, out.toString(), err.toString());
    }

    /**
     * In a process of its own.
     *
     * @param folder of what it writes, by files of one name each: one process after the other
     * @param environment beside this process's
     */
    static Run ofProcess(Path folder, Map<String, String> environment, List<String> words)
            throws IOException, InterruptedException {
        List<String> command = SparkJvm.shortLived();
        command.addAll(List.of("-Xmx1g", "-cp", System.getProperty("java.class.path"), Lockstep.class.getName()));
        command.addAll(words);
        File out = folder.resolve("out").toFile();
        File err = folder.resolve("err").toFile();
        ProcessBuilder builder = new ProcessBuilder(command).redirectOutput(out).redirectError(err);
        builder.environment().putAll(environment);
        Process process = builder.start();
        try {
            assertThat(process.waitFor(100, TimeUnit.SECONDS)).isTrue();
            return new Run(process.exitValue(), Files.readString(out.toPath()), Files.readString(err.toPath()));
        } finally {
            process.destroyForcibly();
        }
    }
}
