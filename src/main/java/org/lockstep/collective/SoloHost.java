package org.lockstep.collective;

import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;

/** A group of one with host memory. */
final class SoloHost extends SoloCarrier {
    @Override
    public boolean carries(Buffer buffer) {
        return buffer instanceof HostBuffer;
    }

    @Override
    protected void copy(Buffer send, Buffer receive) {
        receive.toHost().copyFrom(send.toHost());
    }

    @Override
    protected void scale(Buffer buffer, double factor) {
        buffer.toHost().scale(factor);
    }
}
