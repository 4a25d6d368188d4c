package org.lockstep.spark.gang;

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
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.collective.Identity;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.rendezvous.Venue;
import org.lockstep.topology.ParallelSizes;

@Timeout(60)
class ResidentsTest {
    private static final Duration IDLE = Duration.ofHours(999_999_999); // longer than nanoseconds can count

    private static LiveRank rank() {
        return LocalWorld.of(1)
                .run(rendezvous -> {
                    CpuBackend backend = CpuBackend.create();
                    WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(1));
                    return new LiveRank(World.join(rendezvous, backend, spec, Identity.local()), backend);
                })
                .get(0);
    }

    @Test
    void aCopyThatTravelledIsAnotherPlace() throws IOException, ClassNotFoundException {
        Residents here = new Residents();
        here.park(rank(), IDLE);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(here);
        }
        try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
            assertIsAnother((Residents) in.readObject(), here);
        }
        Kryo kryo = new Kryo(); // what spark.serializer may be set to
        kryo.register(Residents.class);
        kryo.register(Venue.class);
        kryo.setInstantiatorStrategy(new StdInstantiatorStrategy());
        Output out = new Output(64, -1);
        kryo.writeObject(out, here);
        assertIsAnother(kryo.readObject(new Input(out.toBytes()), Residents.class), here);
        here.close();
    }

    private static void assertIsAnother(Residents copy, Residents original) {
        assertThat(copy.venue().id()).isNotEqualTo(original.venue().id());
        assertThat(copy.take()).isEmpty();
        copy.park(rank(), IDLE);
        copy.take().orElseThrow().close();
        copy.close();
    }

    @Test
    void onlyTheLivingAreGivenOut() {
        Residents place = new Residents();
        LiveRank dead = rank();
        int[] ended = new int[1];
        dead.keep("weights", () -> ended[0]++);
        place.park(dead, IDLE);
        dead.abort(new IllegalStateException("a peer is lost"));
        assertThat(place.take()).isEmpty();
        assertThat(ended).containsExactly(1);

        LiveRank living = rank();
        place.park(living, IDLE);
        assertThat(place.take()).containsSame(living);
        assertThat(place.take()).as("taken once").isEmpty();
        place.park(living, IDLE);
        place.close();
        assertThat(living.isAlive()).isFalse();
        assertThat(place.take()).isEmpty();
    }
}
