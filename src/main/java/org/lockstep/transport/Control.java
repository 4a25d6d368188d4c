package org.lockstep.transport;

import java.io.IOException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Roster;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One JVM's part in watching the others of its attempt: signs of life both ways, the first verdict told to all, the
 * calls that its ranks make ({@link Switchboard}), and the doors that they keep ({@link Doorkeeper}).
 *
 * <p>The connections are a star around the JVM of the first rank, which passes verdicts and calls on. A JVM that closes its
 * connection without a goodbye is lost at once, one that is silent for too long after a while. A JVM that was itself
 * stopped hears everything first and judges nobody by the time that it missed. When the first rank's JVM has said goodbye
 * the others are on their own: then only data connections tell of a loss.
 *
 * <p>The one thread of its own that an attempt has in a JVM, for a rank that computes can hear nothing; it answers for it.
 * Thread-safe.
 */
final class Control {
    /** The number of this star among the groups on the wire. */
    static final long GROUP = 0;

    private static final Logger LOG = LoggerFactory.getLogger(Control.class);
    private static final long FAREWELL_MILLIS = 2000;
    private static final long BUSY_MILLIS = 100;

    private final Fate fate;
    private final Roster roster;
    private final int me;
    private final Rhythm rhythm;
    private final Selector selector;
    private final Queue<Station> arrivals = new ConcurrentLinkedQueue<>();
    private final List<Station> stations = new ArrayList<>();
    private final List<Doorkeeper> doorkeepers = new ArrayList<>();
    private final Map<Integer, Station> byRank = new HashMap<>(); // also those that left
    private final List<Message> early = new ArrayList<>(); // to stations that are not here yet
    private final Map<Asker, Integer> unanswered = new HashMap<>(); // whom it asked, through a connection of ours
    private final Runnable wake;
    private final Thread thread;
    private volatile boolean stopped;

    private record Asker(int rank, long number) {}

    private Control(Fate fate, Roster roster, int me, Rhythm rhythm, Selector selector) {
        this.fate = fate;
        this.roster = roster;
        this.me = me;
        this.rhythm = rhythm;
        this.selector = selector;
        this.wake = selector::wakeup;
        this.thread = new Thread(this::run, "lockstep-control");
        thread.setDaemon(true);
    }

    /**
     * To whose JVMs a rank has a control connection, with their ranks: none but for the lowest rank of a JVM, and only where
     * there are several.
     */
    static Map<Integer, List<Integer>> stations(Roster roster, int rank) {
        Map<Long, List<Integer>> venues = new LinkedHashMap<>();
        int first = roster.grid().rankOffset();
        for (int each = first; each < first + roster.size(); each++) {
            venues.computeIfAbsent(roster.hello(each).venue(), any -> new ArrayList<>())
                    .add(each);
        }
        Map<Integer, List<Integer>> stations = new LinkedHashMap<>();
        for (List<Integer> ranks : venues.values()) {
            if (rank == first || ranks.contains(first)) {
                stations.put(ranks.get(0), ranks);
            }
        }
        stations.remove(rank);
        return leads(roster, rank) ? stations : Map.of();
    }

    /** Whether a rank is the lowest of its JVM, which is who watches. */
    static boolean leads(Roster roster, int rank) {
        int first = roster.grid().rankOffset();
        return IntStream.range(first, rank)
                .noneMatch(
                        each -> roster.hello(each).venue() == roster.hello(rank).venue());
    }

    /** Begins to watch on behalf of this JVM, whose lowest rank is {@code me}, until the fate is over. */
    static Control start(Fate fate, Roster roster, int me, Rhythm rhythm) {
        try {
            Control control = new Control(fate, roster, me, rhythm, Selector.open());
            fate.listen(control.wake);
            fate.watchedBy(control.wake);
            control.thread.start();
            fate.atEnd(control::stop);
            return control;
        } catch (IOException failure) {
            throw new CommunicatorException(LockstepException.report(
                            ErrorCode.RENDEZVOUS_FAILED, "rank " + me + " cannot watch its peers: " + failure)
                    .cause(failure));
        }
    }

