package org.lockstep.cuda;

import org.lockstep.collective.SoloCarrier;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;

/** A group of one with memory of a device: copies in the order of the stream, and in place nothing. */
final class SoloDevice extends SoloCarrier {
    @Override
    public boolean carries(Buffer buffer) {
        return buffer instanceof DeviceBuffer;
    }

    @Override
    protected void copy(Buffer send, Buffer receive) {
        ((DeviceBuffer) receive).copyFrom((DeviceBuffer) send);
    }

    @Override
    protected void scale(Buffer buffer, double factor) {
        HostBuffer scaled = buffer.toHost();
        scaled.scale(factor);
        buffer.copyFrom(scaled);
    }
}
