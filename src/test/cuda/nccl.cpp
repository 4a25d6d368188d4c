// libnccl.so.2 without a GPU: communicators between threads and between processes, on the streams of the stand-in for the driver.
//
// Stricter than NCCL: ranks whose operations differ (kind, count, type, reduction, root), which there hang or mix their data,
// get an asynchronous error here, and so does an address that is no device memory. A rank whose stream comes to an operation
// tells all others (links.hpp) what it called, with what they need of its data; who has heard that of all works its own result
// out. Whom others wait for moves its stream on, even where nobody waits for that. Sums are joined in a balanced tree over
// the ranks, floating types of 16 and 8 bits in f32, so that results are bit by bit those of the other communicators.

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "dialect.hpp"
#include "cuda_bf16.h"
#include "cuda_fp16.h"
#include "fp8.cuh"
#include "links.hpp"

#define API extern "C" __attribute__((visibility("default")))

extern "C" int standin_enqueue(void* stream, int (*operation)(void*), void (*drop)(void*), void* state);
extern "C" int standin_holds(uint64_t address, uint64_t bytes);
extern "C" int standin_step(void* stream);
extern "C" void standin_wake();
extern "C" void standin_wait();
extern "C" int cuCtxGetDevice(int* device);
extern "C" int cuDeviceGetPCIBusId(char* text, int length, int device);
extern "C" int cuStreamIsCapturing(void* stream, int* status);

namespace {

using links::Bytes;
using links::Call;

enum Result { SUCCESS = 0, CUDA_ERROR = 1, SYSTEM_ERROR = 2, INVALID_ARGUMENT = 4, INVALID_USAGE = 5, REMOTE_ERROR = 6, IN_PROGRESS = 7 };

constexpr int PENDING = -1; // of an operation on a stream
constexpr int UNDEFINED = std::numeric_limits<int>::min();
constexpr unsigned MAGIC = 0xcafebeef;
constexpr int FIRST_OWN_REDUCTION = 5;
constexpr size_t TEXT = 64; // of a unique id

struct UniqueId {
    char bytes[128];
};

/** ncclConfig_t of 2.26; what 2.18 has in the last field's place is padding. */
struct Config {
    size_t size;
    unsigned magic;
    unsigned version;
    int blocking;
    int cga_cluster_size;
    int min_ctas;
    int max_ctas;
    const char* net_name;
    int split_share;
    int traffic_class;
};
static_assert(sizeof(Config) == 48 && offsetof(Config, traffic_class) == 44, "as NCCL's header has it");

enum class Kind { ALL_REDUCE, REDUCE, BROADCAST, ALL_GATHER, REDUCE_SCATTER, SEND, RECEIVE };

/** One call, as a rank made it. */
struct Operation {
    Kind kind;
    uint64_t send;
    uint64_t receive;
    size_t count;
    int type;
    int reduction;
    double factor; // of the elements of this rank
    int root;      // or peer
};

/** Memory from an address on. */
struct Range {
    uint64_t address;
    uint64_t bytes;

    bool holds(const Range& other) const { return address <= other.address && other.address + other.bytes <= address + bytes; }
    bool meets(const Range& other) const { return address < other.address + other.bytes && other.address < address + bytes; }
    bool is_memory() const { return bytes == 0 || standin_holds(address, bytes) != 0; }
};

bool is_transfer(Kind kind) { return kind == Kind::SEND || kind == Kind::RECEIVE; }

/** What a rank says of a call: the call, and what the rank that hears it needs of its data. */
struct Parcel {
    Operation call;
    Bytes data;
};

/** Calls of this rank and of a peer that belong together one by one, in their order. */
struct Lane {
    uint64_t called = 0; // by this rank
    uint64_t heard = 0;  // of the peer
    std::map<uint64_t, Parcel> waiting;
    bool asked = false;     // whether the peer was told that this rank connects the two for it
    bool connected = false; // whether the peer told so
};

struct Peer {
    bool is_here = false;
    Lane together; // operations of all ranks
    Lane to;       // what this rank sends to it, and it receives
    Lane from;     // what it sends to this rank
};

/** What a message begins with. */
struct Head {
    enum Word { HELLO, CONNECTS, CALLED, FAILED } word;
    int size;       // of a hello: of the group as that rank has it; then comes its device
    int result;     // of a failure; then comes its text
    Operation call; // then comes its data
};

/** Calls that belong together and are taken in beside the thread that called. */
struct Taken {
    std::vector<Operation> calls;
    void* stream;
};

struct Communicator : links::Owner, std::enable_shared_from_this<Communicator> {
    const int size;
    const int rank;
    const std::string device; // with its host
    links::Links links;
    std::vector<Peer> peers; // by rank, this one too
    bool aborted = false;
    bool finalized = false;
    bool ending = false; // by who aborts or destroys it, and waits for that
    bool lost = false; // as if its process stood still
    int state = IN_PROGRESS;
    void** made = nullptr; // where the caller wants it, which is written once more when it is ready
    std::deque<Taken> taken;
    void* stream = nullptr;
    std::set<void*> streams; // all that it was ever in
    int under_way = 0; // launches that its stream has come to
    int launches = 0; // that are queued, or in a graph, or in an instance of one
    int max_ctas = UNDEFINED;
    int traffic_class = UNDEFINED;
    std::map<int, double> factors; // of its own reductions
    std::map<void*, Range> registered; // by what NCCL calls a handle

