package org.lockstep.cli;

import java.lang.reflect.Member;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
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
        for (OptionSpec option : help.commandSpec().options()) {
            OptionGroup group = group(option);
            (group == null ? others : groups.computeIfAbsent(group.value(), any -> new ArrayList<>())).add(option);
        }
        if (groups.isEmpty()) {
            return help.optionList();
        }
        groups.put("Others", others);
        return groups.entrySet().stream()
                .map(group -> String.format("%n%s:%n%s", group.getKey(), options(help, group.getValue())))
                .collect(Collectors.joining());
    }

    /** As they are declared, in columns that are as wide as the widest option of the command needs. */
    private static String options(Help help, List<OptionSpec> options) {
        Help.Layout layout = help.createDefaultLayout(help.commandSpec().options(), List.of(), help.colorScheme());
        return help.optionListExcludingGroups(options, layout, null, help.parameterLabelRenderer());
    }

    private static @Nullable OptionGroup group(OptionSpec option) {
        return option.userObject() instanceof Member declared
                ? declared.getDeclaringClass().getAnnotation(OptionGroup.class)
                : null;
    }
}
