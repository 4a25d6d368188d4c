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
 * Which cases of the catalogue of faults have a test: {@code target/faults.md} is that table, with the release times that
 * tests of the last build measured.
 */
class FaultTableTest {
    private static final List<String> CATALOGUE = IntStream.rangeClosed(1, 72)
            .mapToObj(number -> String.format("F%02d", number))
            .toList();

    /** Cases that a run on Spark must survive and that need no GPU. */
    private static final List<String> OURS = Stream.of(
                    IntStream.rangeClosed(1, 20), IntStream.rangeClosed(42, 60), IntStream.rangeClosed(69, 72))
            .flatMap(range -> range.mapToObj(number -> String.format("F%02d", number)))
            .toList();

    @Test
    void everyNumberIsOneOfTheCatalogue() {
        assertThat(tests().keySet()).isSubsetOf(CATALOGUE);
    }

    @Test
    void theTableOfCasesIsWritten() throws IOException {
        TreeMap<String, TreeSet<String>> tests = tests();
        Map<String, Long> released = released();
        StringBuilder table = new StringBuilder("| case | tests | released in at most |\n|---|---|---|\n");
        for (String each : OURS) {
            table.append("| ")
                    .append(each)
                    .append(" | ")
                    .append(tests.containsKey(each) ? String.join(", ", tests.get(each)) : "no test")
                    .append(" | ")
                    .append(released.containsKey(each) ? released.get(each) + " ms" : "")
                    .append(" |\n");
        }
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