    Communicator(const std::string& group, int size, int rank, std::string device)
        : size(size), rank(rank), device(std::move(device)), links(group, size, rank, *this), peers(size) {}

    void say(int to, const Head& head, const char* from, size_t bytes);
    void say_to_all(const Head& head, const std::string& text);
    void meet();
    void fail(int result, const std::string& why);
    bool is_awaited() const;
    Lane& lane(const Operation& call, int peer);
    std::vector<int> ranks_of(const Operation& call) const;
    bool connect(const Operation& call);
    void go_on();

    void came(int from, const Bytes& message) override;
    int tend() override;
    bool stands_still() const override { return lost; }
};

/** Calls between GroupStart and GroupEnd, of one thread. */
struct Group {
    int depth = 0;
    std::vector<std::pair<std::shared_ptr<Communicator>, std::pair<Operation, void*>>> calls;
    std::vector<std::shared_ptr<Communicator>> ends; // of communicators that are aborted or destroyed
};

Group& group() {
    static thread_local Group mine;
    return mine;
}

/** Those that nobody has ended: a process that ends is not to leave their threads running. */
struct Communicators : std::map<void*, std::shared_ptr<Communicator>> {
    ~Communicators() {
        for (const auto& [handle, each] : *this) {
            each->links.end();
        }
    }
};

Communicators& communicators() {
    static Communicators all;
    return all;
}

/** Null where there is none, or none any more. */
std::shared_ptr<Communicator> find(void* handle) {
    const auto found = communicators().find(handle);
    return found == communicators().end() || found->second->ending ? nullptr : found->second;
}

std::string& last_error() {
    static std::string text;
    return text;
}

bool holding = false; // who calls an operation, inside
bool holding_ends = false; // who aborts or destroys a communicator
int inside = 0; // who is held
int misuses = 0; // of a communicator that another thread is ending
int held_rank = -1; // in its init
int late_rank = -1; // whose init does not end, though others' do
int lost_rank = -1; // of communicators made from now on, and of those there are
int64_t fail_after = -1;
int fail_result = REMOTE_ERROR;
bool lazy = false; // whether ranks are connected by the first calls that need it, as NCCL does from 2.22 on, rather than before
int version = 22800; // of the library

int refuse(int result, const std::string& why) {
    last_error() = why;
    return result;
}

/** Why a config cannot be; null where it can. Stricter than NCCL, which passes over what the config's version does not have. */
const char* odd(const Config& config) {
    const auto unlike = [](int value, int least, int most) { return value != UNDEFINED && (value < least || value > most); };
    constexpr int MOST = std::numeric_limits<int>::max();
    if (config.size != sizeof(Config) || config.magic != MAGIC) {
        return "a config whose size or magic are not those of 2.18 to 2.26";
    }
    if (config.version < 21800 || config.version >= 22700 || static_cast<int>(config.version) > version) {
        return "a config whose version has another size, or is newer than the library";
    }
    if (config.version < 22600 && config.traffic_class != UNDEFINED) {
        return "a traffic class in a config of before 2.26";
    }
    return unlike(config.blocking, 0, 1) || unlike(config.cga_cluster_size, 0, 8) || unlike(config.min_ctas, 1, MOST) ||
            unlike(config.max_ctas, 1, MOST) || config.min_ctas > config.max_ctas || config.net_name != nullptr ||
            unlike(config.split_share, 0, 1) || unlike(config.traffic_class, 0, MOST)
        ? "a config with a value that cannot be"
        : nullptr;
}

int bytes_of(int type) {
    static const int bytes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1};
    return type < 0 || type > (version < 22400 ? 9 : 11) ? 0 : bytes[type];
}

// ---- arithmetic

template <typename T> struct Numbers {
    using Wide = T;
    static T wide(T x) { return x; }
    static T narrow(T x) { return x; }
};
template <> struct Numbers<__half> {
    using Wide = float;
    static float wide(__half x) { return __half2float(x); }
    static __half narrow(float x) { return __float2half_rn(x); }
};
template <> struct Numbers<__nv_bfloat16> {
    using Wide = float;
    static float wide(__nv_bfloat16 x) { return __bfloat162float(x); }
    static __nv_bfloat16 narrow(float x) { return __float2bfloat16_rn(x); }
};

template <> struct Numbers<e4m3> {
    using Wide = float;
    static float wide(e4m3 x) { return widen(x); }
    static e4m3 narrow(float x) { return to_e4m3(x); }
};
template <> struct Numbers<e5m2> {
    using Wide = float;
    static float wide(e5m2 x) { return widen(x); }
    static e5m2 narrow(float x) { return to_e5m2(x); }
};

/** What is no number stays none, and there is but one: as the CPU's reductions have it, where NCCL's take the other of two. */
template <typename W> W one_nan(W x) { return x == x ? x : static_cast<W>(std::numeric_limits<W>::quiet_NaN()); }

