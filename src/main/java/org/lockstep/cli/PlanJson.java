package org.lockstep.cli;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.Writer;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.TransportPlan;
import org.lockstep.topology.Axis;
import org.lockstep.topology.GridView;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.LayerRange;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.Placement;
import org.lockstep.topology.ProcessGrid;
import org.lockstep.topology.ProcessGroup;

/** A plan as one JSON object, for programs. */
final class PlanJson {
    private static final List<GroupKind> KINDS = List.of(
            GroupKind.TENSOR,
            GroupKind.CONTEXT,
            GroupKind.PIPELINE,
            GroupKind.DATA,
            GroupKind.MODEL,
            GroupKind.EMBEDDING,
            GroupKind.POSITION_EMBEDDING);

    private final JsonGenerator json;
    private final ProcessGrid grid;
    private final boolean experts;

    private PlanJson(JsonGenerator json, ProcessGrid grid, boolean experts) {
        this.json = json;
        this.grid = grid;
        this.experts = experts;
    }

    /**
     * Writes the object and a line break.
     *
     * @param axes further groups of the dense view, each under its name
     * @param experts whether to show the expert view, which must exist
     * @param layers of the model, null where unknown
     * @param placement null where there is none
     * @param transports of that placement
     */
    static void write(
            Writer out,
            ProcessGrid grid,
            List<String> axes,
            boolean experts,
            @Nullable Integer layers,
            @Nullable Placement placement,
            @Nullable TransportPlan transports)
            throws IOException {
        try (JsonGenerator json = new JsonFactory()
                .disable(JsonGenerator.Feature.AUTO_CLOSE_TARGET)
                .createGenerator(out)) {
            new PlanJson(json, grid, experts).write(axes, layers, placement, transports);
        }
        out.write(System.lineSeparator());
        out.flush();
    }

    private void write(
            List<String> axes,
            @Nullable Integer layers,
            @Nullable Placement placement,
            @Nullable TransportPlan transports)
            throws IOException {
        json.writeStartObject();
        json.writeNumberField("worldSize", grid.worldSize());
        json.writeStringField("order", grid.order().toString());
        if (grid.rankOffset() > 0) {
            json.writeNumberField("rankOffset", grid.rankOffset());
        }
        writeSizes();
        json.writeObjectFieldStart("groups");
        for (GroupKind kind : KINDS) {
            if (isWritten(kind)) {
                writeGroups(kind.token(), grid.groups(kind));
            }
        }
        for (String set : axes) {
            if (KINDS.stream().noneMatch(kind -> isWritten(kind) && kind.token().equals(set))) {
                writeGroups(set, grid.groups(set));
            }
        }
        json.writeEndObject();
        if (experts) {
            writeExpertGroups();
        }
        if (placement != null) {
            writeCrossings(placement);
        }
        if (transports != null) {
            writeTransports(transports);
        }
        writeRanks(layers, placement);
        json.writeEndObject();
    }

    private boolean isWritten(GroupKind kind) {
        return kind != GroupKind.CONTEXT || grid.sizes().cp() > 1;
    }

    private void writeSizes() throws IOException {
        ParallelSizes sizes = grid.sizes();
        json.writeObjectFieldStart("sizes");
        for (Axis axis : Axis.values()) {
            json.writeNumberField(axis.token(), sizes.size(axis));
        }
        if (experts) {
            json.writeNumberField("etp", sizes.etp());
            json.writeNumberField("edp", sizes.edp());
        }
        json.writeEndObject();
        Integer virtualPipeline = sizes.virtualPipeline();
        if (virtualPipeline != null) {
            json.writeNumberField("virtualPipelineParallelSize", virtualPipeline);
        }
        Integer splitRank = sizes.splitRank();
        if (splitRank != null) {
            json.writeNumberField("splitRank", splitRank);
        }
    }

