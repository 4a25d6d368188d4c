package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.esotericsoftware.kryo.kryo5.Kryo;
import com.esotericsoftware.kryo.kryo5.io.Output;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.List;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.lockstep.ErrorCode;

/** The bounds of what can travel as an object, and what a peer that keeps to none of them can send. */
class ObjectCodecTest {
    private static final int MAX_DEPTH = 64;

    private final ObjectCodec codec = new ObjectCodec(List.of());

    record Known(int number) {}

    record Other(int number) {}

    private static void assertRefused(ErrorCode code, ThrowingCallable call, String... texts) {
        CommunicatorException refused = catchThrowableOfType(CommunicatorException.class, call);
        assertThat(refused).isNotNull();
        assertThat(refused.code()).as(refused.getMessage()).isEqualTo(code);
        assertThat(refused.getMessage()).contains(texts);
    }

    @Test
    void anObjectHasAtMostSoManyBytes() {
        int some = 3 << 20; // whose length is written in as many bytes as that of the most
        int around = codec.encode(new byte[some]).length - some;
        byte[] most = new byte[ObjectCodec.MAX_BYTES - around];
        assertThat(codec.encode(most)).hasSize(ObjectCodec.MAX_BYTES);
        byte[] more = new byte[most.length + 1];
        assertRefused(
                ErrorCode.PROTOCOL,
                () -> codec.encode(more),
                "an object of [B has more than " + ObjectCodec.MAX_BYTES + " bytes");
        assertThat(codec.decode(codec.encode("after it"), String.class)).isEqualTo("after it");
    }

    /** As many lists as that, each in the one before. */
    private static List<Object> nested(int depth) {
        List<Object> list = new ArrayList<>();
        for (int i = 1; i < depth; i++) {
            list = new ArrayList<>(List.of(list));
        }
        return list;
    }

    @Test
    void anObjectIsAtMostSoDeep() {
        List<Object> deepest = nested(MAX_DEPTH);
        assertThat(codec.decode(codec.encode(deepest), List.class)).isEqualTo(deepest);
        assertRefused(
                ErrorCode.PROTOCOL,
                () -> codec.encode(nested(MAX_DEPTH + 1)),
                "cannot write an object of java.util.ArrayList",
                "depth");
        assertThat(codec.decode(codec.encode("after it"), String.class)).isEqualTo("after it");
    }

    /** The bytes of a peer that registers nothing, and so names classes. */
    private static byte[] named(Object value) {
        Kryo kryo = new Kryo();
        kryo.setRegistrationRequired(false);
        kryo.setReferences(false);
        Output output = new Output(1024, 1 << 20);
        kryo.writeClassAndObject(output, value);
        return output.toBytes();
    }

    @Test
    void whatIsDeeperIsNotReadEither() {
        assertThat(codec.decode(named(nested(MAX_DEPTH)), List.class)).isEqualTo(nested(MAX_DEPTH));
        ObjectCodec another = new ObjectCodec(List.of()); // which has not heard the name of the class yet
        assertRefused(
                ErrorCode.PROTOCOL,
                () -> another.decode(named(nested(MAX_DEPTH + 1)), List.class),
                "cannot read an object of java.util.List",
                "depth");
    }

    @Test
    void noClassIsMadeBecauseAPeerNamesIt() {
        assertRefused(
                ErrorCode.UNREGISTERED_CLASS,
                () -> codec.decode(named(new Date(0)), Object.class),
                "class java.util.Date is not registered",
                "withObjects");
        assertRefused(
                ErrorCode.UNREGISTERED_CLASS,
                () -> codec.decode(named(new ArrayList<>(List.of(new Date(0)))), Object.class),
                "class java.util.Date is not registered");
    }

    /** The numbers of classes are those of their places in the list, which ends sooner here. */
    @Test
    void aClassOfAPeersThatHasNoNumberHereIsRefused() {
        ObjectCodec theirs = new ObjectCodec(List.of(Known.class, Other.class));
        ObjectCodec mine = new ObjectCodec(List.of(Known.class));
        assertThat(mine.decode(theirs.encode(new Known(3)), Known.class)).isEqualTo(new Known(3));
        assertRefused(
                ErrorCode.PROTOCOL,
                () -> mine.decode(theirs.encode(new Other(3)), Other.class),
                "cannot read an object of " + Other.class.getName(),
                "unregistered class ID");
        assertRefused(
                ErrorCode.PROTOCOL,
                () -> mine.decode(theirs.encode(new Other(3)), Known.class),
                "cannot read an object of " + Known.class.getName());
        assertThat(mine.decode(mine.encode(new Known(4)), Known.class)).isEqualTo(new Known(4));
    }

    /** A peer with the classes in another order writes what is another class here. */
    @Test
    void anObjectOfAnotherClassThanExpectedIsRefused() {
        ObjectCodec theirs = new ObjectCodec(List.of(Other.class, Known.class));
        ObjectCodec mine = new ObjectCodec(List.of(Known.class, Other.class));
        assertRefused(
                ErrorCode.PROTOCOL,
                () -> mine.decode(theirs.encode(new Known(3)), Known.class),
                "an object of " + Known.class.getName() + " was expected, not " + Other.class.getName());
    }

    @Test
    void bytesThatAreCutShortOrGoOnAreRefused() {
        byte[] whole = codec.encode("words");
        byte[] cut = Arrays.copyOf(whole, whole.length - 1);
        byte[] longer = Arrays.copyOf(whole, whole.length + 2);
        assertRefused(ErrorCode.PROTOCOL, () -> codec.decode(cut, String.class), "cannot read an object of");
        assertRefused(
                ErrorCode.PROTOCOL, () -> codec.decode(longer, String.class), "2 bytes are left over after an object");
    }
}
