package org.lockstep.topology;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.IntFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A drawing of the machine for people: replicas, in them pipeline stages as rows and tensor ranks as columns.
 *
 * <pre>
 * 4 ranks = tensor 2 × pipeline 2 × data 1
 * replica 0
 *   pipeline stage 0   rank 0  rank 1
 *   pipeline stage 1   rank 2  rank 3
 * </pre>
 *
 * <p>A world of more than {@value #FULL} ranks is abbreviated. With a {@link Placement} each row also tells the hosts and
 * devices, and below stand the groups that are not inside one host. Immutable; {@link #toString} is the drawing.
 */
public final class MachinePicture {
    static final int FULL = 64;

    private static final int MOST_COLUMNS = 16;
    private static final int MOST_STAGES = 16;
    private static final int FEW = 4;

    private final ProcessGrid grid;
    private final GridView dense;
    private final @Nullable Placement placement;
    private final String hosts;
    private final int layers;

    private MachinePicture(ProcessGrid grid, @Nullable Placement placement, String hosts, int layers) {
        this.grid = grid;
        this.dense = grid.dense();
        this.placement = placement;
        this.hosts = hosts;
        this.layers = layers;
    }

    /** The picture of a plan that has no place yet. */
    public static MachinePicture of(ProcessGrid grid) {
        return new MachinePicture(grid, null, "", 0);
    }

    /**
     * The picture of a plan on its hosts and devices.
     *
     * @throws IllegalArgumentException if the placement is that of another world size
     */
    public static MachinePicture of(ProcessGrid grid, Placement placement) {
        if (placement.slots().size() != grid.worldSize()) {
            throw new IllegalArgumentException("slots (" + placement.slots().size()
                    + ") are not as many as world size (" + grid.worldSize() + ")");
        }
        return new MachinePicture(grid, placement, "", 0);
    }

    /**
     * The same picture with the layers of each pipeline stage.
     *
     * @throws IllegalArgumentException if the layers are fewer than the stages
     */
    public MachinePicture withLayers(int layers) {
        LayerRange.of(layers, grid.sizes().pp(), 0, grid.sizes().chunks(), 0);
        return new MachinePicture(grid, placement, hosts, layers);
    }

    /** The same picture that tells in its first line what its hosts are, where it has any: {@code of 8 GPUs}. */
    public MachinePicture withHosts(String kind) {
        return new MachinePicture(grid, placement, " " + kind, layers);
    }

    /** The equation and the replicas, and with a placement the groups across hosts; no line break at the end. */
    @Override
    public String toString() {
        List<String> lines = new ArrayList<>();
        lines.add(sum());
        if (grid.sizes().hasExperts()) {
            lines.add(expertSum());
        }
        int replicas = grid.sizes().dp();
        int shown = grid.worldSize() <= FULL ? replicas : Math.max(1, FULL / (grid.worldSize() / replicas));
        for (int replica = 0; replica < Math.min(shown, replicas); replica++) {
            addReplica(lines, replica);
        }
        if (shown < replicas) {
            lines.add("… and " + more(replicas - shown, "more replica") + " like " + (shown == 1 ? "this" : "these"));
        }
        if (placement != null) {
            addCrossings(lines, placement);
        }
        return String.join("\n", lines);
    }

    /**
     * The groups of every kind, a line a kind, abbreviated in a large world; no line break at the end.
     *
     * @param axes further sets of axes of the dense view, such as {@code tp-dp}
     */
    public String groups(String... axes) {
        Map<String, List<ProcessGroup>> byName = new LinkedHashMap<>();
        for (GroupKind kind : kinds()) {
            byName.put(kind.token(), grid.groups(kind));
        }
        for (String set : axes) {
            byName.put(set, grid.groups(set));
        }
        int width = byName.keySet().stream().mapToInt(String::length).max().orElse(0);
        return byName.entrySet().stream()
                .map(entry -> "  " + pad(entry.getKey(), width) + "  " + listed(entry.getValue()))
                .collect(Collectors.joining("\n", "groups\n", ""));
    }

    private List<GroupKind> kinds() {
        ParallelSizes sizes = grid.sizes();
        List<GroupKind> kinds = new ArrayList<>(List.of(GroupKind.TENSOR));
        if (sizes.cp() > 1) {
            kinds.add(GroupKind.CONTEXT);
        }
        kinds.addAll(List.of(
                GroupKind.PIPELINE,
                GroupKind.DATA,
                GroupKind.MODEL,
                GroupKind.EMBEDDING,
                GroupKind.POSITION_EMBEDDING));
        if (sizes.hasExperts()) {
            kinds.addAll(List.of(GroupKind.EXPERT_TENSOR, GroupKind.EXPERT, GroupKind.EXPERT_DATA));
        }
        return kinds;
    }

    private String sum() {
        ParallelSizes sizes = grid.sizes();
        StringBuilder text = new StringBuilder(more(grid.worldSize(), "rank"))
                .append(" = tensor ")
                .append(sizes.tp());
        if (sizes.cp() > 1) {
            text.append(" × context ").append(sizes.cp());
        }
        text.append(" × pipeline ").append(sizes.pp()).append(" × data ").append(sizes.dp());
        if (!grid.order().equals(RankOrder.DEFAULT)) {
            text.append(", order ").append(grid.order());
        }
        if (grid.rankOffset() > 0) {
            text.append(", from rank ").append(grid.rankOffset());
        }
        if (sizes.virtualPipeline() != null) {
            text.append(", ").append(more(sizes.chunks(), "chunk")).append(" of layers on each stage");
        }
        if (sizes.splitRank() != null) {
            text.append(", decoder from stage ").append(sizes.splitRank());
        }
        if (placement != null) {
            text.append(", on ").append(more(placement.hosts().size(), "host")).append(hosts);
        }
        return text.toString();
    }

    private String expertSum() {
        ParallelSizes sizes = grid.sizes();
        return " ".repeat(more(grid.worldSize(), "rank").length()) + " = expert tensor " + sizes.etp() + " × expert "
                + sizes.ep() + " × pipeline " + sizes.pp() + " × expert data " + sizes.edp();
    }

    private void addReplica(List<String> lines, int replica) {
        int contexts = grid.sizes().cp();
        String columns = contexts == 1
                ? ""
                : " (context " + abbreviated(contexts, FEW, Integer::toString).collect(Collectors.joining(" │ ")) + ")";
        lines.add("replica " + replica + columns);
        int stages = grid.sizes().pp();
        boolean whole = stages <= MOST_STAGES || grid.worldSize() <= FULL;
        for (int stage = 0; stage < stages; stage++) {
            if (!whole && stage == MOST_STAGES / 2) {
                lines.add("  … and " + more(stages - 1 - stage, "more stage") + " like these");
                stage = stages - 1;
            }
            lines.add(row(replica, stage));
        }
    }

    private String row(int replica, int stage) {
        int tensors = grid.sizes().tp();
        int contexts = grid.sizes().cp();
        int start = grid.rankOffset() + replica * dense.stride(Axis.DP) + stage * dense.stride(Axis.PP);
        IntFunction<int[]> tensorRanks = context -> IntStream.range(0, tensors)
                .map(tensor -> start + context * dense.stride(Axis.CP) + tensor * dense.stride(Axis.TP))
                .toArray();
        String cells = abbreviated(contexts, FEW, context -> {
                    int[] ranks = tensorRanks.apply(context);
                    return abbreviated(tensors, MOST_COLUMNS / Math.min(contexts, FEW), i -> cell(ranks[i]))
                            .collect(Collectors.joining("  "));
                })
                .collect(Collectors.joining("  │  "));
        int[] all = IntStream.range(0, contexts)
                .mapToObj(tensorRanks)
                .flatMapToInt(IntStream::of)
                .toArray();
        return "  pipeline stage " + padLeft(stage, grid.sizes().pp() - 1) + layers(stage) + "   " + cells + where(all);
    }

    private String cell(int rank) {
        return "rank " + padLeft(rank, grid.rankOffset() + grid.worldSize() - 1);
    }

    private String layers(int stage) {
        if (layers == 0) {
            return "";
        }
        int stages = grid.sizes().pp();
        int chunks = grid.sizes().chunks();
        return IntStream.range(0, chunks)
                .mapToObj(chunk -> LayerRange.of(layers, stages, stage, chunks, chunk))
                .map(range -> padLeft(range.start(), layers - 1) + "-"
                        + pad(range.end() - 1, Integer.toString(layers - 1).length()))
                .collect(Collectors.joining(" ", "  layers ", ""));
    }

    /** The hosts of a row's ranks with their devices: {@code host-0: 6 7, host-1: 0 1}. */
    private String where(int[] ranks) {
        if (placement == null) {
            return "";
        }
        Map<String, List<String>> devices = new LinkedHashMap<>();
        for (int rank : ranks) {
            devices.computeIfAbsent(placement.host(rank), host -> new ArrayList<>())
                    .add(placement.slot(rank).device());
        }
        return "   "
                + (devices.size() > FEW
                        ? hosts(List.copyOf(devices.keySet()))
                        : devices.entrySet().stream()
                                .map(host -> (host.getKey() + ": " + devices(host.getValue())).strip())
                                .map(text -> text.endsWith(":") ? text.substring(0, text.length() - 1) : text)
                                .collect(Collectors.joining(", ")));
    }

    private static String devices(List<String> devices) {
        return abbreviated(devices.size(), MOST_COLUMNS, devices::get).collect(Collectors.joining(" "));
    }

    private void addCrossings(List<String> lines, Placement placed) {
        lines.add("groups across hosts");
        List<GroupKind> kinds = kinds().stream()
                .filter(kind -> kind != GroupKind.EMBEDDING && kind != GroupKind.POSITION_EMBEDDING)
                .toList();
        int width = kinds.stream().mapToInt(kind -> kind.token().length()).max().orElse(0);
        for (GroupKind kind : kinds) {
            List<Placement.SpanningGroup> spanning = placed.spanning(kind);
            int count = grid.worldSize() / grid.groups(kind).get(0).size();
            String which = spanning.isEmpty()
                    ? ""
                    : abbreviated(spanning.size(), 2, i -> crossing(spanning.get(i)))
                            .collect(Collectors.joining("; ", ": ", ""));
            lines.add("  " + pad(kind.token(), width) + "  " + (spanning.isEmpty() ? "none" : spanning.size()) + " of "
                    + count + which);
        }
    }

    private static String crossing(Placement.SpanningGroup spanning) {
        return braces(spanning.group()) + " on " + hosts(spanning.hosts());
    }

    private static String hosts(List<String> hosts) {
        return abbreviated(hosts.size(), FEW, hosts::get).collect(Collectors.joining(", "))
                + (hosts.size() > FEW ? " (" + hosts.size() + " hosts)" : "");
    }

    private static String listed(List<ProcessGroup> groups) {
        int size = groups.get(0).size();
        int shown = (long) groups.size() * size <= FULL ? FULL : FEW;
        return groups.size() + " of " + more(size, "rank") + ": "
                + abbreviated(groups.size(), shown, i -> braces(groups.get(i))).collect(Collectors.joining(" "));
    }

    private static String braces(ProcessGroup group) {
        return abbreviated(group.size(), MOST_COLUMNS, i -> Integer.toString(group.rank(i)))
                .collect(Collectors.joining(",", "{", "}"));
    }

    /** All of {@code count} texts, or where they are more than {@code most} the first half of these, …, the last. */
    private static Stream<String> abbreviated(int count, int most, IntFunction<String> text) {
        if (count <= most) {
            return IntStream.range(0, count).mapToObj(text);
        }
        List<String> ends = new ArrayList<>();
        for (int i = 0; i < Math.max(1, most / 2); i++) {
            ends.add(text.apply(i));
        }
        ends.add("…");
        ends.add(text.apply(count - 1));
        return ends.stream();
    }

    private static String more(int count, String noun) {
        return count + " " + noun + (count == 1 ? "" : "s");
    }

    private static String pad(Object text, int width) {
        return String.format(Locale.ROOT, "%-" + Math.max(1, width) + "s", text);
    }

    /** A number as wide as the largest of its kind. */
    private static String padLeft(int number, int largest) {
        return String.format(Locale.ROOT, "%" + Integer.toString(largest).length() + "d", number);
    }
}
