// libnccl.so.2 without a GPU: communicators between threads of a process, on the streams of the stand-in for the driver.
//
// Stricter than NCCL: ranks whose operations differ (kind, count, type, reduction, root), which there hang or mix their data,
// get an asynchronous error here, and so does an address that is no device memory. An operation is carried out when the
// streams of all its ranks have come to it; who waits for one moves the streams of the others on. Sums are joined in a
// balanced tree over the ranks, 16-bit types in f32, so that results are bit by bit those of the other communicators.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "dialect.hpp"
#include "cuda_bf16.h"
#include "cuda_fp16.h"

#define API extern "C" __attribute__((visibility("default")))

extern "C" int standin_enqueue(void* stream, int (*operation)(void*), void (*drop)(void*), void* state);
extern "C" int standin_holds(uint64_t address, uint64_t bytes);
extern "C" int standin_step(void* stream);
extern "C" void standin_acquire();
extern "C" void standin_release();
extern "C" void standin_wake();
extern "C" int cuCtxGetCurrent(void** context);

namespace {

enum Result { SUCCESS = 0, CUDA_ERROR = 1, INVALID_ARGUMENT = 4, INVALID_USAGE = 5, REMOTE_ERROR = 6, IN_PROGRESS = 7 };

constexpr int PENDING = -1; // of an operation on a stream
constexpr int UNDEFINED = std::numeric_limits<int>::min();
constexpr unsigned MAGIC = 0xcafebeef;
constexpr int FIRST_OWN_REDUCTION = 5;

struct Call {
    Call() { standin_acquire(); }
    ~Call() { standin_release(); }
};

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

struct Communicator;

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

/** What ranks do together: all of a group, once. */
struct Round {
    std::map<int, Operation> arrived;
    bool done = false;
};

struct World {
    int size;
    std::vector<Communicator*> members;
    std::map<uint64_t, Round> rounds;
    std::map<std::array<int, 2>, std::vector<Operation>> sent; // from, to
    std::map<std::array<int, 2>, size_t> taken;
};

struct Communicator {
    std::shared_ptr<World> world;
    int rank = 0;
    void* context = nullptr;
    bool aborted = false;
    bool lost = false; // as if its process stood still
    int state = IN_PROGRESS;
    void* stream = nullptr;
    uint64_t rounds = 0;
    int max_ctas = UNDEFINED;
    int traffic_class = UNDEFINED;
    std::map<int, double> factors; // of its own reductions
};

/** Calls between GroupStart and GroupEnd, of one thread. */
struct Group {
    int depth = 0;
    std::vector<std::pair<Communicator*, std::pair<Operation, void*>>> calls;
};

Group& group() {
    static thread_local Group mine;
    return mine;
}

std::map<std::string, std::shared_ptr<World>>& worlds() {
    static std::map<std::string, std::shared_ptr<World>> all;
    return all;
}

std::set<Communicator*>& communicators() {
    static std::set<Communicator*> all;
    return all;
}

std::string& last_error() {
    static std::string text;
    return text;
}

int lost_rank = -1; // of communicators made from now on, and of those there are
int64_t fail_after = -1;
uint64_t ids = 0;
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
    static const int bytes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};
    return type < 0 || type > 9 ? 0 : bytes[type];
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
    const std::vector<Operation>& ranks;

    W tree(size_t i, int lo, int hi) const {
        if (hi - lo == 1) {
            const W own = N::wide(reinterpret_cast<const T*>(ranks[lo].send)[i]);
            return ranks[lo].reduction < FIRST_OWN_REDUCTION ? own : N::wide(N::narrow(own * static_cast<W>(ranks[lo].factor)));
        }
        int half = 1;
        while (2 * half < hi - lo) {
            half *= 2;
        }
        return join<W>(ranks[lo].reduction, tree(i, lo, lo + half), tree(i, lo + half, hi));
    }

    std::vector<char> all(size_t count) const {
        std::vector<char> out(count * sizeof(T));
        for (size_t i = 0; i < count; i++) {
            W value = tree(i, 0, static_cast<int>(ranks.size()));
            value = ranks[0].reduction == 4 ? value / static_cast<W>(ranks.size()) : value;
            reinterpret_cast<T*>(out.data())[i] = N::narrow(one_nan(value));
        }
        return out;
    }
};

