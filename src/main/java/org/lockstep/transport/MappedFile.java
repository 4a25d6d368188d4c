package org.lockstep.transport;

import java.io.IOException;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import org.jspecify.annotations.Nullable;

/**
 * A file in this process's memory, until it is unmapped: not when the garbage collector comes by, for until then its pages
 * stay in use though the file has no name any more.
 *
 * <p>From Java 22 on it is the arena that is closed; before, {@code Unsafe.invokeCleaner}, as Lucene does. Whoever reads or
 * writes after {@link #close} on a Java before 22 brings the process down: the owner must know that nobody does.
 */
final class MappedFile implements AutoCloseable {
    private final ByteBuffer bytes;
    private @Nullable Unmap unmap;

    private interface Unmap {
        void run() throws Throwable;
    }

    private MappedFile(ByteBuffer bytes, Unmap unmap) {
        this.bytes = bytes;
        this.unmap = unmap;
    }

    /** The first {@code size} bytes of {@code file}, which may be closed afterwards. */
    static MappedFile of(FileChannel file, long size) throws IOException {
        try {
            return Runtime.version().feature() >= 22 ? inArena(file, size) : byCleaner(file, size);
        } catch (IOException | RuntimeException | Error failure) {
            throw failure;
        } catch (Throwable failure) {
            throw new IOException("cannot map a file on Java " + Runtime.version(), failure);
        }
    }

    private static MappedFile inArena(FileChannel file, long size) throws Throwable {
        Class<?> arenaClass = Class.forName("java.lang.foreign.Arena");
        Class<?> segmentClass = Class.forName("java.lang.foreign.MemorySegment");
        MethodHandles.Lookup lookup = MethodHandles.publicLookup();
        MethodHandle shared = lookup.findStatic(arenaClass, "ofShared", MethodType.methodType(arenaClass));
        MethodHandle map = lookup.findVirtual(
                FileChannel.class,
                "map",
                MethodType.methodType(segmentClass, MapMode.class, long.class, long.class, arenaClass));
        MethodHandle asByteBuffer =
                lookup.findVirtual(segmentClass, "asByteBuffer", MethodType.methodType(ByteBuffer.class));
        Object arena = shared.invoke();
        Object segment = map.invoke(file, MapMode.READ_WRITE, 0L, size, arena);
        return new MappedFile((ByteBuffer) asByteBuffer.invoke(segment), ((AutoCloseable) arena)::close);
    }

    private static MappedFile byCleaner(FileChannel file, long size) throws Throwable {
        Class<?> unsafeClass = Class.forName("sun.misc.Unsafe");
        Field theUnsafe = unsafeClass.getDeclaredField("theUnsafe");
        theUnsafe.setAccessible(true);
        MethodHandle invokeCleaner = MethodHandles.publicLookup()
                .findVirtual(unsafeClass, "invokeCleaner", MethodType.methodType(void.class, ByteBuffer.class))
                .bindTo(theUnsafe.get(null));
        ByteBuffer mapped = file.map(MapMode.READ_WRITE, 0, size);
        return new MappedFile(mapped, () -> invokeCleaner.invoke(mapped));
    }

    ByteBuffer bytes() {
        return bytes;
    }

    /** Unmaps it. Idempotent. */
    @Override
    public void close() {
        Unmap once = unmap;
        unmap = null;
        if (once != null) {
            try {
                once.run();
            } catch (Throwable failure) {
                throw new IllegalStateException("cannot unmap a file", failure);
            }
        }
    }
}
