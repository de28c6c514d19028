/*
 * Devices, queues, events and graphs of CUDA, and the scope of one call. No kernels.
 *
 * A queue is one stream. Memory goes back by cudaFreeAsync: on the stream of the only queue that used it, else on a side
 * stream that waits for all of them. Uploads of descriptors take turns in pinned blocks that events hand back. While a
 * queue records a graph, scratch, descriptors and fault records belong to the graph.
 */
#include "host.hpp"

#include <sched.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "launch.hpp"
#include "memory_checks.hpp"

#define KITH_TEXT_OF(x) #x
#define KITH_TEXT(x) KITH_TEXT_OF(x)
#if defined(__CUDACC__)
#define KITH_COMPILER \
  "nvcc " KITH_TEXT(__CUDACC_VER_MAJOR__) "." KITH_TEXT(__CUDACC_VER_MINOR__) "." KITH_TEXT(__CUDACC_VER_BUILD__)
#else
#define KITH_COMPILER "GCC " KITH_TEXT(__GNUC__) "." KITH_TEXT(__GNUC_MINOR__) "." KITH_TEXT(__GNUC_PATCHLEVEL__)
#endif
#if defined(KITH_EMULATED)
#define KITH_BACKEND "emulated"
#else
#define KITH_BACKEND "cuda"
#endif

namespace kith {

namespace {

constexpr int kDevices = 64;
constexpr int kSlots = 64;
constexpr int kLeastArchitecture = 75;
constexpr int64_t kLeastScratch = 64 << 10;
constexpr int64_t kLeastStaging = 64 << 10;
constexpr int kMostStaging = 32;
constexpr int64_t kAlign = 256;

pthread_mutex_t open_mutex = PTHREAD_MUTEX_INITIALIZER;
kith_device devices[kDevices];  // guarded by open_mutex until `open`

struct Lock {
  explicit Lock(pthread_mutex_t* m) : mutex(m) { pthread_mutex_lock(mutex); }
  ~Lock() { pthread_mutex_unlock(mutex); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  pthread_mutex_t* mutex;
};

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<int64_t>(t.tv_sec) * 1000000000 + t.tv_nsec;
}

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

int64_t doubled(int64_t least, int64_t wanted) {
  int64_t bytes = least;
  while (bytes < wanted && bytes <= INT64_MAX / 2) bytes *= 2;
  return bytes < wanted ? wanted : bytes;
}

template <class T>
T* zeroed() {
  return static_cast<T*>(std::calloc(1, sizeof(T)));
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

bool flag_variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && std::strcmp(value, "1") == 0;
}

/* ---- opening ------------------------------------------------------------------------------------------------------- */

// Why no device can be used, for an error of cudaGetDeviceCount.
kith_status no_devices(kith_call* call, int32_t ordinal, cudaError_t error) {
  cudaGetLastError();
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) {
    return fail(
        call, KITH_NOT_FOUND,
        "kith_device_open: no NVIDIA driver is loaded (libcuda.so.1); install a driver for CUDA %d.%d or later, "
        "or use the CPU",
        runtime / 1000, runtime % 1000 / 10);
  }
  if (error == cudaErrorInsufficientDriver) {
    return fail(
        call, KITH_NOT_FOUND,
        "kith_device_open: the NVIDIA driver supports CUDA %d.%d and this library needs %d.%d; upgrade the driver",
        driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
  }
  if (error == cudaErrorNoDevice || error == cudaSuccess) {
    return fail(call, KITH_NOT_FOUND,
                "kith_device_open: the NVIDIA driver shows no device %d; check nvidia-smi and CUDA_VISIBLE_DEVICES",
                ordinal);
  }
  return fail(call, KITH_DEVICE_FAILED,
              "kith_device_open: the search for devices failed with %s (%s); check nvidia-smi", cudaGetErrorName(error),
              cudaGetErrorString(error));
}

kith_status open(int32_t ordinal, kith_device* device, kith_call* call) {
  const DeviceScope scope(device);
  cudaDeviceProp properties;
  cudaError_t error = cudaGetDeviceProperties(&properties, ordinal);
  if (error != cudaSuccess) return device_failed(call, "kith_device_open", "the query of the device", error);
  if (10 * properties.major + properties.minor < kLeastArchitecture) {
    return fail(call, KITH_UNSUPPORTED,
                "kith_device_open: device %d (%s) is sm_%d%d and this library needs sm_%d or later; use another device "
                "or the CPU",
                ordinal, properties.name, properties.major, properties.minor, kLeastArchitecture);
  }
  int pools = 0, pitch = 0;
  error = cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, ordinal);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&pitch, cudaDevAttrMaxPitch, ordinal);
  if (error != cudaSuccess) return device_failed(call, "kith_device_open", "the query of the device", error);
  if (pools == 0) {
    return fail(call, KITH_UNSUPPORTED,
                "kith_device_open: device %d (%s) has no memory pools under this driver; upgrade the driver or use the "
                "CPU",
                ordinal, properties.name);
  }
  // Memory that was given back stays with the process for the next allocation.
  unsigned long long keep_all = ~0ull;
  error = cudaDeviceGetDefaultMemPool(&device->pool, ordinal);
  if (error == cudaSuccess) {
    error = cudaMemPoolSetAttribute(device->pool, cudaMemPoolAttrReleaseThreshold, &keep_all);
  }
  if (error != cudaSuccess) return device_failed(call, "kith_device_open", "the set-up of the memory pool", error);
  pthread_mutex_init(&device->mutex, nullptr);
  device->checked = flag_variable("KITH_CHECKED");
  device->multiprocessors = properties.multiProcessorCount;
  device->major = properties.major;
  device->minor = properties.minor;
  device->total_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  device->max_pitch = pitch;
  device->open = true;
  return KITH_OK;
}