std::vector<char> reduced(const std::vector<Operation>& ranks, size_t count) {
    switch (ranks[0].type) {
        case 0: return Reduction<int8_t>{ranks}.all(count);
        case 1: return Reduction<uint8_t>{ranks}.all(count);
        case 2: return Reduction<int32_t>{ranks}.all(count);
        case 3: return Reduction<uint32_t>{ranks}.all(count);
        case 4: return Reduction<int64_t>{ranks}.all(count);
        case 5: return Reduction<uint64_t>{ranks}.all(count);
        case 6: return Reduction<__half>{ranks}.all(count);
        case 7: return Reduction<float>{ranks}.all(count);
        case 8: return Reduction<double>{ranks}.all(count);
        default: return Reduction<__nv_bfloat16>{ranks}.all(count);
    }
}

void put(uint64_t to, const void* from, size_t bytes) { std::memcpy(reinterpret_cast<void*>(to), from, bytes); }

void carry_out(const std::vector<Operation>& ranks) {
    const Operation& any = ranks[0];
    const size_t n = ranks.size();
    const size_t bytes = any.count * bytes_of(any.type);
    std::vector<char> all;
    switch (any.kind) {
        case Kind::ALL_REDUCE:
        case Kind::REDUCE:
            all = reduced(ranks, any.count);
            for (size_t rank = 0; rank < n; rank++) {
                if (any.kind == Kind::ALL_REDUCE || static_cast<int>(rank) == any.root) {
                    put(ranks[rank].receive, all.data(), bytes);
                }
            }
            break;
        case Kind::BROADCAST:
            all.assign(reinterpret_cast<char*>(ranks[any.root].send), reinterpret_cast<char*>(ranks[any.root].send) + bytes);
            for (const Operation& each : ranks) {
                put(each.receive, all.data(), bytes);
            }
            break;
        case Kind::ALL_GATHER:
            for (const Operation& each : ranks) {
                all.insert(all.end(), reinterpret_cast<char*>(each.send), reinterpret_cast<char*>(each.send) + bytes);
            }
            for (const Operation& each : ranks) {
                put(each.receive, all.data(), n * bytes);
            }
            break;
        case Kind::REDUCE_SCATTER:
            all = reduced(ranks, n * any.count);
            for (size_t rank = 0; rank < n; rank++) {
                put(ranks[rank].receive, all.data() + rank * bytes, bytes);
            }
            break;
        default: break;
    }
}

// ---- meeting

void fail(World& world, int result, const std::string& why) {
    last_error() = why;
    for (Communicator* member : world.members) {
        if (member != nullptr && (member->state == SUCCESS || member->state == IN_PROGRESS)) {
            member->state = result;
        }
    }
    standin_wake();
}

bool is_memory(const Operation& call, int size, int rank) {
    const uint64_t bytes = call.count * bytes_of(call.type);
    const bool sends = call.kind != Kind::RECEIVE && (call.kind != Kind::BROADCAST || rank == call.root);
    const bool receives = call.kind != Kind::SEND && (call.kind != Kind::REDUCE || rank == call.root);
    return bytes == 0 || ((!sends || standin_holds(call.send, call.kind == Kind::REDUCE_SCATTER ? size * bytes : bytes)) &&
        (!receives || standin_holds(call.receive, call.kind == Kind::ALL_GATHER ? size * bytes : bytes)));
}

bool agree(const Operation& a, const Operation& b) {
    return a.kind == b.kind && a.count == b.count && a.type == b.type && a.root == b.root &&
        std::min(a.reduction, FIRST_OWN_REDUCTION) == std::min(b.reduction, FIRST_OWN_REDUCTION);
}

/** What one launch on a stream does for a rank: one operation of all, or transfers together. */
struct Launch {
    Communicator* communicator;
    std::shared_ptr<World> world;
    std::vector<Operation> calls;
    bool arrived = false;
    uint64_t number = 0;
    std::vector<size_t> places; // of transfers, in their pair's order

