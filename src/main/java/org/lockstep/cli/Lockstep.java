package org.lockstep.cli;

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
            "1:done, but some rows have an error",
            "2:usage: a wrong option, file or size; nothing was launched",
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

    /** Runs a command; ends the JVM only when it did not end well. */
    public static void main(String[] args) {
        Screen screen = Screen.ofProcess();
        int code = execute(screen, args);
        screen.flush();
        if (code != 0) {
            System.exit(code);
        }
    }

    /** Runs a command and returns its exit code. */
    static int execute(Screen screen, String... args) {
        try {
            return commandLine(screen).execute(args);
        } catch (NoClassDefFoundError e) {
            screen.err().println(withoutSpark(e).getMessage());
            return ErrorCode.NO_SPARK.exitCode();
        } finally {
            screen.flush();
        }
    }

    static CommandLine commandLine(Screen screen) {
        Lockstep lockstep = new Lockstep(screen);
        return new CommandLine(lockstep)
                .addSubcommand(new GenerateCommand(screen, lockstep::isVerbose))
                .addSubcommand(new PlanCommand(screen))
                .addSubcommand(new CommandLine.HelpCommand())
                .setOut(screen.out())
                .setErr(screen.err())
                .setExpandAtFiles(false)
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setParameterExceptionHandler(Lockstep::misused)
                .setExecutionExceptionHandler((failure, command, words) -> lockstep.failed(failure));
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
        failure.printStackTrace(screen.err());
        return ErrorCode.INTERNAL.exitCode();
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
