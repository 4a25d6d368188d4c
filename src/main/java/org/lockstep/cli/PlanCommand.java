package org.lockstep.cli;

import java.io.IOException;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.TransportPlan;
import org.lockstep.topology.Axis;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.MachinePicture;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.Placement;
import org.lockstep.topology.ProcessGrid;
import org.lockstep.topology.RankOrder;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code lockstep plan}: which rank sits where and who shares a group with whom; arithmetic only. */
@Command(
        name = "plan",
        description = {
            "Shows the ranks of a world and their groups, without Spark and without a device.",
            "world size = tensor × context × data × pipeline; a size of -1 is what the world leaves."
        },
        mixinStandardHelpOptions = true,
        versionProvider = Lockstep.Version.class,
        sortOptions = false,
        usageHelpAutoWidth = true,
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {"0:done", "2:the sizes cannot be; the message spells the equation out"},
        footer = {
            "",
            "JSON: one object with worldSize, order, sizes, groups (tp, pp, dp, model, embedding, positionEmbedding; cp"
                    + " where it is above 1; those of --groups), ranks (rank, tp, cp, dp, pp, …). With experts also"
                    + " expertGroups (etp, ep, edp, pp, etp-ep, etp-ep-pp) and etp, ep, edp in sizes and ranks. With"
                    + " --layers each rank lists its layers; with --gpus-per-host its host and gpu, and groupsAcrossHosts"
                    + " lists the indices of the groups of each kind that are not inside one host; transports counts"
                    + " the pairs of ranks of each kind by transport (thread, shared, tcp).",
            "",
            "The transports are those of one executor a host, which is assumed here: Llm.plan() sees the cluster's.",
            "",
            "Examples:",
            "  lockstep plan --world-size 16 -tp 2 -pp 4",
            "  lockstep plan --world-size 64 -tp 8 -pp 2 --gpus-per-host 8 --layers 80",
            "  lockstep plan --world-size 32 -tp 2 -pp 2 --expert -ep 4 -etp 1 --json",
            "  lockstep plan -tp 2 -pp 2 -dp 2 --order tp-pp-dp --groups tp-dp,tp-pp"
        })
@OptionGroup("Plan")
final class PlanCommand implements Callable<Integer> {
    static final int MOST_RANKS = 10_000_000;
    private static final int USUAL_GPUS = 8;

    private final Screen screen;

    @Option(
            names = "--world-size",
            paramLabel = "N",
            description = "Number of ranks. Default: the smallest world that the other sizes fill.")
    private @Nullable Integer worldSize;

    @Mixin
    private final ParallelOptions parallel = new ParallelOptions();

    @Option(
            names = {"--data-parallel-size", "-dp"},
            paramLabel = "N",
            description = "Replicas. Default: what --world-size leaves; without it 1, or as many as experts need.")
    private @Nullable Integer data;

    @Option(
            names = {"--context-parallel-size", "-cp"},
            paramLabel = "N",
            description = "Ranks that share each sequence (default: ${DEFAULT-VALUE}).")
    private int context = 1;

    @Option(
            names = "--expert",
            description = "With --json: show the expert view of the same ranks also where it equals the dense one.")
    private boolean expert;

    @Option(
            names = {"--expert-parallel-size", "-ep"},
            paramLabel = "N",
            description = "Ranks among which the experts of a layer are dealt out (default: ${DEFAULT-VALUE}).")
    private int experts = 1;

    @Option(
            names = {"--expert-tensor-parallel-size", "-etp"},
            paramLabel = "N",
            description = "Ranks that share each expert. Default: as many as share each layer.")
    private int expertTensor = ParallelSizes.INFER;

    @Mixin
    private final OrderOption order = new OrderOption();

    @Option(
            names = "--rank-offset",
            paramLabel = "N",
            description = "The lowest rank: a part of a larger world (default: ${DEFAULT-VALUE}).")
    private int rankOffset;

    @Option(
            names = "--split-rank",
            paramLabel = "STAGE",
            description =
                    "Pipeline stage at which the decoder of an encoder-decoder model begins; it joins the embedding"
                            + " groups.")
    private @Nullable Integer splitRank;

    @Option(
            names = "--groups",
            paramLabel = "AXES",
            split = ",",
            description = "Further groups: sets of axes of the dense view such as tp-dp,dp-cp.")
    private List<String> groups = List.of();

    @Option(
            names = "--layers",
            paramLabel = "N",
            description = "Layers of the model: shows those of each pipeline stage.")
    private @Nullable Integer layers;

    @Option(
            names = "--gpus-per-host",
            paramLabel = "N",
            description = "Lay the ranks on imagined hosts with so many GPUs: shows host and GPU of each rank, and the"
                    + " groups that cross hosts. Default: " + USUAL_GPUS + " for the picture, no hosts with --json.")
    private @Nullable Integer gpusPerHost;

    @Option(names = "--json", description = "Print one JSON object instead of the picture.")
    private boolean json;

    PlanCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws IOException {
        ProcessGrid grid = check(ErrorCode.WORLD_SIZE, () -> grid(check(ErrorCode.USAGE, order::order)));
        groups.forEach(set -> check(ErrorCode.USAGE, () -> Axis.parseSet(set).size()));
        if (json) {
            check(ErrorCode.MODEL_SHAPE, () -> withLayers(MachinePicture.of(grid)));
            boolean withExperts = expert || grid.sizes().hasExperts();
            if (withExperts) {
                check(ErrorCode.WORLD_SIZE, grid::expert);
            }
            Placement placement = gpusPerHost == null ? null : placement(grid, gpusPerHost);
            TransportPlan transports = placement == null ? null : transports(grid, placement);
            PlanJson.write(screen.out(), grid, groups, withExperts, layers, placement, transports);
        } else {
            MachinePicture drawn = check(ErrorCode.MODEL_SHAPE, () -> picture(grid));
            screen.out().println(drawn);
            screen.out().println(drawn.groups(groups.toArray(String[]::new)));
            screen.out()
                    .println(transports(grid, placement(grid, gpusPerHost == null ? USUAL_GPUS : gpusPerHost))
                            .lines("transports, one executor a host assumed", kinds(grid.sizes())));
        }
        return 0;
    }

    private ProcessGrid grid(RankOrder rankOrder) {
        int tensor = parallel.tensor();
        int pipeline = parallel.pipeline();
        boolean infers =
                tensor == ParallelSizes.INFER || pipeline == ParallelSizes.INFER || context == ParallelSizes.INFER;
        int replicas = data != null ? data : infers ? 1 : ParallelSizes.INFER;
        ParallelSizes sizes = new ParallelSizes(
                tensor,
                context,
                experts,
                replicas,
                pipeline,
                expertTensor,
                ParallelSizes.INFER,
                parallel.virtualPipeline(),
                splitRank);
        int world = worldSize != null ? worldSize : smallestWorld(sizes);
        if (world > MOST_RANKS) {
            throw LockstepException.report(
                            ErrorCode.USAGE,
                            "world size (" + world + ") is more ranks than a plan lists: " + MOST_RANKS + " at most")
                    .attempt("plan one replica, or fewer of them")
                    .exception();
        }
        return ProcessGrid.of(world, sizes, rankOrder, rankOffset);
    }

    /** The smallest world that both views fill. */
    private static int smallestWorld(ParallelSizes sizes) {
        if (IntStream.of(sizes.tp(), sizes.cp(), sizes.pp(), sizes.ep())
                .anyMatch(size -> size == ParallelSizes.INFER)) {
            throw new IllegalArgumentException(
                    "a size of " + ParallelSizes.INFER + " needs --world-size, from which it follows");
        }
        long dense = Math.multiplyFull(sizes.tp(), sizes.cp());
        if (sizes.dp() == ParallelSizes.INFER) {
            long experts = Math.multiplyFull(sizes.etp() == ParallelSizes.INFER ? sizes.tp() : sizes.etp(), sizes.ep());
            dense = leastCommonMultiple(dense, experts);
        } else {
            dense = Math.multiplyExact(dense, (long) sizes.dp());
        }
        long world = dense > Integer.MAX_VALUE ? dense : dense * sizes.pp();
        if (world > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("tensor (" + sizes.tp() + ") × context (" + sizes.cp() + ") × data ("
                    + sizes.dp() + ") × pipeline (" + sizes.pp() + ") is out of range");
        }
        return (int) world;
    }

    private static long leastCommonMultiple(long a, long b) {
        long x = a;
        long y = b;
        while (y != 0) {
            long rest = x % y;
            x = y;
            y = rest;
        }
        return a / x * b;
    }

    private MachinePicture picture(ProcessGrid grid) {
        return withLayers(
                gpusPerHost != null
                        ? MachinePicture.of(grid, placement(grid, gpusPerHost))
                        : MachinePicture.of(grid, placement(grid, USUAL_GPUS))
                                .withHosts("of " + USUAL_GPUS + " GPUs (--gpus-per-host)"));
    }

    /** The whole machine as it would be with one JVM on each host. */
    private static TransportPlan transports(ProcessGrid grid, Placement placement) {
        return TransportPlan.of(grid, placement, Placement.Slot::host, EnumSet.allOf(TransportKind.class));
    }

    private static List<GroupKind> kinds(ParallelSizes sizes) {
        List<GroupKind> kinds = new ArrayList<>(List.of(GroupKind.TENSOR));
        if (sizes.cp() > 1) {
            kinds.add(GroupKind.CONTEXT);
        }
        kinds.addAll(List.of(GroupKind.PIPELINE, GroupKind.DATA, GroupKind.MODEL));
        if (sizes.hasExperts()) {
            kinds.addAll(List.of(GroupKind.EXPERT_TENSOR, GroupKind.EXPERT, GroupKind.EXPERT_DATA));
        }
        return kinds;
    }

    private MachinePicture withLayers(MachinePicture picture) {
        return layers == null ? picture : picture.withLayers(layers);
    }

    private static Placement placement(ProcessGrid grid, int gpus) {
        if (gpus < 1) {
            throw LockstepException.report(ErrorCode.USAGE, "--gpus-per-host (" + gpus + ") must be at least 1")
                    .exception();
        }
        return Placement.of(
                grid,
                IntStream.range(0, grid.worldSize())
                        .mapToObj(i -> new Placement.Slot(
                                "host-" + i / gpus, padded(i % gpus, Math.min(gpus, grid.worldSize()) - 1), i))
                        .toList());
    }

    /** Devices of a host sort as text. */
    private static String padded(int number, int largest) {
        return String.format(Locale.ROOT, "%0" + Integer.toString(largest).length() + "d", number);
    }

    private static <T> T check(ErrorCode code, Supplier<T> made) {
        try {
            return made.get();
        } catch (IllegalArgumentException | ArithmeticException e) {
            throw LockstepException.report(code, String.valueOf(e.getMessage()))
                    .attempt("lockstep plan --help")
                    .cause(e)
                    .exception();
        }
    }
}
