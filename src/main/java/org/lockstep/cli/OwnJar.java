package org.lockstep.cli;

import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.CodeSource;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** The jar that executors need of us, where no spark-submit sends them one. */
final class OwnJar {
    private OwnJar() {}

    /** The jar that this class is from, or the one beside it that has all we need; empty where it is from a folder. */
    static Optional<Path> find() {
        CodeSource source = OwnJar.class.getProtectionDomain().getCodeSource();
        if (source == null) {
            return Optional.empty();
        }
        try {
            return of(Path.of(source.getLocation().toURI()));
        } catch (URISyntaxException e) {
            throw new IllegalStateException("no path: " + source.getLocation(), e);
        }
    }

    static Optional<Path> of(Path from) {
        String name = from.getFileName().toString();
        if (!name.endsWith(".jar")) {
            return Optional.empty();
        }
        Path whole = from.resolveSibling(name.substring(0, name.length() - ".jar".length()) + "-all.jar");
        return Optional.of(Files.exists(whole) ? whole : from);
    }

    /** The list {@code jars}, as {@code spark.jars} has it, with {@code jar} in it; as it is where it has one of that name. */
    static String with(Path jar, String jars) {
        String name = jar.getFileName().toString();
        List<String> others = Stream.of(jars.split(","))
                .map(String::trim)
                .filter(other -> !other.isEmpty())
                .toList();
        return others.stream().anyMatch(other -> other.equals(name) || other.endsWith("/" + name))
                ? jars
                : Stream.concat(Stream.of(jar.toString()), others.stream()).collect(Collectors.joining(","));
    }
}
