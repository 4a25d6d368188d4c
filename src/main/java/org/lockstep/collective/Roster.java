package org.lockstep.collective;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.rendezvous.RendezvousException;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.Placement;
import org.lockstep.topology.ProcessGrid;
import org.lockstep.topology.ProcessGroup;

/**
 * Everybody's {@link Hello}, checked and in the order of ranks: who is who, where, and what the grid is.
 *
 * <p>Every party makes it from the same records and comes to the same roster, or to the same error. Hosts are told apart
 * by boot id and name; in a host ranks follow the bus order of the GPUs, or where there is none the JVMs, so that a tensor
 * group stays inside one. Immutable.
 */
public final class Roster {
    private final List<Hello> byRank;
    private final Placement placement;
    private final ProcessGrid grid;
    private final Set<TransportKind> transports;

    private Roster(List<Hello> byRank, Placement placement, ProcessGrid grid, Set<TransportKind> transports) {
        this.byRank = List.copyOf(byRank);
        this.placement = placement;
        this.grid = grid;
        this.transports = transports;
    }

    /**
     * The roster of a meeting's records.
     *
     * @param records by partition; a scheduler is known to deliver null
     * @throws RendezvousException BAD_RECORD, STALE_ATTEMPT, DISAGREEMENT, DUPLICATE_GPU, WORLD_SIZE or, under strict
     *     placement, SPANS_HOSTS
     */
    public static Roster of(List<? extends @Nullable String> records, WorldSpec spec) {
        List<Hello> hellos = read(records, spec);
        agree(hellos, spec);
        refuseSharedGpus(hellos);
        ProcessGrid grid = grid(records.size(), spec);
        Placement placement = Placement.of(grid, slots(hellos));
        if (spec.strictPlacement()) {
            refuseSpanning(placement);
        }
        List<Hello> byRank = placement.slots().stream()
                .map(slot -> hellos.get(slot.partition()))
                .toList();
        return new Roster(byRank, placement, grid, spec.transports());
    }

    private static List<Hello> read(List<? extends @Nullable String> records, WorldSpec spec) {
        List<String> texts = new ArrayList<>();
        List<Integer> protocols = new ArrayList<>();
        List<UUID> attempts = new ArrayList<>();
        for (int i = 0; i < records.size(); i++) {
            String text = records.get(i);
            if (text == null) {
                throw bad(i, "it is null", null);
            }
            texts.add(text);
            protocols.add(reading(i, () -> Hello.protocol(text)));
        }
        requireEqual(
                "protocol version",
                protocols,
                String::valueOf,
                ErrorCode.DISAGREEMENT,
                "the same lockstep jar on all executors");
        for (int i = 0; i < texts.size(); i++) {
            String text = texts.get(i);
            attempts.add(reading(i, () -> Hello.attempt(text)));
        }
        requireEqual(
                "attempt",
                attempts,
                String::valueOf,
                ErrorCode.STALE_ATTEMPT,
                "a new attempt: a party of an older one came");
        List<Hello> hellos = new ArrayList<>();
        for (int i = 0; i < texts.size(); i++) {
            String text = texts.get(i);
            Hello hello = reading(i, () -> Hello.decode(text, spec.key()));
            if (hello.partition() != i) {
                throw bad(i, "it is partition " + hello.partition() + "'s", null);
            }
            hellos.add(hello);
        }
        if (!hellos.get(0).attempt().equals(spec.attempt())) {
            throw failure(
                    ErrorCode.STALE_ATTEMPT,
                    "attempt is " + spec.attempt() + " for this party, " + attempts.get(0) + " in every record",
                    "a new attempt");
        }
        return hellos;
    }

    /** A step of reading one record; whatever is wrong with it is that record's fault. */
    private static <T> T reading(int index, java.util.function.Supplier<T> step) {
        try {
            return step.get();
        } catch (IllegalArgumentException reason) {
            throw bad(index, String.valueOf(reason.getMessage()), reason);
        }
    }

