@NullMarked
package org.lockstep;

import org.jspecify.annotations.NullMarked;
