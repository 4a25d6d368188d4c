package org.lockstep.report;

import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import org.lockstep.topology.Axis;
import org.lockstep.topology.LayerRange;
import org.lockstep.topology.ProcessGrid;

/** Draws a machine as boxes in HTML: a frame a replica, a row a pipeline stage, a box a rank. */
final class MachineBoxes {
    /** Ranks that are drawn; of a larger world the first replicas that fit, and at least one. */
    private static final int MOST_RANKS = 128;

    private MachineBoxes() {}

    static String html(ProcessGrid grid, int layers, List<String> places, Set<Integer> marked) {
        int replicas = grid.sizes().dp();
        int shown = Math.max(1, Math.min(replicas, MOST_RANKS / (grid.worldSize() / replicas)));
        StringBuilder html = new StringBuilder("<div class=\"machine\">");
        for (int replica = 0; replica < shown; replica++) {
            html.append("<div class=\"replica\"><h3>replica ").append(replica).append("</h3>");
            for (int stage = 0; stage < grid.sizes().pp(); stage++) {
                html.append("<div class=\"stage\"><span>stage ").append(stage);
                if (layers > 0) {
                    html.append("<br>").append(layers(grid, layers, stage));
                }
                html.append("</span>");
                for (int rank : ranks(grid, replica, stage)) {
                    html.append(marked.contains(rank) ? "<div class=\"rank marked\"><b>" : "<div class=\"rank\"><b>")
                            .append(rank)
                            .append("</b>");
                    int index = rank - grid.rankOffset();
                    if (index < places.size()) {
                        html.append("<i>")
                                .append(Page.escape(places.get(index)))
                                .append("</i>");
                    }
                    html.append("</div>");
                }
                html.append("</div>");
            }
            html.append("</div>");
        }
        if (shown < replicas) {
            html.append("<p>… and ").append(replicas - shown).append(" more like these</p>");
        }
        return html.append("</div>").toString();
    }

    private static String layers(ProcessGrid grid, int layers, int stage) {
        StringBuilder text = new StringBuilder("layers");
        for (int chunk = 0; chunk < grid.sizes().chunks(); chunk++) {
            LayerRange range =
                    LayerRange.of(layers, grid.sizes().pp(), stage, grid.sizes().chunks(), chunk);
            text.append(chunk == 0 ? " " : ", ")
                    .append(range.start())
                    .append('–')
                    .append(range.end() - 1);
        }
        return text.toString();
    }

    private static int[] ranks(ProcessGrid grid, int replica, int stage) {
        return IntStream.range(grid.rankOffset(), grid.rankOffset() + grid.worldSize())
                .filter(rank -> grid.coordinate(rank, Axis.DP) == replica && grid.coordinate(rank, Axis.PP) == stage)
                .toArray();
    }
}
