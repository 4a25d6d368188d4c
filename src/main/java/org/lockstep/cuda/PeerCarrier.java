package org.lockstep.cuda;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;
import jcuda.driver.CUevent;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.Carrier;
import org.lockstep.collective.Carriers;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.Transfer;
import org.lockstep.cuda.PeerGroup.Offer;
import org.lockstep.cuda.PeerGroup.Parcel;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ProcessGroup;

/**
 * Carries a device's buffers between ranks of one JVM whose devices are the same, or reach each other: each reads where its peers
 * have them, by kernels and copies on its own stream.
 *
 * <p>The ranks of an operation meet in the host's group, which names who calls something else or does not come, as often as they
 * wait for each other's streams; these wait for nothing that is not queued by then, so that no kernel spins. With n ranks and S
 * bytes a rank reads, of its peers' memory:
 *
 * <table>
 * <caption>Algorithms</caption>
 * <tr><td>all-reduce, S up to 512 KiB, of more than 4 ranks 256 KiB</td><td>one shot</td><td>(n-1) · S</td><td>each joins everything</td></tr>
 * <tr><td>all-reduce</td><td>two shots</td><td>2 · S · (n-1)/n</td><td>each joins its share, then copies the others'</td></tr>
 * <tr><td>all others</td><td>one shot</td><td>what it receives</td><td></td></tr>
 * </table>
 *
 * <p>Reductions have the host's bits ({@link PeerReduction}). What is sent to a peer is copied first and waits there, so that a
 * send waits for nobody.
 */
final class PeerCarrier implements Carrier {
    private static final long LOOK = TimeUnit.MILLISECONDS.toNanos(10);

    private final PeerGroup peers;
    private final ProcessGroup group;
    private final int me;
    private final int[] all;
    private final CudaDevice device;
    private final Carrier host;
    private final Carriers.Life life;
    private final PeerReduction reduction;
    private final PeerWatch watch;
    private final HostBuffer here = HostBuffer.allocate(DataType.U8, 1);
    private final HostBuffer everybody;
    private final Blocks one;
    private final List<Parcel> sent = new ArrayList<>(); // and not known to be taken
    private volatile Duration limit;

    /** @param usual deadline */
    PeerCarrier(
            PeerGroup peers,
            ProcessGroup group,
            int me,
            Carrier host,
            Carriers.Life life,
            PeerReduction reduction,
            PeerWatch watch,
            Duration usual) {
        this.peers = peers;
        this.group = group;
        this.me = me;
        this.all = IntStream.range(0, group.size()).toArray();
        this.device = peers.device(me);
        this.host = host;
        this.life = life;
        this.reduction = reduction;
        this.watch = watch;
        this.everybody = HostBuffer.allocate(DataType.U8, group.size());
        this.one = Blocks.even(group.size(), 1);
        this.limit = usual;
    }

    /** Up to how many bytes it is faster that each rank reads everything: the limits of vLLM's custom all-reduce. */
    static boolean isOneShot(int ranks, long bytes) {
        return bytes <= (ranks <= 4 ? 512 << 10 : 256 << 10);
    }

    @Override
    public boolean carries(Buffer buffer) {
        return buffer instanceof DeviceBuffer;
    }

    @Override
    public void begin(Duration deadline) {
        limit = deadline;
    }

    /**
     * An operation of the whole group: what each offers is read in steps, before each of which all streams have come past the one
     * before, and after the last.
     */
    private void together(OperationTag tag, Offer mine, Runnable... steps) {
        ready(tag);
        peers.offer(me, mine);
        for (Runnable reads : steps) {
            meet(tag);
            read(tag, all, reads);
        }
        meet(tag);
        follow(tag, all);
    }

    /** What is queued next waits for all that {@code whose} streams have come to. */
    private void follow(OperationTag tag, int... whose) {
        CUevent before = watch.mark();
        peers.await(me, whose);
        watch.followed(before, tag, group, life);
    }

