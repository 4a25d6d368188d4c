package org.lockstep.cuda;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import jcuda.Pointer;
import jcuda.driver.CUevent;

/**
 * Host memory that the device copies from and to by itself, and the event after which it is free again. Confined to one
 * thread at a time.
 */
final class Pinned implements AutoCloseable {
    private final CudaDevice device;
    private final Pointer memory;
    private final ByteBuffer bytes;
    private final CUevent event;
    private boolean used;
    private long behind; // so many launches, its use

    private Pinned(CudaDevice device, Pointer memory, ByteBuffer bytes, CUevent event) {
        this.device = device;
        this.memory = memory;
        this.bytes = bytes;
        this.event = event;
    }

    static Pinned allocate(CudaDevice device, int size) {
        device.enter();
        CUevent event = device.event();
        boolean made = false;
        try {
            Pointer memory = device.allocatePinned(size);
            made = true;
            ByteBuffer bytes = memory.getByteBuffer(0, size).order(ByteOrder.nativeOrder());
            return new Pinned(device, memory, bytes, event);
        } finally {
            if (!made) {
                device.destroy(event);
            }
        }
    }

    /** All of it, to be written once {@link #await} has returned. */
    ByteBuffer bytes() {
        return bytes;
    }

    Pointer pointer() {
        return memory;
    }

    /** The address on the host. */
    long address() {
        return Raw.address(memory);
    }

    /** What was queued so far uses this memory. */
    void use() {
        behind = device.backlog().count();
        device.record(event);
        used = true;
    }

    /** Waits for what was queued before {@link #use}. */
    void await() {
        if (used) {
            device.await(event, behind);
            used = false;
        }
    }

    /** The device must be done with it. */
    @Override
    public void close() {
        try {
            device.destroy(event);
        } finally {
            device.releasePinned(memory);
        }
    }
}
