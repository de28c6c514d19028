/*
 * Queues, events and graphs. No kernels.
 *
 * A queue is one stream. While it records a graph, scratch, descriptors and fault records belong to the graph.
 */
#include <time.h>

#include <cstdlib>

#include "host_internal.hpp"

namespace kith {

namespace {

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<int64_t>(t.tv_sec) * 1000000000 + t.tv_nsec;
}

void free_staging(Staging* staging) {
  cudaEventDestroy(staging->passed);
  cudaFreeHost(staging->host);
  std::free(staging);
}

// A recording that came to nothing, or a graph that is over.
void destroy_graph(kith_graph* graph) {
  kith_device* const device = graph->device;
  {
    const Lock lock(&device->mutex);
    for (kith_graph** place = &device->graphs; *place != nullptr; place = &(*place)->next) {
      if (*place != graph) continue;
      *place = graph->next;
      break;
    }
  }
  if (graph->executable != nullptr) cudaGraphExecDestroy(graph->executable);
  if (graph->faults != nullptr) cudaFreeHost(graph->faults);
  for (int64_t i = 0; i < graph->used_count; i++) release(graph->used[i]);
  for (int64_t i = 0; i < graph->pinned_count; i++) cudaFreeHost(graph->pinned[i]);
  std::free(graph->used);
  std::free(graph->pinned);
  std::free(graph);
}

// Ends the recording of a queue and drops it.
void abandon(CudaQueue* queue) {
  cudaGraph_t recorded = nullptr;
  cudaStreamEndCapture(queue->stream, &recorded);
  if (recorded != nullptr) cudaGraphDestroy(recorded);
  kith_graph* const graph = queue->capture;
  {
    const Lock lock(&queue->device->mutex);
    queue->capture = nullptr;
  }
  destroy_graph(graph);
}

kith_status say_fault(const FaultRecord& fault, kith_call* call) {
  const long long position = static_cast<long long>(fault.key >> 32);
  const int32_t value = static_cast<int32_t>(static_cast<uint32_t>(fault.key));
  if (fault.kind == FaultKind::kLabel) {
    const long long width = fault.width > 0 ? static_cast<long long>(fault.width) : 1;
    return fail(call, KITH_INVALID, "%s: the label of row %lld in batch %lld is %d; labels are 0 to %lld",
                fault.operation, position % width, position / width, value, static_cast<long long>(fault.limit - 1));
  }
  if (fault.kind == FaultKind::kColumn) {
    const long long width = fault.width > 0 ? static_cast<long long>(fault.width) : 1;
    return fail(call, KITH_INVALID,
                "%s: word %lld of row %lld is %d, no column (or count) that fits; columns ascend strictly in [0, %lld)",
                fault.operation, position % width, position / width, value, static_cast<long long>(fault.limit));
  }
  return fail(call, KITH_INVALID, "%s: index %d at position %lld names no row; from has %lld rows", fault.operation,
              value, position, static_cast<long long>(fault.limit));
}

// True where there was one; clears it.
bool take_fault(FaultRecord* record, FaultRecord* fault) {
  if (record == nullptr || __atomic_load_n(&record->call, __ATOMIC_ACQUIRE) == 0) return false;
  *fault = *record;
  record->key = ~0ull;
  __atomic_store_n(&record->call, 0u, __ATOMIC_RELEASE);
  return true;
}

kith_status make_queue(kith_device* device, cudaStream_t stream, bool foreign, kith_queue** queue,
                       const char* operation, kith_call* call) {
  CudaQueue* const made = zeroed<CudaQueue>();
  if (made == nullptr) return fail(call, KITH_OUT_OF_MEMORY, "%s: no memory for a queue", operation);
  made->device = device;
  made->stream = stream;
  made->foreign = foreign;
  if (!foreign) {
    const cudaError_t error = cudaStreamCreateWithFlags(&made->stream, cudaStreamNonBlocking);
    if (error != cudaSuccess) {
      std::free(made);
      return device_failed(call, operation, "the creation of a stream", error);
    }
  }
  const Lock lock(&device->mutex);
  made->slot = static_cast<int>(device->next_slot++ % kMostSlots);
  made->next = device->queues;
  device->queues = made;
  *queue = made;
  return KITH_OK;
}

// What a queue has while it has no work left.
void free_queue(CudaQueue* queue) {
  drop_blas(queue);
  if (queue->scratch != nullptr) cudaFree(queue->scratch);
  while (queue->staging != nullptr) {
    Staging* const first = queue->staging;
    queue->staging = first->next;
    cudaFree(first->device);
    free_staging(first);
  }
  if (queue->faults != nullptr) cudaFreeHost(queue->faults);
  if (!queue->foreign) cudaStreamDestroy(queue->stream);
}

}  // namespace