    private void writeExpertGroups() throws IOException {
        GridView view = grid.expert();
        json.writeObjectFieldStart("expertGroups");
        writeGroups("etp", view.groups(Set.of(Axis.TP)));
        writeGroups("ep", view.groups(Set.of(Axis.EP)));
        writeGroups("edp", view.groups(Set.of(Axis.DP)));
        writeGroups("pp", view.groups(Set.of(Axis.PP)));
        writeGroups("etp-ep", view.groups(EnumSet.of(Axis.TP, Axis.EP)));
        writeGroups("etp-ep-pp", view.groups(EnumSet.of(Axis.TP, Axis.EP, Axis.PP)));
        json.writeEndObject();
    }

    private void writeGroups(String name, List<ProcessGroup> groups) throws IOException {
        json.writeArrayFieldStart(name);
        for (ProcessGroup group : groups) {
            int[] ranks = group.stream().toArray();
            json.writeArray(ranks, 0, ranks.length);
        }
        json.writeEndArray();
    }

    private void writeCrossings(Placement placement) throws IOException {
        json.writeObjectFieldStart("groupsAcrossHosts");
        for (GroupKind kind : KINDS) {
            if (isWritten(kind)) {
                int[] indices = placement.spanning(kind).stream()
                        .mapToInt(spanning -> spanning.group().index())
                        .toArray();
                json.writeFieldName(kind.token());
                json.writeArray(indices, 0, indices.length);
            }
        }
        json.writeEndObject();
    }

    private void writeTransports(TransportPlan transports) throws IOException {
        json.writeObjectFieldStart("transports");
        for (GroupKind kind : KINDS) {
            if (isWritten(kind)) {
                TransportPlan.Pairs pairs = transports.pairs(kind);
                json.writeObjectFieldStart(kind.token());
                for (TransportKind transport : TransportKind.values()) {
                    json.writeNumberField(transport.toString(), pairs.of(transport));
                }
                json.writeEndObject();
            }
        }
        json.writeEndObject();
    }

    private void writeRanks(@Nullable Integer layers, @Nullable Placement placement) throws IOException {
        GridView dense = grid.dense();
        GridView expert = experts ? grid.expert() : dense;
        int[][] ofStage = layers == null ? new int[0][] : layers(layers);
        json.writeArrayFieldStart("ranks");
        for (int rank = grid.rankOffset(); rank < grid.rankOffset() + grid.worldSize(); rank++) {
            json.writeStartObject();
            json.writeNumberField("rank", rank);
            for (Axis axis : List.of(Axis.TP, Axis.CP, Axis.DP, Axis.PP)) {
                json.writeNumberField(axis.token(), dense.coordinate(rank, axis));
            }
            if (experts) {
                json.writeNumberField("etp", expert.coordinate(rank, Axis.TP));
                json.writeNumberField("ep", expert.coordinate(rank, Axis.EP));
                json.writeNumberField("edp", expert.coordinate(rank, Axis.DP));
            }
            if (placement != null) {
                json.writeStringField("host", placement.host(rank));
                json.writeNumberField("gpu", placement.localRank(rank));
            }
            if (layers != null) {
                int[] mine = ofStage[dense.coordinate(rank, Axis.PP)];
                json.writeFieldName("layers");
                json.writeArray(mine, 0, mine.length);
            }
            json.writeEndObject();
        }
        json.writeEndArray();
    }

    /** The layers of each pipeline stage. */
    private int[][] layers(int layers) {
        int stages = grid.sizes().pp();
        int chunks = grid.sizes().chunks();
        List<LayerRange> parts = LayerRange.split(layers, stages * chunks);
        return IntStream.range(0, stages)
                .mapToObj(stage -> IntStream.range(0, chunks)
                        .mapToObj(chunk -> parts.get(chunk * stages + stage))
                        .flatMapToInt(LayerRange::stream)
                        .toArray())
                .toArray(int[][]::new);
    }
}
