package org.lockstep.cuda;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;
import jcuda.driver.CUstream;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Identity;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.ReduceOp;
import org.lockstep.topology.ProcessGroup;

/**
 * What a rank of a group has for all-reduces by kernels that wait for each other: memory that its peers write to, where
 * theirs is here, and words in the host's memory, by which the host ends a wait and hears of a rank that called something
 * else.
 *
 * <p>When this rank's last kernel is complete, all peers have written to its memory for the last time; but they may have more
 * queued. Those of this JVM share an {@link ExchangeRoom}, and memory goes, with the hold on its device, when all have left
 * it. Those of other processes say, in the memory, that they have let go, and are waited for, at most {@link #PATIENCE},
 * unless they are lost: who was killed has let go by its end; what one that is frozen then finds there CUDA leaves open, and
 * it has lost its world by then. Operations are confined to the thread that was admitted, the rest is thread-safe.
 */
final class ExchangeMemory implements DeviceQueue.Medium {
    /** Of what a rank tells the others about its memory. */
    static final int RECORD = 3 * Long.BYTES + CudaIpc.BYTES;

    /** How long a closing rank waits for its peers to let go. */
    static final long PATIENCE = TimeUnit.SECONDS.toNanos(2);

    private static final long LOOK = TimeUnit.MILLISECONDS.toNanos(1);
    private static final int HEAD = 5120; // in front of what a rank brings: Signals of exchange.cu
    private static final int LEFT = HEAD - 64; // in it, ints by rank: who has let go
    private static final int SOURCE = 16; // bytes: an address and a factor
    private static final long GRAIN = 2 << 20; // memory of its own, which holds nothing else that would be mapped too

    private static final VarHandle WORDS = MethodHandles.byteBufferViewVarHandle(long[].class, ByteOrder.nativeOrder());
    private static final int ENDED = 256; // in pinned memory, after the table of sources
    private static final int DIFFERING = 264;
    private static final int ONE = 272;
    private static final int WHO_LEFT = 320;
    private static final int MARK = 384; // as this rank wrote it
    private static final int SEEN = 392; // as it reads a peer's
    private static final int TRIAL = 400; // what this rank brings to it, and the result
    private static final int PINNED = TRIAL + ExchangeTrial.MOST;

    private final CudaDevice device;
    private final CudaDevice hold; // on the same, until the memory is given back
    private final ExchangeRoom room;
    private final ProcessGroup group;
    private final int me;
    private final long capacity;
    private final long memory;
    private final Pinned words;
    private final long[] theirs; // where the peers' memory is here; 0 for none, and for this rank
    private final boolean[] imported; // of another process
    private boolean left; // guarded by this
    private boolean running; // a kernel that was told to end, and may not have

    private ExchangeMemory(
            CudaDevice device,
            CudaDevice hold,
            ExchangeRoom room,
            ProcessGroup group,
            int me,
            long capacity,
            long memory,
            Pinned words) {
        this.device = device;
        this.hold = hold;
        this.room = room;
        this.group = group;
        this.me = me;
        this.capacity = capacity;
        this.memory = memory;
        this.words = words;
        this.theirs = new long[group.size()];
        this.imported = new boolean[group.size()];
    }

    /**
     * Memory for all-reduces of up to {@code limit} bytes; empty where the device has not as much.
     *
     * @param room that the rank has entered, and leaves with this memory
     * @param me rank in group
     */
    static Optional<ExchangeMemory> allocate(
            CudaDevice device, ExchangeRoom room, ProcessGroup group, int me, long limit) {
        long capacity = (limit + SOURCE - 1) / SOURCE * SOURCE; // of whole loads
        CudaDevice hold = CudaDevice.open(device.seen());
        long memory = 0;
        @Nullable Pinned words = null;
        boolean made = false;
        try {
            memory = hold.allocate((HEAD + 2 * capacity + GRAIN - 1) / GRAIN * GRAIN);
            if (memory == 0) {
                return Optional.empty();
            }
            words = Pinned.allocate(hold, PINNED);
            words.bytes().putLong(ENDED, 0).putLong(DIFFERING, 0).putInt(ONE, 1);
            words.bytes().putLong(MARK, UUID.randomUUID().getLeastSignificantBits());
            hold.copyUp(Raw.host(words.address() + MARK), memory + HEAD, Long.BYTES);
            hold.synchronize(); // before any peer is told where it is
            made = true;
            return Optional.of(new ExchangeMemory(device, hold, room, group, me, capacity, memory, words));
        } finally {
            if (!made) {
                free(hold, memory, words);
            }
        }
    }

    /** What the peers need to reach it, {@value #RECORD} bytes. */
    byte[] toRecord() {
        ByteBuffer record = ByteBuffer.allocate(RECORD);
        record.putLong(capacity).putLong(memory).putLong(words.bytes().getLong(MARK));
        record.put(CudaIpc.export(memory));
        return record.array();
    }