kith_status reported(CudaQueue* queue, kith_call* call) {
  FaultRecord fault;
  bool found = take_fault(queue->faults, &fault);
  kith_device* const device = queue->device;
  if (__atomic_load_n(&device->graphs, __ATOMIC_RELAXED) != nullptr) {
    const Lock lock(&device->mutex);
    for (kith_graph* graph = device->graphs; graph != nullptr; graph = graph->next) {
      if ((__atomic_fetch_and(&graph->launched, ~bit_of(queue), __ATOMIC_RELAXED) & bit_of(queue)) == 0) continue;
      FaultRecord other;
      if (take_fault(graph->faults, &other) && !found) {
        fault = other;
        found = true;
      }
    }
  }
  return found ? say_fault(fault, call) : KITH_OK;
}

}  // namespace kith

using kith::cuda;
using kith::device_failed;
using kith::DeviceScope;
using kith::fail;
using kith::Lock;

extern "C" {
kith_status kith_queue_create(kith_device* device, kith_queue** queue, kith_call* call) {
  if (device == nullptr || queue == nullptr) {
    return fail(call, KITH_INVALID, "kith_queue_create: device or queue is NULL; give both");
  }
  const DeviceScope scope(device);
  return kith::make_queue(device, nullptr, false, queue, "kith_queue_create", call);
}

kith_status kith_queue_wrap(kith_device* device, void* stream, kith_queue** queue, kith_call* call) {
  if (device == nullptr || queue == nullptr) {
    return fail(call, KITH_INVALID, "kith_queue_wrap: device or queue is NULL; give both");
  }
  const DeviceScope scope(device);
  const cudaError_t error = cudaStreamQuery(static_cast<cudaStream_t>(stream));
  if (error != cudaSuccess && error != cudaErrorNotReady) {
    return device_failed(call, "kith_queue_wrap", "the query of the stream", error);
  }
  if (error == cudaErrorNotReady) cudaGetLastError();
  return kith::make_queue(device, static_cast<cudaStream_t>(stream), true, queue, "kith_queue_wrap", call);
}

kith_status kith_queue_stream(kith_queue* queue, void** stream, kith_call* call) {
  if (queue == nullptr || stream == nullptr) {
    return fail(call, KITH_INVALID, "kith_queue_stream: queue or stream is NULL; give both");
  }
  *stream = cuda(queue)->stream;
  return KITH_OK;
}

kith_status kith_queue_destroy(kith_queue* queue, kith_call* call) {
  if (queue == nullptr) return fail(call, KITH_INVALID, "kith_queue_destroy: queue is NULL; give a queue");
  kith::CudaQueue* const q = cuda(queue);
  kith_device* const device = q->device;
  const DeviceScope scope(device);
  if (q->capture != nullptr) kith::abandon(q);
  // The handle goes in any case; an error of its work is told.
  const cudaError_t error = cudaStreamSynchronize(q->stream);
  {
    const Lock lock(&device->mutex);
    for (kith::CudaQueue** place = &device->queues; *place != nullptr; place = &(*place)->next) {
      if (*place != q) continue;
      *place = q->next;
      break;
    }
    if (device->queues == nullptr && device->side != nullptr) {
      cudaStreamSynchronize(device->side);
      cudaStreamDestroy(device->side);
      cudaEventDestroy(device->marker);
      device->side = nullptr;
      device->marker = nullptr;
    }
  }
  kith::free_queue(q);
  std::free(q);
  return error == cudaSuccess ? KITH_OK : device_failed(call, "kith_queue_destroy", "earlier work of the queue", error);
}

kith_status kith_queue_sync(kith_queue* queue, int64_t timeout_ns, kith_call* call) {
  if (queue == nullptr) return fail(call, KITH_INVALID, "kith_queue_sync: queue is NULL; give a queue");
  kith::CudaQueue* const q = cuda(queue);
  if (q->capture != nullptr) {
    return fail(call, KITH_INVALID, "kith_queue_sync: the queue records a graph; end it with kith_graph_end first");
  }
  const DeviceScope scope(q->device);
  // Short waits by turning, since most work is short; longer ones in steps that cost the host little.
  constexpr int64_t kTurnNs = 50000;
  const int64_t begin = kith::now_ns();
  cudaError_t error;
  while ((error = cudaStreamQuery(q->stream)) == cudaErrorNotReady) {
    cudaGetLastError();
    const int64_t waited = kith::now_ns() - begin;
    if (waited >= timeout_ns) {
      return fail(call, KITH_TIMEOUT, "kith_queue_sync: the work is not done after %lld ns; wait again",
                  static_cast<long long>(timeout_ns));
    }
    if (waited < kTurnNs) continue;
    const timespec step = {0, waited < 20 * kTurnNs ? 10000 : 100000};
    nanosleep(&step, nullptr);
  }
  if (error != cudaSuccess) return device_failed(call, "kith_queue_sync", "earlier work of the queue", error);
  return kith::reported(q, call);
}

kith_status kith_event_create(kith_device* device, kith_event** event, kith_call* call) {
  if (device == nullptr || event == nullptr) {
    return fail(call, KITH_INVALID, "kith_event_create: device or event is NULL; give both");
  }
  const DeviceScope scope(device);
  kith::CudaEvent* const made = kith::zeroed<kith::CudaEvent>();
  if (made == nullptr) return fail(call, KITH_OUT_OF_MEMORY, "kith_event_create: no memory for an event");
  const cudaError_t error = cudaEventCreateWithFlags(&made->event, cudaEventDisableTiming);
  if (error != cudaSuccess) {
    std::free(made);
    return device_failed(call, "kith_event_create", "the creation of an event", error);
  }
  made->device = device;
  *event = made;
  return KITH_OK;
}

kith_status kith_event_destroy(kith_event* event, kith_call* call) {
  if (event == nullptr) return fail(call, KITH_INVALID, "kith_event_destroy: event is NULL; give an event");
  const DeviceScope scope(event->device);
  const cudaError_t error = cudaEventDestroy(static_cast<kith::CudaEvent*>(event)->event);
  std::free(static_cast<kith::CudaEvent*>(event));
  return error == cudaSuccess ? KITH_OK : device_failed(call, "kith_event_destroy", "the event's end", error);
}

kith_status kith_event_record(kith_event* event, kith_queue* queue, kith_call* call) {
  if (event == nullptr || queue == nullptr || event->device != queue->device) {
    return fail(call, KITH_INVALID, "kith_event_record: give an event and a queue of one device");
  }
  kith::Entry entry(queue, call, "kith_event_record");
  if (!entry.not_capturing("an event")) return entry.status();
  entry.done("the event", cudaEventRecord(static_cast<kith::CudaEvent*>(event)->event, entry.stream()));
  return entry.status();
}

kith_status kith_event_wait(kith_event* event, kith_queue* queue, kith_call* call) {
  if (event == nullptr || queue == nullptr || event->device != queue->device) {
    return fail(call, KITH_INVALID, "kith_event_wait: give an event and a queue of one device");
  }
  kith::Entry entry(queue, call, "kith_event_wait");
  if (!entry.not_capturing("a wait for an event")) return entry.status();
  entry.done("the wait", cudaStreamWaitEvent(entry.stream(), static_cast<kith::CudaEvent*>(event)->event, 0));
  return entry.status();
}

kith_status kith_event_query(kith_event* event, int32_t* done, kith_call* call) {
  if (event == nullptr || done == nullptr) {
    return fail(call, KITH_INVALID, "kith_event_query: event or done is NULL; give both");
  }
  const DeviceScope scope(event->device);
  const cudaError_t error = cudaEventQuery(static_cast<kith::CudaEvent*>(event)->event);
  *done = error == cudaSuccess ? 1 : 0;
  if (error == cudaSuccess) return KITH_OK;
  if (error != cudaErrorNotReady) return device_failed(call, "kith_event_query", "work before the event", error);
  cudaGetLastError();
  return KITH_OK;
}

kith_status kith_graph_begin(kith_queue* queue, kith_call* call) {
  kith::Entry entry(queue, call, "kith_graph_begin");
  if (!entry.ok()) return entry.status();
  kith::CudaQueue* const q = entry.queue();
  if (entry.capturing()) {
    return entry.fail(KITH_INVALID, "the queue records a graph already; end it with kith_graph_end first");
  }
  kith_graph* const graph = kith::zeroed<kith_graph>();
  if (graph == nullptr) return entry.fail(KITH_OUT_OF_MEMORY, "no memory for a graph");
  graph->device = q->device;
  // While it records, a queue cannot be asked how far it is; so what it used before is done with.
  // Relaxed: what a recording needs is allocated beside it, and other threads go on as they like.
  if (!entry.done("earlier work of the queue", cudaStreamSynchronize(q->stream)) ||
      !entry.done("the recording", cudaStreamBeginCapture(q->stream, cudaStreamCaptureModeRelaxed))) {
    std::free(graph);
    return entry.status();
  }
  const Lock lock(&q->device->mutex);
  q->capture = graph;
  return KITH_OK;
}

kith_status kith_graph_end(kith_queue* queue, kith_graph** graph, kith_call* call) {
  kith::Entry entry(queue, call, "kith_graph_end");
  if (!entry.ok()) return entry.status();
  if (graph == nullptr) return entry.fail(KITH_INVALID, "graph is NULL; give a kith_graph*");
  if (!entry.capturing()) {
    return entry.fail(KITH_INVALID, "the queue records no graph; begin one with kith_graph_begin");
  }
  kith::CudaQueue* const q = entry.queue();
  kith_device* const device = q->device;
  kith_graph* const made = q->capture;
  cudaGraph_t recorded = nullptr;
  cudaError_t error = cudaStreamEndCapture(q->stream, &recorded);
  {
    const Lock lock(&device->mutex);
    q->capture = nullptr;
  }
  if (error == cudaSuccess) error = cudaGraphInstantiate(&made->executable, recorded, 0);
  if (recorded != nullptr) cudaGraphDestroy(recorded);
  if (!entry.done("the recording", error)) {
    made->executable = nullptr;
    kith::destroy_graph(made);
    return entry.status();
  }
  const Lock lock(&device->mutex);
  made->next = device->graphs;
  device->graphs = made;
  *graph = made;
  return KITH_OK;
}

kith_status kith_graph_launch(kith_graph* graph, kith_queue* queue, kith_call* call) {
  kith::Entry entry(queue, call, "kith_graph_launch");
  if (!entry.ok()) return entry.status();
  if (graph == nullptr || graph->device != entry.device()) {
    return entry.fail(KITH_INVALID, "the graph is %s; give one of the queue's device",
                      graph == nullptr ? "NULL" : "of another device");
  }
  if (!entry.not_capturing("a graph")) return entry.status();
  kith::CudaQueue* const q = entry.queue();
  for (int64_t i = 0; i < graph->used_count; i++) entry.use(graph->used[i]);
  __atomic_or_fetch(&graph->launched, kith::bit_of(q), __ATOMIC_RELAXED);
  entry.launched(cudaGraphLaunch(graph->executable, q->stream));
  return entry.finish();
}

kith_status kith_graph_release(kith_graph* graph, kith_call* call) {
  if (graph == nullptr) return fail(call, KITH_INVALID, "kith_graph_release: graph is NULL; give a graph");
  kith_device* const device = graph->device;
  const DeviceScope scope(device);
  // Kernels of a launch may still write its pinned memory.
  cudaError_t error = cudaSuccess;
  const uint64_t slots = __atomic_load_n(&graph->launched, __ATOMIC_RELAXED);
  if (slots != 0) {
    cudaStream_t side = nullptr;
    {
      const Lock lock(&device->mutex);
      if (device->queues != nullptr) {
        error = kith::side_after(device, slots);
        side = device->side;
      }
    }
    if (error == cudaSuccess && side != nullptr) error = cudaStreamSynchronize(side);
  }
  kith::destroy_graph(graph);
  return error == cudaSuccess ? KITH_OK : device_failed(call, "kith_graph_release", "earlier work of the graph", error);
}

}  // extern "C"
