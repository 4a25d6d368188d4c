package org.lockstep.cli;

import org.lockstep.topology.RankOrder;
import picocli.CommandLine.Option;

/** The order of the axes of ranks. */
@OptionGroup("Model and ranks")
final class OrderOption {
    @Option(
            names = "--order",
            paramLabel = "AXES",
            description = "Order of the axes, innermost first, such as tp-pp-dp; an axis of size 1 may be left out"
                    + " (default: ${DEFAULT-VALUE}).")
    private String order = RankOrder.DEFAULT.toString();

    /** @throws IllegalArgumentException for what is no order */
    RankOrder order() {
        return RankOrder.parse(order);
    }
}
