package org.lockstep.packaging;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.jar.JarFile;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Which classes a jar has that other jars have too. Of two such Spark's class path takes one, and whoever was compiled with
 * the other fails in a place that tells nothing of it.
 */
public final class Clashes {
    private Clashes() {}

    /** Prints the clashes of a jar with a folder of jars; exit code 1 if there are any. */
    public static void main(String[] args) throws IOException {
        Set<String> clashes;
        try (Stream<Path> jars = Files.list(Path.of(args[1]))) {
            clashes = of(Path.of(args[0]), jars.toList());
        }
        clashes.forEach(System.out::println);
        System.exit(clashes.isEmpty() ? 0 : 1);
    }

    /** Lines {@code class in jar}, in order. */
    static Set<String> of(Path jar, Collection<Path> others) throws IOException {
        Set<String> ours = classes(jar);
        Set<String> clashes = new TreeSet<>();
        for (Path other : others) {
            for (String name : classes(other)) {
                if (ours.contains(name)) {
                    clashes.add(name + " in " + other.getFileName());
                }
            }
        }
        return clashes;
    }

    private static Set<String> classes(Path jar) {
        try (JarFile file = new JarFile(jar.toFile())) {
            List<String> names = file.stream().map(entry -> entry.getRealName()).toList();
            return names.stream()
                    .filter(name -> name.endsWith(".class") && !name.endsWith("module-info.class"))
                    .collect(Collectors.toCollection(TreeSet::new));
        } catch (IOException e) {
            throw new UncheckedIOException(jar + ": " + e.getMessage(), e);
        }
    }
}
