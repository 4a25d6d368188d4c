package org.lockstep.cli;

import java.lang.reflect.InvocationTargetException;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * Whether Spark's Hadoop opens files on this Java. Hadoop up to 3.4 asks for the user by a method that Java 24 has taken
 * away; every file that is read or written through it fails.
 */
final class HadoopOnJava {
    private static final int WITHOUT_SUBJECT = 24;

    private HadoopOnJava() {}

    /**
     * Refuses a file before a run, at whose end its rows would be lost.
     *
     * @throws LockstepException NO_SPARK
     */
    static void check(String file) {
        if (!opensFiles()) {
            throw LockstepException.report(
                            ErrorCode.NO_SPARK,
                            file + ": Parquet and remote files through Hadoop 3.4 do not run on Java "
                                    + Runtime.version().feature())
                    .attempt("Java 17 or 21 (JAVA_HOME), or JSON lines on the driver's own file system")
                    .exception();
        }
    }

    /** Asked of Hadoop itself: a Spark of one's own may bring a later one, which does. */
    static boolean opensFiles() {
        if (Runtime.version().feature() < WITHOUT_SUBJECT) {
            return true;
        }
        try {
            Class.forName("org.apache.hadoop.security.UserGroupInformation")
                    .getMethod("getCurrentUser")
                    .invoke(null);
            return true;
        } catch (InvocationTargetException e) {
            return !(e.getCause() instanceof UnsupportedOperationException);
        } catch (ReflectiveOperationException e) {
            return true; // no Hadoop of a kind known here: Spark will tell
        }
    }
}