    /** A connection to the JVM of these ranks was made. */
    void add(List<Integer> ranks, Links.Proven connection) {
        arrivals.add(new Station(ranks, connection));
        selector.wakeup();
    }

    /** Says goodbye and ends; returns when that is done. */
    private void stop() {
        stopped = true;
        selector.wakeup();
        boolean interrupted = Thread.interrupted();
        try {
            thread.join(FAREWELL_MILLIS);
        } catch (InterruptedException again) {
            interrupted = true;
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void run() {
        try (selector) {
            long turn = System.nanoTime();
            long beatAt = turn;
            while (!stopped) {
                long nanos = beatAt - System.nanoTime();
                if (nanos > 0 && stations.stream().noneMatch(Station::isBusy)) {
                    long millis = 1 + TimeUnit.NANOSECONDS.toMillis(nanos);
                    boolean busy = doorkeepers.stream().anyMatch(Doorkeeper::isBusy);
                    selector.select(busy ? Math.min(BUSY_MILLIS, millis) : millis);
                } else {
                    selector.selectNow();
                }
                long last = turn;
                turn = System.nanoTime();
                admit();
                keepDoors();
                stations.forEach(this::hear);
                send();
                forgive(turn - last - 2 * rhythm.beat().toNanos());
                boolean beats = turn - beatAt >= 0;
                if (beats) {
                    beatAt = turn + rhythm.beat().toNanos();
                }
                Verdict verdict = fate.verdict();
                for (Station station : stations) {
                    speak(station, beats, verdict);
                    judge(station);
                }
                stations.removeIf(this::isGone);
            }
        } catch (CommunicatorException known) { // of a door that is kept
            fate.seal(Verdict.found(me, GROUP, known));
        } catch (IOException | RuntimeException | Error failure) {
            fate.seal(new Verdict(
                    ErrorCode.INTERNAL, me, GROUP, "rank " + me + " cannot watch its peers: " + failure, -1, failure));
        } finally {
            fate.forget(wake);
            Station late = arrivals.poll();
            while (late != null) {
                stations.add(late);
                late = arrivals.poll();
            }
            stations.forEach(station -> station.close(fate.verdict()));
            doorkeepers.forEach(Doorkeeper::close);
        }
    }

    /** Goes on with who comes to the doors of this JVM's ranks, and whom they call. */
    private void keepDoors() throws IOException {
        for (SelectionKey ready : selector.selectedKeys()) {
            if (ready.attachment() instanceof OnReady one && ready.isValid()) {
                one.proceed(ready);
            }
        }
        selector.selectedKeys().clear();
        for (Doorkeeper next = fate.nextDoorkeeper(); next != null; next = fate.nextDoorkeeper()) {
            next.begin(selector);
            doorkeepers.add(next);
        }
        for (Doorkeeper keeper : List.copyOf(doorkeepers)) {
            if (!keeper.turn()) {
                doorkeepers.remove(keeper);
            }
        }
    }

    private void admit() throws IOException {
        Station station = arrivals.poll();
        while (station != null) {
            station.register(selector);
            stations.add(station);
            for (int rank : station.ranks()) {
                byRank.put(rank, station);
            }
            station = arrivals.poll();
        }
    }

    private void hear(Station station) {
        Verdict verdict = station.listen(message -> take(message, station));
        if (verdict != null) {
            fate.seal(verdict);
        }
    }

    /** A message came: for a rank of this JVM, or to be passed on. */
    private void take(Message message, Station bringer) {
        boolean leads = isHere(roster.grid().rankOffset());
        boolean known = leads ? bringer.has(message.from()) : isRank(message.from()) && !isHere(message.from());
        if (!known || !isRank(message.to())) {
            bringer.refuse("a call of rank " + message.from() + " to rank " + message.to());
            return;
        }
        if (message.envelope().answers()) {
            unanswered.remove(new Asker(message.to(), message.envelope().number()));
        }
        if (isHere(message.to())) {
            fate.switchboard().arrive(message);
        } else if (leads) {
            send(message);
        } else {
            bringer.refuse("a call to rank " + message.to() + ", which is elsewhere");
        }
    }

    private boolean isRank(int rank) {
        int place = rank - roster.grid().rankOffset();
        return place >= 0 && place < roster.size();
    }

    private boolean isHere(int rank) {
        return roster.hello(rank).venue() == roster.hello(me).venue();
    }

    /** Sends what the ranks of this JVM have to say, and what waited for a connection. */
    private void send() {
        List<Message> waited = List.copyOf(early);
        early.clear();
        waited.forEach(this::send);
        for (Message message = fate.switchboard().next();
                message != null;
                message = fate.switchboard().next()) {
            send(message);
        }
    }

    private void send(Message message) {
        int first = roster.grid().rankOffset();
        Station station = byRank.get(isHere(first) ? message.to() : first);
        if (station == null) {
            early.add(message);
        } else if (station.hasLeft()) {
            if (!message.envelope().answers()) { // who left waits for none
                lose(station, "left before a call of rank " + message.from() + " reached it");
            }
        } else if (!station.isOver()) { // or how it ended is the verdict
            station.post(message);
            if (!message.envelope().answers()) {
                unanswered.put(new Asker(message.from(), message.envelope().number()), message.to());
            }
        }
    }

    /** It left in order, but if somebody waits for its answer that is as if it were lost. */
    private void settle(Station station) {
        boolean leads = isHere(roster.grid().rankOffset());
        unanswered.keySet().removeIf(asker -> station.has(asker.rank)); // it waits no more itself
        unanswered.forEach((asker, asked) -> {
            if (!leads || station.has(asked)) {
                lose(station, "left without the answer that rank " + asker.rank + " waits for");
            }
        });
    }

    /** This JVM stood still for so long: the others may have spoken to it in vain, or stood still too. */
    private void forgive(long nanos) {
        if (nanos > 0) {
            stations.forEach(station -> station.heard += nanos);
        }
    }

    private static void speak(Station station, boolean beats, @Nullable Verdict verdict) {
        if (!station.isOver()) {
            if (verdict != null) {
                station.tell(verdict);
            }
            if (beats) {
                station.beat();
            }
            station.push();
        }
    }

    private void judge(Station station) {
        String end = station.end();
        if (end != null) {
            end(station.isWrong() ? ErrorCode.PROTOCOL : ErrorCode.PEER_LOST, station, end);
            return;
        }
        long silence = System.nanoTime() - station.heard;
        if (silence >= rhythm.loss().toNanos()) {
            lose(station, "gave no sign of life for " + seconds(rhythm.loss().toNanos()));
        } else if (silence >= rhythm.suspicion().toNanos() && !station.suspected) {
            station.suspected = true;
            LOG.warn("rank {} has not heard of {} for {}", me, station.name(), seconds(silence));
        } else if (silence < rhythm.suspicion().toNanos() && station.suspected) {
            station.suspected = false;
            LOG.info("rank {} hears {} again", me, station.name());
        }
    }

    private void lose(Station station, String how) {
        end(ErrorCode.PEER_LOST, station, how);
    }

    private void end(ErrorCode code, Station station, String how) {
        fate.seal(new Verdict(code, me, GROUP, station.name() + " " + how, station.rank(), null));
    }

    private boolean isGone(Station station) {
        if (!station.isOver()) {
            return false;
        }
        settle(station);
        station.close(null);
        return true;
    }

    private static String seconds(long nanos) {
        return String.format(Locale.ROOT, "%.1f s", nanos / 1e9);
    }
}
