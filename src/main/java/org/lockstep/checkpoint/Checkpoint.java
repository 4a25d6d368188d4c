package org.lockstep.checkpoint;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SeekableByteChannel;
import java.util.Collections;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Shape;

/**
 * The tensors of a model: {@code model.safetensors}, or shards named by {@code model.safetensors.index.json}.
 *
 * <p>{@link #open} validates every header; reads after that move exactly the bytes of the slice asked for, from the file
 * to a heap array of the stored type, through one megabyte of direct memory. One file is open at a time. Confined to one
 * thread; every rank opens its own. Closing it does not close its {@link ModelFiles}.
 */
public final class Checkpoint implements TensorSource, AutoCloseable {
    private static final String SINGLE = "model.safetensors";
    private static final int CHUNK = 1 << 20;

    /** Bytes of a tensor at a place of its fingerprint. */
    private static final long SAMPLE = 64;

    private final ModelFiles files;
    private final Map<String, TensorInfo> tensors;
    private final LongConsumer onRead;
    private final ByteBuffer chunk = ByteBuffer.allocateDirect(CHUNK).order(ByteOrder.LITTLE_ENDIAN);
    private @Nullable SeekableByteChannel channel;
    private String current = "";
    private long bytesRead;

    private Checkpoint(ModelFiles files, Map<String, TensorInfo> tensors, LongConsumer onRead) {
        this.files = files;
        this.tensors = tensors;
        this.onRead = onRead;
    }

    /**
     * Reads and validates the index and every header; no weight is read.
     *
     * @throws LockstepException MODEL_NOT_FOUND if there are no weights; CHECKPOINT_INVALID if a file is not what it
     *     says, naming file, tensor and numbers
     */
    public static Checkpoint open(ModelFiles files) {
        return open(files, bytes -> {});
    }

    /**
     * The same.
     *
     * @param onRead hears of every read of weights, its bytes, in the thread that reads
     */
    public static Checkpoint open(ModelFiles files, LongConsumer onRead) {
        if (files.exists(SINGLE)) {
            return new Checkpoint(files, SafetensorsHeader.read(files, SINGLE), onRead);
        }
        if (files.exists(ShardIndex.NAME)) {
            return new Checkpoint(files, ShardIndex.read(files), onRead);
        }
        boolean pickled = files.exists("pytorch_model.bin") || files.exists("pytorch_model.bin.index.json");
        throw LockstepException.report(
                        ErrorCode.MODEL_NOT_FOUND,
                        "no weights in " + files.describe() + ": neither " + SINGLE + " nor " + ShardIndex.NAME)
                .attempt(
                        pickled ? "convert pytorch_model.bin to safetensors" : "download the model's safetensors files")
                .exception();
    }

    /** In the order of the files and of their bytes. */
    @Override
    public Set<String> names() {
        return Collections.unmodifiableSet(tensors.keySet());
    }

    @Override
    public boolean contains(String name) {
        return tensors.containsKey(name);
    }

    @Override
    public int size() {
        return tensors.size();
    }

    /**
     * Where a tensor lies, and its type and shape.
     *
     * @throws LockstepException CHECKPOINT_INVALID if there is none of that name
     */
    public TensorInfo info(String name) {
        TensorInfo info = tensors.get(name);
        if (info == null) {
            throw files.invalid("there is no tensor '" + name + "' among the " + tensors.size() + " stored", null);
        }
        return info;
    }

    @Override
    public TensorInfo expect(String name, Shape shape) {
        TensorInfo info = info(name);
        if (!info.shape().equals(shape)) {
            throw files.invalid(info + " has not the shape " + shape + " that config.json asks for", null);
        }
        return info;
    }

    /** All elements of a tensor, in its stored type. */
    public HostBuffer read(String name) {
        TensorInfo info = info(name);
        return gather(info, 1, 0, info.offset(), info.shape().elements());
    }

    @Override
    public HostBuffer readRows(String name, long from, long count) {
        TensorInfo info = info(name);
        long rows =
                requireRank(info, info.shape().rank() >= 1, "at least one dim").dim(0);
        Objects.checkFromIndexSize(from, count, rows);
        long row = rows == 0 ? 0 : info.shape().elements() / rows;
        return gather(info, 1, 0, info.offset() + from * row * info.type().bytes(), count * row);
    }

    /**
     * {@inheritDoc}
     *
     * <p>The columns of each row are one positional read, however few they are: other columns never leave the file
     * system's cache, and {@link #bytesRead} grows by the slice alone.
     */
    @Override
    public HostBuffer readBlock(String name, long fromRow, long rows, long fromColumn, long columns) {
        TensorInfo info = info(name);
        Shape shape = requireRank(info, info.shape().rank() == 2, "two dims");
        Objects.checkFromIndexSize(fromRow, rows, shape.dim(0));
        Objects.checkFromIndexSize(fromColumn, columns, shape.dim(1));
        if (columns == shape.dim(1)) {
            return readRows(name, fromRow, rows);
        }
        int size = info.type().bytes();
        long row = shape.dim(1) * size;
        return gather(info, rows, row, info.offset() + fromRow * row + fromColumn * size, columns);
    }

