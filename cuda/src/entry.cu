/*
 * The scope of one call. No kernels.
 *
 * Uploads of descriptors take turns in pinned blocks that events hand back.
 */
#include <cstdlib>
#include <cstring>

#include "host_internal.hpp"

namespace kith {

namespace {

constexpr int64_t kLeastScratch = 64 << 10;
constexpr int64_t kLeastStaging = 64 << 10;
constexpr int kMostStaging = 32;
constexpr int64_t kAlign = 256;

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

int64_t doubled(int64_t least, int64_t wanted) {
  int64_t bytes = least;
  while (bytes < wanted && bytes <= INT64_MAX / 2) bytes *= 2;
  return bytes < wanted ? wanted : bytes;
}

// Room for one more element at the end of a list that grows by doubling.
template <class T>
bool grow(T** list, int64_t count, int64_t* capacity) {
  if (count < *capacity) return true;
  const int64_t wanted = *capacity == 0 ? 16 : 2 * *capacity;
  T* const moved = static_cast<T*>(std::realloc(*list, static_cast<size_t>(wanted) * sizeof(T)));
  if (moved == nullptr) return false;
  *list = moved;
  *capacity = wanted;
  return true;
}

// Pinned memory that kernels reach too.
cudaError_t pinned(void** memory, int64_t bytes) {
  return cudaHostAlloc(memory, static_cast<size_t>(bytes), cudaHostAllocPortable | cudaHostAllocMapped);
}

}  // namespace

Entry::Entry(kith_queue* queue, kith_call* call, const char* operation)
    : Arguments(queue, call, operation), scope_(queue == nullptr ? nullptr : queue->device) {
  if (call_ != nullptr && call_->cursor < 0) {
    fail(KITH_INVALID, "the cursor is %lld; start a call with 0", static_cast<long long>(call_->cursor));
  }
}

Entry::~Entry() {
  if (staging_ == nullptr) return;
  Staging** place = &queue()->staging;
  while (*place != nullptr) place = &(*place)->next;
  *place = staging_;
  // Behind everything that the call has enqueued, also where it failed half-way.
  for (Staging* used = staging_; used != nullptr; used = used->next) cudaEventRecord(used->passed, stream());
}

unsigned Entry::grid(int64_t wanted, int per_multiprocessor) const {
  const int64_t most = static_cast<int64_t>(multiprocessors()) * per_multiprocessor;
  const int64_t blocks = wanted < most ? wanted : most;
  return static_cast<unsigned>(blocks < 1 ? 1 : blocks);
}

bool Entry::done(const char* doing, cudaError_t error) {
  if (!ok()) return false;
  if (error == cudaSuccess) return true;
  status_ = device_failed(call_, operation_, doing, error);
  return false;
}

void Entry::use(Allocation* allocation) {
  if (allocation == nullptr || queue_ == nullptr) return;
  const uint64_t bit = bit_of(queue());
  if ((__atomic_load_n(&allocation->users, __ATOMIC_RELAXED) & bit) == 0) {
    __atomic_or_fetch(&allocation->users, bit, __ATOMIC_RELAXED);
  }
  kith_graph* const graph = queue()->capture;
  if (graph == nullptr) return;
  for (int64_t i = graph->used_count - 1; i >= 0; i--) {
    if (graph->used[i] == allocation) return;
  }
  if (!grow(&graph->used, graph->used_count, &graph->used_capacity)) {
    fail(KITH_OUT_OF_MEMORY, "no memory to note what the graph uses");
    return;
  }
  __atomic_add_fetch(&allocation->references, 1, __ATOMIC_RELAXED);
  graph->used[graph->used_count++] = allocation;
}

// Memory that lives as long as the graph that is recorded. Taken on the side stream, which records nothing.
Allocation* Entry::graph_memory(int64_t bytes) {
  kith_device* const device = queue_->device;
  CudaQueue* const q = queue();
  cudaError_t error;
  {
    const Lock lock(&device->mutex);
    error = ensure_side(device);
  }
  if (!done("the creation of a stream", error)) return nullptr;
  CudaQueue side = {};
  side.device = device;
  side.stream = device->side;
  side.slot = q->slot;
  Allocation* const made = allocate(&side, bytes, operation_, &status_, call_);
  if (made == nullptr) return nullptr;
  use(made);
  // The graph holds it now.
  release(made);
  if (!ok() || !done("an allocation for a graph", cudaStreamSynchronize(device->side))) return nullptr;
  return made;
}

void* Entry::scratch(int64_t bytes) {
  if (!ok()) return nullptr;
  if (bytes < 0) {
    fail(KITH_INTERNAL, "scratch of %lld bytes was asked for", static_cast<long long>(bytes));
    return nullptr;
  }
  CudaQueue* const q = queue();
  if (kith_graph* const graph = q->capture; graph != nullptr) {
    if (bytes <= graph->scratch_bytes) return graph->scratch;
    const int64_t wanted = doubled(kLeastScratch, bytes);
    Allocation* const made = graph_memory(wanted);
    if (made == nullptr) return nullptr;
    graph->scratch = made->address;
    graph->scratch_bytes = wanted;
    return graph->scratch;
  }
  if (bytes <= q->scratch_bytes) return q->scratch;
  const int64_t wanted = doubled(kLeastScratch, bytes);
  if (q->scratch != nullptr) cudaFreeAsync(q->scratch, q->stream);
  q->scratch = nullptr;
  q->scratch_bytes = 0;
  void* memory = nullptr;
  const cudaError_t error = cudaMallocAsync(&memory, static_cast<size_t>(wanted), q->stream);
  if (error == cudaErrorMemoryAllocation) {
    status_ = out_of_memory(call_, operation_, queue_->device, wanted);
    return nullptr;
  }
  if (!done("the allocation of scratch memory", error)) return nullptr;
  q->scratch = static_cast<unsigned char*>(memory);
  q->scratch_bytes = wanted;
  return memory;
}

Staging* Entry::staging_for(int64_t bytes) {
  CudaQueue* const q = queue();
  // The first that has been passed and is large enough; when there are many, the first large enough after a wait.
  for (int wait = 0; wait < 2; wait++) {
    if (wait == 1 && q->staging_count < kMostStaging) break;
    for (Staging** place = &q->staging; *place != nullptr; place = &(*place)->next) {
      Staging* const found = *place;
      if (found->bytes < bytes) continue;
      const cudaError_t error = wait == 0 ? cudaEventQuery(found->passed) : cudaEventSynchronize(found->passed);
      if (error == cudaErrorNotReady) {
        cudaGetLastError();
        break;
      }
      if (!done("a wait for descriptors", error)) return nullptr;
      *place = found->next;
      return found;
    }
  }
  Staging* const made = zeroed<Staging>();
  if (made == nullptr) {
    fail(KITH_OUT_OF_MEMORY, "no memory for descriptors");
    return nullptr;
  }
  made->bytes = doubled(kLeastStaging, bytes);
  void *host = nullptr, *on_device = nullptr;
  cudaError_t error = cudaEventCreateWithFlags(&made->passed, cudaEventDisableTiming);
  if (error == cudaSuccess) {
    error = pinned(&host, made->bytes);
    if (error == cudaSuccess) {
      error = cudaMallocAsync(&on_device, static_cast<size_t>(made->bytes), q->stream);
      if (error != cudaSuccess) cudaFreeHost(host);
    }
    if (error != cudaSuccess) cudaEventDestroy(made->passed);
  }
  if (error != cudaSuccess) {
    std::free(made);
    done("the allocation of memory for descriptors", error);
    return nullptr;
  }
  made->host = static_cast<unsigned char*>(host);
  made->device = static_cast<unsigned char*>(on_device);
  q->staging_count++;
  return made;
}

bool Entry::stage(int64_t bytes, unsigned char** host, unsigned char** device) {
  if (!ok()) return false;
  const int64_t size = round_up(bytes > 0 ? bytes : 1, kAlign);
  if (staging_ == nullptr || staging_used_ + size > staging_->bytes) {
    Staging* const next = staging_for(size);
    if (next == nullptr) return false;
    next->next = staging_;
    staging_ = next;
    staging_used_ = 0;
  }
  *host = staging_->host + staging_used_;
  *device = staging_->device + staging_used_;
  staging_used_ += size;
  return true;
}

const void* Entry::upload_bytes(const void* bytes, int64_t count) {
  if (!ok()) return nullptr;
  if (capturing()) {
    Allocation* const made = graph_memory(count);
    if (made == nullptr) return nullptr;
    if (count > 0) {
      const cudaStream_t side = queue_->device->side;
      cudaError_t error =
          cudaMemcpyAsync(made->address, bytes, static_cast<size_t>(count), cudaMemcpyHostToDevice, side);
      if (error == cudaSuccess) error = cudaStreamSynchronize(side);
      if (!done("a copy for a graph", error)) return nullptr;
    }
    return made->address;
  }
  unsigned char *host, *device;
  if (!stage(count, &host, &device)) return nullptr;
  if (count == 0) return device;
  std::memcpy(host, bytes, static_cast<size_t>(count));
  const cudaError_t error = cudaMemcpyAsync(device, host, static_cast<size_t>(count), cudaMemcpyHostToDevice, stream());
  return done("a copy of descriptors", error) ? device : nullptr;
}

void* Entry::host_scratch(int64_t bytes) {
  if (!ok()) return nullptr;
  if (kith_graph* const graph = queue()->capture; graph != nullptr) {
    void* memory = nullptr;
    if (!grow(&graph->pinned, graph->pinned_count, &graph->pinned_capacity)) {
      fail(KITH_OUT_OF_MEMORY, "no memory to note what the graph uses");
      return nullptr;
    }
    if (!done("the allocation of pinned memory", pinned(&memory, bytes > 0 ? bytes : 1))) return nullptr;
    graph->pinned[graph->pinned_count++] = memory;
    return memory;
  }
  unsigned char *host, *device;
  return stage(bytes, &host, &device) ? host : nullptr;
}

Allocation* Entry::keep(const void* content, int64_t bytes) {
  if (!ok() || !not_capturing("an allocation")) return nullptr;
  Allocation* const made = allocate(queue(), bytes, operation_, &status_, call_);
  if (made == nullptr || content == nullptr || bytes == 0) return made;
  // From pageable memory the runtime returns when it has taken everything over.
  const cudaError_t error =
      cudaMemcpyAsync(made->address, content, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream());
  if (done("a copy to the device", error)) return made;
  release(made);
  return nullptr;
}

FaultTicket Entry::faults(FaultKind kind, int64_t limit, int64_t width) {
  FaultTicket ticket = {nullptr, 0, kind, limit, width, operation_};
  if (!ok()) return ticket;
  CudaQueue* const q = queue();
  kith_graph* const graph = q->capture;
  FaultRecord** const record = graph != nullptr ? &graph->faults : &q->faults;
  if (*record == nullptr) {
    void* memory = nullptr;
    if (!done("the allocation of pinned memory", pinned(&memory, sizeof(FaultRecord)))) return ticket;
    *record = static_cast<FaultRecord*>(memory);
    **record = FaultRecord{~0ull, 0, FaultKind::kNone, 0, 0, nullptr};
  }
  unsigned* const calls = graph != nullptr ? &graph->calls : &q->calls;
  if (++*calls == 0) ++*calls;
  ticket.record = *record;
  ticket.call = *calls;
  return ticket;
}

bool Entry::not_capturing(const char* doing) {
  if (!ok()) return false;
  if (!capturing()) return true;
  fail(KITH_INVALID, "%s cannot be recorded in a graph; do it before kith_graph_begin", doing);
  return false;
}

kith_status Entry::finish() {
  if (!ok()) return status_;
  if (queue_->device->checked && !capturing()) {
    if (!done("its work on the device", cudaStreamSynchronize(stream()))) return status_;
    status_ = reported(queue(), call_);
    if (!ok()) return status_;
  }
  if (call_ != nullptr) call_->cursor = 0;
  return status_;
}

}  // namespace kith
