package org.lockstep.cli;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.function.BooleanSupplier;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.spark.Preflight;
import org.lockstep.spark.preflight.Finding;
import org.lockstep.spark.preflight.Machine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code lockstep doctor}: what a launch would look at, all of it, and nothing is launched. */
@Command(
        name = "doctor",
        description = {
            "Looks at what a run would need: the configuration, the cluster's slots, each executor's machine (Java, cores,"
                    + " GPUs and their libraries, memory, shared memory, descriptors, ports), what differs between them, the"
                    + " model and how it can be cut. Nothing is generated.",
            "The options are those of 'generate' that decide where and whether it runs, with the same defaults. Each finding"
                    + " is FAIL (it cannot run), WARN, NOTE or OK, with the line to set."
        },
        mixinStandardHelpOptions = true,
        versionProvider = Lockstep.Version.class,
        sortOptions = false,
        usageHelpAutoWidth = true,
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {
            "0:it can run",
            "2:a size or an option is wrong",
            "3:Spark, the cluster or the model cannot run it"
        },
        footer = {
            "",
            "JSON: an object with findings (level, code, name, sentence, line) and machines (executor, host, and what they"
                    + " have, by name).",
            "",
            "Examples:",
            "  lockstep doctor",
            "  lockstep doctor -tp 2 -dp 2 --dtype bfloat16 --max-model-len 1024",
            "  lockstep doctor --model /models/Llama-3.1-8B -tp 4 --master spark://host:7077 --json"
        })
final class DoctorCommand implements Callable<Integer> {
    private final Screen screen;
    private final BooleanSupplier verbose;

    @Mixin
    private final LaunchOptions launch = new LaunchOptions();

    @Mixin
    private final EngineOptions engine = new EngineOptions();

    @Mixin
    private final SparkOptions spark = new SparkOptions();

    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    DoctorCommand(Screen screen, BooleanSupplier verbose) {
        this.screen = screen;
        this.verbose = verbose;
    }

    @Override
    public Integer call() throws IOException {
        CommandSession.quiet();
        CommandSession.requireSpark();
        LaunchRequest want = want();
        SparkRequest request = new SparkRequest(
                "lockstep doctor", spark.master(), want.worldSize(), spark.conf(), verbose.getAsBoolean());
        Preflight.Checkup checkup = new DoctorRun(request, want, screen).look();
        List<Finding> found = checkup.findings();
        if (json) {
            writeJson(checkup);
        } else {
            write(found);
        }
        screen.flush();
        return found.stream()
                .filter(finding -> finding.level() == Finding.Level.FAIL)
                .map(finding -> finding.code().exitCode())
                .findFirst()
                .orElse(0);
    }

    private LaunchRequest want() {
        try {
            return launch.request(engine);
        } catch (IllegalArgumentException e) {
            throw LockstepException.report(ErrorCode.USAGE, String.valueOf(e.getMessage()))
                    .attempt("lockstep doctor --help")
                    .cause(e)
                    .exception();
        }
    }

    private void write(List<Finding> found) {
        found.forEach(screen.out()::println);
        List<String> counts = new ArrayList<>();
        for (Finding.Level level : Finding.Level.values()) {
            long count =
                    found.stream().filter(finding -> finding.level() == level).count();
            if (count > 0) {
                counts.add(count + " " + level);
            }
        }
        screen.out()
                .println((counts.isEmpty() ? "" : String.join(", ", counts) + ": ")
                        + (Finding.anyFails(found) ? "it cannot run" : "it can run"));
    }

    private void writeJson(Preflight.Checkup checkup) throws IOException {
        try (JsonGenerator out = new JsonFactory()
                .disable(JsonGenerator.Feature.AUTO_CLOSE_TARGET)
                .createGenerator(screen.out())) {
            out.useDefaultPrettyPrinter();
            out.writeStartObject();
            out.writeArrayFieldStart("findings");
            for (Finding finding : checkup.findings()) {
                out.writeStartObject();
                out.writeStringField("level", finding.level().name());
                out.writeNumberField("code", finding.code().number());
                out.writeStringField("name", finding.code().name());
                out.writeStringField("sentence", finding.sentence());
                out.writeStringField("line", finding.line());
                out.writeEndObject();
            }
            out.writeEndArray();
            out.writeArrayFieldStart("machines");
            for (Machine machine : checkup.machines()) {
                out.writeStartObject();
                out.writeStringField("executor", machine.process());
                out.writeStringField("host", machine.host());
                for (Map.Entry<String, String> fact : machine.comparable().entrySet()) {
                    out.writeStringField(fact.getKey(), fact.getValue());
                }
                out.writeEndObject();
            }
            out.writeEndArray();
            out.writeEndObject();
        }
        screen.out().println();
    }
}
