package org.lockstep.cli;

import java.io.PrintWriter;
import java.io.StringWriter;

/**
 * A command that has run in this JVM.
 *
 * @param code its exit code
 * @param out what it wrote to standard output
 * @param err what it wrote to standard error
 */
record Run(int code, String out, String err) {
    static Run of(String... args) {
        StringWriter out = new StringWriter();
        StringWriter err = new StringWriter();
        int code = Lockstep.execute(new Screen(new PrintWriter(out), new PrintWriter(err), false), args);
        return new Run(code, out.toString(), err.toString());
    }
}
