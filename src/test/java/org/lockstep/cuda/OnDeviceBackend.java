package org.lockstep.cuda;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.lockstep.collective.Backend;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.Communicators;
import org.lockstep.collective.ControlPlane;
import org.lockstep.collective.FirstCause;
import org.lockstep.collective.Flight;
import org.lockstep.collective.Identity;
import org.lockstep.collective.Overdue;
import org.lockstep.collective.Roster;
import org.lockstep.collective.Traffic;
import org.lockstep.collective.UniqueId;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.Rendezvous;
import org.lockstep.rendezvous.Venue;
import org.lockstep.tensor.Kernels;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelState;

/** A GPU whose groups take buffers of the host, and do on the device what they are asked: {@link OnDevice}. */
public record OnDeviceBackend(CudaBackend real) implements Backend {
    private static final CudaOptions NCCL =
            CudaOptions.DEFAULT.withCublas(CudaOptions.NO_CUBLAS).withNccl(NcclOptions.DEFAULT.withUse(Use.ON));

    /** The devices that there are, shared by parties in processes of their own where they are fewer, by NCCL. */
    static OnDeviceBackend byNcclOfAny(Rendezvous rendezvous, Backend host) {
        List<VisibleDevice> devices = StandIn.devices();
        CudaOptions options = NCCL.withPeer(PeerOptions.NONE)
                .withNccl(NCCL.nccl().withShared(true))
                .withRanksPerDevice((rendezvous.size() + devices.size() - 1) / devices.size());
        return new OnDeviceBackend(CudaBackend.create(devices.get(rendezvous.index() % devices.size()), host, options));
    }

    /** A device of the stand-in to each party, whose buffers go by NCCL, beside such a host. */
    public static OnDeviceBackend byNccl(Rendezvous rendezvous, Backend host) {
        return each(rendezvous, host, NCCL.withPeer(PeerOptions.NONE));
    }

    /** The same with small all-reduces by kernels. */
    public static OnDeviceBackend byKernels(Rendezvous rendezvous, Backend host) {
        return each(rendezvous, host, NCCL);
    }

    private static OnDeviceBackend each(Rendezvous rendezvous, Backend host, CudaOptions options) {
        StandIn.require().setDevices(rendezvous.size());
        return new OnDeviceBackend(CudaBackend.create(StandIn.devices().get(rendezvous.index()), host, options));
    }

    @Override
    public String name() {
        return real.name();
    }

    @Override
    public Optional<Identity.Gpu> gpu() {
        return real.gpu();
    }

    @Override
    public Kernels kernels() {
        return real.kernels();
    }

    @Override
    public Endpoint open(Venue venue, WorldSpec spec) {
        Endpoint endpoint = real.open(venue, spec);
        return new Endpoint() {
            @Override
            public List<String> addresses() {
                return endpoint.addresses();
            }

            @Override
            public int port() {
                return endpoint.port();
            }

            @Override
            public List<UniqueId> uniqueIds(int party, int parties) {
                return endpoint.uniqueIds(party, parties);
            }

            @Override
            public Communicators connect(Roster roster, ParallelState state) {
                return new Groups(endpoint.connect(roster, state), real.kernels());
            }

            @Override
            public void close() {
                endpoint.close();
            }
        };
    }

    @Override
    public void close() {
        real.close();
    }

    private record Groups(Communicators real, Kernels kernels) implements Communicators {
        @Override
        public Communicator of(GroupKind kind) {
            return new OnDevice(real.of(kind), kernels);
        }

        @Override
        public ControlPlane controlPlane() {
            return real.controlPlane();
        }

        @Override
        public Traffic traffic() {
            return real.traffic();
        }

        @Override
        public List<Flight> flights() {
            return real.flights();
        }

        @Override
        public Optional<Overdue> expire(Duration grace) {
            return real.expire(grace);
        }

        @Override
        public Optional<FirstCause> firstCause() {
            return real.firstCause();
        }

        @Override
        public void close() {
            real.close();
        }

        @Override
        public void abort(Throwable cause) {
            real.abort(cause);
        }
    }
}
