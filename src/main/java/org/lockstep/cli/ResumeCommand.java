package org.lockstep.cli;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * The command that goes on with a run.
 *
 * @param words of the command line that began it
 */
record ResumeCommand(List<String> words) {
    private static final Pattern PLAIN = Pattern.compile("[A-Za-z0-9_@%+=:,./-]+");
    private static final String DIRECTORY = "--checkpoint-dir";
    private static final String RESUME = "--resume";

    ResumeCommand {
        words = List.copyOf(words);
    }

    /** As one would type it. */
    String from(String checkpointDir) {
        List<String> again = new ArrayList<>();
        for (Iterator<String> all = words.iterator(); all.hasNext(); ) {
            String word = all.next();
            if (word.equals(DIRECTORY) && all.hasNext()) {
                all.next();
            } else if (!word.equals(RESUME) && !word.startsWith(DIRECTORY + "=")) {
                again.add(word);
            }
        }
        again.addAll(List.of(DIRECTORY, checkpointDir, RESUME));
        String command = again.stream().map(ResumeCommand::quoted).collect(Collectors.joining(" "));
        return CommandSession.isSubmitted() ? "the same spark-submit with: " + command : "lockstep " + command;
    }

    private static String quoted(String word) {
        return PLAIN.matcher(word).matches() ? word : "'" + word.replace("'", "'\\''") + "'";
    }
}