    /** Waits where the device is far behind before anything is held that the end of the world needs. */
    private void ready(OperationTag tag) {
        device.enter();
        reclaim(peer -> follow(tag, peer));
        try {
            device.backlog().await();
        } catch (CommunicatorException known) {
            throw known;
        } catch (LockstepException failure) {
            life.requireAlive(tag); // the first cause, where this is but its consequence
            throw life.fail(tag, failure, Optional.empty());
        }
    }

    /** On return all ranks have recorded how far their streams have come. */
    private void meet(OperationTag tag) {
        host.allGather(tag, here, everybody, one);
    }

    private void read(OperationTag tag, int[] whose, Runnable reads) {
        boolean queued;
        try {
            CUevent before = watch.mark();
            queued = peers.read(me, whose, () -> {
                watch.followed(before, tag, group, life);
                reads.run();
            });
        } catch (LockstepException failure) {
            throw life.fail(tag, failure, Optional.empty());
        }
        if (!queued) {
            life.requireAlive(tag); // who leaves does it after the world's end is known
            throw new IllegalStateException("a peer left during " + tag + " in " + group);
        }
    }

    private static DeviceBuffer mine(Buffer buffer) {
        return (DeviceBuffer) buffer;
    }

    private static DeviceBuffer block(Blocks blocks, Buffer whole, int rank) {
        return mine(blocks.of(whole, rank));
    }

    private static Offer send(@Nullable Buffer buffer) {
        return buffer == null ? Offer.nothing() : new Offer(mine(buffer), null, null, 1);
    }

    /** What a peer offers to be read. */
    private DeviceBuffer sent(int peer) {
        return Objects.requireNonNull(peers.offer(peer).send());
    }

    private void join(long from, DeviceBuffer target, ReduceOp op) {
        reduction.reduce(IntStream.of(all).mapToObj(peers::offer).toList(), from, target, op.kind());
    }

