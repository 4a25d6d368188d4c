package org.lockstep;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaMethod;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.BiConsumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * Which cases of the catalogue of faults have a test: {@code target/faults.md} is that table, with the bound by which all ranks
 * are to be released, and the release times that tests of the last build measured.
 */
class FaultTableTest {
    private static final List<String> CATALOGUE = IntStream.rangeClosed(1, 72)
            .mapToObj(number -> String.format("F%02d", number))
            .toList();

    /** Cases that a run on Spark must survive and that need no GPU: what goes wrong, and by when what must be true. */
    private static final Map<String, String> OURS = cases("""
            F01 | a task fails before the meeting | 2 s
            F02 | a task never comes to the meeting, beside another barrier stage too | 2 s after its deadline
            F03 | a rank dies between the meeting and its first connection | 2 s
            F04 | an executor is killed in a collective | 2 s
            F05 | an executor is frozen in a collective, and thaws | 20 s
            F06 | a process ends in a task, by a signal, exit or halt | 2 s
            F07 | a rank returns before its peers | 2 s
            F08 | a process stands still for eight seconds | it goes on
            F09 | a rank is ten times slower | it goes on
            F10 | two ranks fail at once | 2 s
            F11 | cleaning up fails too | 10 s
            F12 | the first rank's process dies | 2 s
            F13 | the driver dies | 30 s, its executors
            F14 | a job is cancelled, with interrupts and without | 1 s
            F15 | the application is stopped | 1 s
            F16 | cancelled while it waits for slots | 1 s
            F17 | an executor is decommissioned, and taken away | no attempt of the run's
            F18 | Spark tries a stage again | nothing is mixed
            F19 | no attempt is left | all are listed
            F20 | a callback swallows interrupts | 1 s
            F42 | 1,024 ranks meet | 15 s
            F43 | a record of the meeting is missing, double or of another attempt | at the meeting
            F44 | versions or settings differ between executors | at the meeting
            F45 | too few slots | 1 s, before a launch
            F46 | dynamic allocation | 1 s, before a launch
            F47 | speculation | allowed
            F48 | no barrier stage; Spark Connect | 1 s, before a launch
            F49 | sizes that do not divide | 1 s, before a launch
            F50 | a partition count or a chain that Spark refuses | it goes on, repartitioned
            F51 | one GPU for two ranks | at the meeting
            F52 | forms of a GPU's address | at the start of a task
            F53 | GPU settings under a local master | 1 s, before a launch
            F54 | a tensor group that spans hosts | told, or refused at the meeting
            F55 | replicas of different speed | it goes on
            F56 | no rows, empty partitions, fewer rows than replicas | no model is loaded for none
            F57 | the heap of a rank is full | 2 s; loading is not tried again
            F58 | a GPU's memory, or the cache, is full | refused before a launch; rows are put off
            F59 | a full or read-only disk, a full /dev/shm | what is committed stays good
            F60 | too few descriptors | 1 s, before a launch
            F69 | a prompt that is too long, empty or null | its row alone
            F70 | broken text, characters and stop strings across tokens | never half a character
            F71 | hostile bytes to what reads objects | no class of theirs is loaded
            F72 | two runs in one directory, torn and late files | refused; ignored
            """);

    /** What of a case above is left out, since it needs a GPU or two. */
    private static final Map<String, String> ON_A_GPU = cases("""
            F51 | two tasks that Spark gives one real GPU; here their records say so
            F52 | CUDA's own order of several real GPUs; here a stand-in for NVIDIA's driver has one
            F58 | the memory of a real GPU; here a stand-in's, and the arithmetic
            """);

    private static Map<String, String> cases(String table) {
        Map<String, String> cases = new TreeMap<>();
        table.lines().forEach(line -> cases.put(line.substring(0, 3), line.substring(6)));
        return cases;
    }

    @Test
    void everyNumberIsOneOfTheCatalogue() {
        assertThat(tests().keySet()).isSubsetOf(CATALOGUE);
    }

    @Test
    void everyCaseThatNeedsNoGpuHasATest() {
        assertThat(Stream.of(IntStream.rangeClosed(1, 20), IntStream.rangeClosed(42, 60), IntStream.rangeClosed(69, 72))
                        .flatMap(range -> range.mapToObj(number -> String.format("F%02d", number))))
                .containsExactlyElementsOf(OURS.keySet());
        assertThat(tests().keySet()).containsAll(OURS.keySet());
        assertThat(OURS.keySet()).containsAll(ON_A_GPU.keySet());
    }

    @Test
    void theTableOfCasesIsWritten() throws IOException {
        TreeMap<String, TreeSet<String>> tests = tests();
        Map<String, Long> released = released();
        StringBuilder table = new StringBuilder(
                "| case | what goes wrong | bound | released in at most | tests | left out: it needs a GPU |\n");
        table.append("|---|---|---|---|---|---|\n");
        OURS.forEach((number, words) -> table.append("| ")
                .append(String.join(
                        " | ",
                        number,
                        words,
                        released.containsKey(number) ? released.get(number) + " ms" : "",
                        String.join(", ", tests.getOrDefault(number, new TreeSet<>())),
                        ON_A_GPU.getOrDefault(number, "")))
                .append(" |\n"));
        Files.writeString(Path.of("target", "faults.md"), table);
        assertThat(table).contains("F01");
    }

    private static TreeMap<String, TreeSet<String>> tests() {
        JavaClasses classes = new ClassFileImporter()
                .withImportOption(new ImportOption.OnlyIncludeTests())
                .importPackages("org.lockstep");
        TreeMap<String, TreeSet<String>> tests = new TreeMap<>();
        BiConsumer<FaultCase, String> add = (found, name) -> Stream.of(found.value())
                .forEach(each ->
                        tests.computeIfAbsent(each, key -> new TreeSet<>()).add(name));
        for (JavaClass type : classes) {
            type.tryGetAnnotationOfType(FaultCase.class).ifPresent(found -> add.accept(found, type.getSimpleName()));
            for (JavaMethod method : type.getMethods()) {
                method.tryGetAnnotationOfType(FaultCase.class)
                        .ifPresent(found -> add.accept(found, type.getSimpleName() + "." + method.getName()));
            }
        }
        return tests;
    }

    /** Of each case the longest time that was measured. */
    private static Map<String, Long> released() throws IOException {
        Map<String, Long> longest = new TreeMap<>();
        if (!Files.isDirectory(FaultLog.DIRECTORY)) {
            return longest;
        }
        List<Path> files = new ArrayList<>();
        try (Stream<Path> found = Files.list(FaultLog.DIRECTORY)) {
            found.forEach(files::add);
        }
        for (Path file : files) {
            for (String line : Files.readAllLines(file)) {
                String[] fields = line.split("\t");
                if (fields.length == 3 && fields[1].equals("released")) {
                    longest.merge(fields[0], Long.parseLong(fields[2]), Math::max);
                }
            }
        }
        return longest;
    }
}
