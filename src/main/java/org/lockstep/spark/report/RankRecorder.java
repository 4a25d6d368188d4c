package org.lockstep.spark.report;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.collective.Traffic;
import org.lockstep.inference.Completion;
import org.lockstep.inference.Generator;
import org.lockstep.inference.StepStats;
import org.lockstep.spark.gang.Rank;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ProcessGroup;

/** Writes down what one rank does in one run, from its making until {@link #report}. Confined to the rank's thread. */
public final class RankRecorder {
    private final Rank rank;
    private final Generator generator;
    private final long loadNanos;
    private final long start = System.nanoTime();
    private final Traffic before;
    private final Map<GroupKind, Communicator> groups;
    private final Map<Part, Traffic> movedBefore;
    private final long computedBefore;
    private final Timeline timeline = new Timeline(System.currentTimeMillis(), start);
    private final Latencies latencies = new Latencies();
    private final SortedMap<String, Long> errors = new TreeMap<>();

    /**
     * A record that begins now.
     *
     * @param kinds the groups whose traffic is told
     */
    public RankRecorder(Rank rank, List<GroupKind> kinds, Generator generator, long loadNanos) {
        this.rank = rank;
        this.generator = generator;
        this.loadNanos = loadNanos;
        this.before = rank.communicators().traffic();
        this.groups = groups(rank, kinds);
        this.movedBefore = moved(groups);
        this.computedBefore = generator.times().computeNanos();
    }

    private record Part(GroupKind kind, Operation operation) {}

    /** This rank's groups; a group of one moves nothing, and kinds may share one. */
    private static Map<GroupKind, Communicator> groups(Rank rank, List<GroupKind> kinds) {
        Set<ProcessGroup> seen = new HashSet<>();
        return kinds.stream()
                .filter(kind -> rank.communicators().of(kind).size() > 1)
                .filter(kind -> seen.add(rank.communicators().of(kind).group()))
                .collect(Collectors.toMap(
                        kind -> kind, kind -> rank.communicators().of(kind), (a, b) -> a, TreeMap::new));
    }

    /** What went through them so far. */
    private static Map<Part, Traffic> moved(Map<GroupKind, Communicator> groups) {
        Map<Part, Traffic> moved = new HashMap<>();
        groups.forEach((kind, group) -> {
            for (Operation operation : Operation.values()) {
                moved.put(new Part(kind, operation), group.traffic(operation));
            }
        });
        return moved;
    }

    private List<GroupTraffic> moved() {
        List<GroupTraffic> parts = new ArrayList<>();
        groups.forEach((kind, group) -> {
            for (Operation operation : Operation.values()) {
                Traffic since = group.traffic(operation)
                        .minus(movedBefore.getOrDefault(new Part(kind, operation), Traffic.NONE));
                if (since.operations() > 0) {
                    parts.add(new GroupTraffic(
                            kind,
                            group.group().index(),
                            group.size(),
                            operation,
                            since.operations(),
                            since.bytes(),
                            since.nanos()));
                }
            }
        });
        return parts;
    }

    /** A row cannot be answered: its error in the words of the error contract, which begin with code and name. */
    public void failed(String error) {
        String[] words = error.split("\\s+", 3);
        errors.merge(words.length < 2 ? error : words[0] + " " + words[1], 1L, Long::sum);
    }

    /** Listens, and hands on. */
    public Generator.Listener before(Generator.Listener next) {
        return new Listening(next);
    }

    /** The run has ended well. */
    public RankReport report() {
        return new RankReport(
                rank.state().rank(),
                rank.state().dataParallelRank(),
                rank.world().roster().host(rank.state().rank()),
                rank.world().isResumed(),
                rank.world().meetingTime().toNanos(),
                rank.setupTime().minus(rank.world().meetingTime()).toNanos(),
                loadNanos,
                System.nanoTime() - start,
                generator.times().computeNanos() - computedBefore,
                rank.communicators().traffic().nanos() - before.nanos(),
                timeline,
                latencies,
                moved(),
                errors);
    }

    private final class Listening implements Generator.Listener {
        private final Generator.Listener next;
        private long lastTurn = start;
        private long communicated = before.nanos();

        Listening(Generator.Listener next) {
            this.next = next;
        }

        @Override
        public void onTurn(long from, long to) {
            timeline.computed(from, to);
            long now = rank.communicators().traffic().nanos();
            timeline.communicated(lastTurn, to, Math.max(0, Math.min(now - communicated, to - lastTurn)));
            communicated = now;
            lastTurn = to;
            next.onTurn(from, to);
        }

        @Override
        public void onToken(long id, int position, int token, long waited) {
            if (position == 0) {
                latencies.firstToken(waited);
            } else {
                latencies.nextToken(waited);
            }
            next.onToken(id, position, token, waited);
        }

        @Override
        public void onStep(StepStats stats) {
            timeline.putOut(System.nanoTime(), stats.outputTokens());
            next.onStep(stats);
        }

        @Override
        public void onCompletion(Completion completion) {
            next.onCompletion(completion);
        }
    }
}
