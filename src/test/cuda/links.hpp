// How the ranks of a group reach each other in the stand-in for NCCL, be they threads or processes.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

extern "C" void standin_acquire();
extern "C" void standin_release();

namespace links {

/** The lock of the devices, for the length of a call. */
struct Call {
    Call() { standin_acquire(); }
    ~Call() { standin_release(); }
    Call(const Call&) = delete;
};

using Bytes = std::vector<char>;

/** Who is told what comes; always with the lock. */
struct Owner {
    /** A message of a rank; those of one rank come in their order. */
    virtual void came(int from, const Bytes& message) = 0;

    /** Does what can be done now. @return milliseconds until it is to be asked again whatever comes, -1 for never */
    virtual int tend() = 0;

    /** Whether it is as if its process stood still: nothing comes, and nothing goes. */
    virtual bool stands_still() const = 0;

    virtual ~Owner() = default;
};

/**
 * The connections of one rank: Unix sockets whose names are abstract, so that no file stands for them and they end with
 * their process, however that ends. Each rank listens, and connects to each of the others, to send. A thread carries messages
 * both ways, for a device does its part without anybody who waits for it. A rank that is gone is silent, as one is whose memory
 * the others write to: nobody hears of it, and what is sent to it is lost.
 */
class Links {
public:
    Links(std::string group, int size, int rank, Owner& owner) : group(std::move(group)), rank(rank), owner(owner), outs(size) {}

    /** Begins. @return 0, EADDRINUSE where there is such a rank already, or what else the system refuses it for */
    int begin() {
        bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        listener = made();
        socklen_t length;
        const sockaddr_un name = name_of(rank, length);
        if (bell < 0 || listener < 0 || bind(listener, reinterpret_cast<const sockaddr*>(&name), length) != 0 || listen(listener, MOST) != 0) {
            const int why = errno;
            shut();
            return why;
        }
        courier = std::thread([this] { carry(); });
        return 0;
    }

    /** Queues a message for another rank; with the lock. It goes at once if it can. */
    void send(int to, const Bytes& message) {
        Out& out = outs[to];
        if (out.gone) {
            return;
        }
        const Head head = {rank, message.size()};
        const char* raw = reinterpret_cast<const char*>(&head);
        out.bytes.insert(out.bytes.end(), raw, raw + sizeof(head));
        out.bytes.insert(out.bytes.end(), message.begin(), message.end());
        if (!flush(out)) {
            ring();
        }
    }

    /** Whether all that was queued has left; with the lock. */
    bool sent() const {
        return std::all_of(outs.begin(), outs.end(), [](const Out& out) { return out.bytes.empty(); });
    }

    /** Has the owner tended. */
    void ring() {
        const uint64_t one = 1;
        (void) !write(bell, &one, sizeof(one)); // full is rung, too
    }

    /** Ends all connections, without the lock. */
    void end() {
        {
            Call held;
            over = true;
            ring();
        }
        courier.join();
        Call held;
        shut();
    }

private:
    static constexpr int MOST = 128; // who wait to be let in
    static constexpr size_t CHUNK = 64 << 10;

    struct Head {
        int from;
        uint64_t bytes;
    };

    struct Out {
        int socket = -1;
        bool gone = false;
        Bytes bytes;
        size_t left = 0; // of the bytes, those before it
    };

    struct In {
        int socket;
        Bytes bytes;
    };

    static int made() { return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

    sockaddr_un name_of(int whose, socklen_t& length) const {
        sockaddr_un name = {};
        name.sun_family = AF_UNIX;
        const std::string text = group + "/" + std::to_string(whose);
        const size_t bytes = std::min(text.size(), sizeof(name.sun_path) - 1);
        std::memcpy(name.sun_path + 1, text.data(), bytes); // after a nul: an abstract name
        length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + bytes);
        return name;
    }

