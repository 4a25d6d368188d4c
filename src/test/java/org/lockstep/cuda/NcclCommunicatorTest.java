package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.LongEnough;
import org.lockstep.collective.Backend;
import org.lockstep.collective.CommunicatorContract;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.rendezvous.Rendezvous;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/** A device to each rank, whose buffers go by NCCL from memory that is registered; {@link NcclProcessTest} has such that is not. */
@HostCuda
class NcclCommunicatorTest extends CommunicatorContract {
    static final CudaOptions OPTIONS = CudaOptions.DEFAULT
            .withCublas(CudaOptions.NO_CUBLAS)
            .withNccl(new NcclOptions(Use.ON, null, Map.of(), Map.of(), false, true, false))
            .withPeer(PeerOptions.NONE);

    @BeforeEach
    void show() {
        StandIn.require().setDevices(8);
        StandInNccl.require().setLazy(true);
    }

    @AfterEach
    void hide() {
        StandInNccl.require().setLazy(false);
        assertThat(StandInNccl.require().communicators()).isZero();
        StandIn.require().setDevices(1);
    }

    /** What hangs is seen by its deadline alone. */
    @Override
    public void whileTheyHang(LongEnough.Check check) throws Exception {
        LongEnough.oneOf(Duration.ofMillis(300), Duration.ofSeconds(6), check);
    }

    /** NCCL's sends wait for who receives: those that cross belong into a group. */
    @Override
    @ParameterizedTest
    @ValueSource(ints = {2, 3, 4, 7})
    public void messagesGoAroundTheRing(int size) {
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            for (int length : new int[] {0, 1, 100, 10_000}) {
                HostBuffer mine = HostBuffer.allocate(DataType.I32, length);
                Arrays.fill(mine.ints(), rank);
                HostBuffer theirs = HostBuffer.allocate(DataType.I32, length);
                communicator.grouped(group -> {
                    group.send(mine);
                    group.receive(theirs);
                });
                assertThat(theirs.ints())
                        .containsOnly(IntStream.range(0, Math.min(1, length))
                                .map(any -> (rank + size - 1) % size)
                                .toArray());
            }
            return true;
        });
    }

    @Override
    @Test
    public void messagesBetweenAnyTwoKeepTheirOrder() {
        onEvery(3, communicator -> {
            int rank = communicator.rankInGroup();
            List<HostBuffer> got = new ArrayList<>();
            communicator.grouped(group -> {
                for (int peer = 0; peer < 3; peer++) {
                    for (int number = 0; number < 3 && peer != rank; number++) {
                        group.send(Buffer.ofInts(100 * rank + number), peer);
                        HostBuffer place = Buffer.ofInts(-1);
                        got.add(place);
                        group.receive(place, peer);
                    }
                }
            });
            List<Integer> expected = new ArrayList<>();
            for (int peer = 0; peer < 3; peer++) {
                for (int number = 0; number < 3 && peer != rank; number++) {
                    expected.add(100 * peer + number);
                }
            }
            assertThat(got.stream().map(each -> each.ints()[0])).isEqualTo(expected);
            return true;
        });
    }

    /** NCCL wants the operations of different groups queued in one order on all ranks, by its manual; here they are not. */
    @Override
    public void twoGroupsOfARankHaveQueuesOfTheirOwn() {}

    /** Nobody is inside while the device works: {@link NcclWorldTest}. */
    @Override
    public void twoThreadsInOneCommunicatorAreRefused() {}

    /** The copies that {@link OnDevice} makes are not queued behind what hangs on a future. */
    @Override
    public void whatHangsOnAFutureMayUseTheCommunicator() {}

    /** Who is on the device and who is in host memory do not hear of each other before a deadline. */
    @Override
    public void anotherOrderOrASkippedOperationIsToldToEveryRank() {}

    /** As above. */
    @Override
    public void aTransferAgainstAnOperationOfTheGroupIsToldToEveryRank() {}

    /** NCCL tells that, if it does, in its words: {@link NcclHandleTest}. */
    @Override
    public void transfersThatDifferAreToldToBoth() {}

    /** As above: the counts of pairs are in no rank's words of the operation. */
    @Override
    public void anAllToAllVWhosePairsDisagreeIsToldToEveryRank() {}

    @Override
    protected LocalWorld world(int size) {
        return LocalWorld.of(size);
    }

    @Override
    public Backend backend(Rendezvous rendezvous) {
        int devices = StandIn.devices().size();
        assumeTrue(rendezvous.size() <= devices, "as many ranks as devices, which are " + devices);
        return new OnDeviceBackend(
                CudaBackend.create(StandIn.devices().get(rendezvous.index()), CpuBackend.create(), options()));
    }

    CudaOptions options() {
        return OPTIONS;
    }
}
