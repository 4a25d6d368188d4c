package org.lockstep.spark.gang;

import java.lang.ref.WeakReference;
import java.time.Duration;
import java.util.UUID;
import org.apache.spark.SparkContext;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerJobStart;
import org.jspecify.annotations.Nullable;
import org.lockstep.spark.settings.Settings;

/**
 * What stays of one loaded model in the executors between runs, as the driver knows it: the ranks of one layout at a time.
 *
 * <p>It ends with {@link #close}, with a run of another layout or of another model in this application, with a run that
 * fails, with the application, when it idled for too long, and when nobody holds the model any more: Spark then cleans the
 * broadcast up. Thread-safe.
 */
public final class Residence implements AutoCloseable {
    /** In the properties of our jobs: whose run they belong to. */
    private static final String OWNER = "lockstep.residence";

    private final SparkContext context;
    private final String name = UUID.randomUUID().toString();
    private @Nullable Place place;
    private boolean occupied; // by a run
    private boolean unwanted; // once that run is over

    /** Where the ranks of a layout wait, and who may end that. */
    private record Place(String layout, Broadcast<Residents> residents, Rival rival) {}

    public Residence(SparkContext context) {
        this.context = context;
    }

    /**
     * Begins a run. One run at a time uses what stays; of others at the same time nothing stays.
     *
     * @param layout all that a rank which stays must have in common with one that is wanted
     */
    public synchronized Stay enter(String layout) {
        Duration idle = Settings.RESIDENT_IDLE.in(context.getConf());
        if (occupied || idle.isZero()) {
            return new Stay(broadcast(), Duration.ZERO, false);
        }
        if (place == null || !place.layout().equals(layout)) {
            release();
            place = new Place(layout, broadcast(), new Rival(this));
            context.addSparkListener(place.rival());
        }
        occupied = true;
        unwanted = false;
        return new Stay(place.residents(), idle, true);
    }

    private Broadcast<Residents> broadcast() {
        return JavaSparkContext.fromSparkContext(context).broadcast(new Residents());
    }

    private synchronized void leave() {
        occupied = false;
        if (unwanted) {
            release();
        }
    }

    /** Gives back what stays, now or when the run that uses it is over. Idempotent; a later run begins anew. */
    @Override
    public synchronized void close() {
        if (occupied) {
            unwanted = true;
        } else {
            release();
        }
    }

    /**
     * The broadcast itself remains, since the results of runs refer to it; the executors drop their copies, which closes
     * them, and a local master's ranks are in the driver's.
     */
    private void release() {
        Place old = place;
        place = null;
        if (old != null && !context.isStopped()) {
            context.removeSparkListener(old.rival());
            old.residents().value().close();
            old.residents().unpersist(false);
        }
    }

    /** A run's part of the residence. Confined to the run's thread. */
    public final class Stay implements AutoCloseable {
        private final Broadcast<Residents> residents;
        private final Duration idle;
        private final boolean owner;
        private final @Nullable String before = context.getLocalProperty(OWNER);

        private Stay(Broadcast<Residents> residents, Duration idle, boolean owner) {
            this.residents = residents;
            this.idle = idle;
            this.owner = owner;
            context.setLocalProperty(OWNER, name);
        }

        public Broadcast<Residents> residents() {
            return residents;
        }

        /** How long ranks may wait for the next run; zero if none shall. */
        public Duration idle() {
            return idle;
        }

        /** The run failed: nothing of it stays. */
        public void fail() {
            if (owner) {
                Residence.this.close();
            }
        }

        @Override
        public void close() {
            context.setLocalProperty(OWNER, before);
            if (owner) {
                leave();
            }
        }
    }

    /** Ends a residence when a run of another model begins: executors seldom have room for two. Holds it weakly. */
    private static final class Rival extends SparkListener {
        private final WeakReference<Residence> residence;
        private final SparkContext context;
        private final String name;

        Rival(Residence residence) {
            this.residence = new WeakReference<>(residence);
            this.context = residence.context;
            this.name = residence.name;
        }

        @Override
        public void onJobStart(SparkListenerJobStart job) {
            String owner = job.properties() == null ? null : job.properties().getProperty(OWNER);
            Residence mine = residence.get();
            if (mine == null) {
                context.removeSparkListener(this);
            } else if (owner != null && !owner.equals(name)) {
                mine.close();
            }
        }
    }
}
