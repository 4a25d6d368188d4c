package org.lockstep.transport;

import java.util.Arrays;
import java.util.List;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh.Letter;

/** Letters on their way over the links of one rank, all at once; those of one peer and direction one after the other. */
final class Transfers {
    private final LinkSet links;
    private final List<Letter> sends;
    private final List<Letter> receives;
    private final State[] sending;
    private final State[] receiving;

    private enum State {
        WAITING,
        BEGUN,
        ARRIVED,
        DONE
    }

    Transfers(LinkSet links, List<Letter> sends, List<Letter> receives) {
        this.links = links;
        this.sends = sends;
        this.receives = receives;
        this.sending = states(sends.size());
        this.receiving = states(receives.size());
    }

    private static State[] states(int count) {
        State[] states = new State[count];
        Arrays.fill(states, State.WAITING);
        return states;
    }

    /** Returns when all are there, and what was sent is the caller's again. */
    void run() {
        connect(receives); // before anything waits to be read
        connect(sends);
        int left = sends.size() + receives.size();
        while (true) {
            for (int i = 0; i < receives.size(); i++) {
                left -= receive(i) ? 1 : 0;
            }
            for (int i = 0; i < sends.size(); i++) {
                left -= send(i) ? 1 : 0;
            }
            if (left == 0) {
                break;
            }
            refuseElsewhere();
            links.rest();
        }
        for (int i = 0; i < sends.size(); i++) {
            links.reclaim(links.link(sends.get(i).peer()));
        }
    }

    private void connect(List<Letter> letters) {
        for (int i = 0; i < letters.size(); i++) {
            links.link(letters.get(i).peer());
        }
    }

    /** Whether a letter is complete since now. */
    private boolean receive(int i) {
        Letter letter = receives.get(i);
        if (receiving[i] == State.WAITING && isNext(receives, receiving, i)) {
            receiving[i] = State.BEGUN;
            links.link(letter.peer()).expect(letter.tag(), letter.data().bytes());
            links.await(letter.peer(), true);
        }
        if (receiving[i] != State.BEGUN && receiving[i] != State.ARRIVED) {
            return false;
        }
        Link link = links.link(letter.peer());
        if (receiving[i] == State.BEGUN) {
            if (!link.arrived()) {
                return false;
            }
            receiving[i] = State.ARRIVED;
            if (letter.data().size() > 0 && link.lent() == null) {
                link.into(letter.data(), letter.data().size());
            }
        }
        HostBuffer lent = link.lent();
        if (lent != null) {
            letter.data().copyFrom(lent);
        } else if (letter.data().size() > 0 && !link.filled()) {
            return false;
        }
        link.received();
        links.await(letter.peer(), false);
        receiving[i] = State.DONE;
        return true;
    }

    private boolean send(int i) {
        Letter letter = sends.get(i);
        Link link = links.link(letter.peer());
        if (sending[i] == State.WAITING && isNext(sends, sending, i)) {
            sending[i] = State.BEGUN;
            link.send(letter.tag(), letter.data());
        }
        if (sending[i] != State.BEGUN || !link.pushed()) {
            return false;
        }
        sending[i] = State.DONE;
        return true;
    }

    /** Whether all letters before {@code i} with its peer are done. */
    private static boolean isNext(List<Letter> letters, State[] states, int i) {
        for (int before = 0; before < i; before++) {
            if (states[before] != State.DONE
                    && letters.get(before).peer() == letters.get(i).peer()) {
                return false;
            }
        }
        return true;
    }

    /** A peer that is in an operation of the whole group reads no transfer that does not fit the link. */
    private void refuseElsewhere() {
        for (int i = 0; i < sends.size(); i++) {
            Letter letter = sends.get(i);
            OperationTag theirs =
                    sending[i] == State.DONE || !letter.tag().operation().isTransfer()
                            ? null
                            : links.link(letter.peer()).unexpected();
            if (theirs != null && !theirs.operation().isTransfer()) {
                throw links.elsewhere(letter, theirs);
            }
        }
    }
}
