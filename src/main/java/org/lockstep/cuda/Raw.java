package org.lockstep.cuda;

import jcuda.NativePointerObject;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;

/** The numbers behind JCuda's pointers, and pointers from numbers. */
final class Raw {
    private Raw() {}

    /** Of a stream, an event, a context. */
    static long handle(NativePointerObject of) {
        return new Handle(of).raw();
    }

    /** Of memory, its offset included. */
    static long address(Pointer of) {
        return new Address(of).raw();
    }

    /** Device memory at {@code address}. */
    static CUdeviceptr device(long address) {
        return new CUdeviceptr().withByteOffset(address);
    }

    /** Host memory at {@code address}. */
    static Pointer host(long address) {
        return new Address(address);
    }

    private static final class Handle extends NativePointerObject {
        Handle(NativePointerObject other) {
            super(other);
        }

        long raw() {
            return getNativePointer();
        }
    }

    /** A handle made of a pointer would lose the pointer's offset. */
    private static final class Address extends Pointer {
        Address(Pointer other) {
            super(other);
        }

        Address(long address) {
            super(address);
        }

        long raw() {
            return getNativePointer() + getByteOffset();
        }
    }
}
