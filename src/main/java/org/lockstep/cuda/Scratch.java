package org.lockstep.cuda;

import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.DataType;

/**
 * Device memory that kernels write and read again within a step, as much as was asked for at most so far: it goes with the
 * arena. What grows in a step may hold up the device: {@code of} the largest step, ahead, lets it stay. Confined to one thread
 * at a time.
 */
final class Scratch {
    private final DeviceArena arena;
    private final DataType type;
    private final Runnable moved;
    private @Nullable DeviceBuffer room;

    /**
     * None yet.
     *
     * @param moved is told when it is somewhere else than before
     */
    Scratch(DeviceArena arena, DataType type, Runnable moved) {
        this.arena = arena;
        this.type = type;
        this.moved = moved;
    }

    /** At least so many elements, with any contents. */
    DeviceBuffer of(long elements) {
        return of(elements, elements);
    }

    /**
     * The same.
     *
     * @param grown how many there are to be where there are too few
     * @throws org.lockstep.LockstepException OUT_OF_MEMORY; there is none then, and the next call may fare better
     */
    DeviceBuffer of(long elements, long grown) {
        DeviceBuffer known = room;
        if (known != null && known.length() >= elements) {
            return known;
        }
        room = null; // whatever becomes of the next
        if (known != null) {
            moved.run();
            known.close();
        }
        DeviceBuffer made = DeviceBuffer.allocate(arena, type, grown);
        room = made;
        return made;
    }
}