    private static void agree(List<Hello> hellos, WorldSpec spec) {
        String jar = "the same lockstep jar on all executors";
        String stage = "no other stage in this meeting";
        String driver = "settings on the driver only: all parties must be told the same";
        agree("lockstep version", hellos, Hello::version, jar);
        agree("application", hellos, hello -> hello.identity().application(), stage);
        agree("stage", hellos, hello -> hello.identity().stage(), stage);
        agree("stage attempt", hellos, hello -> hello.identity().stageAttempt(), stage);
        agree("backend", hellos, Hello::backend, "GPUs for all tasks or for none");
        agree("sizes", hellos, Hello::sizes, driver);
        agree("order", hellos, Hello::order, driver);
        List<String> names = List.copyOf(spec.agreed().keySet());
        int told = hellos.stream() // where a long host name left no room in one record, others may still have a hint
                .mapToInt(hello -> hello.settings().hints().size())
                .reduce(names.size(), Math::min);
        for (int i = 0; i < told; i++) {
            int at = i;
            agree(
                    "setting " + names.get(i),
                    hellos,
                    hello -> String.format(
                            "digest %02x", hello.settings().hints().get(at)),
                    driver);
        }
        agree("settings", hellos, hello -> hello.settings().digest(), "%012x"::formatted, driver);
    }

    private static void agree(String field, List<Hello> hellos, Function<Hello, Object> value, String attempt) {
        agree(field, hellos, value, String::valueOf, attempt);
    }

    private static void agree(
            String field,
            List<Hello> hellos,
            Function<Hello, Object> value,
            Function<Object, String> shown,
            String attempt) {
        List<Object> values = hellos.stream().map(value).toList();
        requireEqual(field, values, shown, ErrorCode.DISAGREEMENT, attempt);
    }

    private static void requireEqual(
            String field, List<?> values, Function<Object, String> shown, ErrorCode code, String attempt) {
        if (values.stream().allMatch(values.get(0)::equals)) {
            return;
        }
        Map<Object, List<String>> who = new LinkedHashMap<>();
        for (int i = 0; i < values.size(); i++) {
            who.computeIfAbsent(values.get(i), any -> new ArrayList<>()).add(Integer.toString(i));
        }
        String sides = who.entrySet().stream()
                .map(side -> shown.apply(side.getKey()) + " in partition"
                        + (side.getValue().size() > 1 ? "s " : " ") + String.join(",", side.getValue()))
                .collect(Collectors.joining("; "));
        throw failure(code, field + " differs: " + sides, attempt);
    }

    private static void refuseSharedGpus(List<Hello> hellos) {
        Map<UUID, Hello> owners = new HashMap<>();
        for (Hello hello : hellos) {
            Identity.Gpu gpu = hello.identity().gpu();
            Hello other = gpu == null ? null : owners.putIfAbsent(gpu.uuid(), hello);
            if (other != null) {
                throw failure(
                        ErrorCode.DUPLICATE_GPU,
                        gpu + " was given to partition " + other.partition() + " on "
                                + other.identity().hostName() + " and to partition " + hello.partition() + " on "
                                + hello.identity().hostName(),
                        "spark.task.resource.gpu.amount=1, and a discovery script that gives each worker its own GPUs");
            }
        }
    }

    private static ProcessGrid grid(int worldSize, WorldSpec spec) {
        try {
            return ProcessGrid.of(worldSize, spec.sizes(), spec.order());
        } catch (IllegalArgumentException equation) {
            throw failure(
                    ErrorCode.WORLD_SIZE,
                    String.valueOf(equation.getMessage()),
                    "as many parties as the product of the sizes");
        }
    }

    private static List<Placement.Slot> slots(List<Hello> hellos) {
        Map<Long, Integer> venues = new LinkedHashMap<>(); // in the order of their smallest partition
        List<Placement.Slot> slots = new ArrayList<>();
        for (Hello hello : hellos) {
            int venue = venues.computeIfAbsent(hello.venue(), any -> venues.size());
            Identity.Gpu gpu = hello.identity().gpu();
            String device = gpu == null ? String.format("%08d", venue) : gpu.busId();
            slots.add(new Placement.Slot(hostKey(hello), device, hello.partition()));
        }
        return slots;
    }

    private static String hostKey(Hello hello) {
        Identity identity = hello.identity();
        return identity.bootId() == 0
                ? identity.hostName()
                : identity.hostName() + "/" + HexFormat.of().toHexDigits(identity.bootId());
    }

    private static void refuseSpanning(Placement placement) {
        List<Placement.SpanningGroup> spanning = placement.spanning(GroupKind.TENSOR);
        if (!spanning.isEmpty()) {
            throw failure(
                    ErrorCode.SPANS_HOSTS,
                    spanning.size() + " tensor groups are not inside one host: "
                            + spanning.stream().limit(4).map(Object::toString).collect(Collectors.joining("; ")),
                    "a tensor size that divides the slots of a host, or without strict placement");
        }
    }

