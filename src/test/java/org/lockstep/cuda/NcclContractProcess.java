package org.lockstep.cuda;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.UUID;
import java.util.function.IntConsumer;
import org.lockstep.collective.AsyncContract;
import org.lockstep.collective.Backend;
import org.lockstep.collective.FormsContract;
import org.lockstep.collective.Key;
import org.lockstep.collective.MovingContract;
import org.lockstep.collective.ReductionContract;
import org.lockstep.collective.TransferContract;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.transport.PipeMeeting;

/**
 * One rank, with a device, in a process of its own, that does its part of the communicator's contract: all of it that needs no
 * more than what NCCL promises, and nothing that the ranks would have to share. It says {@code passed n} when n tests are, and
 * nothing is left of them on its device.
 */
final class NcclContractProcess
        implements ReductionContract, MovingContract, TransferContract, FormsContract, AsyncContract {
    /** By what their groups exchange. */
    enum Way {
        /** NCCL, each with a device of the stand-in. */
        NCCL {
            @Override
            Backend open(PipeMeeting meeting, Backend host) {
                return OnDeviceBackend.byNccl(meeting, host);
            }
        },

        /** NCCL, on whatever devices there are. */
        SHARED {
            @Override
            Backend open(PipeMeeting meeting, Backend host) {
                return OnDeviceBackend.byNcclOfAny(meeting, host);
            }
        },

        /** Kernels for small all-reduces, NCCL for all else, each with a device of the stand-in. */
        KERNELS {
            @Override
            Backend open(PipeMeeting meeting, Backend host) {
                return OnDeviceBackend.byKernels(meeting, host);
            }
        };

        abstract Backend open(PipeMeeting meeting, Backend host);
    }

    private final PipeMeeting meeting;
    private final Key key;
    private final Way way;
    private int worlds;

    private NcclContractProcess(PipeMeeting meeting, Key key, Way way) {
        this.meeting = meeting;
        this.key = key;
        this.way = way;
    }

    /** Index, size, and {@link Way}; all that is secret here is secret from nobody. */
    public static void main(String[] args) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        int size = Integer.parseInt(args[1]);
        PipeMeeting meeting = new PipeMeeting(in, out, Integer.parseInt(args[0]), size);
        NcclContractProcess rank = new NcclContractProcess(meeting, Key.of(new byte[Key.BYTES]), Way.valueOf(args[2]));
        List<IntConsumer> tests = rank.tests();
        tests.forEach(test -> test.accept(size));
        rank.requireNothingLeft();
        out.println("passed " + tests.size());
    }

    private List<IntConsumer> tests() {
        return List.of(
                this::allReduceJoinsInTheOrderOfRanks,
                this::reduceTellsTheRootOnly,
                this::reduceScatterLeavesEveryRankItsBlock,
                this::reduceScatterVHasBlocksOfAnyLength,
                this::reduceScatterMultipliesFirst,
                this::broadcastCopiesTheRootsBuffer,
                this::allGatherPutsEveryBlockInItsPlace,
                this::allGatherVHasBlocksOfAnyLength,
                this::gatherFillsTheRootOnly,
                this::scatterGivesEveryRankItsBlock,
                this::allToAllTransposesTheBlocks,
                this::allToAllVTransposesBlocksOfAnyLength,
                this::objectsOfAllRanksAreGatheredInTheirOrder,
                this::aGroupOfTransfersDoesNotBlockWhateverItsOrder,
                this::operationsOfAGroupRunAfterItWasSpoken,
                size -> everyOperationOf(size, Form.DIRECT),
                size -> everyOperationOf(size, Form.QUEUED),
                size -> everyOperationOf(size, Form.GROUPED),
                this::queuedOperationsRunInOrderAndDirectOnesAfterThem);
    }

    private void requireNothingLeft() {
        if (way == Way.SHARED) {
            return; // a real device does not tell
        }
        StandIn driver = StandIn.require();
        boolean launched = driver.launches() > (way == Way.KERNELS ? worlds : 0); // in each world a trial
        if (launched != (way == Way.KERNELS) || driver.imports() > 0 || driver.allocations() > 0) {
            throw new IllegalStateException(way + ": kernels " + launched + ", left " + driver.imports() + " mappings");
        }
    }

    @Override
    public LocalWorld localWorld(int size) {
        throw new UnsupportedOperationException("the other ranks are not of this process");
    }

    /** This rank's part, whose result is the only one there is here. */
    @Override
    public <T> List<T> inWorld(int size, WorldSpec spec, Part<World, T> part) {
        WorldSpec same = spec.withAttempt(new UUID(0, worlds++), key)
                .withTransports(transports())
                .withEncryption(encrypts());
        CpuBackend host = CpuBackend.create();
        try (Backend backend = way.open(meeting, host);
                World world = World.join(meeting, backend, same)) {
            return List.of(part.run(world));
        } catch (RuntimeException known) {
            throw known;
        } catch (Exception failure) {
            throw new IllegalStateException(failure);
        }
    }
}
