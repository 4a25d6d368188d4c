package org.lockstep;

import static com.tngtech.archunit.base.DescribedPredicate.not;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.core.domain.properties.HasModifiers.Predicates.modifier;
import static com.tngtech.archunit.core.domain.properties.HasName.AndFullName.Predicates.fullNameMatching;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.fields;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaField;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.ArchCondition;
import com.tngtech.archunit.lang.ArchRule;
import com.tngtech.archunit.lang.ConditionEvents;
import com.tngtech.archunit.lang.SimpleConditionEvent;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Holds the house: which room may open which door, and the manners inside. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class HouseTest {
    private static final String ROOT = "org.lockstep";
    private static final Path SOURCES = Path.of("src/main/java/org/lockstep");

    /**
     * Types whose instances nobody changes. An interface of a collection is taken for an immutable one, in a constant and in
     * a record, where our manners ask for List.of and copyOf; a class that keeps a map behind methods is no value.
     */
    private static final Set<String> IMMUTABLE = Set.of(
            "java.lang.String",
            "java.lang.Boolean",
            "java.lang.Integer",
            "java.lang.Long",
            "java.lang.Float",
            "java.lang.Double",
            "java.lang.invoke.VarHandle",
            "java.nio.file.Path",
            "java.time.Duration",
            "java.util.UUID",
            "java.util.regex.Pattern",
            "java.util.Comparator",
            "java.util.Optional",
            "java.util.OptionalDouble",
            "java.util.OptionalInt",
            "java.util.OptionalLong",
            "java.util.List",
            "java.util.Set",
            "java.util.Map",
            "java.util.function.Function", // of a record that parses; a lambda without state
            "jdk.incubator.vector.VectorSpecies",
            "org.slf4j.Logger",
            "com.fasterxml.jackson.core.JsonFactory"); // thread-safe, and configured once

    private static final ArchRule CONSTANTS = fields().that()
            .areStatic()
            .and(not(modifier(JavaModifier.SYNTHETIC))) // what the compiler keeps of enums
            .and(not(fullNameMatching("org\\.lockstep\\.inference\\.Generator\\.SILENT"))) // a listener without a field
            .should()
            .beFinal()
            .andShould(new ArchCondition<>("be of a type that nobody can change") {
                @Override
                public void check(JavaField field, ConditionEvents events) {
                    JavaClass type = field.getRawType();
                    boolean hidden = type.isArray()
                            && type.getComponentType().isPrimitive()
                            && field.getModifiers().contains(JavaModifier.PRIVATE);
                    if (!hidden && !isImmutable(type)) {
                        events.add(SimpleConditionEvent.violated(
                                field, field.getDescription() + " is of the type " + type.getName()));
                    }
                }
            });

    /** A primitive, a type of the list, an enum, a record of such, or an interface of such records; no others of ours. */
    private static boolean isImmutable(JavaClass type) {
        if (type.isPrimitive() || type.isEnum() || IMMUTABLE.contains(type.getName())) {
            return true;
        }
        if (type.isInterface()) {
            return !type.getAllSubclasses().isEmpty()
                    && type.getAllSubclasses().stream().allMatch(HouseTest::isImmutable);
        }
        return type.isRecord()
                && type.getFields().stream()
                        .filter(field -> !field.getModifiers().contains(JavaModifier.STATIC))
                        .allMatch(field -> isImmutable(field.getRawType()));
    }

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
                "collective | topology tensor rendezvous                                  ; com.esotericsoftware.kryo.kryo5.. javax.crypto..",
                "transport  | topology tensor rendezvous collective                       ; javax.crypto.. org.slf4j..",
                "simd       |                                                             ; jdk.incubator.vector..",
                "cpu        | topology tensor rendezvous collective transport simd",
                "cuda       | topology tensor rendezvous collective                       ; jcuda.. com.sun.jna..",
                "model      | topology tensor collective checkpoint                       ; com.fasterxml.jackson..",
                "inference  | topology tensor collective checkpoint model simd            ; ai.djl.. com.fasterxml.jackson..",
                "report     | topology                                                    ; com.fasterxml.jackson..",
                "flight     | topology tensor collective                                  ; com.fasterxml.jackson..",
                "commit     |                                                             ; org.apache.hadoop.conf.. org.apache.hadoop.fs.. org.slf4j..",
                "spark.settings  | topology collective                                              ; org.apache.spark.. scala..",
                "spark.failure   | topology collective flight commit spark.settings                          ; org.apache.spark.. scala.. org.apache.hadoop.. org.slf4j..",
                "spark.preflight | topology collective cpu cuda spark.settings spark.failure        ; org.apache.spark.. scala.. org.slf4j..",
                "spark.device    | collective cpu cuda spark.settings spark.preflight               ; org.apache.spark.. scala.. org.slf4j..",
                "spark.gang      | topology tensor rendezvous collective spark.settings spark.failure spark.preflight"
                        + " spark.device ; org.apache.spark.. scala.. org.slf4j..",
                "spark.rows      | commit spark.settings spark.failure spark.gang                   ; org.apache.spark.. scala.. org.slf4j..",
                "spark.attempt   | commit spark.settings spark.failure spark.rows ; org.apache.spark.. scala.. org.apache.hadoop.. org.slf4j..",
                "spark.report    | topology collective inference spark.gang                         ; org.apache.spark.. scala.. org.HdrHistogram.."
                        + " org.slf4j..",
                "spark.metrics   | topology spark.report                                            ;"
                        + " org.apache.spark.. scala.. com.codahale.metrics..",
                "spark      | topology tensor collective cpu cuda checkpoint model inference report commit spark.settings"
                        + " spark.failure spark.preflight spark.device spark.gang spark.rows spark.attempt spark.report ;"
                        + " org.apache.spark.. scala.. org.slf4j..",
                "cli.bench  | topology tensor rendezvous collective cpu cuda spark spark.settings spark.failure spark.gang ; com.sun.management"
                        + " org.apache.spark.. com.fasterxml.jackson..",
                "cli.bench.inference | topology tensor rendezvous collective checkpoint model inference cli.bench ;"
                        + " com.fasterxml.jackson..",
                "cli        | topology tensor rendezvous collective cpu cuda checkpoint model inference commit spark cli.bench"
                        + " spark.settings spark.failure spark.preflight spark.device spark.gang spark.attempt spark.report"
                        + " cli.bench.inference ;"
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
        slices().matching("org.lockstep.spark.(*)..").should().beFreeOfCycles().check(house);
    }

    @Test
    void stateBelongsToATaskNeverToAStatic() {
        CONSTANTS.check(house);
    }

    /** What a shared constant of a class with a map looks like, and a constant. */
    private static final class Samples {
        static final class Registry {
            final Map<String, String> things = new HashMap<>();
        }

        record Wrapped(Registry registry) {}

        record Value(String name, List<Integer> numbers) {}

        static final class Shared {
            static final Registry NONE = new Registry();
        }

        static final class Hidden {
            static final Wrapped NONE = new Wrapped(new Registry());
        }

        static final class Visible {
            static final int[] NONE = {1};
        }

        static final class Constants {
            static final Value NONE = new Value("", List.of());
            private static final int[] ONE = {1};
        }
    }

    @ParameterizedTest
    @ValueSource(classes = {Samples.Shared.class, Samples.Hidden.class, Samples.Visible.class})
    void theRuleOfStaticsFindsSharedState(Class<?> offender) {
        JavaClasses sample = new ClassFileImporter()
                .importClasses(offender, Samples.Registry.class, Samples.Wrapped.class, Samples.Value.class);
        assertThat(CONSTANTS.evaluate(sample).hasViolation()).isTrue();
    }

    @Test
    void theRuleOfStaticsLetsValuesBe() {
        CONSTANTS.check(new ClassFileImporter().importClasses(Samples.Constants.class, Samples.Value.class));
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
                .that(not(resideInAPackage(ROOT + ".cli..")))
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