template <typename W> W join(int reduction, W a, W b) {
    if (!(a == a) || !(b == b)) {
        return one_nan(a + b);
    }
    switch (reduction) {
        case 1: return a * b;
        case 2: return std::max(a, b);
        case 3: return std::min(a, b);
        default: return a + b;
    }
}

template <typename T> struct Reduction {
    using N = Numbers<T>;
    using W = typename N::Wide;
    const std::vector<Parcel>& ranks;

    W tree(size_t i, int lo, int hi) const {
        if (hi - lo == 1) {
            const Operation& call = ranks[lo].call;
            const W own = N::wide(reinterpret_cast<const T*>(ranks[lo].data.data())[i]);
            return call.reduction < FIRST_OWN_REDUCTION ? own : N::wide(N::narrow(own * static_cast<W>(call.factor)));
        }
        int half = 1;
        while (2 * half < hi - lo) {
            half *= 2;
        }
        return join<W>(ranks[lo].call.reduction, tree(i, lo, lo + half), tree(i, lo + half, hi));
    }

    Bytes all(size_t count) const {
        Bytes out(count * sizeof(T));
        for (size_t i = 0; i < count; i++) {
            W value = tree(i, 0, static_cast<int>(ranks.size()));
            value = ranks[0].call.reduction == 4 ? value / static_cast<W>(ranks.size()) : value;
            reinterpret_cast<T*>(out.data())[i] = N::narrow(one_nan(value));
        }
        return out;
    }
};

Bytes reduced(const std::vector<Parcel>& ranks) {
    const size_t count = ranks[0].call.count;
    switch (ranks[0].call.type) {
        case 0: return Reduction<int8_t>{ranks}.all(count);
        case 1: return Reduction<uint8_t>{ranks}.all(count);
        case 2: return Reduction<int32_t>{ranks}.all(count);
        case 3: return Reduction<uint32_t>{ranks}.all(count);
        case 4: return Reduction<int64_t>{ranks}.all(count);
        case 5: return Reduction<uint64_t>{ranks}.all(count);
        case 6: return Reduction<__half>{ranks}.all(count);
        case 7: return Reduction<float>{ranks}.all(count);
        case 8: return Reduction<double>{ranks}.all(count);
        case 10: return Reduction<e4m3>{ranks}.all(count);
        case 11: return Reduction<e5m2>{ranks}.all(count);
        default: return Reduction<__nv_bfloat16>{ranks}.all(count);
    }
}

/** What has come of a call on all ranks, at the one that makes it. */
Bytes result_of(const Operation& call, const std::vector<Parcel>& ranks) {
    switch (call.kind) {
        case Kind::BROADCAST: return ranks[call.root].data;
        case Kind::ALL_GATHER: {
            Bytes all;
            for (const Parcel& each : ranks) {
                all.insert(all.end(), each.data.begin(), each.data.end());
            }
            return all;
        }
        default: return reduced(ranks);
    }
}

// ---- meeting

void Communicator::say(int to, const Head& head, const char* from, size_t bytes) {
    Bytes message(sizeof(Head) + bytes);
    std::memcpy(message.data(), &head, sizeof(Head));
    if (bytes > 0) {
        std::memcpy(message.data() + sizeof(Head), from, bytes);
    }
    if (to == rank) {
        came(rank, message);
    } else {
        links.send(to, message);
    }
}

void Communicator::say_to_all(const Head& head, const std::string& text) {
    for (int to = 0; to < size; to++) {
        if (to != rank) {
            say(to, head, text.data(), text.size());
        }
    }
}

void Communicator::meet() {
    peers[rank].is_here = true;
    say_to_all({Head::HELLO, size, 0, {}}, device);
    links.ring();
}

/** Ends its work, and that of all ranks. */
void Communicator::fail(int result, const std::string& why) {
    last_error() = why;
    if (state == SUCCESS || state == IN_PROGRESS) {
        state = result;
        say_to_all({Head::FAILED, 0, result, {}}, why);
    }
    standin_wake();
}

/** Whether a peer's stream has come to something that this one's has not. */
bool Communicator::is_awaited() const {
    const auto behind = [](const Lane& lane) { return lane.heard > lane.called; };
    return std::any_of(
        peers.begin(), peers.end(), [&](const Peer& peer) { return behind(peer.together) || behind(peer.to) || behind(peer.from); });
}

void Communicator::came(int from, const Bytes& message) {
    Head head;
    std::memcpy(&head, message.data(), sizeof(head));
    Bytes rest(message.begin() + sizeof(head), message.end());
    const std::string text(rest.begin(), rest.end());
    Peer& peer = peers[from];
    if (head.word == Head::HELLO) {
        peer.is_here = true;
        if (head.size != size) {
            fail(INVALID_USAGE, "ranks of worlds of different sizes");
        } else if (text == device) {
            fail(INVALID_USAGE, "Duplicate GPU detected : rank " + std::to_string(rank) + " and rank " + std::to_string(from) + " both on " + device);
        }
    } else if (head.word == Head::FAILED) {
        if (state == SUCCESS || state == IN_PROGRESS) {
            state = head.result;
            last_error() = text;
        }
    } else {
        Lane& lane = head.call.kind == Kind::SEND ? peer.from : head.call.kind == Kind::RECEIVE ? peer.to : peer.together;
        if (head.word == Head::CONNECTS) {
            lane.connected = true;
            return;
        }
        lane.waiting[lane.heard++] = {head.call, std::move(rest)};
    }
}

