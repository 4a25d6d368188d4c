package org.lockstep.cli;

import java.io.Console;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;

/**
 * Where a command writes.
 *
 * @param out results
 * @param err progress, summaries and errors
 * @param terminal whether a person is looking, so that a line may be rewritten
 */
record Screen(PrintWriter out, PrintWriter err, boolean terminal) {

    /** The process's own streams, in UTF-8 whatever the locale. */
    static Screen ofProcess() {
        return new Screen(utf8(System.out), utf8(System.err), isTerminal());
    }

    private static PrintWriter utf8(PrintStream stream) {
        return new PrintWriter(stream, true, StandardCharsets.UTF_8);
    }

    /** From Java 22 on there is a console also where there is no terminal, and a method to ask. */
    @SuppressWarnings("SystemConsoleNull") // both cases are handled
    private static boolean isTerminal() {
        Console console = System.console();
        if (console == null) {
            return false;
        }
        try {
            return Boolean.TRUE.equals(Console.class.getMethod("isTerminal").invoke(console));
        } catch (NoSuchMethodException e) {
            return true;
        } catch (ReflectiveOperationException e) {
            return false;
        }
    }

    void flush() {
        out.flush();
        err.flush();
    }
}
