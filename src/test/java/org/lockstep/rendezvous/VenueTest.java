package org.lockstep.rendezvous;

import static org.assertj.core.api.Assertions.assertThat;

import com.esotericsoftware.kryo.kryo5.Kryo;
import com.esotericsoftware.kryo.kryo5.io.Input;
import com.esotericsoftware.kryo.kryo5.io.Output;
import com.esotericsoftware.kryo.kryo5.objenesis.strategy.StdInstantiatorStrategy;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import org.junit.jupiter.api.Test;

class VenueTest {
    private final Venue venue = new Venue();

    @Test
    void whoeverAsksFirstMakesTheThingAndAllHaveIt() {
        Object first = venue.shared("key", Object.class, Object::new);
        assertThat(venue.shared("key", Object.class, Object::new)).isSameAs(first);
        venue.forget("key");
        assertThat(venue.shared("key", Object.class, Object::new)).isNotSameAs(first);
        assertThat(venue.id()).isEqualTo(venue.id());
    }

    @Test
    void aCopyThatTravelledIsAnotherVenue() throws IOException, ClassNotFoundException {
        venue.shared("key", Object.class, Object::new);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(venue);
        }
        try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
            assertIsAnother((Venue) in.readObject());
        }
    }

    /** What spark.serializer may be set to: no constructor is called, no hook of Java's serialisation. */
    @Test
    void alsoWhenASerialiserCallsNoConstructor() {
        venue.id();
        Kryo kryo = new Kryo();
        kryo.register(Venue.class);
        kryo.setInstantiatorStrategy(new StdInstantiatorStrategy());
        Output out = new Output(64, -1);
        kryo.writeObject(out, venue);
        assertIsAnother(kryo.readObject(new Input(out.toBytes()), Venue.class));
    }

    private void assertIsAnother(Venue copy) {
        assertThat(copy.id()).isNotNull().isNotEqualTo(venue.id());
        Object thing = new Object();
        assertThat(copy.shared("key", Object.class, () -> thing)).isSameAs(thing);
    }
}