/** Moves the stream on to where the others are, and not beyond. */
int Communicator::tend() {
    go_on();
    if (lost) {
        return 10;
    }
    if (state == IN_PROGRESS && std::all_of(peers.begin(), peers.end(), [](const Peer& peer) { return peer.is_here; })) {
        state = SUCCESS;
        if (!ending) {
            *made = this;
        }
    }
    while (state == SUCCESS && (under_way > 0 || is_awaited()) && standin_step(stream) != 0) {
    }
    standin_wake();
    return state == IN_PROGRESS ? 1 : state == SUCCESS && is_awaited() ? 10 : -1;
}

Lane& Communicator::lane(const Operation& call, int peer) {
    Peer& other = peers[peer];
    return call.kind == Kind::SEND ? other.to : call.kind == Kind::RECEIVE ? other.from : other.together;
}

std::vector<int> Communicator::ranks_of(const Operation& call) const {
    if (is_transfer(call.kind)) {
        return {call.root};
    }
    std::vector<int> all;
    for (int each = 0; each < size; each++) {
        all.push_back(each);
    }
    return all;
}

/** Tells the others of a call that this rank connects with them for it. @return whether all have told so */
bool Communicator::connect(const Operation& call) {
    bool all = true;
    for (int other : ranks_of(call)) {
        Lane& mine = lane(call, other);
        if (!mine.asked) {
            mine.asked = true;
            say(other, {Head::CONNECTS, 0, 0, call}, nullptr, 0);
        }
        all = all && mine.connected;
    }
    return all;
}

bool receives(const Operation& call, int rank) {
    return call.kind != Kind::SEND && (call.kind != Kind::REDUCE || rank == call.root);
}

/** What a call reads and writes at a rank. */
std::vector<Range> ranges_of(const Operation& call, int size, int rank) {
    const uint64_t bytes = call.count * bytes_of(call.type);
    std::vector<Range> all;
    if (call.kind != Kind::RECEIVE && (call.kind != Kind::BROADCAST || rank == call.root)) {
        all.push_back({call.send, call.kind == Kind::REDUCE_SCATTER ? size * bytes : bytes});
    }
    if (receives(call, rank)) {
        all.push_back({call.receive, call.kind == Kind::ALL_GATHER ? size * bytes : bytes});
    }
    return all;
}

bool is_memory(const Operation& call, int size, int rank) {
    const auto ranges = ranges_of(call, size, rank);
    return std::all_of(ranges.begin(), ranges.end(), [](const Range& range) { return range.is_memory(); });
}

/**
 * Why what is registered is not as it must be for a call; null where it is. Stricter than NCCL, which leaves undefined what comes of
 * memory that was freed, and of a rank that mixes memory that is registered with such that is not.
 */
const char* unregistered(const Communicator& communicator, const Operation& call) {
    const auto& all = communicator.registered;
    if (std::any_of(all.begin(), all.end(), [](const auto& each) { return !each.second.is_memory(); })) {
        return "memory was freed that is registered";
    }
    for (const Range& range : ranges_of(call, communicator.size, communicator.rank)) {
        if (!all.empty() && range.bytes > 0 && std::none_of(all.begin(), all.end(), [&](const auto& each) { return each.second.holds(range); })) {
            return "memory that is not registered beside such that is";
        }
    }
    return nullptr;
}

bool agree(const Operation& a, const Operation& b) {
    return is_transfer(a.kind)
        ? a.count == b.count && a.type == b.type
        : a.kind == b.kind && a.count == b.count && a.type == b.type && a.root == b.root &&
            std::min(a.reduction, FIRST_OWN_REDUCTION) == std::min(b.reduction, FIRST_OWN_REDUCTION);
}

/** What one launch on a stream does for a rank: one operation of all, or transfers together. */
struct Launch {
    std::shared_ptr<Communicator> communicator;
    std::vector<Operation> calls;
    std::vector<uint64_t> places; // of the calls in their lanes, once the stream has come to them

    Launch(std::shared_ptr<Communicator> communicator, std::vector<Operation> calls)
        : communicator(std::move(communicator)), calls(std::move(calls)) {
        this->communicator->launches++;
    }
    ~Launch() { communicator->launches--; }
    Launch(const Launch&) = delete;

    int run() {
        Communicator& mine = *communicator;
        if (mine.aborted) {
            return SUCCESS; // a kernel that was aborted ends and does nothing
        }
        if (mine.lost || mine.state != SUCCESS) {
            return PENDING;
        }
        if (places.empty()) {
            mine.under_way++;
            for (const Operation& call : calls) {
                arrive(call);
            }
        }
        if (mine.state != SUCCESS || !is_met()) {
            return PENDING;
        }
        for (size_t i = 0; i < calls.size(); i++) {
            carry_out(calls[i], places[i]);
        }
        mine.under_way--;
        places.clear(); // a graph launches it again
        return SUCCESS;
    }

