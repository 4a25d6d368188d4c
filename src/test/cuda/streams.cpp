// Streams, events, capture and graphs.

#include "api.hpp"

using namespace standin;

namespace {

constexpr int GREATEST_PRIORITY = -5; // as devices have it

Event* find_event(void* handle) {
    for (Device& device : devices()) {
        const auto found = device.events.find(static_cast<Event*>(handle));
        if (found != device.events.end()) {
            return found->second.get();
        }
    }
    return nullptr;
}

std::map<void*, std::shared_ptr<Graph>>& graphs() { // instances, too: a graph does not change after its capture
    static std::map<void*, std::shared_ptr<Graph>> all;
    return all;
}

void* keep(const std::shared_ptr<Graph>& graph) {
    const auto copy = std::make_shared<Graph>(*graph);
    graphs()[copy.get()] = copy;
    return copy.get();
}

/** A stream that is not capturing and whose device works. */
Result ready(void* handle, std::shared_ptr<Stream>& stream) {
    Device* device;
    if (const Result bad = working(device)) {
        return bad;
    }
    if (!find_stream(handle, stream)) {
        return INVALID_HANDLE;
    }
    if (stream != nullptr && stream->capture != nullptr) {
        stream->capture->invalid = true;
        return CAPTURE_UNSUPPORTED;
    }
    return SUCCESS;
}

} // namespace

// ---- streams

API cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    *least = 0;
    *greatest = GREATEST_PRIORITY;
    return SUCCESS;
}

/** Priorities are kept, and change nothing: what runs is what somebody waits for. */
API cuStreamCreateWithPriority(void** handle, unsigned flags, int priority) {
    Call call;
    Device* device;
    if (const Result bad = working(device)) {
        return bad;
    }
    const auto stream = std::make_shared<Stream>(device, (flags & 1) == 0);
    stream->priority = std::max(GREATEST_PRIORITY, std::min(priority, 0));
    device->streams[stream.get()] = stream;
    *handle = stream.get();
    return SUCCESS;
}

API cuStreamCreate(void** handle, unsigned flags) { return cuStreamCreateWithPriority(handle, flags, 0); }

API cuStreamGetPriority(void* handle, int* priority) {
    Call call;
    std::shared_ptr<Stream> stream;
    if (!find_stream(handle, stream)) {
        return INVALID_HANDLE;
    }
    *priority = stream == nullptr ? 0 : stream->priority;
    return SUCCESS;
}

API cuStreamDestroy_v2(void* handle) {
    Call call;
    std::shared_ptr<Stream> stream;
    if (!find_stream(handle, stream) || stream == nullptr) {
        return INVALID_HANDLE;
    }
    stream->run_until(stream->queued);
    stream->device->streams.erase(stream.get());
    return stream->device->fault;
}

API cuStreamSynchronize(void* handle) {
    Call call;
    std::shared_ptr<Stream> stream;
    if (const Result bad = ready(handle, stream)) {
        return bad;
    }
    if (const Result refused = refuse_in_capture(CAPTURE_UNSUPPORTED)) {
        return refused;
    }
    if (stream == nullptr) {
        current_device()->run_all(true);
        return current_device()->fault;
    }
    stream->run_until(stream->queued);
    return stream->device->fault;
}

/** Nothing is done by itself: who asks moves the queue on by one. */
API cuStreamQuery(void* handle) {
    Call call;
    std::shared_ptr<Stream> stream;
    if (const Result bad = ready(handle, stream)) {
        return bad;
    }
    if (const Result refused = refuse_in_capture(CAPTURE_UNSUPPORTED)) {
        return refused;
    }
    if (stream == nullptr || stream->done == stream->queued) {
        return SUCCESS;
    }
    stream->try_run(stream->done + 1);
    return stream->device->fault == SUCCESS ? NOT_READY : stream->device->fault;
}

// ---- events

API cuEventCreate(void** handle, unsigned) {
    Call call;
    Device* device;
    if (const Result bad = working(device)) {
        return bad;
    }
    auto event = std::make_unique<Event>();
    *handle = event.get();
    device->events[event.get()] = std::move(event);
    return SUCCESS;
}

API cuEventDestroy_v2(void* handle) {
    Call call;
    for (Device& device : devices()) {
        if (device.events.erase(static_cast<Event*>(handle)) == 1) {
            return SUCCESS;
        }
    }
    return INVALID_HANDLE;
}

API cuEventRecord(void* handle, void* stream_handle) {
    Call call;
    Event* event = find_event(handle);
    std::shared_ptr<Stream> stream;
    if (event == nullptr || !find_stream(stream_handle, stream)) {
        return INVALID_HANDLE;
    }
    auto reached = std::make_shared<double>(0);
    const bool captured = stream != nullptr && stream->capture != nullptr;
    if (!captured) {
        const Result queued = enqueue(stream_handle, [reached] {
            *reached = milliseconds();
            return SUCCESS;
        });
        if (queued != SUCCESS) {
            return queued;
        }
    }
    *event = {stream, stream == nullptr ? 0 : stream->queued, reached, captured ? stream->capture : nullptr};
    return SUCCESS;
}

API cuEventSynchronize(void* handle) {
    Call call;
    Event* event = find_event(handle);
    if (event == nullptr) {
        return INVALID_HANDLE;
    }
    if (event->capture != nullptr) {
        return CAPTURED_EVENT;
    }
    if (const Result refused = refuse_in_capture(CAPTURE_UNSUPPORTED)) {
        return refused;
    }
    if (event->stream == nullptr) {
        return SUCCESS;
    }
    event->stream->run_until(event->number);
    return event->stream->device->fault;
}

