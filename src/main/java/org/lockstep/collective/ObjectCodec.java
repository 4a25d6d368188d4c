package org.lockstep.collective;

import com.esotericsoftware.kryo.kryo5.Kryo;
import com.esotericsoftware.kryo.kryo5.KryoException;
import com.esotericsoftware.kryo.kryo5.Registration;
import com.esotericsoftware.kryo.kryo5.io.Input;
import com.esotericsoftware.kryo.kryo5.io.KryoBufferOverflowException;
import com.esotericsoftware.kryo.kryo5.io.Output;
import com.esotericsoftware.kryo.kryo5.serializers.DefaultSerializers;
import java.io.Serial;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.tensor.DataType;

/**
 * Objects as bytes, by Kryo 5 with required registration: nothing that was not named can be made from a socket.
 *
 * <p>Registered always: primitives and their arrays, strings and arrays of them, {@link UUID}, {@link ArrayList},
 * {@link HashMap}, {@link LinkedHashMap}, {@link HashSet}, what {@code List.of}, {@code Set.of} and {@code Map.of} make,
 * and what {@link TensorMaps} tell each other; then the classes given, in their order, which must be the same on all ranks.
 * Records need no more than their name in that list. An object has at most {@link #MAX_BYTES} bytes and a depth of 64. Thread-safe.
 */
public final class ObjectCodec {
    /** The most bytes of one object. */
    public static final int MAX_BYTES = 64 << 20;

    private static final int MAX_DEPTH = 64;

    private final Kryo kryo;

    /** A codec of the base classes and {@code objects}. */
    public ObjectCodec(List<Class<?>> objects) {
        kryo = new StrictKryo();
        kryo.setRegistrationRequired(true);
        kryo.setReferences(false);
        kryo.setMaxDepth(MAX_DEPTH);
        for (Class<?> array : List.of(
                boolean[].class,
                byte[].class,
                char[].class,
                short[].class,
                int[].class,
                long[].class,
                float[].class,
                double[].class,
                String[].class)) {
            kryo.register(array);
        }
        for (Class<?> base : List.of(ArrayList.class, HashMap.class, LinkedHashMap.class, HashSet.class)) {
            kryo.register(base);
        }
        kryo.register(UUID.class, new DefaultSerializers.UUIDSerializer()); // Kryo has it, but not as a default
        // Kryo has serializers for the immutable collections; their classes have no public name.
        for (Object sample : List.of(
                List.of(),
                List.of(1),
                List.of(1, 2, 3),
                List.of(1, 2, 3).subList(0, 2),
                Set.of(),
                Set.of(1),
                Map.of(),
                Map.of(1, 1))) {
            if (kryo.getClassResolver().getRegistration(sample.getClass()) == null) {
                kryo.register(sample.getClass());
            }
        }
        for (Class<?> own : List.of(DataType.class, TensorContents.Entry.class, TensorContents.class)) {
            kryo.register(own);
        }
        for (Class<?> type : objects) {
            if (kryo.getClassResolver().getRegistration(type) == null) {
                kryo.register(type);
            }
        }
    }

    /**
     * The bytes of {@code value}.
     *
     * @throws CommunicatorException UNREGISTERED_CLASS if it, or something in it, is of a class that was not registered;
     *     PROTOCOL if it is too large or too deep
     */
    public synchronized byte[] encode(Object value) {
        Output output = new Output(1024, MAX_BYTES);
        try {
            kryo.writeClassAndObject(output, value);
        } catch (KryoBufferOverflowException tooLarge) {
            throw broken(
                    "an object of " + value.getClass().getName() + " has more than " + MAX_BYTES + " bytes", tooLarge);
        } catch (RuntimeException failure) {
            throw translated("cannot write an object of " + value.getClass().getName(), failure);
        } finally {
            kryo.reset();
        }
        return output.toBytes();
    }

    /**
     * The object of {@code bytes}.
     *
     * @throws CommunicatorException UNREGISTERED_CLASS or PROTOCOL if they are not an object that this codec could have
     *     written, or one of another class than {@code type}
     */
    public synchronized <T> T decode(byte[] bytes, Class<T> type) {
        Object value;
        Input input = new Input(bytes);
        try {
            value = kryo.readClassAndObject(input);
        } catch (RuntimeException failure) {
            throw translated("cannot read an object of " + type.getName(), failure);
        } finally {
            kryo.reset();
        }
        if (input.position() != bytes.length) {
            throw broken(
                    bytes.length - input.position() + " bytes are left over after an object of " + type.getName(),
                    null);
        }
        if (!type.isInstance(value)) {
            String got = value == null ? "null" : value.getClass().getName();
            throw broken("an object of " + type.getName() + " was expected, not " + got, null);
        }
        return type.cast(value);
    }

    private static CommunicatorException translated(String what, RuntimeException failure) {
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            if (cause instanceof UnregisteredClass unregistered) {
                return new CommunicatorException(LockstepException.report(
                                ErrorCode.UNREGISTERED_CLASS,
                                what + ": class " + unregistered.name + " is not registered")
                        .attempt("BarrierStage.registering(" + unregistered.name
                                + ".class), or WorldSpec.withObjects without Spark"));
            }
        }
        return broken(what + ": " + failure.getMessage(), failure);
    }

    private static CommunicatorException broken(String what, @Nullable Throwable cause) {
        return new CommunicatorException(
                LockstepException.report(ErrorCode.PROTOCOL, what).cause(cause));
    }

    /** Kryo tells an unregistered class by the text of an exception only. */
    private static final class StrictKryo extends Kryo {
        @Override
        @SuppressWarnings("rawtypes") // the signature is Kryo's
        public Registration getRegistration(Class type) {
            try {
                return super.getRegistration(type);
            } catch (IllegalArgumentException unregistered) {
                throw new UnregisteredClass(type.getName());
            }
        }
    }

    private static final class UnregisteredClass extends KryoException {
        @Serial
        private static final long serialVersionUID = 1;

        final String name;

        UnregisteredClass(String name) {
            super("class is not registered: " + name);
            this.name = name;
        }
    }
}
