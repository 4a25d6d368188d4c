package org.lockstep.packaging;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.jar.JarFile;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.spark.SparkJvm;

/** The jars as others meet them: beside Spark's, by spark-submit, and resolved from a repository by their published pom. */
@Timeout(300)
class PackagesIT {
    private static final Path DIST = Path.of(System.getProperty("lockstep.dist", "target/dist"));
    private static final Path REPOSITORY = DIST.resolveSibling("repository").toAbsolutePath();

    @TempDir
    private Path folder;

    @Test
    void noClassOfTheAllJarIsSparksToo() throws IOException {
        List<Path> spark = sparkJars();
        assertThat(spark).anyMatch(jar -> jar.getFileName().toString().startsWith("kryo-shaded"));
        assertThat(Clashes.of(allJar(), spark)).isEmpty();
    }

    @Test
    void theLicencesOfWhatIsBundledAreInIt() throws IOException {
        assertThat(entries(allJar()))
                .contains(
                        "META-INF/LICENSE",
                        "META-INF/NOTICE",
                        "META-INF/licenses/LICENSE-kryo.txt",
                        "META-INF/licenses/LICENSE-jcuda.txt");
        assertThat(entries(published(".jar"))).contains("META-INF/LICENSE", "META-INF/NOTICE");
    }

    @Test
    void nativesOfCudaAreInTheirOwnJarAndInTheAllJar() throws IOException {
        String driver = "lib/libJCudaDriver-12.6.0-linux-x86_64.so";
        assertThat(entries(published("-cuda-linux-x86_64.jar"))).contains(driver);
        assertThat(entries(allJar())).contains(driver).noneMatch(name -> name.startsWith("lib/libJNv"));
        assertThat(entries(published(".jar"))).noneMatch(name -> name.startsWith("lib/"));
    }

    @Test
    void theAllJarRunsOnFourSlots() throws Exception {
        Path smoke = folder.resolve("smoke.jar");
        Process jar = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "jar").toString(),
                        "--create",
                        "--file",
                        smoke.toString(),
                        "-C",
                        "target/test-classes",
                        "org/lockstep/packaging")
                .inheritIO()
                .start();
        assertThat(jar.waitFor()).isZero();

        String output = submit(
                "--jars",
                allJar().toAbsolutePath().toString(),
                "--class",
                "org.lockstep.packaging.Smoke",
                smoke.toString());

        assertThat(output)
                .contains("smoke topology ok", "smoke collectives ok", "smoke generate ok", "smoke failure ok");
    }

    @Test
    void packagesResolveFromTheRepositoryAlone() throws Exception {
        Path settings = Files.writeString(folder.resolve("ivysettings.xml"), """
                <ivysettings>
                  <settings defaultResolver="published"/>
                  <resolvers>
                    <ibiblio name="published" m2compatible="true" root="%s"/>
                  </resolvers>
                </ivysettings>
                """.formatted(REPOSITORY.toUri()));
        Path output = folder.resolve("stories.jsonl");

        submit(
                "--packages",
                "org.lockstep:lockstep:" + version(),
                "--conf",
                "spark.jars.ivySettings=" + settings,
                "--conf",
                "spark.jars.ivy=" + folder.resolve("ivy"),
                "--class",
                "org.lockstep.cli.Lockstep",
                "spark-internal",
                "generate",
                "-tp",
                "2",
                "--temperature",
                "0",
                "--max-tokens",
                "8",
                "--output",
                output.toString());

        assertThat(Files.readAllLines(output)).isNotEmpty().allMatch(line -> line.contains("\"error\":null"));
        try (Stream<Path> resolved = Files.list(folder.resolve("ivy/jars"))) {
            assertThat(resolved.map(jar -> jar.getFileName().toString()))
                    .as("neither Spark's nor natives of CUDA")
                    .anyMatch(name -> name.startsWith("org.lockstep_lockstep"))
                    .noneMatch(name -> name.contains("spark") || name.contains("scala") || name.contains("natives"));
        }
    }

    private String submit(String... arguments) throws Exception {
        List<String> command = SparkJvm.command();
        command.addAll(List.of(
                "-cp",
                sparkJars().stream().map(Path::toString).collect(Collectors.joining(File.pathSeparator)),
                "org.apache.spark.deploy.SparkSubmit",
                "--master",
                "local[4]",
                "--conf",
                "spark.ui.enabled=false",
                "--conf",
                "spark.driver.host=127.0.0.1"));
        command.addAll(List.of(arguments));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        process.getOutputStream().close();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor()).as(output).isZero();
        return output;
    }

    /** What is laid out for runs without spark-submit, less what the published pom brings. */
    private static List<Path> sparkJars() throws IOException {
        Set<String> brought;
        try (Stream<Path> files = Files.walk(REPOSITORY)) {
            brought = files.map(file -> file.getFileName().toString()).collect(Collectors.toSet());
        }
        try (Stream<Path> jars = Files.list(DIST.toAbsolutePath().resolve("jars"))) {
            return jars.filter(jar -> !brought.contains(jar.getFileName().toString()))
                    .filter(jar -> !jar.getFileName().toString().startsWith("jcuda-natives"))
                    .sorted()
                    .toList();
        }
    }

    private static Set<String> entries(Path jar) throws IOException {
        try (JarFile file = new JarFile(jar.toFile())) {
            return file.stream().map(entry -> entry.getRealName()).collect(Collectors.toSet());
        }
    }

    private static Path allJar() throws IOException {
        return published("-all.jar");
    }

    private static Path published(String ending) throws IOException {
        return REPOSITORY.resolve("org/lockstep/lockstep/" + version() + "/lockstep-" + version() + ending);
    }

    private static String version() throws IOException {
        try (Stream<Path> versions = Files.list(REPOSITORY.resolve("org/lockstep/lockstep"))) {
            return versions.filter(Files::isDirectory)
                    .findAny()
                    .orElseThrow()
                    .getFileName()
                    .toString();
        }
    }
}
