package org.lockstep.commit;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.UUID;
import java.util.stream.Stream;

/**
 * On this host's file system, which may be a shared mount. Not through Hadoop, whose local file system starts a process for
 * the permissions of each file, keeps checksums of its own and does not force to the disk.
 */
final class LocalDirectory implements Directory {
    private static final String PARTIAL = ".partial-";

    private final Path path;

    LocalDirectory(Path path) {
        this.path = path.toAbsolutePath().normalize();
    }

    @Override
    public void create() throws IOException {
        Files.createDirectories(path);
    }

    @Override
    public List<String> list() throws IOException {
        if (!Files.isDirectory(path)) {
            return List.of();
        }
        try (Stream<Path> files = Files.list(path)) {
            return files.map(file -> file.getFileName().toString())
                    .filter(name -> !name.startsWith(PARTIAL))
                    .toList();
        }
    }

    @Override
    public boolean exists(String name) {
        return Files.exists(path.resolve(name));
    }

    @Override
    public byte[] read(String name) throws IOException {
        return Files.readAllBytes(path.resolve(name));
    }

    @Override
    public void publish(String name, byte[] content) throws IOException {
        Path partial = written(content);
        try {
            Files.move(partial, path.resolve(name), StandardCopyOption.ATOMIC_MOVE);
        } finally {
            Files.deleteIfExists(partial);
        }
        force();
    }

    @Override
    public boolean claim(String name, byte[] content) throws IOException {
        try {
            write(path.resolve(name), content);
        } catch (FileAlreadyExistsException other) {
            return false;
        }
        force();
        return true;
    }

    @Override
    public void overwrite(String name, byte[] content) throws IOException {
        publish(name, content);
    }

    private Path written(byte[] content) throws IOException {
        Path partial = path.resolve(PARTIAL + UUID.randomUUID());
        try {
            write(partial, content);
        } catch (IOException | RuntimeException e) {
            Files.deleteIfExists(partial); // on a full disk its bytes are wanted
            throw e;
        }
        return partial;
    }

    private static void write(Path file, byte[] content) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            for (ByteBuffer rest = ByteBuffer.wrap(content); rest.hasRemaining(); ) {
                channel.write(rest);
            }
            channel.force(true);
        }
    }

    /** A name is on the disk when its directory is; Windows, which has no such call, writes names through. */
    private void force() throws IOException {
        if (File.separatorChar == '/') {
            try (FileChannel directory = FileChannel.open(path, StandardOpenOption.READ)) {
                directory.force(true);
            }
        }
    }

    @Override
    public void delete(String name) throws IOException {
        Files.deleteIfExists(path.resolve(name));
    }

    @Override
    public void sweep() throws IOException {
        List<Path> partial;
        try (Stream<Path> files = Files.list(path)) {
            partial = files.filter(file -> file.getFileName().toString().startsWith(PARTIAL))
                    .toList();
        }
        for (Path file : partial) {
            Files.deleteIfExists(file);
        }
    }

    @Override
    public void removeIfEmpty() throws IOException {
        try {
            Files.deleteIfExists(path);
        } catch (DirectoryNotEmptyException others) {
            return; // what is not ours stays
        }
    }

    @Override
    public long free() throws IOException {
        Path there = path;
        while (!Files.exists(there) && there.getParent() != null) {
            there = there.getParent();
        }
        return Files.getFileStore(there).getUsableSpace();
    }

    @Override
    public String toString() {
        return path.toString();
    }
}
