package org.lockstep.commit;

import java.io.EOFException;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import org.apache.hadoop.fs.ChecksumException;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FSError;
import org.apache.hadoop.fs.FileAlreadyExistsException;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;

/**
 * On a file system that Hadoop knows: HDFS, an object store.
 *
 * <p>A rename is one step in HDFS; in an object store it is a copy, which appears whole as well. Two who claim a name at once
 * are told apart where the store can create only what is not there.
 */
final class HadoopDirectory implements Directory {
    private static final String PARTIAL = "_partial-";
    private static final int LARGEST = 1 << 30;

    private final FileSystem files;
    private final Path path;

    HadoopDirectory(FileSystem files, Path path) {
        this.files = files;
        this.path = files.makeQualified(path);
    }

    private Path file(String name) {
        return new Path(path, name);
    }

    @Override
    public void create() throws IOException {
        if (!files.mkdirs(path)) {
            throw new IOException("it cannot be made");
        }
    }

    @Override
    public List<String> list() throws IOException {
        List<String> names = new ArrayList<>();
        try {
            for (FileStatus each : files.listStatus(path)) {
                String name = each.getPath().getName();
                if (!name.startsWith(PARTIAL)) {
                    names.add(name);
                }
            }
        } catch (FileNotFoundException none) {
            return List.of();
        }
        return names;
    }

    @Override
    public boolean exists(String name) throws IOException {
        return files.exists(file(name));
    }

    @Override
    public byte[] read(String name) throws IOException {
        long length = files.getFileStatus(file(name)).getLen();
        if (length > LARGEST) {
            throw new IOException(name + " has " + length + " bytes, which is no file of ours");
        }
        byte[] content = new byte[(int) length];
        try (FSDataInputStream in = files.open(file(name))) {
            in.readFully(0, content);
        } catch (ChecksumException torn) { // of a file system that keeps the checksums in a file beside it
            throw (EOFException) new EOFException(torn.getMessage()).initCause(torn);
        }
        return content;
    }

    @Override
    public void publish(String name, byte[] content) throws IOException {
        Path partial = file(PARTIAL + UUID.randomUUID());
        boolean done = false;
        try {
            write(partial, content, false);
            done = files.rename(partial, file(name));
            if (!done) {
                throw new IOException(partial + " cannot be renamed to " + name);
            }
        } finally {
            if (!done) {
                files.delete(partial, false);
            }
        }
    }

    @Override
    public boolean claim(String name, byte[] content) throws IOException {
        try {
            write(file(name), content, false);
            return true;
        } catch (FileAlreadyExistsException other) {
            return false;
        }
    }

    @Override
    public void overwrite(String name, byte[] content) throws IOException {
        write(file(name), content, true);
    }

    private void write(Path to, byte[] content, boolean overwrite) throws IOException {
        try (FSDataOutputStream out = files.create(to, overwrite)) {
            out.write(content);
            out.hsync();
        } catch (FSError e) { // how the local file system says that the disk is full
            throw new IOException(e.getMessage(), e);
        }
    }

    @Override
    public void delete(String name) throws IOException {
        files.delete(file(name), false);
    }

    @Override
    public void sweep() throws IOException {
        for (FileStatus each : files.listStatus(path)) {
            if (each.getPath().getName().startsWith(PARTIAL)) {
                files.delete(each.getPath(), false);
            }
        }
    }

    @Override
    public void removeIfEmpty() throws IOException {
        if (files.exists(path) && files.listStatus(path).length == 0) {
            files.delete(path, false);
        }
    }

    @Override
    public long free() throws IOException {
        Path there = path;
        while (there.getParent() != null && !files.exists(there)) {
            there = there.getParent();
        }
        Path real = files.resolvePath(there); // a view of several file systems does not ask the right one
        return real.getFileSystem(files.getConf()).getStatus(real).getRemaining();
    }

    @Override
    public String toString() {
        return path.toString();
    }
}