    Lane& lane(const Operation& call, int peer) const { return communicator->lane(call, peer); }
    std::vector<int> ranks_of(const Operation& call) const { return communicator->ranks_of(call); }

    void arrive(const Operation& call) {
        Communicator& mine = *communicator;
        if (!is_memory(call, mine.size, mine.rank)) {
            return mine.fail(INVALID_ARGUMENT, "an operation reaches beyond the memory of its device");
        }
        places.push_back(lane(call, call.root).called);
        for (int other : ranks_of(call)) {
            lane(call, other).called++;
            const size_t bytes = needs(call, other) ? call.count * bytes_of(call.type) : 0;
            const uint64_t from = call.kind == Kind::REDUCE_SCATTER ? call.send + other * bytes : call.send;
            mine.say(other, {Head::CALLED, 0, 0, call}, reinterpret_cast<const char*>(from), bytes);
        }
    }

    /** Whether another rank, or this one, needs this one's data. */
    bool needs(const Operation& call, int other) const {
        return call.kind == Kind::BROADCAST ? communicator->rank == call.root
            : call.kind == Kind::REDUCE     ? other == call.root
                                            : call.kind != Kind::RECEIVE;
    }

    /** Whether all have come to all of it, and have been told all of it. */
    bool is_met() {
        bool all = true;
        for (size_t i = 0; i < calls.size(); i++) {
            for (int other : ranks_of(calls[i])) {
                const auto& waiting = lane(calls[i], other).waiting;
                const auto found = waiting.find(places[i]);
                if (found != waiting.end() && !agree(calls[i], found->second.call)) {
                    communicator->fail(INVALID_USAGE,
                        is_transfer(calls[i].kind) ? "what is sent between ranks " + std::to_string(communicator->rank) + " and " +
                                std::to_string(other) + " is not what is received"
                                                   : "ranks disagree about operation " + std::to_string(places[i]));
                    return false;
                }
                all = all && found != waiting.end();
            }
        }
        return all && communicator->links.sent();
    }

    void carry_out(const Operation& call, uint64_t place) {
        std::vector<Parcel> ranks;
        for (int other : ranks_of(call)) {
            auto& waiting = lane(call, other).waiting;
            const auto found = waiting.find(place);
            ranks.push_back(std::move(found->second));
            waiting.erase(found);
        }
        if (receives(call, communicator->rank)) {
            const Bytes result = call.kind == Kind::RECEIVE ? std::move(ranks[0].data) : result_of(call, ranks);
            std::copy(result.begin(), result.end(), reinterpret_cast<char*>(call.receive));
        }
    }
};

/** Has calls taken in, by the communicator's own thread: a call that does not block goes on after its return. */
int launch(const std::shared_ptr<Communicator>& communicator, std::vector<Operation> calls, void* stream) {
    if (fail_after >= 0 && fail_after-- == 0) {
        communicator->fail(fail_result, "a peer's connection was closed");
    }
    communicator->taken.push_back({std::move(calls), stream});
    communicator->links.ring();
    return IN_PROGRESS;
}

/** Queues what was called, once the ranks are connected that take part in it. */
void Communicator::go_on() {
    while (!taken.empty() && state == SUCCESS && !ending) {
        bool connected = true;
        for (const Operation& call : taken.front().calls) {
            connected = (!lazy || connect(call)) && connected;
        }
        if (!connected) {
            return;
        }
        stream = taken.front().stream;
        streams.insert(stream);
        const int queued = standin_enqueue(
            stream, [](void* state) { return static_cast<Launch*>(state)->run(); }, [](void* state) { delete static_cast<Launch*>(state); },
            new Launch(shared_from_this(), std::move(taken.front().calls)));
        taken.pop_front();
        if (queued != 0) {
            state = refuse(CUDA_ERROR, "Cuda failure " + std::to_string(queued));
        }
    }
}

/** What is said of a communicator that cannot be called now; SUCCESS where it can. */
int unready(const Communicator& communicator) {
    return communicator.state != SUCCESS && communicator.state != IN_PROGRESS ? communicator.state
        : communicator.state == IN_PROGRESS || !communicator.taken.empty()
        ? refuse(INVALID_ARGUMENT, "Attempt to use communicator before the previous operation returned ncclSuccess")
        : SUCCESS;
}

int add(void* handle, const Operation& call, void* stream) {
    Call held;
    for (inside++; holding;) {
        standin_wait();
    }
    inside--;
    const std::shared_ptr<Communicator> communicator = find(handle);
    if (communicator == nullptr || bytes_of(call.type) == 0) {
        return refuse(INVALID_ARGUMENT, "no such communicator or type");
    }
    const auto own = communicator->factors.find(call.reduction);
    const bool is_own = call.reduction >= FIRST_OWN_REDUCTION;
    if (call.root < 0 || call.root >= communicator->size || (is_own && own == communicator->factors.end())) {
        return refuse(INVALID_ARGUMENT, "root, peer or reduction is none of this communicator");
    }
    if (const int why = unready(*communicator)) {
        return why;
    }
    if (const char* why = unregistered(*communicator, call)) {
        return refuse(INVALID_USAGE, why);
    }
    Operation whole = call;
    whole.factor = is_own ? own->second : 1;
    if (group().depth > 0) {
        group().calls.push_back({communicator, {whole, stream}});
        return SUCCESS;
    }
    return launch(communicator, {whole}, stream);
}

