package org.lockstep.spark.gang;

import java.util.Iterator;
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

    public static <T> scala.collection.Iterator<T> toScala(Iterator<T> java) {
        return new AbstractIterator<>() {
            @Override
            public boolean hasNext() {
                return java.hasNext();
            }

            @Override
            public T next() {
                return java.next();
            }
        };
    }
}
