package org.lockstep.cli;

import static picocli.CommandLine.Model.UsageMessageSpec.SECTION_KEY_OPTION_LIST;

import java.io.PrintWriter;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;

/**
 * The command {@code lockstep}; the main class of the jar, also under spark-submit.
 */
@Command(
        name = "lockstep",
        description = {
            "Model-parallel inference inside Apache Spark: a barrier stage becomes a world of ranks, and a model too"
                    + " large for one device generates text over the rows of a Dataset."
        },
        mixinStandardHelpOptions = true,
        versionProvider = Lockstep.Version.class,
        sortOptions = false,
        usageHelpAutoWidth = true,
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {
            "0:done",
            "1:done, but some rows have an error, or some results of bench are wrong",
            "2:usage: a wrong option, file or size",
            "3:environment: Spark, the cluster or the model cannot run this",
            "4:the gang of ranks failed",
            "130:cancelled"
        },
        footer = {
            "",
            "Examples:",
            "  lockstep generate",
            "  lockstep generate --model /models/Llama-3.1-8B --prompts questions.jsonl --output answers.jsonl -tp 4",
            "  lockstep plan --world-size 16 -tp 2 -pp 4",
            "  lockstep doctor --model /models/Llama-3.1-8B -tp 4",
            "  lockstep bench all-reduce --place jvms",
            "  lockstep bench inference -b 1,8",
            "  spark-submit --class org.lockstep.cli.Lockstep lockstep-all.jar generate -tp 2 -pp 2"
        })
public final class Lockstep implements Callable<Integer> {
    private final Screen screen;

    @Option(
            names = "--verbose",
            scope = ScopeType.INHERIT,
            description = "Show Spark's log, and the stack of every error.")
    private boolean verbose;

    private Lockstep(Screen screen) {
        this.screen = screen;
    }

    /**
     * Runs a command and ends the JVM, which a timer of Spark 3.5's barriers would keep. Only a driver that runs in a cluster,
     * and ended well, returns: to YARN an exit before Spark's own end is a failure.
     */
    public static void main(String[] args) {
        Screen screen = Screen.ofProcess();
        int code = execute(screen, args);
        screen.flush();
        if (code != 0 || !"cluster".equals(System.getProperty("spark.submit.deployMode"))) {
            System.exit(code);
        }
    }

    /** Runs a command and returns its exit code. */
    static int execute(Screen screen, String... args) {
        try {
            return commandLine(screen).execute(args);
        } catch (Error e) { // which picocli lets pass
            return broken(e, screen.err());
        } finally {
            screen.flush();
        }
    }

    static CommandLine commandLine(Screen screen) {
        Lockstep lockstep = new Lockstep(screen);
        CommandLine command = new CommandLine(lockstep)
                .addSubcommand(new GenerateCommand(screen, lockstep::isVerbose))
                .addSubcommand(new PlanCommand(screen))
                .addSubcommand(new DoctorCommand(screen, lockstep::isVerbose))
                .addSubcommand(BenchCommand.commandLine(screen, lockstep::isVerbose, System.getenv()))
                .addSubcommand(new CommandLine.HelpCommand())
                .setOut(screen.out())
                .setErr(screen.err())
                .setExpandAtFiles(false)
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setParameterExceptionHandler(Lockstep::misused)
                .setExecutionExceptionHandler((failure, its, words) -> lockstep.failed(failure));
        Map<String, CommandLine.IHelpSectionRenderer> sections = new HashMap<>(command.getHelpSectionMap());
        sections.put(SECTION_KEY_OPTION_LIST, OptionHeadings::list);
        return command.setHelpSectionMap(sections); // of the subcommands, too
    }

    /** Without a subcommand: help. */
    @Override
    public Integer call() {
        commandLine(screen).usage(screen.out());
        return 0;
    }

    private boolean isVerbose() {
        return verbose;
    }

    private static int misused(CommandLine.ParameterException misuse, String[] args) {
        CommandLine command = misuse.getCommandLine();
        command.getErr().println(misuse.getMessage());
        CommandLine.UnmatchedArgumentException.printSuggestions(misuse, command.getErr());
        command.getErr().println("Try '" + command.getCommandSpec().qualifiedName() + " --help'.");
        return ErrorCode.USAGE.exitCode();
    }

    private int failed(Exception failure) {
        if (failure instanceof LockstepException ours) {
            screen.err().println(ours.getMessage());
            if (verbose) {
                ours.printStackTrace(screen.err());
            }
            return ours.code().exitCode();
        }
        return unforeseen(failure, screen.err());
    }

    static int broken(Error error, PrintWriter err) {
        LockstepException told;
        if (error instanceof OutOfMemoryError) {
            told = LockstepException.report(
                            ErrorCode.OUT_OF_MEMORY, "this process has too little memory: " + error.getMessage())
                    .with(
                            "heap",
                            (Runtime.getRuntime().maxMemory() >> 20) + " MiB at most, on "
                                    + Runtime.getRuntime().availableProcessors() + " cores")
                    .attempt("LOCKSTEP_JAVA_OPTS=-Xmx16g bin/lockstep …, or spark-submit --driver-memory 16g …; or"
                            + " fewer ranks or rows at once")
                    .exception();
        } else if (error instanceof NoClassDefFoundError missing && isMissing(missing)) {
            told = withoutSpark(missing);
        } else {
            return unforeseen(error, err);
        }
        err.println(told.getMessage());
        return told.code().exitCode();
    }

    /** A fault of our own, with its stack: there is nothing that the reader could set. */
    private static int unforeseen(Throwable failure, PrintWriter err) {
        err.println(LockstepException.report(ErrorCode.INTERNAL, "this should not have happened: " + failure)
                .attempt("report it with the lines below")
                .exception()
                .getMessage());
        failure.printStackTrace(err);
        return ErrorCode.INTERNAL.exitCode();
    }

    /** Whether it names a class that is not there; else it is one whose start has failed, told in words. */
    private static boolean isMissing(NoClassDefFoundError error) {
        return error.getMessage() != null && !error.getMessage().contains(" ");
    }

    private static LockstepException withoutSpark(NoClassDefFoundError missing) {
        String name = String.valueOf(missing.getMessage()).replace('/', '.');
        return LockstepException.report(ErrorCode.NO_SPARK, "the class " + name + " is not on the class path")
                .attempt("bin/lockstep of the distribution, or spark-submit --class org.lockstep.cli.Lockstep")
                .cause(missing)
                .exception();
    }

    /** The version in the jar's manifest, and the Java that runs it. */
    static final class Version implements IVersionProvider {
        @Override
        public String[] getVersion() {
            @Nullable String version = Lockstep.class.getPackage().getImplementationVersion();
            return new String[] {
                "lockstep " + (version == null ? "(not packaged)" : version) + ", Java "
                        + System.getProperty("java.version") + ", " + System.getProperty("os.name") + " "
                        + System.getProperty("os.arch")
            };
        }
    }
}
