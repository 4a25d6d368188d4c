package org.lockstep;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.ArchConfiguration;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaMethod;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** That every case of the catalogue that is reached without a GPU has a test; {@link FaultTable} writes how these ended. */
class FaultTableTest {
    private static List<String> numbers(int first, int last) {
        return IntStream.rangeClosed(first, last)
                .mapToObj(number -> String.format("F%02d", number))
                .toList();
    }

    @Test
    void everyNumberIsOneOfTheCatalogue() {
        assertThat(tested()).isSubsetOf(numbers(1, 72));
    }

    @Test
    void everyCaseOfGroupsAndRunsThatNeedsNoGpuHasATest() {
        assertThat(Stream.of(numbers(1, 60), numbers(69, 72)).flatMap(List::stream))
                .containsExactlyElementsOf(FaultCatalogue.cases().keySet());
        assertThat(tested()).containsAll(FaultCatalogue.cases().keySet());
        assertThat(FaultCatalogue.cases().keySet())
                .containsAll(FaultCatalogue.onAGpu().keySet());
    }

    @Test
    void boundsAreTakenFromTheCatalogue() {
        assertThat(FaultCatalogue.bound("F04")).hasValue(Duration.ofSeconds(2));
        assertThat(FaultCatalogue.bound("F13")).hasValue(Duration.ofSeconds(30));
        assertThat(FaultCatalogue.bound("F36"))
                .as("of a peer that falls silent")
                .hasValue(Duration.ofSeconds(20));
        assertThat(FaultCatalogue.bound("F09")).as("it goes on").isEmpty();
    }

    /** Without what they call, all of Spark and more, which ArchUnit else reads from the class path: annotations tell enough. */
    private static JavaClasses testClasses() {
        return ArchConfiguration.withThreadLocalScope(configuration -> {
            configuration.setResolveMissingDependenciesFromClassPath(false);
            return new ClassFileImporter()
                    .withImportOption(new ImportOption.OnlyIncludeTests())
                    .importPackages("org.lockstep");
        });
    }

    private static Set<String> tested() {
        Set<String> tested = new TreeSet<>();
        for (JavaClass type : testClasses()) {
            type.tryGetAnnotationOfType(FaultCase.class).ifPresent(found -> tested.addAll(List.of(found.value())));
            for (JavaMethod method : type.getMethods()) {
                method.tryGetAnnotationOfType(FaultCase.class)
                        .ifPresent(found -> tested.addAll(List.of(found.value())));
            }
        }
        return tested;
    }
}
