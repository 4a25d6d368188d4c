package org.lockstep.cuda;

import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;

/** Maps the native methods of a class directly to the functions of a library that have their names. */
final class Binding {
    private Binding() {}

    /**
     * All of them, or, where the library lacks one, none.
     *
     * @throws UnsatisfiedLinkError naming the function that is missing
     */
    static synchronized void of(Class<?> functions, NativeLibrary library) {
        for (Method method : functions.getDeclaredMethods()) {
            if (Modifier.isNative(method.getModifiers())) {
                library.getFunction(method.getName());
            }
        }
        Native.register(functions, library);
    }
}