    void carry() {
        std::vector<pollfd> watched;
        for (int patience = 0;;) {
            poll(watched.data(), watched.size(), patience);
            Call held;
            if (over) {
                return;
            }
            uint64_t rung;
            (void) !read(bell, &rung, sizeof(rung));
            if (!owner.stands_still()) {
                connect_all();
                accept_all();
                receive_all();
            }
            patience = owner.tend();
            if (patience < 0 && std::any_of(outs.begin(), outs.end(), [](const Out& out) { return out.socket < 0 && !out.bytes.empty(); })) {
                patience = 1; // who does not listen yet rings nothing when it does
            }
            watched = {{bell, POLLIN, 0}};
            if (!owner.stands_still()) {
                watched.push_back({listener, POLLIN, 0});
                for (const In& in : ins) {
                    watched.push_back({in.socket, POLLIN, 0});
                }
                for (const Out& out : outs) {
                    if (out.socket >= 0 && !out.bytes.empty()) {
                        watched.push_back({out.socket, POLLOUT, 0});
                    }
                }
            }
        }
    }

    /** To whom something is to be said, and who listens by now; what is left to be said goes as far as it can. */
    void connect_all() {
        for (size_t other = 0; other < outs.size(); other++) {
            Out& out = outs[other];
            if (out.socket < 0 && !out.gone && !out.bytes.empty()) {
                socklen_t length;
                const sockaddr_un name = name_of(static_cast<int>(other), length);
                out.socket = made();
                if (connect(out.socket, reinterpret_cast<const sockaddr*>(&name), length) != 0) {
                    close(out.socket);
                    out.socket = -1;
                }
            }
            flush(out);
        }
    }

    /** @return whether nothing is left */
    static bool flush(Out& out) {
        while (out.socket >= 0 && out.left < out.bytes.size()) {
            const ssize_t went = ::send(out.socket, out.bytes.data() + out.left, out.bytes.size() - out.left, MSG_NOSIGNAL);
            if (went < 0 && errno == EAGAIN) {
                return false;
            }
            if (went < 0) {
                close(out.socket);
                out.socket = -1;
                out.gone = true;
                out.left = out.bytes.size();
            } else {
                out.left += static_cast<size_t>(went);
            }
        }
        if (out.left < out.bytes.size()) {
            return false;
        }
        out.bytes.clear();
        out.left = 0;
        return true;
    }

    void accept_all() {
        for (int socket = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC); socket >= 0;
             socket = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) {
            ins.push_back({socket, {}});
        }
    }

    void receive_all() {
        for (In& in : ins) {
            Bytes chunk(CHUNK);
            ssize_t got = recv(in.socket, chunk.data(), chunk.size(), 0);
            for (; got > 0; got = recv(in.socket, chunk.data(), chunk.size(), 0)) {
                in.bytes.insert(in.bytes.end(), chunk.begin(), chunk.begin() + got);
            }
            const bool is_open = got < 0 && errno == EAGAIN;
            hand_over(in);
            if (!is_open) {
                close(in.socket);
                in.socket = -1;
            }
        }
        ins.erase(std::remove_if(ins.begin(), ins.end(), [](const In& in) { return in.socket < 0; }), ins.end());
    }

    void hand_over(In& in) {
        size_t at = 0;
        Head head;
        while (in.bytes.size() - at >= sizeof(head)) {
            std::memcpy(&head, in.bytes.data() + at, sizeof(head));
            if (in.bytes.size() - at - sizeof(head) < head.bytes) {
                break;
            }
            const auto from = in.bytes.begin() + static_cast<std::ptrdiff_t>(at + sizeof(head));
            owner.came(head.from, Bytes(from, from + static_cast<std::ptrdiff_t>(head.bytes)));
            at += sizeof(head) + head.bytes;
        }
        in.bytes.erase(in.bytes.begin(), in.bytes.begin() + static_cast<std::ptrdiff_t>(at));
    }

    void shut() {
        for (const Out& out : outs) {
            shut(out.socket);
        }
        for (const In& in : ins) {
            shut(in.socket);
        }
        shut(listener);
        shut(bell);
    }

    static void shut(int descriptor) {
        if (descriptor >= 0) {
            close(descriptor);
        }
    }

    const std::string group;
    const int rank;
    Owner& owner;
    std::vector<Out> outs; // by rank
    std::vector<In> ins;
    int bell = -1;
    int listener = -1;
    bool over = false;
    std::thread courier;
};

} // namespace links
