package org.lockstep;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.core.LogEvent;
import org.apache.logging.log4j.core.Logger;
import org.apache.logging.log4j.core.LoggerContext;
import org.apache.logging.log4j.core.appender.AbstractAppender;
import org.apache.logging.log4j.core.config.Property;

/** What one class writes to the log, of warnings and errors or more, until closed. Thread-safe. */
public final class LogLines implements AutoCloseable {
    private final Logger log;
    private final Level before;
    private final Lines lines = new Lines();

    public LogLines(Class<?> source) {
        this(source, Level.WARN);
    }

    /** Of this level and above. */
    public LogLines(Class<?> source, Level level) {
        log = ((LoggerContext) LogManager.getContext(false)).getLogger(source.getName());
        before = log.getLevel();
        lines.start();
        log.addAppender(lines);
        log.setLevel(level);
    }

    /** Each message, with that of the exception under it. */
    public List<String> said() {
        return List.copyOf(lines.said);
    }

    @Override
    public void close() {
        log.setLevel(before);
        log.removeAppender(lines);
        lines.stop();
    }

    private static final class Lines extends AbstractAppender {
        private final List<String> said = new CopyOnWriteArrayList<>();

        Lines() {
            super("lines", null, null, true, Property.EMPTY_ARRAY);
        }

        @Override
        public void append(LogEvent event) {
            Throwable thrown = event.getThrown();
            said.add(event.getMessage().getFormattedMessage() + (thrown == null ? "" : "\n" + thrown.getMessage()));
        }
    }
}