    private static RendezvousException bad(int index, String reason, @Nullable Throwable cause) {
        return new RendezvousException(LockstepException.report(
                        ErrorCode.BAD_RECORD, "record of partition " + index + " is not acceptable: " + reason)
                .cause(cause));
    }

    private static RendezvousException failure(ErrorCode code, String summary, String attempt) {
        return new RendezvousException(LockstepException.report(code, summary).attempt(attempt));
    }

    public ProcessGrid grid() {
        return grid;
    }

    public Placement placement() {
        return placement;
    }

    /** The number of ranks. */
    public int size() {
        return byRank.size();
    }

    public Hello hello(int rank) {
        return byRank.get(rank - grid.rankOffset());
    }

    public int rank(int partition) {
        return placement.rank(partition);
    }

    public int partition(int rank) {
        return placement.partition(rank);
    }

    /** The host name of a rank. */
    public String host(int rank) {
        return hello(rank).identity().hostName();
    }

    /** Whether all ranks of the group are threads of one JVM that met in one venue. */
    public boolean shareVenue(ProcessGroup group) {
        long venue = hello(group.first()).venue();
        return group.stream().allMatch(rank -> hello(rank).venue() == venue);
    }

    /** How two ranks reach each other: the nearest way that both share and the spec allows. */
    public TransportKind transport(int rankA, int rankB) {
        Hello a = hello(rankA);
        Hello b = hello(rankB);
        if (a.venue() == b.venue() && transports.contains(TransportKind.THREAD)) {
            return TransportKind.THREAD;
        }
        boolean shared = a.identity().sharesMemory(b.identity()) && transports.contains(TransportKind.SHARED);
        return shared ? TransportKind.SHARED : TransportKind.TCP;
    }

    /** Whether the parties hold all ranks of one world that stayed: it can go on without connecting anything. */
    boolean resumes() {
        Hello.Tenure first = byRank.get(0).tenure();
        Set<Integer> held = new HashSet<>();
        for (Hello hello : byRank) {
            Hello.Tenure tenure = hello.tenure();
            if (first == null || tenure == null || tenure.session() != first.session()) {
                return false;
            }
            held.add(tenure.rank() - grid.rankOffset());
        }
        return held.size() == size() && held.stream().allMatch(rank -> rank >= 0 && rank < size());
    }

    /** How many ranks of the world live on a rank's host, itself included. */
    public int ranksOnHost(int rank) {
        return placement.ranksOnHost(rank);
    }

    /** Whether any two of these ranks are threads of one JVM that may share its memory. */
    public boolean hasThreads(List<Integer> ranks) {
        return transports.contains(TransportKind.THREAD)
                && ranks.stream()
                                .mapToLong(rank -> hello(rank).venue())
                                .distinct()
                                .count()
                        < ranks.size();
    }

    /** How many ranks of the world share the venue of {@code rank}, itself included. */
    public int ranksInVenue(int rank) {
        long venue = hello(rank).venue();
        return (int) byRank.stream().filter(hello -> hello.venue() == venue).count();
    }

    /** The groups of a kind whose ranks are on several hosts. */
    public List<Placement.SpanningGroup> spanning(GroupKind kind) {
        return placement.spanning(kind);
    }

    /**
     * The unique id of a group, by its number in the {@link GroupPlan}: party {@code number} mod size has made it. Empty where
     * that party made none, as one does that brought its rank of a world that stayed.
     */
    public Optional<UniqueId> id(int number) {
        List<UniqueId> ids = hello(rank(number % size())).ids();
        int turn = number / size();
        return turn < ids.size() ? Optional.of(ids.get(turn)) : Optional.empty();
    }

    /** A rank as errors show it: {@code rank 5  host gpu-b-2  partition 9  GPU-8f2c…}. */
    public String describe(int rank) {
        Hello hello = hello(rank);
        Identity.Gpu gpu = hello.identity().gpu();
        return "rank " + rank + "  host " + hello.identity().hostName() + "  partition " + hello.partition()
                + (gpu == null ? "" : "  " + gpu);
    }

    /** The machine, one line a host. */
    @Override
    public String toString() {
        return placement.toString();
    }
}