/** Lets the streams of a communicator go on. @return whether one did */
bool step(const Communicator& communicator) {
    return std::count_if(communicator.streams.begin(), communicator.streams.end(), [](void* each) { return standin_step(each) != 0; }) > 0;
}

/**
 * Blocks until communicators are no more, as NCCL does from 2.27 on: until no kernel of one is queued, and no graph nor an instance of
 * one holds a kernel of it, whether or not it was aborted. With nothing held: others go on meanwhile.
 */
void end_all(const std::vector<std::shared_ptr<Communicator>>& all) {
    for (const auto& each : all) {
        {
            Call held;
            each->taken.clear();
            while (each->launches > 0 || holding_ends) {
                if (!step(*each)) {
                    standin_wait();
                }
            }
            if (each->aborted) {
                *each->made = each.get(); // as an init does that ends with the abort
            }
            communicators().erase(each.get());
        }
        each->links.end(); // its thread may be waiting for the lock
    }
}

/** Has a communicator ended, now or with the calls of its group. */
int begin_end(void* handle, bool aborts) {
    std::shared_ptr<Communicator> communicator;
    {
        Call held;
        communicator = find(handle);
        if (communicator == nullptr) {
            misuses += static_cast<int>(communicators().count(handle));
            return refuse(INVALID_ARGUMENT, "no such communicator, or one that is being ended");
        }
        communicator->ending = true;
        communicator->aborted |= aborts;
        standin_wake();
        if (group().depth > 0) {
            group().ends.push_back(communicator);
            return SUCCESS;
        }
    }
    end_all({communicator});
    return SUCCESS;
}

/** A unique id's text, of this process and this moment, and the rest of its bytes, which follow from it: all must arrive. */
void write_id(UniqueId& id, const std::string& text) {
    std::memset(&id, 0, sizeof(id));
    std::snprintf(id.bytes, TEXT, "%s", text.c_str());
    for (size_t i = TEXT; i < sizeof(id.bytes); i++) {
        id.bytes[i] = static_cast<char>(id.bytes[i - TEXT] * 31 + static_cast<int>(i));
    }
}

/** The text of an id; empty where it did not arrive as it was written. */
std::string text_of(const UniqueId& id) {
    const std::string text(id.bytes, strnlen(id.bytes, TEXT));
    UniqueId whole;
    write_id(whole, text);
    return std::memcmp(&whole, &id, sizeof(id)) == 0 ? text : "";
}

/** The current device, as all processes of a host know it; empty where there is none. NCCL_HOSTID makes another host of it. */
std::string device_here() {
    int device = 0;
    char bus[16];
    if (cuCtxGetDevice(&device) != 0) {
        return "";
    }
    cuDeviceGetPCIBusId(bus, sizeof(bus), device);
    const char* host = std::getenv("NCCL_HOSTID");
    return std::string("CUDA device ") + bus + (host == nullptr ? "" : std::string(" of host ") + host);
}

} // namespace

// ---- what a test tells it

/** A rank that is as if its process stood still from now on; -1 for none. */
API void standin_nccl_lose(int rank) {
    Call held;
    lost_rank = rank;
    for (const auto& [handle, each] : communicators()) {
        each->lost = each->rank == rank;
        each->links.ring();
    }
}

/** Lets the operation after so many more be the one at which NCCL fails so; -1 for none. */
API void standin_nccl_fail(int64_t operations, int result) {
    Call held;
    fail_after = operations;
    fail_result = result;
}

/** Whether ranks of communicators are connected by the first calls that need it from now on, which wait for each other. */
API void standin_nccl_lazy(int is_lazy) {
    Call held;
    lazy = is_lazy != 0;
}

/** Whether who calls an operation is held inside from now on, as where the driver's queue is full. */
API void standin_nccl_hold(int holds) {
    Call held;
    holding = holds != 0;
    standin_wake();
}

/** Whether who aborts or destroys a communicator is held inside from now on. */
API void standin_nccl_hold_ends(int holds) {
    Call held;
    holding_ends = holds != 0;
    standin_wake();
}

/** A rank whose init does not return from now on, as where the driver under it stands still; -1 for none. */
API void standin_nccl_hold_init(int rank) {
    Call held;
    held_rank = rank;
    standin_wake();
}

/** A rank that is still in its init from now on, when those of others are over; -1 for none. */
API void standin_nccl_late(int rank) {
    Call held;
    late_rank = rank;
    standin_wake();
}

/** Who is held in an operation. */
API int64_t standin_nccl_inside() {
    Call held;
    return inside;
}

/** Calls that met a communicator which another thread was ending. */
API int64_t standin_nccl_misuses() {
    Call held;
    return misuses;
}