    /**
     * Reaches the memory of all peers.
     *
     * @param records of all ranks, in their order
     * @param devices of all ranks
     * @param here whether a rank is a thread of this JVM
     * @return what is in the way, if anything is: then {@link #unmap} what could be reached
     */
    Optional<String> open(List<byte[]> records, List<Identity.Gpu> devices, IntPredicate here) {
        device.enter();
        for (int peer = 0; peer < theirs.length; peer++) {
            imported[peer] = peer != me && !here.test(peer);
            Optional<String> obstacle =
                    peer == me ? Optional.empty() : reach(peer, ByteBuffer.wrap(records.get(peer)), devices.get(peer));
            if (obstacle.isPresent()) {
                return obstacle;
            }
        }
        ByteBuffer table = words.bytes();
        for (int rank = 0; rank < theirs.length; rank++) {
            long base = rank == me ? memory : theirs[rank];
            table.putLong(SOURCE * rank, base + HEAD).putDouble(SOURCE * rank + Long.BYTES, 1);
        }
        device.zero(memory, HEAD);
        device.copyUp(words.pointer(), memory, (long) SOURCE * theirs.length);
        device.synchronize(); // before any peer is told that it may write there
        return Optional.empty();
    }

    private Optional<String> reach(int peer, ByteBuffer record, Identity.Gpu gpu) {
        String mine = "the device of rank " + group.rank(me);
        String whose = "rank " + group.rank(peer);
        long most = record.getLong();
        if (most != capacity) {
            return Optional.of(
                    whose + " exchanges up to " + most + " bytes, rank " + group.rank(me) + " up to " + capacity);
        }
        if (!device.peers().mayReach(gpu)) {
            return Optional.of(mine + " does not reach that of " + whose);
        }
        long address = record.getLong();
        long mark = record.getLong();
        byte[] handle = new byte[CudaIpc.BYTES];
        record.get(handle);
        if (!imported[peer] && !device.peers().open(gpu)) {
            return Optional.of(mine + " has as many peers as the driver lets it have");
        }
        theirs[peer] = imported[peer] ? CudaIpc.open(handle) : address;
        if (theirs[peer] == 0) {
            return Optional.of(mine + " cannot map memory of that of " + whose + " (CUDA IPC)");
        }
        return reads(theirs[peer], mark)
                ? Optional.empty()
                : Optional.of(mine + " reads in memory of " + whose + " what was not written there");
    }

    /** Whether what is read of a peer's memory is what it wrote: not so where an IOMMU translates between devices. */
    private boolean reads(long peer, long mark) {
        long result = memory + HEAD + capacity;
        device.copy(peer + HEAD, result, Long.BYTES); // by the device itself
        device.copyDown(result, Raw.host(words.address() + SEEN), Long.BYTES);
        device.synchronize();
        return words.bytes().getLong(SEEN) == mark;
    }

    /**
     * All-reduces for the first time, as all ranks of the group do at the same time, after {@link #open}: who does not write to a
     * peer's memory what it should meets nobody, or comes to another sum.
     *
     * @param limit after which the kernel is ended
     * @param look called while it is waited for; what it throws ends the wait and the kernel
     * @return what is wrong with it, if anything is
     * @throws LockstepException DEVICE_LOST where the kernel does not end: then this memory is never given back
     */
    Optional<String> tryOut(ExchangeKernels kernels, Duration limit, Runnable look) {
        ExchangeTrial trial = ExchangeTrial.of(me, theirs.length, capacity);
        trial.write(words.bytes(), TRIAL);
        device.copyUp(Raw.host(words.address() + TRIAL), memory + HEAD, trial.bytes());
        kernels.launch(
                device.stream(),
                memory,
                me,
                theirs.length,
                capacity,
                trial.call(),
                trial.factor(),
                theirs.length > 2,
                words.address() + ENDED,
                words.address() + TRIAL);
        String whose = "the kernel of rank " + group.rank(me);
        boolean met;
        try {
            met = device.synchronize(limit, look);
        } catch (RuntimeException | Error failure) {
            try {
                stop(limit);
            } catch (RuntimeException too) {
                failure.addSuppressed(too);
            }
            throw failure;
        }
        if (!met) {
            stop(limit);
            return Optional.of(whose + " did not meet those of its peers in " + limit.toMillis() / 1000.0 + " s");
        }
        return trial.isRight(words.bytes(), TRIAL)
                ? Optional.empty()
                : Optional.of(whose + " came to another sum than it should");
    }