    int run() {
        if (communicators().count(communicator) == 0 || communicator->aborted) {
            return SUCCESS; // a kernel that was aborted ends and does nothing
        }
        if (communicator->lost || communicator->state != SUCCESS) {
            return PENDING;
        }
        const bool first = !arrived;
        if (first) {
            arrive();
        }
        const bool over = calls[0].kind == Kind::SEND || calls[0].kind == Kind::RECEIVE ? exchanged() : together();
        if (over) {
            arrived = false; // a graph launches it again
            return SUCCESS;
        }
        if (first) {
            standin_wake();
        }
        return PENDING;
    }

    void arrive() {
        arrived = true;
        places.clear();
        for (const Operation& call : calls) {
            if (!is_memory(call, world->size, communicator->rank)) {
                return fail(*world, INVALID_ARGUMENT, "an operation reaches beyond the memory of its device");
            }
            if (call.kind == Kind::SEND) {
                auto& pair = world->sent[{communicator->rank, call.root}];
                places.push_back(pair.size());
                pair.push_back(call);
            } else if (call.kind == Kind::RECEIVE) {
                places.push_back(0);
            } else {
                number = communicator->rounds++;
                Round& round = world->rounds[number];
                round.arrived[communicator->rank] = call;
                for (const auto& [rank, other] : round.arrived) {
                    if (!agree(other, call)) {
                        fail(*world, INVALID_USAGE, "ranks disagree about operation " + std::to_string(number));
                    }
                }
            }
        }
    }

    bool together() {
        Round& round = world->rounds[number];
        for (int rank = 0; rank < world->size && !round.done; rank++) {
            while (round.arrived.count(rank) == 0 && !world->members[rank]->lost && standin_step(world->members[rank]->stream) != 0) {
            }
        }
        if (communicator->state != SUCCESS) {
            return false;
        }
        if (!round.done && static_cast<int>(round.arrived.size()) == world->size) {
            std::vector<Operation> ranks;
            for (const auto& [rank, call] : round.arrived) {
                ranks.push_back(call);
            }
            carry_out(ranks);
            round.done = true;
            round.arrived.clear();
            standin_wake();
        }
        return round.done;
    }

    bool exchanged() {
        bool over = true;
        for (size_t i = 0; i < calls.size(); i++) {
            Operation& call = calls[i];
            if (call.kind == Kind::SEND) {
                Communicator* peer = world->members[call.root];
                const size_t& taken = world->taken[{communicator->rank, call.root}];
                while (taken <= places[i] && !peer->lost && standin_step(peer->stream) != 0) {
                }
                over &= taken > places[i];
            } else if (places[i] == 0) {
                over &= receive(call, places[i]);
            }
        }
        return over && communicator->state == SUCCESS;
    }

    bool receive(const Operation& call, size_t& got) {
        const std::array<int, 2> pair = {call.root, communicator->rank};
        const auto& sent = world->sent[pair];
        size_t& taken = world->taken[pair];
        Communicator* peer = world->members[call.root];
        while (taken >= sent.size() && !peer->lost && standin_step(peer->stream) != 0) {
        }
        if (taken >= sent.size()) {
            return false;
        }
        const Operation& what = sent[taken];
        if (what.count != call.count || what.type != call.type) {
            fail(*world, INVALID_USAGE, "what rank " + std::to_string(call.root) + " sends is not what is received");
            return false;
        }
        std::memmove(reinterpret_cast<void*>(call.receive), reinterpret_cast<void*>(what.send), call.count * bytes_of(call.type));
        taken++;
        got = 1;
        standin_wake();
        return true;
    }
};

int launch(Communicator* communicator, std::vector<Operation> calls, void* stream) {
    if (fail_after >= 0 && fail_after-- == 0) {
        fail(*communicator->world, REMOTE_ERROR, "a peer's connection was closed");
    }
    communicator->stream = stream;
    const int queued = standin_enqueue(
        stream, [](void* state) { return static_cast<Launch*>(state)->run(); }, [](void* state) { delete static_cast<Launch*>(state); },
        new Launch{communicator, communicator->world, std::move(calls), false, 0, {}});
    return queued == 0 ? SUCCESS : refuse(CUDA_ERROR, "Cuda failure " + std::to_string(queued));
}