    @Override
    public void allReduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op) {
        DeviceBuffer target = mine(receive);
        Offer offer = new Offer(mine(send), target, null, op.factor());
        if (!isOneShot(group.size(), send.bytes())) {
            Blocks shares = Blocks.shares(group.size(), send.length());
            DeviceBuffer share = block(shares, target, me); // of which nobody reads what was there
            together(tag, offer, () -> join(shares.from(me), share, op), () -> copyAll(shares, target));
            return;
        }
        boolean inPlace = mine(send).address() == target.address();
        if (!inPlace) {
            together(tag, offer, () -> join(0, target, op));
            return;
        }
        try (DeviceBuffer result = DeviceBuffer.allocate(target.arena(), target.type(), target.length())) {
            together(tag, offer, () -> join(0, result, op));
            target.copyFrom(result); // nobody reads what is overwritten any more
        }
    }

    /** The others' shares of what they receive. */
    private void copyAll(Blocks shares, DeviceBuffer target) {
        for (int peer : all) {
            DeviceBuffer theirs = Objects.requireNonNull(peers.offer(peer).receive());
            block(shares, target, peer).copyFrom(block(shares, theirs, peer));
        }
    }

    @Override
    public void reduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, int root) {
        together(tag, new Offer(mine(send), null, null, op.factor()), () -> {
            if (me == root) {
                join(0, mine(receive), op); // which may be what it sends: nobody else reads that
            }
        });
    }

    @Override
    public void broadcast(OperationTag tag, Buffer send, Buffer receive, int root) {
        together(tag, send(send), () -> mine(receive).copyFrom(sent(root)));
    }

    @Override
    public void allGather(OperationTag tag, Buffer send, Buffer receive, Blocks blocks) {
        together(tag, send(send), () -> {
            for (int peer : all) {
                block(blocks, receive, peer).copyFrom(sent(peer));
            }
        });
    }

    @Override
    public void reduceScatter(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, Blocks blocks) {
        together(
                tag,
                new Offer(mine(send), null, null, op.factor()),
                () -> join(blocks.from(me), mine(receive), op)); // its own block, if in place: nobody else reads that
    }

    @Override
    public void gather(OperationTag tag, Buffer send, @Nullable Buffer receive, int root) {
        together(tag, send(send), () -> {
            if (receive != null) {
                Blocks blocks = Blocks.even(group.size(), send.length());
                for (int peer : all) {
                    block(blocks, receive, peer).copyFrom(sent(peer));
                }
            }
        });
    }

    @Override
    public void scatter(OperationTag tag, @Nullable Buffer send, Buffer receive, int root) {
        Blocks blocks = Blocks.even(group.size(), receive.length());
        together(tag, send(send), () -> mine(receive).copyFrom(block(blocks, sent(root), me)));
    }

    @Override
    public void allToAll(OperationTag tag, Buffer send, Blocks sendBlocks, Buffer receive, Blocks receiveBlocks) {
        together(tag, new Offer(mine(send), null, sendBlocks, 1), () -> {
            for (int peer : all) {
                Blocks theirs = Objects.requireNonNull(peers.offer(peer).blocks());
                if (theirs.count(me) != receiveBlocks.count(peer)) {
                    throw differing(tag, peer, theirs, receiveBlocks);
                }
                block(receiveBlocks, receive, peer).copyFrom(block(theirs, sent(peer), me));
            }
        });
    }

    private LockstepException differing(OperationTag tag, int peer, Blocks theirs, Blocks receive) {
        return LockstepException.report(
                        ErrorCode.COLLECTIVE_MISMATCH,
                        tag + " in " + group + ": rank " + group.rank(peer) + " sends " + theirs.count(me)
                                + " elements to rank " + group.rank(me) + ", which expects " + receive.count(peer))
                .attempt("the same number in the sender's sendCounts and in the receiver's receiveCounts")
                .exception();
    }

    @Override
    public void transfer(List<OperationTag> tags, List<Transfer> transfers) {
        ready(tags.get(0));
        transfers.stream().filter(Transfer::sends).forEach(this::post);
        host.transfer(
                tags,
                transfers.stream()
                        .map(each -> new Transfer(each.sends(), HostBuffer.allocate(DataType.U8, 1), each.peer()))
                        .toList());
        for (int i = 0; i < transfers.size(); i++) {
            Transfer each = transfers.get(i);
            if (!each.sends()) {
                Parcel parcel = peers.parcel(me, each.peer());
                read(
                        tags.get(i),
                        new int[] {each.peer()},
                        () -> mine(each.buffer()).copyFrom(parcel.data()));
                parcel.taken().countDown();
            }
        }
    }

    private void post(Transfer transfer) {
        DeviceBuffer data = mine(transfer.buffer());
        DeviceBuffer copy = DeviceBuffer.allocate(data.arena(), data.type(), data.length());
        copy.copyFrom(data);
        Parcel parcel = new Parcel(copy, transfer.peer(), new CountDownLatch(1));
        sent.add(parcel);
        peers.post(me, parcel);
    }

    /** Memory of what was taken is free behind its reading. */
    private void reclaim(IntConsumer follow) {
        sent.removeIf(parcel -> {
            boolean taken = parcel.taken().getCount() == 0;
            if (taken) {
                follow.accept(parcel.to());
                parcel.data().close();
            }
            return taken;
        });
    }

    /** What was sent is taken, or nobody will. */
    @Override
    public void close() {
        long start = System.nanoTime();
        try {
            for (Parcel parcel : sent) {
                while (!parcel.taken().await(LOOK, TimeUnit.NANOSECONDS)
                        && System.nanoTime() - start < limit.toNanos()) {
                    life.requireAlive("close");
                }
            }
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt(); // what was not taken by now is given up
        }
        device.enter();
        reclaim(peer -> peers.await(me, new int[] {peer})); // an end looks after nobody
    }

    /** Called when the world's end is known; then no peer reads this rank's memory any more, but for what is queued. */
    @Override
    public void abort() {
        peers.leave(me);
    }

    /** The rank's stream runs no more; it has left. */
    void end() {
        peers.end(me);
    }
}