    /** Ends the kernel and waits for it, so long again: what it may read must not go before. */
    private void stop(Duration limit) {
        end();
        running = !device.synchronize(limit, () -> {});
        if (running) {
            throw LockstepException.report(
                            ErrorCode.DEVICE_LOST,
                            "the kernel of rank " + group.rank(me) + " in the first all-reduce of " + group
                                    + " did not end in " + limit.toMillis() / 1000.0 + " s, though it was told to")
                    .attempt("spark.lockstep.gpu.peer=off, and nvidia-smi -q, which tells what ails the device")
                    .exception();
        }
    }

    /** Up to how many bytes it can exchange. */
    long capacity() {
        return capacity;
    }

    @Override
    public Optional<String> advice(OperationTag tag) {
        boolean carries = tag.operation() == OperationTag.Operation.ALL_REDUCE
                && tag.type() != null
                && tag.count() * tag.type().bytes() <= capacity;
        return carries
                ? Optional.of("see the logs of the others; without kernels of our own: spark.lockstep.gpu.peer=off")
                : Optional.empty();
    }

    /** Queues an all-reduce, after which nothing that was sent is read any more. */
    void allReduce(
            ExchangeKernels kernels,
            CUstream stream,
            OperationTag tag,
            DeviceBuffer send,
            DeviceBuffer receive,
            ReduceOp op) {
        if (send.length() > 0) {
            device.copy(send.address(), memory + HEAD, send.bytes(), stream);
        }
        int ranks = theirs.length;
        kernels.launch(
                stream,
                memory,
                me,
                ranks,
                capacity,
                ExchangeCall.of(tag),
                op.factor(),
                ranks > 2 && !PeerCarrier.isOneShot(ranks, send.bytes()), // two read as much either way
                words.address() + ENDED,
                receive.address());
    }

    /** The word that a kernel has left that met another call; 0 if none has. */
    private synchronized long differing() {
        return left ? 0 : (long) WORDS.getVolatile(words.bytes(), DIFFERING);
    }

    @Override
    public boolean hasFailed() {
        return differing() != 0;
    }

    @Override
    public void check(OperationTag tag) {
        long word = differing();
        if (word != 0) {
            throw LockstepException.report(
                            ErrorCode.COLLECTIVE_MISMATCH,
                            tag + " in " + group + ": a kernel of rank " + group.rank(me) + " met rank "
                                    + group.rank((int) word - 1) + " at "
                                    + ExchangeCall.of((int) (word >>> Integer.SIZE)) + ", another call than its own")
                    .attempt("the same operations in the same order on all ranks of the group")
                    .exception();
        }
    }

    @Override
    public synchronized void end() {
        if (!left) {
            WORDS.setVolatile(words.bytes(), ENDED, 1L);
        }
    }

    /** Reaches no peer's memory any more, and tells them so. On the device's thread, which is done with it. Idempotent. */
    void letGo() {
        device.enter();
        for (int peer = 0; peer < theirs.length; peer++) {
            if (theirs[peer] != 0) {
                device.copyUp(
                        Raw.host(words.address() + ONE),
                        theirs[peer] + LEFT + (long) Integer.BYTES * me,
                        Integer.BYTES);
            }
        }
        device.finish();
        unmap();
    }

    /** Reaches no peer's memory any more, which the device is done with. Idempotent. */
    void unmap() {
        for (int peer = 0; peer < theirs.length; peer++) {
            long mapped = theirs[peer];
            theirs[peer] = 0;
            if (mapped != 0 && imported[peer]) {
                CudaIpc.close(mapped);
            }
        }
    }

    /**
     * Waits until the peers of other processes have let go.
     *
     * @param end by {@link System#nanoTime}, until which at most
     * @param lost a rank that never will, by the world's first cause
     */
    void awaitPeers(long end, OptionalInt lost) {
        while (!haveLeft(lost) && System.nanoTime() - end < 0) {
            LockSupport.parkNanos(LOOK);
        }
    }

    private boolean haveLeft(OptionalInt lost) {
        device.copyDown(memory + LEFT, Raw.host(words.address() + WHO_LEFT), (long) Integer.BYTES * theirs.length);
        device.finish();
        return IntStream.range(0, theirs.length)
                .filter(peer -> imported[peer] && !lost.equals(OptionalInt.of(group.rank(peer))))
                .allMatch(peer -> words.bytes().getInt(WHO_LEFT + Integer.BYTES * peer) != 0);
    }

    /** Leaves the room, and the memory goes when all have; stays where a kernel may still use it. On the device's thread. Idempotent. */
    void leave() {
        synchronized (this) {
            running = device.isGivenUp() || (running && !device.synchronize(Duration.ZERO, () -> {}));
            if (left || running) {
                return;
            }
            left = true;
        }
        try {
            unmap(); // what a failure has left
        } finally {
            room.leave(() -> free(hold, memory, words));
        }
    }

    /** On any thread. */
    private static void free(CudaDevice hold, long memory, @Nullable Pinned words) {
        try (hold;
                words) {
            hold.enter();
            if (memory != 0) {
                hold.release(memory);
            }
        }
    }
}