    /**
     * 64 bits of a SHA-256, in hexadecimal, over place, type and shape of all tensors and some bytes of each, at its begin and in
     * its middle: weights of another training differ in it, copies do not, and little is read.
     *
     * @throws LockstepException CHECKPOINT_INVALID if a file ends early
     */
    public String fingerprint() {
        Fingerprint fingerprint = new Fingerprint();
        for (TensorInfo info : tensors.values()) {
            fingerprint.add(info.toString());
            try {
                SeekableByteChannel from = channel(info.file());
                for (long at : new long[] {info.offset(), info.offset() + info.length() / 2}) {
                    chunk.clear().limit((int) Math.min(SAMPLE, info.offset() + info.length() - at));
                    fill(from, at, info);
                    fingerprint.add(chunk.flip());
                }
            } catch (IOException e) {
                close();
                throw files.unreadable(info.file(), e);
            }
        }
        return fingerprint.toString();
    }

    /** Bytes of weights read so far, headers not counted. */
    public long bytesRead() {
        return bytesRead;
    }

    @Override
    public long bytes() {
        return tensors.values().stream().mapToLong(TensorInfo::length).sum();
    }

    @Override
    public void close() {
        SeekableByteChannel open = channel;
        channel = null;
        current = "";
        if (open != null) {
            try {
                open.close();
            } catch (IOException ignored) {
                // it was only read from: nothing can be lost
            }
        }
    }

    private static Shape requireRank(TensorInfo info, boolean holds, String wanted) {
        if (!holds) {
            throw new IllegalArgumentException(info + " has not " + wanted);
        }
        return info.shape();
    }

    /** Reads {@code runs} runs of {@code run} elements each, {@code stride} bytes apart, the first at {@code offset}. */
    private HostBuffer gather(TensorInfo info, long runs, long stride, long offset, long run) {
        int size = info.type().bytes();
        HostBuffer target = allocate(info, runs, run);
        if (target.length() == 0) {
            return target;
        }
        try {
            SeekableByteChannel from = channel(info.file());
            int filled = 0;
            chunk.clear();
            for (long i = 0; i < runs; i++) {
                long at = offset + i * stride;
                long end = at + run * size;
                while (at < end) {
                    chunk.limit((int) Math.min(CHUNK, chunk.position() + (end - at)));
                    at = fill(from, at, info);
                    if (chunk.position() == CHUNK) {
                        filled = drain(target, filled);
                    }
                }
            }
            drain(target, filled);
        } catch (IOException e) {
            close();
            throw files.unreadable(info.file(), e);
        }
        return target;
    }

    private HostBuffer allocate(TensorInfo info, long runs, long run) {
        long elements = runs == 0 ? 0 : Math.multiplyExact(runs, run);
        if (elements > Integer.MAX_VALUE - 8) {
            throw LockstepException.report(
                            ErrorCode.MODEL_UNSUPPORTED,
                            elements + " elements of " + info + " are more than the " + (Integer.MAX_VALUE - 8)
                                    + " of one host buffer")
                    .attempt("split the model over more tensor ranks, so that each slice is smaller")
                    .exception();
        }
        try {
            return HostBuffer.allocate(info.type(), elements);
        } catch (OutOfMemoryError e) {
            throw LockstepException.report(
                            ErrorCode.OUT_OF_MEMORY,
                            "no heap for " + elements * info.type().bytes() + " bytes of " + info + ": "
                                    + e.getMessage())
                    .attempt("raise the heap of this JVM (now "
                            + Runtime.getRuntime().maxMemory() + " bytes), or split the model over more ranks")
                    .exception(); // without the error as its cause, for which Spark would end the executor
        }
    }

    /** Fills the chunk up to its limit from file position {@code at}; returns the position after it. */
    private long fill(SeekableByteChannel from, long at, TensorInfo info) throws IOException {
        from.position(at);
        long next = at;
        while (chunk.hasRemaining()) {
            int read = from.read(chunk);
            if (read < 0) {
                long now = from.size();
                close();
                throw files.invalid(
                        info + " ends early, at offset " + next + ": the file has " + now
                                + " bytes now, fewer than when it was opened",
                        null);
            }
            next += read;
            bytesRead += read;
            onRead.accept(read);
        }
        return next;
    }

    /** Moves the chunk's elements to {@code target} from index {@code at}; returns the index after them. */
    private int drain(HostBuffer target, int at) {
        chunk.flip();
        int count = chunk.remaining() / target.type().bytes();
        switch (target.type()) {
            case F64 -> chunk.asDoubleBuffer().get(target.doubles(), at, count);
            case F32 -> chunk.asFloatBuffer().get(target.floats(), at, count);
            case BF16, F16 -> chunk.asShortBuffer().get(target.shorts(), at, count);
            case I64 -> chunk.asLongBuffer().get(target.longs(), at, count);
            case I32 -> chunk.asIntBuffer().get(target.ints(), at, count);
            case I8, U8, F8_E4M3, F8_E5M2 -> chunk.get(target.byteArray(), at, count);
        }
        chunk.clear();
        return at + count;
    }

    private SeekableByteChannel channel(String file) {
        SeekableByteChannel open = channel;
        if (open == null || !current.equals(file)) {
            close();
            open = files.open(file);
            channel = open;
            current = file;
        }
        return open;
    }
}