/** Communicators that nobody has destroyed or aborted, and those that graphs keep from that. */
API int64_t standin_nccl_communicators() {
    Call held;
    return static_cast<int64_t>(communicators().size());
}

/** Ranges of memory that are registered with communicators that nobody has ended. */
API int64_t standin_nccl_registered() {
    Call held;
    int64_t all = 0;
    for (const auto& [handle, each] : communicators()) {
        all += static_cast<int64_t>(each->registered.size());
    }
    return all;
}

/** The version that it tells from now on, such as 22800. */
API void standin_nccl_version(int told) {
    Call held;
    version = told;
}

/** The same that were made with such a config; INT_MIN for what was left to NCCL. */
API int64_t standin_nccl_configured(int max_ctas, int traffic_class) {
    Call held;
    return std::count_if(communicators().begin(), communicators().end(),
        [&](const auto& each) { return each.second->max_ctas == max_ctas && each.second->traffic_class == traffic_class; });
}

// ---- NCCL

API int ncclGetVersion(int* told) {
    Call held;
    *told = version;
    return SUCCESS;
}

API const char* ncclGetErrorString(int result) {
    static const char* texts[] = {"no error", "unhandled cuda error (run with NCCL_DEBUG=INFO for details)", "unhandled system error",
        "internal error", "invalid argument", "invalid usage", "remote process exited or there was a network error", "NCCL operation in progress",
        "timeout"};
    return result < 0 || result > 8 ? "unknown result code" : texts[result];
}

API const char* ncclGetLastError(void*) {
    Call held;
    static thread_local std::string copy;
    copy = last_error();
    return copy.c_str();
}

API int ncclGetUniqueId(UniqueId* id) {
    Call held;
    static uint64_t ids = 0;
    const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    write_id(*id, "stand-in " + std::to_string(getpid()) + "-" + std::to_string(now) + "-" + std::to_string(++ids));
    return SUCCESS;
}

API int ncclCommInitRankConfig(void** made, int size, UniqueId id, int rank, const Config* config) {
    Call held;
    *made = nullptr;
    while (rank == held_rank) {
        standin_wait();
    }
    const std::string device = device_here();
    const std::string group = text_of(id);
    if (device.empty()) {
        return refuse(CUDA_ERROR, "Cuda failure 'invalid device context'");
    }
    if (group.empty() || size < 1 || rank < 0 || rank >= size) {
        return refuse(INVALID_ARGUMENT, "id, rank or size cannot be");
    }
    if (const char* why = odd(*config)) {
        return refuse(INVALID_ARGUMENT, why);
    }
    if (config->blocking != 0) {
        return refuse(INVALID_USAGE, "the stand-in makes none that block");
    }
    const auto communicator = std::make_shared<Communicator>(group, size, rank, device);
    communicator->lost = rank == lost_rank;
    communicator->max_ctas = config->max_ctas;
    communicator->traffic_class = config->traffic_class;
    communicator->made = made;
    if (const int why = communicator->links.begin()) {
        return refuse(why == EADDRINUSE ? INVALID_USAGE : SYSTEM_ERROR,
            why == EADDRINUSE ? "two ranks with one number" : std::string("no socket: ") + std::strerror(why));
    }
    communicators()[communicator.get()] = communicator;
    *made = communicator.get();
    communicator->meet();
    return IN_PROGRESS;
}

API int ncclCommGetAsyncError(void* handle, int* state) {
    Call held;
    const auto communicator = find(handle);
    if (communicator == nullptr) {
        return refuse(INVALID_ARGUMENT, "no such communicator");
    }
    *state = communicator->state;
    if (*state == SUCCESS && !communicator->taken.empty()) {
        *state = IN_PROGRESS;
    }
    if (*state == SUCCESS && communicator->finalized && communicator->launches > 0) {
        step(*communicator);
        *state = IN_PROGRESS;
    }
    if (*state == SUCCESS && communicator->rank == late_rank) {
        *state = IN_PROGRESS;
    }
    return SUCCESS;
}

API int ncclCommAbort(void* handle) { return begin_end(handle, true); }

/** It is ready again when what it had queued is complete and no graph holds a kernel of it. */
API int ncclCommFinalize(void* handle) {
    Call held;
    const auto communicator = find(handle);
    if (communicator == nullptr || communicator->finalized) {
        return refuse(INVALID_ARGUMENT, "no such communicator, or one that was finalized");
    }
    if (const int why = unready(*communicator)) {
        return why;
    }
    communicator->finalized = true;
    return IN_PROGRESS;
}

/** Stricter than NCCL, which gives back itself what is still registered. */
API int ncclCommDestroy(void* handle) {
    bool is_registered = false;
    {
        Call held;
        const auto communicator = find(handle);
        is_registered = communicator != nullptr && !communicator->registered.empty();
    }
    const int ended = begin_end(handle, false);
    Call held;
    return is_registered ? refuse(INVALID_USAGE, "a communicator was destroyed with memory that is registered") : ended;
}

