package org.lockstep.spark.gang;

import java.util.Iterator;
import java.util.function.Consumer;
import java.util.function.Supplier;
import scala.collection.AbstractIterator;

/** Iterators across the language border; Scala's own converters differ between 2.12 and 2.13. */
public final class ScalaIterators {
    private ScalaIterators() {}

    public static <T> Iterator<T> toJava(scala.collection.Iterator<T> scala) {
        return new Iterator<>() {
            @Override
            public boolean hasNext() {
                return scala.hasNext();
            }

            @Override
            public T next() {
                return scala.next();
            }
        };
    }

    /**
     * For Spark, which may throw something of its own in the place of what is thrown here.
     *
     * @param failed is told of it before
     */
    static <T> scala.collection.Iterator<T> toScala(Iterator<T> java, Consumer<Throwable> failed) {
        return new AbstractIterator<>() {
            @Override
            public boolean hasNext() {
                return telling(java::hasNext);
            }

            @Override
            public T next() {
                return telling(java::next);
            }

            private <V> V telling(Supplier<V> step) {
                try {
                    return step.get();
                } catch (Throwable e) {
                    failed.accept(e);
                    throw e; // unchecked, or what a caller in Scala throws unchecked
                }
            }
        };
    }
}
