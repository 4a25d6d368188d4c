package org.lockstep.commit;

import java.io.IOException;
import java.util.List;

/**
 * A flat directory of small files on some file system. Safe for use by several threads, and by processes of several hosts.
 */
interface Directory {

    /** Makes it, with those above it. */
    void create() throws IOException;

    /** The names in it, in no order, without files that are being written; empty if there is no such directory. */
    List<String> list() throws IOException;

    boolean exists(String name) throws IOException;

    /**
     * All bytes of a file.
     *
     * @throws java.io.FileNotFoundException or {@link java.nio.file.NoSuchFileException} if there is none
     * @throws java.io.EOFException if it is torn, or is {@link #overwrite overwritten} at this moment
     */
    byte[] read(String name) throws IOException;

    /** A file under a new name, which appears whole and on the disk, or not at all. */
    void publish(String name, byte[] content) throws IOException;

    /**
     * A file under a new name, which one of those who try at once makes; who reads at that moment may find a part of it.
     *
     * @return whether that is the caller
     */
    boolean claim(String name, byte[] content) throws IOException;

    /** Puts other content into a file; who reads at that moment may find none, or a part of it. */
    void overwrite(String name, byte[] content) throws IOException;

    /** Removes a file; nothing if there is none. */
    void delete(String name) throws IOException;

    /** Removes what was being written when its writer died. */
    void sweep() throws IOException;

    /** Removes the directory, unless there is something in it. */
    void removeIfEmpty() throws IOException;

    /** Bytes that can still be written there; negative if that is not known. */
    long free() throws IOException;

    /** Its path, as a user would write it. */
    @Override
    String toString();
}
