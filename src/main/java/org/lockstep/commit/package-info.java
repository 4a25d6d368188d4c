/**
 * Finished rows, kept where a failure of the run does not reach them: a directory on any file system, which another attempt
 * or a later run goes on from.
 *
 * <pre>
 * owner                        who runs, with a beat that counts on
 * manifest                     what the run is: model, sampling, prompts
 * attempt-000002               its id, and the segments of earlier attempts that it builds on
 * segment-2-w5-3-a0-ff         rows: attempt 2, writer 5, its fourth segment, row ids a0 to ff
 * finished                     all rows are there
 * </pre>
 *
 * <p>What is true is said by the latest attempt: the segments that it lists, and its own. A process of an earlier attempt
 * that wakes up too late is refused when it looks, and where it has looked already its segment is in no list. Files appear
 * whole: written under another name, forced to the disk, renamed; each record has a checksum, and what does not pass is as
 * if it had never been written. No order comes from a clock: attempts are numbered, and whether an owner lives is seen from
 * whether its beat goes on while the other looks, each on its own clock.
 *
 * <p>A room of its own because it stands alone: it knows neither Spark nor models, only rows that have an id. Bytes are of a
 * form of ours, read with bounds; no Java serialisation.
 */
@NullMarked
package org.lockstep.commit;

import org.jspecify.annotations.NullMarked;
