package org.lockstep.cuda;

import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** Where a host keeps NVIDIA's libraries besides the places where the system's loader looks. */
final class LibrarySearch {
    /** Where pip and conda put Python packages, below a root. */
    private static final List<String> PACKAGES = List.of("lib/python3*/site-packages", "lib/python3*/dist-packages");

    private LibrarySearch() {}

    /** The files that Python packages have of {@code names}, paths below the folder of all packages. */
    static List<String> inPackages(Map<String, String> environment, List<String> names) {
        List<String> all = new ArrayList<>();
        Stream<String> roots = Stream.concat(
                Stream.of("VIRTUAL_ENV", "CONDA_PREFIX").map(environment::get).filter(value -> value != null),
                Stream.of("/usr/local", "/usr", "/opt/conda", environment.getOrDefault("HOME", "/root") + "/.local"));
        roots.map(Path::of)
                .forEach(root -> PACKAGES.forEach(packages -> names.forEach(
                        file -> expand(root, packages + "/" + file).forEach(there -> all.add(there.toString())))));
        return all;
    }

    /** A candidate and why it does not load, in a line: JNA's first line that has a reason in it, which the loader gave. */
    static String refusal(String candidate, LinkageError why) {
        String reason = String.valueOf(why.getMessage())
                .lines()
                .filter(line -> !line.isBlank() && !line.endsWith(":"))
                .findFirst()
                .orElse("");
        String own = candidate + ": ";
        return candidate + " (" + (reason.startsWith(own) ? reason.substring(own.length()) : reason) + ")";
    }

    /** The files below {@code root} that a pattern names, a star standing for part of a folder's name. */
    static List<Path> expand(Path root, String pattern) {
        List<Path> found = List.of(root);
        for (String part : pattern.split("/", -1)) {
            List<Path> next = new ArrayList<>();
            for (Path folder : found) {
                if (!part.contains("*")) {
                    next.add(folder.resolve(part));
                } else {
                    next.addAll(matching(folder, part));
                }
            }
            found = next;
        }
        return found.stream().filter(Files::exists).sorted().toList();
    }

    /** A folder that is not there, or cannot be read, holds no library for us. */
    private static List<Path> matching(Path folder, String glob) {
        List<Path> found = new ArrayList<>();
        try (DirectoryStream<Path> some = Files.newDirectoryStream(folder, glob)) {
            some.forEach(found::add);
            return found;
        } catch (IOException | DirectoryIteratorException unreadable) {
            return List.of();
        }
    }
}
