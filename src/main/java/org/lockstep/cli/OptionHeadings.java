package org.lockstep.cli;

import java.lang.reflect.Member;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Help;
import picocli.CommandLine.Model.OptionSpec;

/** The options of a command in its help, by {@link OptionGroup}. */
final class OptionHeadings {
    private OptionHeadings() {}

    /** In the order in which each heading first appears, options without one last. */
    static String list(Help help) {
        Map<String, List<OptionSpec>> groups = new LinkedHashMap<>();
        List<OptionSpec> others = new ArrayList<>();
        List<OptionSpec> all = help.commandSpec().options();
        for (OptionSpec option : all) {
            OptionGroup group = group(option);
            (group == null ? others : groups.computeIfAbsent(group.value(), any -> new ArrayList<>())).add(option);
        }
        if (groups.isEmpty()) {
            return help.optionList();
        }
        groups.put("Others", others);
        StringBuilder text = new StringBuilder();
        groups.forEach((heading, options) -> text.append(System.lineSeparator())
                .append(heading)
                .append(':')
                .append(System.lineSeparator())
                .append(help.optionListExcludingGroups(
                        options,
                        help.createDefaultLayout(
                                all, List.of(), help.colorScheme()), // as wide as the widest of all needs
                        null, // as they are declared
                        help.parameterLabelRenderer())));
        return text.toString();
    }

    private static @Nullable OptionGroup group(OptionSpec option) {
        return option.userObject() instanceof Member declared
                ? declared.getDeclaringClass().getAnnotation(OptionGroup.class)
                : null;
    }
}
