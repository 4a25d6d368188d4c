package org.lockstep.spark.preflight;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;
import org.apache.spark.SparkContext;
import org.apache.spark.SparkEnv;
import org.apache.spark.SparkExecutorInfo;
import org.apache.spark.api.java.JavaFutureAction;
import org.jspecify.annotations.Nullable;
import org.lockstep.LockstepException;
import org.lockstep.spark.failure.AttemptFailure;
import org.lockstep.topology.ProcessGrid;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The last look before a launch, from inside the processes that ranks will run in: whether they see the model, and may open as
 * many files and links as their ranks need.
 *
 * <p>A short task goes to each slot. An executor that was found fit is not asked again, so a later run of the same model looks at
 * nothing. Those that do not answer in time, busy ones, are let pass: their ranks will say the same, later. Thread-safe.
 */
public final class LaunchLook {
    private static final Logger LOG = LoggerFactory.getLogger(LaunchLook.class);

    /** Executors that have just started take some seconds for their first task; that it is done is not lost on the ranks. */
    private static final Duration PATIENCE = Duration.ofSeconds(10);

    private final @Nullable String directory;
    private final Map<String, Long> fit = new ConcurrentHashMap<>(); // by endpoint: for so many descriptors

    /**
     * Has seen nobody.
     *
     * @param directory of the model; null if it is not in a directory
     */
    public LaunchLook(@Nullable String directory) {
        this.directory = directory;
    }

    /**
     * Looks at the processes of a cluster; under a local master at this one.
     *
     * @param tasks what those of the ranks ask for: as many as fit look
     * @param grid of ranks, spread evenly
     * @throws LockstepException MODEL_NOT_FOUND or NOT_ENOUGH_DESCRIPTORS, naming the first executor that is not fit; CANCELLED
     */
    public void check(SparkContext spark, TaskRequest tasks, ProcessGrid grid) {
        int world = grid.worldSize();
        if (spark.isLocal()) {
            check(List.of(Site.here("driver", "this process", directory)), world, grid);
            return;
        }
        List<String> endpoints = executors(spark);
        int ranks = Math.max(1, world / Math.max(1, endpoints.size()));
        long needed = Site.needed(ranks, grid.sizes(), world);
        if (!endpoints.stream().allMatch(endpoint -> fit.getOrDefault(endpoint, -1L) >= needed)) {
            List<Site> sites = ask(spark, tasks.slots(spark));
            check(sites, ranks, grid);
            sites.forEach(site -> fit.put(site.endpoint(), needed));
        }
    }

    private void check(List<Site> sites, int ranks, ProcessGrid grid) {
        sites.stream()
                .flatMap(site ->
                        Stream.of(site.ofModel(directory), site.ofDescriptors(ranks, grid.sizes(), grid.worldSize())))
                .flatMap(Optional::stream)
                .findFirst()
                .ifPresent(finding -> {
                    throw finding.exception();
                });
    }

    private static List<String> executors(SparkContext spark) {
        String driver = SparkEnv.get().blockManager().blockManagerId().hostPort();
        return Stream.of(spark.statusTracker().getExecutorInfos())
                .map(LaunchLook::endpoint)
                .filter(endpoint -> !endpoint.equals(driver))
                .toList();
    }

    private static String endpoint(SparkExecutorInfo executor) {
        return executor.host() + ":" + executor.port();
    }

    /** Of each executor that answers in time. */
    private List<Site> ask(SparkContext spark, int slots) {
        String model = directory;
        JavaFutureAction<List<Site>> answers = MachineLook.aTaskOnEach(spark, slots)
                .map(any -> Site.here(
                        SparkEnv.get().executorId(),
                        SparkEnv.get().blockManager().blockManagerId().hostPort(),
                        model))
                .collectAsync();
        try {
            return answers.get(PATIENCE.toMillis(), TimeUnit.MILLISECONDS).stream()
                    .distinct()
                    .toList();
        } catch (TimeoutException busy) {
            answers.cancel(true);
            LOG.info("executors are busy: whether they see the model and may open enough files, their ranks will say");
            return List.of();
        } catch (InterruptedException e) {
            answers.cancel(true);
            Thread.currentThread().interrupt();
            throw AttemptFailure.cancelled(e);
        } catch (ExecutionException e) {
            Throwable cause = e.getCause() == null ? e : e.getCause();
            if (AttemptFailure.isCancelled(spark, cause)) {
                throw AttemptFailure.cancelled(cause);
            }
            LOG.warn("executors could not be asked before the launch, which will show why", cause);
            return List.of();
        }
    }
}
