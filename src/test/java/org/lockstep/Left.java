package org.lockstep;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.lang.management.BufferPoolMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.awaitility.Awaitility;

/** What there is of all that could be left. */
public record Left(
        Map<String, Integer> threads,
        Map<String, Integer> descriptors,
        List<String> mappings,
        Set<String> files,
        long bytes) {
    public static Left now() throws Exception {
        System.gc();
        Map<String, Integer> threads = new TreeMap<>();
        for (Thread each : Thread.getAllStackTraces().keySet()) {
            if (each.getName().startsWith("lockstep-")) {
                threads.merge(each.getName(), 1, Integer::sum);
            }
        }
        Path maps = Path.of("/proc/self/maps");
        List<String> mappings = new ArrayList<>();
        if (Files.exists(maps)) {
            Files.readAllLines(maps).stream()
                    .filter(line -> line.contains("/dev/shm/"))
                    .forEach(mappings::add);
        }
        long bytes = 0;
        for (BufferPoolMXBean pool : ManagementFactory.getPlatformMXBeans(BufferPoolMXBean.class)) {
            bytes += pool.getMemoryUsed();
        }
        return new Left(threads, openNow(), mappings, sharedNow(), bytes);
    }

    private static Set<String> sharedNow() {
        String[] shared = new File("/dev/shm").list((folder, name) -> name.startsWith("lockstep-"));
        return shared == null ? Set.of() : new TreeSet<>(List.of(shared));
    }

    /** By what they are open on: sockets, selectors, files and their paths. */
    private static Map<String, Integer> openNow() throws Exception {
        Map<String, Integer> found = new TreeMap<>();
        File[] open = new File("/proc/self/fd").listFiles();
        if (open != null) {
            for (File each : open) {
                Path link = each.toPath();
                String target;
                try {
                    target = Files.readSymbolicLink(link).toString().replaceFirst(":\\[\\d+]$", "");
                } catch (NoSuchFileException closed) {
                    continue; // since it was listed
                }
                if (!target.endsWith(".jar") && !target.startsWith("/proc/")) { // the class path's come and go
                    found.merge(target, 1, Integer::sum);
                }
            }
        }
        return found;
    }

    /** Fails for whatever is there now and was not before. */
    public void requireNoMoreThan(Left before) {
        requireNoMore("threads named", threads, before.threads);
        requireNoMore("descriptors of", descriptors, before.descriptors);
        assertThat(mappings).as("mappings").isEmpty();
        Set<String> more = new TreeSet<>(files); // other processes' go while we look; ours, once left, would stay
        more.removeAll(before.files);
        Awaitility.await().atMost(Duration.ofSeconds(10)).untilAsserted(() -> {
            more.retainAll(sharedNow());
            assertThat(more).as("files in /dev/shm").isEmpty();
        });
        assertThat(bytes).as("bytes outside the heap").isLessThan(before.bytes + (1 << 20));
    }

    private static void requireNoMore(String what, Map<String, Integer> now, Map<String, Integer> before) {
        assertThat(now)
                .allSatisfy((name, count) ->
                        assertThat(count).as("%s %s", what, name).isLessThanOrEqualTo(before.getOrDefault(name, 0)));
    }
}
