package org.lockstep.collective;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.Placement;
import org.lockstep.topology.ProcessGrid;
import org.lockstep.topology.ProcessGroup;

/**
 * Which transports carry the groups of a plan, as far as the places of its ranks are known: pairs of ranks, counted.
 *
 * <p>JVMs of one host count as sharing memory, which only they themselves can see: {@link Roster#transport} tells once
 * they have met. Immutable.
 */
public final class TransportPlan {
    private final ProcessGrid grid;
    private final int[] hosts;
    private final int[] jvms;
    private final Set<TransportKind> allowed;

    private TransportPlan(ProcessGrid grid, int[] hosts, int[] jvms, Set<TransportKind> allowed) {
        this.grid = grid;
        this.hosts = hosts;
        this.jvms = jvms;
        this.allowed = allowed;
    }

    /**
     * The plan of a placement.
     *
     * @param jvm names the JVM of a slot, in all the world
     * @param allowed as in {@link WorldSpec#transports}
     */
    public static TransportPlan of(
            ProcessGrid grid, Placement placement, Function<Placement.Slot, ?> jvm, Set<TransportKind> allowed) {
        return new TransportPlan(
                grid,
                numbers(placement.slots(), Placement.Slot::host),
                numbers(placement.slots(), jvm),
                Set.copyOf(allowed));
    }

    private static int[] numbers(List<Placement.Slot> slots, Function<Placement.Slot, ?> name) {
        Map<Object, Integer> numbers = new HashMap<>();
        return slots.stream()
                .mapToInt(slot -> numbers.computeIfAbsent(name.apply(slot), any -> numbers.size()))
                .toArray();
    }

    /**
     * The pairs of ranks in all groups of a kind.
     *
     * @param groups how many groups there are
     * @param ranks in each of them
     * @param thread pairs in one JVM that use its heap
     * @param shared pairs on one host that share memory
     * @param tcp all others
     * @param tcpOnHost those of {@code tcp} that are on one host
     */
    public record Pairs(int groups, int ranks, long thread, long shared, long tcp, long tcpOnHost) {
        /** The pairs of one transport. */
        public long of(TransportKind kind) {
            return switch (kind) {
                case THREAD -> thread;
                case SHARED -> shared;
                case TCP -> tcp;
            };
        }

        /** In words: {@code 2 of 4 ranks: threads of one JVM}. */
        @Override
        public String toString() {
            String size = groups + " of " + ranks + (ranks == 1 ? " rank: " : " ranks: ");
            long all = thread + shared + tcp;
            if (all == 0) {
                return size + "nobody to reach";
            }
            if (thread == all) {
                return size + "threads of one JVM";
            }
            if (shared == all) {
                return size + "shared memory between JVMs of a host";
            }
            if (tcp == all) {
                return size + "tcp" + (tcpOnHost == 0 ? " between hosts" : tcpOnHost == all ? " inside a host" : "");
            }
            return size
                    + Arrays.stream(TransportKind.values())
                            .filter(kind -> of(kind) > 0)
                            .map(kind -> String.format(
                                    Locale.ROOT,
                                    "%s %,d pair%s",
                                    kind == TransportKind.THREAD ? "threads" : kind,
                                    of(kind),
                                    of(kind) == 1 ? "" : "s"))
                            .collect(Collectors.joining(", "));
        }
    }

    /** The pairs of a kind of groups. */
    public Pairs pairs(GroupKind kind) {
        List<ProcessGroup> groups = grid.groups(kind);
        int[] seen = new int[grid.worldSize()];
        long inJvm = 0;
        long onHost = 0;
        long all = 0;
        for (ProcessGroup group : groups) {
            inJvm += pairs(group, jvms, seen);
            onHost += pairs(group, hosts, seen);
            all += (long) group.size() * (group.size() - 1) / 2;
        }
        long thread = allowed.contains(TransportKind.THREAD) ? inJvm : 0;
        long shared = allowed.contains(TransportKind.SHARED) ? onHost - thread : 0;
        long near = thread + shared;
        return new Pairs(groups.size(), groups.get(0).size(), thread, shared, all - near, onHost - near);
    }

    /** The pairs of a group that are in the same place; {@code seen} is zero for every place, before and after. */
    private long pairs(ProcessGroup group, int[] places, int[] seen) {
        long pairs = 0;
        for (int i = 0; i < group.size(); i++) {
            pairs += seen[places[group.rank(i) - grid.rankOffset()]]++;
        }
        for (int i = 0; i < group.size(); i++) {
            seen[places[group.rank(i) - grid.rankOffset()]] = 0;
        }
        return pairs;
    }

    /**
     * A line a kind, below a title; no line break at the end.
     *
     * @param title what the places are taken from
     */
    public String lines(String title, List<GroupKind> kinds) {
        int width = kinds.stream().mapToInt(kind -> kind.token().length()).max().orElse(1);
        return kinds.stream()
                .map(kind -> String.format(Locale.ROOT, "  %-" + width + "s  %s", kind.token(), pairs(kind)))
                .collect(Collectors.joining("\n", title + "\n", ""));
    }
}
