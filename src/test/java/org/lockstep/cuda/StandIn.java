package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.sun.jna.NativeLibrary;
import java.util.List;

/**
 * What the stand-in of {@code src/test/cuda} has beside a driver's functions: how tests make things go wrong, and see that
 * nothing is left. Tests that need it are skipped aloud on a real driver.
 */
public final class StandIn {
    private final NativeLibrary driver;

    private StandIn(NativeLibrary driver) {
        this.driver = driver;
    }

    /** The stand-in that this process has loaded. */
    public static StandIn require() {
        assumeTrue(!devices().isEmpty(), () -> CudaDriver.create().toString());
        assumeTrue(isLoaded(), () -> "a real device, " + devices().get(0).name() + ", which cannot be told to fail");
        return new StandIn(NativeLibrary.getInstance("libcuda.so.1"));
    }

    /** Whether the devices of this process are the stand-in's. */
    public static boolean isLoaded() {
        List<VisibleDevice> all = devices();
        return !all.isEmpty() && all.get(0).name().contains("tand-in");
    }

    /** So many devices from now on; a test that needs more than there are real ones is skipped aloud. */
    static void show(int count) {
        if (isLoaded()) {
            require().setDevices(count);
        } else {
            int real = devices().size();
            assumeTrue(count <= real, () -> count + " devices, of which there are " + real);
        }
    }

    /** That nobody holds memory of the first device, which a real one does not tell. */
    public static void assertNothingAllocated() {
        if (isLoaded()) {
            assertThat(require().allocations())
                    .as("allocations that nobody has freed")
                    .isZero();
        }
    }

    /** The devices that there are, real or not. */
    public static List<VisibleDevice> devices() {
        return CudaDriver.create().devices();
    }

    public VisibleDevice device() {
        return devices().get(0);
    }

    /** Allocations of the first device that nobody has freed. */
    public long allocations() {
        return driver.getFunction("standin_allocations").invokeLong(new Object[] {0});
    }

    /** Memory of other processes that devices of this one have mapped. */
    public long imports() {
        return devices().stream()
                .mapToLong(device -> driver.getFunction("standin_imports").invokeLong(new Object[] {device.ordinal()}))
                .sum();
    }

    /** Whether devices reach each other's memory from now on. */
    public void setReach(boolean reach) {
        driver.getFunction("standin_set_reach").invokeInt(new Object[] {reach ? 1 : 0});
    }

    /** Whether what devices read of each other's memory is something else from now on. */
    public void setGarbled(boolean garbled) {
        driver.getFunction("standin_set_garbled").invokeInt(new Object[] {garbled ? 1 : 0});
    }

    /** Lets kernels by which a device exchanges wait until the host ends them, or come to another result; -1 for none. */
    public void hurtExchange(int device, boolean waits) {
        driver.getFunction("standin_hurt_exchange").invokeVoid(new Object[] {device, waits ? 1 : 0});
    }

    /** The compute capability of a device from now on. */
    public void setCapability(int device, int major, int minor) {
        driver.getFunction("standin_set_capability").invokeVoid(new Object[] {device, major, minor});
    }

    /** Events of the first device that nobody has destroyed. */
    public long events() {
        return driver.getFunction("standin_events").invokeLong(new Object[] {0});
    }

    /** Blocks of pinned memory of the host that nobody has freed. */
    public long pinned() {
        return driver.getFunction("standin_pinned").invokeLong(new Object[0]);
    }

    /** Graphs that were launched so far in this process. */
    public long graphLaunches() {
        return driver.getFunction("standin_graph_launches").invokeLong(new Object[0]);
    }

    /**
     * What was copied so far between the host's memory and that of devices, by copies that a stream has come to.
     *
     * @param up copies from the host's memory
     * @param down copies to it
     * @param bytesUp of the first
     * @param bytesDown of the second
     */
    public record Copied(long up, long down, long bytesUp, long bytesDown) {
        /** What came after {@code before}. */
        public Copied since(Copied before) {
            return new Copied(
                    up - before.up, down - before.down, bytesUp - before.bytesUp, bytesDown - before.bytesDown);
        }
    }

    /** @see Copied */
    public Copied copied() {
        return new Copied(copied(1, 0), copied(0, 0), copied(1, 1), copied(0, 1));
    }

    private long copied(int up, int bytes) {
        return driver.getFunction("standin_copied").invokeLong(new Object[] {up, bytes});
    }

    /** Calls so far that may wait for all that a device was given: memory taken or given back, code loaded or unloaded. */
    public long waits() {
        return driver.getFunction("standin_waits").invokeLong(new Object[0]);
    }

    /** Lets the devices be as another process finds them; whether nobody of this one but libraries held them. */
    public boolean renew() {
        return devices().stream()
                .allMatch(
                        device -> driver.getFunction("standin_renew").invokeInt(new Object[] {device.ordinal()}) != 0);
    }

    /** Refuses the pinned allocation after so many more; -1 for none. */
    public void refusePinnedAfter(long allocations) {
        driver.getFunction("standin_refuse_pinned").invokeInt(new Object[] {allocations});
    }

    /** Kernels that ran so far in this process. */
    public long launches() {
        return driver.getFunction("standin_launches").invokeLong(new Object[0]);
    }

    /** Refuses the allocation after so many more; -1 for none. */
    public void refuseAllocationAfter(long allocations) {
        driver.getFunction("standin_refuse_allocation").invokeInt(new Object[] {allocations});
    }

    /** Lets the launch after so many more end in a fault that stays; -1 for none. */
    public void failLaunchAfter(long launches, int error) {
        driver.getFunction("standin_fail_launch").invokeInt(new Object[] {launches, error});
    }

    /** Lets kernels stand still from now on, as one that never ends, or go on. */
    public void hold(boolean held) {
        driver.getFunction("standin_hold").invokeVoid(new Object[] {held ? 1 : 0});
    }

    /** Memory of each device from now on. */
    public void setMemory(long bytes) {
        driver.getFunction("standin_set_memory").invokeInt(new Object[] {bytes});
    }

    /** Devices whose memory one reaches at most, of those that it can. */
    public void setPeers(int count) {
        driver.getFunction("standin_set_peers").invokeInt(new Object[] {count});
    }

    /** Devices that are visible from now on, at most 8. */
    public void setDevices(int count) {
        driver.getFunction("standin_set_devices").invokeInt(new Object[] {count});
    }
}