int add(void* handle, const Operation& call, void* stream) {
    Call held;
    auto* communicator = static_cast<Communicator*>(handle);
    if (communicators().count(communicator) == 0 || bytes_of(call.type) == 0) {
        return refuse(INVALID_ARGUMENT, "no such communicator or type");
    }
    const int size = communicator->world->size;
    if (call.root < 0 || call.root >= size || (call.reduction >= FIRST_OWN_REDUCTION && communicator->factors.count(call.reduction) == 0)) {
        return refuse(INVALID_ARGUMENT, "root, peer or reduction is none of this communicator");
    }
    if (communicator->state != SUCCESS) {
        return communicator->state == IN_PROGRESS ? refuse(INVALID_ARGUMENT, "the communicator is not ready") : communicator->state;
    }
    Operation whole = call;
    whole.factor = call.reduction >= FIRST_OWN_REDUCTION ? communicator->factors[call.reduction] : 1;
    if (group().depth > 0) {
        group().calls.push_back({communicator, {whole, stream}});
        return SUCCESS;
    }
    return launch(communicator, {whole}, stream);
}

} // namespace

// ---- what a test tells it

/** A rank that is as if its process stood still from now on; -1 for none. */
API void standin_nccl_lose(int rank) {
    Call held;
    lost_rank = rank;
    for (Communicator* each : communicators()) {
        each->lost = each->rank == rank;
    }
}

/** Lets the operation after so many more be the one at which the network fails; -1 for none. */
API void standin_nccl_fail(int64_t operations) {
    Call held;
    fail_after = operations;
}

/** Communicators that nobody has destroyed or aborted. */
API int64_t standin_nccl_communicators() {
    Call held;
    return static_cast<int64_t>(communicators().size());
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
        [&](Communicator* each) { return each->max_ctas == max_ctas && each->traffic_class == traffic_class; });
}

// ---- NCCL

API int ncclGetVersion(int* told) {
    Call held;
    *told = version;
    return SUCCESS;
}

API const char* ncclGetErrorString(int result) {
    static const char* texts[] = {"no error", "unhandled cuda error (run with NCCL_DEBUG=INFO for details)", "unhandled system error",
        "internal error", "invalid argument", "invalid usage", "remote process exited or there was a network error", "NCCL operation in progress"};
    return result < 0 || result > 7 ? "unknown result code" : texts[result];
}

API const char* ncclGetLastError(void*) {
    Call held;
    static thread_local std::string copy;
    copy = last_error();
    return copy.c_str();
}

API int ncclGetUniqueId(UniqueId* id) {
    Call held;
    std::memset(id, 0, sizeof(UniqueId));
    std::snprintf(id->bytes, sizeof(id->bytes), "stand-in %llu", static_cast<unsigned long long>(++ids));
    for (size_t i = 64; i < sizeof(id->bytes); i++) {
        id->bytes[i] = static_cast<char>(i * 31 + ids); // all of it must arrive
    }
    return SUCCESS;
}

