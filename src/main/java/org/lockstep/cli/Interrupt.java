package org.lockstep.cli;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What Ctrl-C does: the first one ends the command in order, the second one ends the process at once.
 *
 * <p>By {@code sun.misc.Signal}, which every JDK has and which has no successor; called by name, since javac warns of it
 * whatever one says. Where it is missing Ctrl-C is left to the JVM, whose shutdown hooks then cancel.
 */
final class Interrupt implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Interrupt.class);
    private static final int EXIT = 130; // 128 + SIGINT

    private final Runnable restore;

    private Interrupt(Runnable restore) {
        this.restore = restore;
    }

    /** Runs {@code first}, on a thread of its own, at the first Ctrl-C until closed. */
    static Interrupt handle(Runnable first) {
        try {
            Class<?> signal = Class.forName("sun.misc.Signal");
            Class<?> handler = Class.forName("sun.misc.SignalHandler");
            Object interrupt = signal.getConstructor(String.class).newInstance("INT");
            Method handle = signal.getMethod("handle", signal, handler);
            Object before = handle.invoke(null, interrupt, handler(handler, first));
            return new Interrupt(() -> invoke(handle, interrupt, before));
        } catch (ReflectiveOperationException | IllegalArgumentException e) {
            LOG.info("Ctrl-C is left to the JVM", e);
            return new Interrupt(() -> {});
        }
    }

    private static Object handler(Class<?> type, Runnable first) {
        Thread orderly = new Thread(first, "lockstep-cancel");
        orderly.setDaemon(true);
        return Proxy.newProxyInstance(
                Interrupt.class.getClassLoader(), new Class<?>[] {type}, (proxy, method, args) -> {
                    if (!method.getName().equals("handle")) {
                        return method.invoke(orderly, args); // of Object's: equal to itself
                    }
                    if (orderly.getState() == Thread.State.NEW) {
                        orderly.start();
                    } else {
                        Runtime.getRuntime().halt(EXIT);
                    }
                    return null;
                });
    }

    private static void invoke(Method handle, Object interrupt, Object before) {
        try {
            handle.invoke(null, interrupt, before);
        } catch (IllegalAccessException | InvocationTargetException e) {
            throw new IllegalStateException("the JVM does not take its handler of Ctrl-C back", e);
        }
    }

    /** Gives Ctrl-C back to who had it. */
    @Override
    public void close() {
        restore.run();
    }
}
