package org.lockstep;

import static com.tngtech.archunit.base.DescribedPredicate.not;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.fields;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Holds the house: which room may open which door, and the manners inside. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class HouseTest {
    private static final String ROOT = "org.lockstep";
    private static final Path SOURCES = Path.of("src/main/java/org/lockstep");

    private JavaClasses house;

    @BeforeAll
    void importHouse() {
        house = new ClassFileImporter()
                .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
                .importPackages(ROOT);
        assertThat(house).isNotEmpty();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "topology   |",
                "tensor     |",
                "rendezvous |",
                "checkpoint | tensor                                                      ; com.fasterxml.jackson..",
                "collective | topology tensor rendezvous                                  ; com.esotericsoftware.kryo.kryo5..",
                "cpu        | topology tensor rendezvous collective                       ; org.slf4j..",
                "model      | topology tensor collective checkpoint                       ; com.fasterxml.jackson..",
                "inference  | topology tensor collective checkpoint model                 ; ai.djl..",
                "spark      | topology tensor rendezvous collective cpu checkpoint model inference ; org.apache.spark.. scala.. org.slf4j..",
                "cli        | topology tensor rendezvous collective cpu checkpoint model inference spark ;"
                        + " org.apache.spark.. org.apache.logging.log4j.. picocli.. com.fasterxml.jackson.. org.slf4j..",
            })
    void aRoomOpensOnlyItsOwnDoors(String room, String doors) {
        String[] parts = (doors == null ? "" : doors).split(";", -1);
        Stream<String> rooms = Stream.of(parts[0].trim().split(" +"))
                .filter(name -> !name.isBlank())
                .map(name -> ROOT + "." + name);
        Stream<String> libraries =
                parts.length < 2 ? Stream.empty() : Stream.of(parts[1].trim().split(" +"));
        String[] allowed = Stream.of(
                        Stream.of("java..", ROOT, ROOT + "." + room, "org.jspecify.annotations.."), rooms, libraries)
                .flatMap(all -> all)
                .toArray(String[]::new);
        classes()
                .that()
                .resideInAPackage(ROOT + "." + room)
                .should()
                .onlyDependOnClassesThat(resideInAnyPackage(allowed))
                .check(house);
    }

    @Test
    void theRootPackageKnowsNobody() {
        classes()
                .that()
                .resideInAPackage(ROOT)
                .should()
                .onlyDependOnClassesThat(resideInAnyPackage("java..", ROOT, "org.jspecify.annotations.."))
                .check(house);
    }

    @Test
    void noCycles() {
        slices().matching("org.lockstep.(*)..").should().beFreeOfCycles().check(house);
    }

    @Test
    void stateBelongsToATaskNeverToAStatic() {
        fields().that().areStatic().should().haveModifier(JavaModifier.FINAL).check(house);
        fields().that()
                .areStatic()
                .should()
                .notHaveRawType("java.util.concurrent.ConcurrentHashMap")
                .andShould()
                .notHaveRawType("java.lang.ThreadLocal")
                .check(house);
    }

    @Test
    void nothingReadsJavaObjectsFromAStream() {
        noClasses()
                .should()
                .dependOnClassesThat()
                .haveFullyQualifiedName("java.io.ObjectInputStream")
                .check(house);
    }

    @Test
    void onlyTheCommandEndsTheProcess() {
        noClasses()
                .that(not(resideInAPackage(ROOT + ".cli")))
                .should()
                .callMethod(System.class, "exit", int.class)
                .check(house);
    }

    @Test
    void filesAreRoomsOneCanSeeAcross() throws IOException {
        try (Stream<Path> files = Files.walk(SOURCES)) {
            List<Path> long_ = files.filter(file -> file.toString().endsWith(".java"))
                    .filter(file -> lines(file) > 400)
                    .toList();
            assertThat(long_).as("files of more than 400 lines").isEmpty();
        }
    }

    @Test
    void everyPackageSaysWhatItIsFor() throws IOException {
        try (Stream<Path> folders = Files.walk(SOURCES)) {
            for (Path folder : folders.filter(Files::isDirectory).toList()) {
                assertThat(folder.resolve("package-info.java"))
                        .content()
                        .contains("@NullMarked")
                        .contains("/**");
            }
        }
    }

    private static long lines(Path file) {
        try (Stream<String> lines = Files.lines(file)) {
            return lines.count();
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }
}
