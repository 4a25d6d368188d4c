package org.lockstep.transport;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import org.lockstep.rendezvous.Rendezvous;
import org.lockstep.rendezvous.Venue;

/** Meets, any number of times, by way of the test that started this process: {@code record ...} goes up, all records come down. */
public final class PipeMeeting implements Rendezvous {
    private final BufferedReader in;
    private final PrintStream out;
    private final int index;
    private final int size;
    private final Venue venue = new Venue();

    public PipeMeeting(BufferedReader in, PrintStream out, int index, int size) {
        this.in = in;
        this.out = out;
        this.index = index;
        this.size = size;
    }

    @Override
    public int index() {
        return index;
    }

    @Override
    public int size() {
        return size;
    }

    @Override
    public Venue venue() {
        return venue;
    }

    @Override
    public List<String> allGather(String record) {
        out.println("record " + record);
        try {
            List<String> all = new ArrayList<>();
            for (int i = 0; i < size; i++) {
                all.add(in.readLine());
            }
            return all;
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }
}