API int ncclCommInitRankConfig(Communicator** made, int size, UniqueId id, int rank, const Config* config) {
    Call held;
    void* context = nullptr;
    cuCtxGetCurrent(&context);
    *made = nullptr;
    if (context == nullptr) {
        return refuse(CUDA_ERROR, "Cuda failure 'invalid device context'");
    }
    if (size < 1 || rank < 0 || rank >= size) {
        return refuse(INVALID_ARGUMENT, "rank or size cannot be");
    }
    if (const char* why = odd(*config)) {
        return refuse(INVALID_ARGUMENT, why);
    }
    std::shared_ptr<World>& world = worlds()[std::string(id.bytes, sizeof(id.bytes))];
    if (world == nullptr) {
        world = std::make_shared<World>();
        world->size = size;
        world->members.resize(size);
    }
    if (world->size != size || world->members[rank] != nullptr) {
        return refuse(INVALID_USAGE, "two ranks with one number, or of worlds of different sizes");
    }
    *made = new Communicator();
    (*made)->world = world;
    (*made)->rank = rank;
    (*made)->context = context;
    (*made)->lost = rank == lost_rank;
    (*made)->max_ctas = config->max_ctas;
    (*made)->traffic_class = config->traffic_class;
    communicators().insert(*made);
    world->members[rank] = *made;
    const bool all = std::all_of(world->members.begin(), world->members.end(), [](Communicator* each) { return each != nullptr && !each->lost; });
    for (Communicator* each : world->members) {
        if (each != nullptr && each != *made && each->context == context) {
            fail(*world, INVALID_USAGE, "Duplicate GPU detected : rank " + std::to_string(rank) + " and rank " + std::to_string(each->rank));
            return INVALID_USAGE;
        }
    }
    for (Communicator* each : world->members) {
        if (all && each->state == IN_PROGRESS) {
            each->state = SUCCESS;
        }
    }
    return config->blocking == 0 ? IN_PROGRESS : refuse(INVALID_USAGE, "the stand-in makes none that block");
}

API int ncclCommGetAsyncError(Communicator* communicator, int* state) {
    Call held;
    if (communicators().count(communicator) == 0) {
        return refuse(INVALID_ARGUMENT, "no such communicator");
    }
    *state = communicator->state;
    return SUCCESS;
}

API int ncclCommAbort(Communicator* communicator) {
    Call held;
    if (communicators().count(communicator) == 0) {
        return refuse(INVALID_ARGUMENT, "no such communicator");
    }
    communicator->aborted = true;
    communicator->lost = true;
    communicators().erase(communicator); // the struct stays: its peers look at it
    standin_wake();
    return SUCCESS;
}

API int ncclCommFinalize(Communicator* communicator) {
    Call held;
    return communicators().count(communicator) == 0 ? refuse(INVALID_ARGUMENT, "no such communicator") : SUCCESS;
}

API int ncclCommDestroy(Communicator* communicator) { return ncclCommAbort(communicator); }

API int ncclRedOpCreatePreMulSum(int* made, const void* scalar, int type, int residence, Communicator* communicator) {
    Call held;
    if (communicators().count(communicator) == 0 || residence != 1) {
        return refuse(INVALID_ARGUMENT, "no such communicator, or a scalar that is not the host's");
    }
    *made = FIRST_OWN_REDUCTION;
    while (communicator->factors.count(*made) != 0) {
        ++*made;
    }
    communicator->factors[*made] = type == 8 ? *static_cast<const double*>(scalar)
        : type == 7 ? *static_cast<const float*>(scalar)
        : type == 6 ? __half2float(*static_cast<const __half*>(scalar)) : __bfloat162float(*static_cast<const __nv_bfloat16*>(scalar));
    return SUCCESS;
}

API int ncclRedOpDestroy(int reduction, Communicator* communicator) {
    Call held;
    return communicators().count(communicator) != 0 && communicator->factors.erase(reduction) == 1 ? SUCCESS : INVALID_ARGUMENT;
}

API int ncclGroupStart() {
    group().depth++;
    return SUCCESS;
}

/** Transfers of one communicator are one launch; other calls come one by one, in their order. */
API int ncclGroupEnd() {
    Call held;
    if (group().depth == 0) {
        return refuse(INVALID_USAGE, "no group was begun");
    }
    if (--group().depth > 0) {
        return SUCCESS;
    }
    const auto calls = std::move(group().calls);
    group().calls.clear();
    for (size_t i = 0; i < calls.size();) {
        std::vector<Operation> together = {calls[i].second.first};
        const auto transfers = [](const Operation& call) { return call.kind == Kind::SEND || call.kind == Kind::RECEIVE; };
        size_t next = i + 1;
        while (next < calls.size() && transfers(together[0]) && transfers(calls[next].second.first) && calls[next].first == calls[i].first) {
            together.push_back(calls[next++].second.first);
        }
        if (const int bad = launch(calls[i].first, together, calls[i].second.second)) {
            return bad;
        }
        i = next;
    }
    return SUCCESS;
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