API cuEventQuery(void* handle) {
    Call call;
    Event* event = find_event(handle);
    if (event == nullptr) {
        return INVALID_HANDLE;
    }
    if (event->capture != nullptr) {
        return CAPTURED_EVENT;
    }
    if (const Result refused = refuse_in_capture(CAPTURE_UNSUPPORTED)) {
        return refused;
    }
    if (event->stream == nullptr || event->stream->done >= event->number) {
        return event->stream == nullptr ? SUCCESS : event->stream->device->fault;
    }
    event->stream->try_run(event->stream->done + 1);
    return NOT_READY;
}

API cuEventElapsedTime(float* time, void* from, void* to) {
    Call call;
    Event* first = find_event(from);
    Event* second = find_event(to);
    if (first == nullptr || second == nullptr || first->milliseconds == nullptr || second->milliseconds == nullptr) {
        return INVALID_HANDLE;
    }
    if (*first->milliseconds == 0 || *second->milliseconds == 0) {
        return NOT_READY;
    }
    *time = static_cast<float>(*second->milliseconds - *first->milliseconds);
    return SUCCESS;
}

API cuStreamWaitEvent(void* stream_handle, void* handle, unsigned) {
    Call call;
    Event* event = find_event(handle);
    std::shared_ptr<Stream> stream;
    if (event == nullptr || !find_stream(stream_handle, stream)) {
        return INVALID_HANDLE;
    }
    if (event->capture != nullptr) { // the other stream joins the capture, or this one its end
        if (stream == nullptr || (stream->capture != nullptr && stream->capture != event->capture)) {
            return CAPTURE_IMPLICIT;
        }
        stream->capture = event->capture;
        stream->unjoined = stream.get() != event->capture->origin;
        event->stream->unjoined = false;
        return SUCCESS;
    }
    if (event->stream == nullptr) {
        return SUCCESS;
    }
    return enqueue(stream_handle, [other = event->stream, number = event->number] {
        return other->try_run(number) ? other->device->fault : PENDING;
    });
}

// ---- capture and graphs

API cuStreamBeginCapture_v2(void* handle, int mode) {
    Call call;
    std::shared_ptr<Stream> stream;
    if (const Result bad = ready(handle, stream)) {
        return bad;
    }
    if (stream == nullptr) {
        return CAPTURE_UNSUPPORTED; // the default stream
    }
    stream->capture = std::make_shared<Capture>(Capture{std::make_shared<Graph>(), stream.get(), this_thread(), mode});
    return SUCCESS;
}

API cuStreamIsCapturing(void* handle, int* status) {
    Call call;
    std::shared_ptr<Stream> stream;
    if (!find_stream(handle, stream)) {
        return INVALID_HANDLE;
    }
    const Capture* capture = stream == nullptr ? nullptr : stream->capture.get();
    *status = capture == nullptr ? 0 : capture->invalid ? 2 : 1;
    return SUCCESS;
}

API cuStreamEndCapture(void* handle, void** graph) {
    Call call;
    *graph = nullptr;
    std::shared_ptr<Stream> stream;
    if (!find_stream(handle, stream)) {
        return INVALID_HANDLE;
    }
    if (stream == nullptr || stream->capture == nullptr || stream->capture->origin != stream.get()) {
        return CAPTURE_UNMATCHED;
    }
    const std::shared_ptr<Capture> capture = stream->capture;
    if (capture->mode != 2 && capture->thread != this_thread()) {
        return CAPTURE_WRONG_THREAD;
    }
    bool unjoined = false;
    for (const auto& [other, kept] : stream->device->streams) {
        if (kept->capture == capture) {
            unjoined |= kept->unjoined;
            kept->capture = nullptr;
            kept->unjoined = false;
        }
    }
    if (capture->invalid || unjoined) {
        return capture->invalid ? CAPTURE_INVALIDATED : CAPTURE_UNJOINED;
    }
    *graph = keep(capture->graph);
    return SUCCESS;
}

API cuGraphInstantiateWithFlags(void** instance, void* graph, unsigned long long) {
    Call call;
    const auto found = graphs().find(graph);
    if (found == graphs().end()) {
        return INVALID_VALUE;
    }
    *instance = keep(found->second);
    return SUCCESS;
}

API cuGraphGetNodes(void* graph, void** nodes, size_t* count) {
    Call call;
    const auto found = graphs().find(graph);
    if (found == graphs().end() || nodes != nullptr) {
        return INVALID_VALUE; // their number is all there is to know
    }
    *count = found->second->operations.size();
    return SUCCESS;
}

API cuGraphUpload(void*, void*) { return SUCCESS; }

API cuGraphLaunch(void* instance, void* stream) {
    Call call;
    const auto found = graphs().find(instance);
    if (found == graphs().end()) {
        return INVALID_VALUE;
    }
    settings().graph_launches++;
    return enqueue(stream, [graph = found->second, next = std::make_shared<size_t>(0)] {
        while (*next < graph->operations.size()) {
            if (const Result bad = graph->operations[*next]()) {
                return bad; // or PENDING: it goes on there
            }
            ++*next;
        }
        return SUCCESS;
    }, found->second->meets);
}

API cuGraphExecDestroy(void* instance) {
    Call call;
    return graphs().erase(instance) == 1 ? SUCCESS : INVALID_VALUE;
}

API cuGraphDestroy(void* graph) {
    Call call;
    return graphs().erase(graph) == 1 ? SUCCESS : INVALID_VALUE;
}
