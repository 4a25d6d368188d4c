package org.lockstep.inference;

import java.time.Duration;
import java.util.Iterator;
import java.util.List;
import java.util.function.Consumer;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Communicators;
import org.lockstep.collective.ControlPlane;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelState;
import org.lockstep.topology.ProcessGroup;

/**
 * Rows stay home: each rank of the world keeps its rows, replicas pull their requests as they have room for them, and the
 * completions come home.
 *
 * <p>Requests are numbered over the world in the order of ranks, and within a rank in the order given; one all-gather tells
 * all ranks how many each has. From then on nothing is collective: the source rank of a replica leases numbers from the
 * {@link Ledger}, which the first rank has, fetches these requests where they are, and sends completions there, all by calls
 * over the {@link ControlPlane}, for the ranks asked compute. A slow replica so takes fewer; one that leaves before the
 * end gives back what it has not completed, and the others do it. Confined to its rank's thread.
 */
public final class RequestExchange {
    private final Communicators communicators;
    private final ParallelState state;
    private final Kernels kernels;
    private final Duration patience;

    /** What completes requests: one replica, on each of its ranks. */
    @FunctionalInterface
    public interface Replica {
        /**
         * Completes requests until there are no more.
         *
         * @param source on the replica's source rank what it is to complete; drained from the beginning on all others
         * @param done takes each completion, in any order, on the source rank
         */
        void run(RequestSource source, Consumer<Completion> done) throws InterruptedException;
    }

    /**
     * Makes no connection and sends nothing.
     *
     * @param communicators with the group of the whole world
     * @param patience how long a rank waits for the slowest to have its requests, and for the slowest replica to be done;
     *     one that dies meanwhile is noticed at once
     */
    public RequestExchange(Communicators communicators, ParallelState state, Kernels kernels, Duration patience) {
        this.communicators = communicators;
        this.state = state;
        this.kernels = kernels;
        this.patience = patience;
    }

    /**
     * Has the replicas complete all requests of the world, each one exactly once. Collective: every rank of the world calls
     * it, with or without requests of its own. Whatever fails on one rank ends it on all: the communicators are aborted.
     *
     * @param home this rank's requests, taken before anything is sent; each is let go of when its completion has come, so
     *     nothing else should hold them. No two in the world have the same id
     * @param replica is called once on every rank
     * @return the completions of {@code home}, in the same order
     */
    public List<Completion> run(Iterator<Request> home, Replica replica) {
        try {
            return exchange(new HomeService(home), replica);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            communicators.abort(interrupted);
            throw new CommunicatorException(LockstepException.report(
                            ErrorCode.ABORTED, "rank " + state.rank() + " was interrupted while its replica worked")
                    .cause(interrupted));
        } catch (RuntimeException | Error failure) {
            communicators.abort(failure);
            throw failure;
        }
    }

    private List<Completion> exchange(HomeService mine, Replica replica) throws InterruptedException {
        Communicator world = communicators.world();
        ControlPlane plane = communicators.controlPlane();
        ProcessGroup all = state.worldGroup();
        List<Integer> sources = state.grid().groups(GroupKind.MODEL).stream()
                .map(ProcessGroup::first)
                .toList();
        plane.serve(Leases.HOME, mine);
        world.barrier(patience);
        long[] offsets = offsets(world, mine.size());
        if (state.rank() == all.first()) {
            Ledger ledger = new Ledger(offsets[world.size()], sources.size());
            plane.serve(Leases.LEDGER, new LedgerService(ledger, sources));
        }
        world.barrier(); // who asks first may be asked last
        if (sources.contains(state.rank())) {
            LeasedSource source = new LeasedSource(plane, all.stream().toArray(), offsets, all.first(), patience);
            replica.run(source, source::accept);
            source.finish();
        } else {
            replica.run(RequestSource.of(List.of()), RequestExchange::refuse);
        }
        world.barrier(patience); // replicas end when they end: none may run into another's deadline for one operation
        plane.retire(Leases.HOME);
        plane.retire(Leases.LEDGER);
        return mine.completions();
    }

    private static void refuse(Completion completion) {
        throw new IllegalArgumentException(completion + " is of a rank that is no source");
    }

    /** The number of each rank's first request, and of all. */
    private long[] offsets(Communicator world, int own) {
        long[] offsets = new long[world.size() + 1];
        try (Buffer send = kernels.upload(HostBuffer.of(DataType.I64, new long[] {own}), 1)
                        .buffer();
                Buffer receive = kernels.zeros(DataType.I64, world.size()).buffer()) {
            world.allGather(send, receive);
            HostBuffer counts = receive.toHost();
            for (int rank = 0; rank < world.size(); rank++) {
                long count = counts.longs()[counts.offset() + rank];
                if (count < 0 || count > Integer.MAX_VALUE) {
                    throw LockstepException.report(ErrorCode.PROTOCOL, "rank " + rank + " has " + count + " requests")
                            .exception();
                }
                offsets[rank + 1] = offsets[rank] + count;
            }
        }
        return offsets;
    }
}
