package org.lockstep.commit;

import java.io.IOException;
import java.util.List;
import java.util.Optional;

/**
 * The committed rows of a run that is over.
 *
 * @param place where they are
 * @param run what tells it from others there
 */
public record KeptRun(CommitPlace place, long run) {

    /**
     * Removes them, and the directory if nothing else is in it; nothing if another run has the directory by now.
     *
     * @throws org.lockstep.LockstepException COMMIT_FAILED
     */
    public void discard() {
        Directory directory = place.open();
        try {
            Optional<List<String>> manifest = CommitLog.note(directory, Names.MANIFEST);
            if (manifest.isPresent() && manifest.get().get(0).equals(Long.toUnsignedString(run, 16))) {
                CommitLog.clear(directory, null);
                directory.sweep();
                directory.removeIfEmpty();
            }
        } catch (IOException e) {
            throw CommitLog.failed(directory, "be removed", 0, e);
        }
    }
}
