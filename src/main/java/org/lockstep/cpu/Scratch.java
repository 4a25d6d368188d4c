package org.lockstep.cpu;

import java.util.EnumMap;
import java.util.Map;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/** Room for peers' data, one array to a type, which grows and is used again. Confined to one thread. */
final class Scratch {
    private final Map<DataType, HostBuffer> arrays = new EnumMap<>(DataType.class);

    /** At least {@code length} elements with anything in them, valid until the next call for that type. */
    HostBuffer of(DataType type, int length) {
        HostBuffer found = arrays.get(type);
        if (found == null || found.size() < length) {
            found = HostBuffer.allocate(type, length);
            arrays.put(type, found);
        }
        return found;
    }

    void clear() {
        arrays.clear();
    }
}
