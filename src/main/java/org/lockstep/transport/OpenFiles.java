package org.lockstep.transport;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.CommunicatorException;

/**
 * How many files this process may have open, sockets among them, for what is said when there are no more: to be asked before, for
 * then the answer could not be read. Immutable.
 *
 * @param most as the system says it
 */
record OpenFiles(String most) {
    private static final Path LIMITS = Path.of("/proc/self/limits");
    private static final Pattern LIMIT = Pattern.compile("Max open files\\s+(\\S+)\\s.*");

    /** Of this process. */
    static OpenFiles ask() {
        try (Stream<String> lines = Files.lines(LIMITS)) {
            return new OpenFiles(lines.map(LIMIT::matcher)
                    .filter(Matcher::matches)
                    .map(found -> found.group(1))
                    .findFirst()
                    .orElse("an unknown number of"));
        } catch (IOException | UncheckedIOException unknown) { // only Linux says
            return new OpenFiles("an unknown number of");
        }
    }

    /** Whether one more can be opened. */
    static boolean isLeft() {
        try (SocketChannel probe = SocketChannel.open()) {
            return probe.isOpen();
        } catch (IOException none) {
            return false;
        }
    }

    /** That there was none left. */
    CommunicatorException exhausted(String what, IOException cause) {
        return new CommunicatorException(LockstepException.report(
                        ErrorCode.NOT_ENOUGH_DESCRIPTORS,
                        what + ": " + cause.getMessage() + ", where its process may have " + most + " files open")
                .attempt(
                        "a higher ulimit -n where executors are started: ranks of a large group may come to have a connection"
                                + " each to all others")
                .cause(cause));
    }
}
