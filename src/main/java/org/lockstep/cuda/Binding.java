package org.lockstep.cuda;

import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;

/** Maps the native methods of a class directly to the functions of a library that have their names. */
final class Binding {
    private Binding() {}

    /**
     * All of them, or, where the library lacks one, none. Once: what is bound to that library stays as it is, for what a binding
     * takes is given back no sooner than the class is bound to another, and its methods are those of all threads.
     *
     * @throws UnsatisfiedLinkError naming the function that is missing
     */
    static synchronized void of(Class<?> functions, NativeLibrary library) {
        boolean isBound = Native.registered(functions);
        if (isBound && Native.getNativeLibrary(functions).equals(library)) {
            return;
        }
        for (Method method : functions.getDeclaredMethods()) {
            if (Modifier.isNative(method.getModifiers())) {
                library.getFunction(method.getName());
            }
        }
        if (isBound) {
            Native.unregister(functions);
        }
        Native.register(functions, library);
    }
}
