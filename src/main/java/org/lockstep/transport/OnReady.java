package org.lockstep.transport;

import java.io.IOException;
import java.nio.channels.SelectionKey;

/** What a key of a selector stands for: it goes on, without waiting, when the key is ready. */
@FunctionalInterface
interface OnReady {
    void proceed(SelectionKey key) throws IOException;
}