/** Stricter than NCCL, which counts what is registered twice. */
API int ncclCommRegister(void* handle, uint64_t address, size_t bytes, void** made) {
    Call held;
    static uintptr_t handles = 0;
    const auto communicator = find(handle);
    const Range range{address, bytes};
    if (communicator == nullptr || bytes == 0 || !range.is_memory()) {
        return refuse(INVALID_ARGUMENT, "no such communicator, or no such memory");
    }
    const auto& all = communicator->registered;
    if (std::any_of(all.begin(), all.end(), [&](const auto& each) { return each.second.meets(range); })) {
        return refuse(INVALID_USAGE, "memory is registered twice");
    }
    *made = reinterpret_cast<void*>(++handles);
    communicator->registered[*made] = range;
    return SUCCESS;
}

API int ncclCommDeregister(void* handle, void* registration) {
    Call held;
    const auto communicator = find(handle);
    const auto found = communicator == nullptr ? decltype(communicator->registered.end()){} : communicator->registered.find(registration);
    if (communicator == nullptr || found == communicator->registered.end()) {
        return refuse(INVALID_USAGE, "no such communicator, or nothing registered by that handle");
    }
    const bool is_memory = found->second.is_memory();
    communicator->registered.erase(found);
    return is_memory ? SUCCESS : refuse(INVALID_USAGE, "memory was freed that is registered");
}

API int ncclRedOpCreatePreMulSum(int* made, const void* scalar, int type, int residence, void* handle) {
    Call held;
    const auto communicator = find(handle);
    if (communicator == nullptr || residence != 1) {
        return refuse(INVALID_ARGUMENT, "no such communicator, or a scalar that is not the host's");
    }
    if (const int why = unready(*communicator)) {
        return why;
    }
    *made = FIRST_OWN_REDUCTION;
    while (communicator->factors.count(*made) != 0) {
        ++*made;
    }
    communicator->factors[*made] = type == 8 ? *static_cast<const double*>(scalar)
        : type == 7 ? *static_cast<const float*>(scalar)
        : type == 6 ? __half2float(*static_cast<const __half*>(scalar))
        : type == 10 ? widen(*static_cast<const e4m3*>(scalar))
        : type == 11 ? widen(*static_cast<const e5m2*>(scalar)) : __bfloat162float(*static_cast<const __nv_bfloat16*>(scalar));
    return SUCCESS;
}

API int ncclRedOpDestroy(int reduction, void* handle) {
    Call held;
    const auto communicator = find(handle);
    return communicator != nullptr && communicator->factors.erase(reduction) == 1 ? SUCCESS : INVALID_ARGUMENT;
}

API int ncclGroupStart() {
    group().depth++;
    return SUCCESS;
}

/** Transfers of one communicator are one launch; other calls come one by one, in their order; ends come last. */
API int ncclGroupEnd() {
    std::vector<std::shared_ptr<Communicator>> ends;
    int result = SUCCESS;
    {
        Call held;
        if (group().depth == 0) {
            return refuse(INVALID_USAGE, "no group was begun");
        }
        if (--group().depth > 0) {
            return SUCCESS;
        }
        ends.swap(group().ends);
        const auto calls = std::move(group().calls);
        group().calls.clear();
        for (size_t i = 0; i < calls.size();) {
            std::vector<Operation> together = {calls[i].second.first};
            size_t next = i + 1;
            while (next < calls.size() && is_transfer(together[0].kind) && is_transfer(calls[next].second.first.kind) && calls[next].first == calls[i].first) {
                together.push_back(calls[next++].second.first);
            }
            result = launch(calls[i].first, together, calls[i].second.second);
            i = next;
        }
    }
    end_all(ends);
    return result;
}

API int ncclAllReduce(uint64_t send, uint64_t receive, size_t count, int type, int reduction, void* communicator, void* stream) {
    return add(communicator, {Kind::ALL_REDUCE, send, receive, count, type, reduction, 1, 0}, stream);
}

API int ncclReduce(uint64_t send, uint64_t receive, size_t count, int type, int reduction, int root, void* communicator, void* stream) {
    return add(communicator, {Kind::REDUCE, send, receive, count, type, reduction, 1, root}, stream);
}

API int ncclBroadcast(uint64_t send, uint64_t receive, size_t count, int type, int root, void* communicator, void* stream) {
    return add(communicator, {Kind::BROADCAST, send, receive, count, type, 0, 1, root}, stream);
}

API int ncclAllGather(uint64_t send, uint64_t receive, size_t count, int type, void* communicator, void* stream) {
    return add(communicator, {Kind::ALL_GATHER, send, receive, count, type, 0, 1, 0}, stream);
}

API int ncclReduceScatter(uint64_t send, uint64_t receive, size_t count, int type, int reduction, void* communicator, void* stream) {
    return add(communicator, {Kind::REDUCE_SCATTER, send, receive, count, type, reduction, 1, 0}, stream);
}

API int ncclSend(uint64_t send, size_t count, int type, int peer, void* communicator, void* stream) {
    return add(communicator, {Kind::SEND, send, 0, count, type, 0, 1, peer}, stream);
}

API int ncclRecv(uint64_t receive, size_t count, int type, int peer, void* communicator, void* stream) {
    return add(communicator, {Kind::RECEIVE, 0, receive, count, type, 0, 1, peer}, stream);
}