/* ---- releases ------------------------------------------------------------------------------------------------------ */

uint64_t bit_of(const CudaQueue* queue) { return 1ull << queue->slot; }

// Under the mutex.
cudaError_t ensure_side(kith_device* device) {
  if (device->side != nullptr) return cudaSuccess;
  cudaError_t error = cudaEventCreateWithFlags(&device->marker, cudaEventDisableTiming);
  if (error != cudaSuccess) return error;
  error = cudaStreamCreateWithFlags(&device->side, cudaStreamNonBlocking);
  if (error != cudaSuccess) {
    cudaEventDestroy(device->marker);
    device->marker = nullptr;
    device->side = nullptr;
  }
  return error;
}

// Under the mutex. Makes the side stream wait for all queues of these slots.
cudaError_t side_after(kith_device* device, uint64_t slots) {
  cudaError_t error = ensure_side(device);
  for (CudaQueue* q = device->queues; q != nullptr && error == cudaSuccess; q = q->next) {
    if ((slots & bit_of(q)) == 0 || q->capture != nullptr) continue;
    error = cudaEventRecord(device->marker, q->stream);
    if (error == cudaSuccess) error = cudaStreamWaitEvent(device->side, device->marker, 0);
  }
  return error;
}

// Under the mutex. A queue waits for its work before it is destroyed or records, so only the others may still use it.
void send_back(kith_device* device, Allocation* allocation) {
  const uint64_t users = __atomic_load_n(&allocation->users, __ATOMIC_RELAXED);
  CudaQueue* only = nullptr;
  int live = 0;
  for (CudaQueue* q = device->queues; q != nullptr; q = q->next) {
    if ((users & bit_of(q)) == 0 || q->capture != nullptr) continue;
    only = q;
    live++;
  }
  // An error here stays with the device, and the next call that asks reports it.
  if (live == 0) {
    cudaFree(allocation->address);
  } else if (live == 1 || side_after(device, users) != cudaSuccess) {
    cudaFreeAsync(allocation->address, only->stream);
  } else {
    cudaFreeAsync(allocation->address, device->side);
  }
  std::free(allocation);
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

// Pinned memory that kernels reach too.
cudaError_t pinned(void** memory, int64_t bytes) {
  return cudaHostAlloc(memory, static_cast<size_t>(bytes), cudaHostAllocPortable | cudaHostAllocMapped);
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
  made->slot = static_cast<int>(device->next_slot++ % kSlots);
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

/* ---- what the families see ----------------------------------------------------------------------------------------- */

DeviceScope::DeviceScope(const kith_device* device) {
  if (device == nullptr) return;
  int present = -1;
  if (cudaGetDevice(&present) == cudaSuccess && present == device->ordinal) return;
  if (cudaSetDevice(device->ordinal) == cudaSuccess) before_ = present;
}

DeviceScope::~DeviceScope() {
  if (before_ >= 0) cudaSetDevice(before_);
}

kith_status device_failed(kith_call* call, const char* operation, const char* doing, cudaError_t error) {
  cudaGetLastError();
  const char* remedy =
      "end the process and go on from the last snapshot; with KITH_CHECKED=1 the call that causes it says so";
  if (error == cudaErrorNoKernelImageForDevice) {
    remedy = "build the library with KITH_CUDA_ARCHITECTURES for this device";
  } else if (error == cudaErrorMemoryAllocation) {
    remedy = "release memory or use a smaller problem";
  }
  return fail(call, error == cudaErrorMemoryAllocation ? KITH_OUT_OF_MEMORY : KITH_DEVICE_FAILED,
              "%s: %s failed with %s (%s); %s", operation, doing, cudaGetErrorName(error), cudaGetErrorString(error),
              remedy);
}

kith_status out_of_memory(kith_call* call, const char* operation, const kith_device* device, int64_t bytes) {
  cudaGetLastError();
  size_t free_bytes = 0, total_bytes = 0;
  if (cudaMemGetInfo(&free_bytes, &total_bytes) != cudaSuccess) cudaGetLastError();
  return fail_memory(call, operation, bytes, static_cast<int64_t>(free_bytes), static_cast<int64_t>(total_bytes),
                     __atomic_load_n(&device->live_bytes, __ATOMIC_RELAXED));
}

Allocation* allocate(CudaQueue* queue, int64_t bytes, const char* operation, kith_status* status, kith_call* call) {
  kith_device* const device = queue->device;
  Allocation* const made = zeroed<Allocation>();
  if (made == nullptr) {
    *status = fail(call, KITH_OUT_OF_MEMORY, "%s: no memory for a handle", operation);
    return nullptr;
  }
  void* address = nullptr;
  const size_t size = static_cast<size_t>(bytes > 0 ? bytes : 1);
  cudaError_t error = cudaErrorMemoryAllocation;
  if (bytes <= device->total_bytes) {
    error = cudaMallocAsync(&address, size, queue->stream);
    if (error == cudaErrorMemoryAllocation) {
      // What other queues have released may only be on its way back.
      cudaGetLastError();
      cudaDeviceSynchronize();
      cudaMemPoolTrimTo(device->pool, 0);
      error = cudaMallocAsync(&address, size, queue->stream);
    }
  }
  if (error != cudaSuccess) {
    std::free(made);
    *status = error == cudaErrorMemoryAllocation ? out_of_memory(call, operation, device, bytes)
                                                 : device_failed(call, operation, "an allocation", error);
    return nullptr;
  }
  made->device = device;
  made->address = static_cast<unsigned char*>(address);
  made->bytes = bytes;
  made->users = bit_of(queue);
  made->references = 1;
  return made;
}

Allocation* foreign(kith_device* device, void* address, int64_t bytes) {
  Allocation* const made = zeroed<Allocation>();
  if (made == nullptr) return nullptr;
  made->device = device;
  made->address = static_cast<unsigned char*>(address);
  made->bytes = bytes;
  made->references = 1;
  made->foreign = true;
  return made;
}

void release(Allocation* allocation) {
  if (allocation == nullptr || __atomic_sub_fetch(&allocation->references, 1, __ATOMIC_ACQ_REL) > 0) return;
  if (allocation->foreign) {
    std::free(allocation);
    return;
  }
  kith_device* const device = allocation->device;
  const DeviceScope scope(device);
  const Lock lock(&device->mutex);
  send_back(device, allocation);
}

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

/* ---- the scope of one call ----------------------------------------------------------------------------------------- */

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

/* ==== entries ======================================================================================================= */

using kith::cuda;
using kith::device_failed;
using kith::DeviceScope;
using kith::fail;
using kith::Lock;

extern "C" {

int32_t kith_abi_version(void) { return (KITH_ABI_MAJOR << 16) | KITH_ABI_MINOR; }

const char* kith_build_info(void) { return KITH_BACKEND " " KITH_VERSION ", " KITH_COMPILER; }

const char* kith_backend(void) { return KITH_BACKEND; }

const char* kith_cpu_tier(void) {
#if defined(KITH_EMULATED)
  return "emulated";
#else
  static char name[16] = "";
  const Lock lock(&kith::open_mutex);
  if (name[0] == 0) {
    int major = 0, minor = 0;
    const bool found = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) == cudaSuccess &&
                       cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0) == cudaSuccess;
    cudaGetLastError();
    if (!found) return "none";
    std::snprintf(name, sizeof(name), "sm_%d%d", major, minor);
  }
  return name;
#endif
}

kith_status kith_select_tier(const char* tier, kith_call* call) {
  const char* present = kith_cpu_tier();
  if (tier == nullptr) return fail(call, KITH_INVALID, "kith_select_tier: tier is NULL; name %s", present);
  if (std::strcmp(tier, present) == 0) return KITH_OK;
  return fail(call, KITH_UNSUPPORTED, "kith_select_tier: this library has no %.64s; it has %s only", tier, present);
}

kith_status kith_device_count(int32_t* count, kith_call* call) {
  if (count == nullptr) return fail(call, KITH_INVALID, "kith_device_count: count is NULL; give an int32_t");
  int found = 0;
  if (cudaGetDeviceCount(&found) != cudaSuccess) {
    cudaGetLastError();
    found = 0;
  }
  *count = found < kith::kDevices ? found : kith::kDevices;
  return KITH_OK;
}

kith_status kith_device_open(int32_t ordinal, int32_t, kith_device** device, kith_call* call) {
  if (device == nullptr) return fail(call, KITH_INVALID, "kith_device_open: device is NULL; give a kith_device*");
  int found = 0;
  const cudaError_t error = cudaGetDeviceCount(&found);
  if (error != cudaSuccess || found == 0) return kith::no_devices(call, ordinal, error);
  if (found > kith::kDevices) found = kith::kDevices;
  if (ordinal < 0 || ordinal >= found) {
    return fail(call, KITH_NOT_FOUND, "kith_device_open: there is no device %d; this machine has the devices 0 to %d",
                ordinal, found - 1);
  }
  const Lock lock(&kith::open_mutex);
  kith_device* const slot = &kith::devices[ordinal];
  if (!slot->open) {
    slot->ordinal = ordinal;
    const kith_status status = kith::open(ordinal, slot, call);
    if (status != KITH_OK) return status;
  }
  *device = slot;
  return KITH_OK;
}

kith_status kith_device_name(kith_device* device, char* name, int64_t capacity, kith_call* call) {
  if (device == nullptr || name == nullptr || capacity < 1) {
    return fail(call, KITH_INVALID,
                "kith_device_name: device or name is NULL or capacity %lld below 1; give room for a text",
                static_cast<long long>(capacity));
  }
  cudaDeviceProp properties;
  const cudaError_t error = cudaGetDeviceProperties(&properties, device->ordinal);
  if (error != cudaSuccess) return device_failed(call, "kith_device_name", "the query of the device", error);
  std::snprintf(name, static_cast<size_t>(capacity), "%s", properties.name);
  return KITH_OK;
}

kith_status kith_device_memory(kith_device* device, int64_t* total_bytes, int64_t* live_bytes,
                               int64_t* live_allocations, kith_call* call) {
  if (device == nullptr) return fail(call, KITH_INVALID, "kith_device_memory: device is NULL; open one first");
  if (total_bytes != nullptr) *total_bytes = device->total_bytes;
  if (live_bytes != nullptr) *live_bytes = __atomic_load_n(&device->live_bytes, __ATOMIC_RELAXED);
  if (live_allocations != nullptr) *live_allocations = __atomic_load_n(&device->live_allocations, __ATOMIC_RELAXED);
  return KITH_OK;
}

kith_status kith_device_threads(kith_device* device, int32_t* threads, kith_call* call) {
  if (device == nullptr || threads == nullptr) {
    return fail(call, KITH_INVALID, "kith_device_threads: device or threads is NULL; give both");
  }
  *threads = 1;
  return KITH_OK;
}

kith_status kith_device_set_threads(kith_device* device, int32_t threads, kith_call* call) {
  if (device == nullptr) return fail(call, KITH_INVALID, "kith_device_set_threads: device is NULL; open one first");
  if (threads == 1) return KITH_OK;
  return fail(call, KITH_UNSUPPORTED,
              "kith_device_set_threads: %d threads were asked for and a CUDA device has no pool; leave it at 1",
              threads);
}

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
