package org.lockstep.cuda;

import java.util.List;
import org.jspecify.annotations.Nullable;

/** Gives several things back, whatever becomes of each. */
final class Release {
    private Release() {}

    /** Runs all, in their order; then throws the first failure, the later ones suppressed in it. */
    static void all(List<? extends Runnable> steps) {
        @Nullable Throwable first = null;
        for (Runnable step : steps) {
            try {
                step.run();
            } catch (RuntimeException | Error failure) {
                if (first == null) {
                    first = failure;
                } else {
                    first.addSuppressed(failure);
                }
            }
        }
        if (first instanceof Error error) {
            throw error;
        }
        if (first instanceof RuntimeException failure) {
            throw failure;
        }
    }
}
