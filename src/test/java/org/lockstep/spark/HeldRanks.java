package org.lockstep.spark;

import java.io.IOException;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.apache.spark.TaskContext;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Backend;
import org.lockstep.cpu.Cores;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.spark.device.BackendFactory;
import org.lockstep.tensor.Kernels;
import org.lockstep.transport.Listen;
import org.lockstep.transport.Rhythm;

/**
 * Makes ranks on CPUs of which some stand still at one of their steps, and the others wait for them, until the test has done what
 * it does to a run that goes on: so the run does, however late that comes.
 *
 * @param directory where rows are kept; beside it a file lets the ranks go on
 * @param step at which they stand still
 * @param every how many partitions there are to one whose rank does
 */
record HeldRanks(String directory, int step, int every) implements BackendFactory {
    static void letGo(String directory) throws IOException {
        Files.createFile(sign(directory));
    }

    private static Path sign(String directory) {
        return Path.of(directory + "-goes-on");
    }

    @Override
    public Backend create(InetAddress address) {
        CpuBackend real = CpuBackend.create(Listen.on(address), Rhythm.DEFAULT, Cores.exactly(1));
        boolean holds = TaskContext.getPartitionId() % every == 0;
        AtomicInteger steps = new AtomicInteger();
        Kernels kernels = before(Kernels.class, real.kernels(), method -> {
            if (holds && method.getName().equals("step") && steps.incrementAndGet() == step) {
                standStill();
            }
            return null;
        });
        return before(Backend.class, real, method -> method.getName().equals("kernels") ? kernels : null);
    }

    /** Until it is to go on, or Spark ends its task. */
    private void standStill() {
        while (!Files.exists(sign(directory))) {
            LockSupport.parkNanos(20_000_000);
            if (Thread.currentThread().isInterrupted()) {
                throw new IllegalStateException("interrupted where it stood still");
            }
        }
    }

    /** What is called first, and answers instead if it has an answer. */
    @FunctionalInterface
    private interface Before {
        @Nullable
        Object call(Method method);
    }

    private static <T> T before(Class<T> type, T real, Before before) {
        InvocationHandler handler = (proxy, method, arguments) -> {
            Object answer = before.call(method);
            try {
                return answer == null ? method.invoke(real, arguments) : answer;
            } catch (InvocationTargetException thrown) {
                throw thrown.getCause();
            }
        };
        return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, handler));
    }
}
