/*
 * What every FAMILY.cu is written with on the host's side: devices, queues, memory whose release is ordered, and the
 * scope of one ABI call. Kernels are written with launch.hpp and convert.hpp.
 *
 * An entry looks like this:
 *
 *   kith_status kith_thing(kith_queue* queue, const kith_matrix* a, const kith_matrix* b, kith_call* call) {
 *     kith::Entry entry(queue, call, "kith_thing");
 *     kith::Matrix x, y;
 *     if (!kith::check_thing(entry, a, b, &x, &y)) return entry.status();
 *     if (x.rows == 0 || x.cols == 0) return entry.finish();
 *     const unsigned blocks = entry.grid(work, 8);
 *     entry.launched(KITH_LAUNCH(thing, blocks, 256, 0, entry.stream(), x.data, ...));
 *     return entry.finish();
 *   }
 *
 * Calls only enqueue: no KITH_AGAIN, no wait (but for KITH_CHECKED=1, which waits at the end of every call so that a
 * fault is reported by the call that caused it). The memory behind every matrix that Arguments::matrix accepts is noted
 * as used by the queue; what else is used must be given to use().
 *
 * Of the CUDA runtime the host layer uses:
 *  - devices: cudaGetDeviceCount, cudaSetDevice, cudaGetDevice, cudaDeviceGetAttribute, cudaGetDeviceProperties,
 *    cudaDriverGetVersion, cudaRuntimeGetVersion, cudaMemGetInfo, cudaDeviceSynchronize, cudaGetLastError,
 *    cudaGetErrorName, cudaGetErrorString
 *  - streams and events: cudaStreamCreateWithFlags(NonBlocking), cudaStreamDestroy, cudaStreamQuery,
 *    cudaStreamSynchronize, cudaStreamWaitEvent, cudaEventCreateWithFlags(DisableTiming), cudaEventRecord,
 *    cudaEventQuery, cudaEventSynchronize, cudaEventDestroy
 *  - memory: cudaDeviceGetDefaultMemPool, cudaMemPoolSetAttribute(ReleaseThreshold), cudaMemPoolTrimTo,
 *    cudaMallocAsync, cudaFreeAsync, cudaFree (of both), cudaHostAlloc(Portable | Mapped), cudaFreeHost,
 *    cudaMemsetAsync, cudaMemcpyAsync, cudaMemcpy2DAsync, cudaPointerGetAttributes
 *  - graphs: cudaStreamBeginCapture(Relaxed), cudaStreamEndCapture, cudaGraphInstantiate, cudaGraphLaunch,
 *    cudaGraphDestroy, cudaGraphExecDestroy
 */
#ifndef KITH_CUDA_HOST_HPP
#define KITH_CUDA_HOST_HPP

#include <cuda_runtime.h>
#include <pthread.h>

#include "arguments.hpp"

namespace kith {

struct CudaQueue;
struct Blas;

/* The sentence that belongs to a fault. */
enum class FaultKind : int32_t { kNone, kIndex, kLabel, kColumn };

/* What a kernel found wrong in its data, in pinned memory: kernels of one call claim it, the next wait reports it. */
struct FaultRecord {
  unsigned long long key; /* position << 32 | value as 32 bits: the lowest is kept */
  unsigned call;          /* the call that claimed it; 0: none */
  FaultKind kind;
  int64_t limit;
  int64_t width;
  const char* operation;
};

/* What a kernel that checks its data takes by value; see report() in convert.hpp. */
struct FaultTicket {
  FaultRecord* record;
  unsigned call;
  FaultKind kind;
  int64_t limit; /* values are in [0, limit) */
  int64_t width; /* of a row of positions */
  const char* operation;
};

/* Device memory that goes back when its last reference is dropped and every queue that used it has passed that work. */
struct Allocation {
  kith_device* device;
  unsigned char* address;
  int64_t bytes;
  uint64_t users;     /* __atomic: bits of CudaQueue::slot */
  int64_t references; /* __atomic: the handle's and those of graphs */
  bool foreign;       /* not freed */
};

/* Drops a reference; from any thread. NULL is nothing. */
void release(Allocation* allocation);

}  // namespace kith

struct kith_device {
  int32_t ordinal;
  bool open;
  bool checked; /* KITH_CHECKED=1: every call waits for its work */
  int32_t multiprocessors;
  int32_t major;
  int32_t minor;
  int64_t total_bytes;
  int64_t live_bytes;       /* __atomic */
  int64_t live_allocations; /* __atomic */
  int64_t max_pitch;        /* bytes from row to row that one copy takes */
  cudaMemPool_t pool;
  pthread_mutex_t mutex; /* guards what follows */
  kith::CudaQueue* queues;
  kith_graph* graphs;
  cudaStream_t side;  /* where memory of several queues goes back; there while a queue is, once it was needed */
  cudaEvent_t marker; /* likewise */
  uint64_t next_slot;
};

struct kith_graph {
  kith_graph* next; /* of the device */
  kith_device* device;
  cudaGraphExec_t executable; /* NULL: still recording */
  uint64_t launched;          /* __atomic: slots of the queues it was launched on since their last wait */
  kith::FaultRecord* faults;  /* NULL: none of its calls checks data */
  unsigned calls;
  kith::Allocation** used;
  int64_t used_count;
  int64_t used_capacity;
  unsigned char* scratch; /* one of `used` */
  int64_t scratch_bytes;
  void** pinned;
  int64_t pinned_count;
  int64_t pinned_capacity;
};

namespace kith {

/* Pinned memory with as much on the device, used by one call at a time. */
struct Staging {
  Staging* next;
  unsigned char* host;
  unsigned char* device;
  int64_t bytes;
  cudaEvent_t passed;
};

struct CudaQueue : kith_queue {
  CudaQueue* next;
  cudaStream_t stream;
  bool foreign; /* the stream is the caller's */
  int slot;     /* 0 to 63; more queues share */
  unsigned char* scratch;
  int64_t scratch_bytes;
  Staging* staging; /* in the order of use: the first is passed first */
  int staging_count;
  FaultRecord* faults; /* NULL: no call has checked data yet */
  unsigned calls;
  kith_graph* capture; /* NULL: not recording */
  Blas* blas;          /* whose handle it has; NULL: none */
  void* blas_handle;
};

struct CudaMemory : kith_memory {
  Allocation* allocation;
};

struct CudaEvent : kith_event {
  cudaEvent_t event;
};

inline CudaQueue* cuda(kith_queue* queue) { return static_cast<CudaQueue*>(queue); }

/* Makes the device current for the scope; the caller's own choice comes back. */
class DeviceScope {
 public:
  explicit DeviceScope(const kith_device* device);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  int before_ = -1;
};

/* KITH_DEVICE_FAILED with the error's name, its text and what to do; clears what can be cleared. */
kith_status device_failed(kith_call* call, const char* operation, const char* doing, cudaError_t error);

/* Bytes asked, free and total in one sentence. */
kith_status out_of_memory(kith_call* call, const char* operation, const kith_device* device, int64_t bytes);

/* Device memory ordered on the queue, with one reference; NULL, and a status, when there is none. Content is not defined. */
Allocation* allocate(CudaQueue* queue, int64_t bytes, const char* operation, kith_status* status, kith_call* call);
/* A reference to memory of somebody else; NULL when there is no memory for a handle. */
Allocation* foreign(kith_device* device, void* address, int64_t bytes);

/* Scope of one ABI call on a queue. */
class Entry : public Arguments {
 public:
  Entry(kith_queue* queue, kith_call* call, const char* operation);
  ~Entry();

  cudaStream_t stream() const { return cuda(queue_)->stream; }
  CudaQueue* queue() const { return cuda(queue_); }
  int32_t multiprocessors() const { return queue_->device->multiprocessors; }
  /* Blocks for `wanted` blocks of work in a grid-stride kernel: at most `per_multiprocessor` for each of them. */
  unsigned grid(int64_t wanted, int per_multiprocessor) const;

  /* False, and status() set, when the launch or the runtime call failed. */
  bool launched(cudaError_t error) { return done("the launch of a kernel", error); }
  bool done(const char* doing, cudaError_t error);

  /* At least `bytes` bytes of device memory, 256-byte aligned, that belong to the queue until the next call: ask once per
     call, for everything. Not cleared. NULL (and status() set) when memory is out. */
  void* scratch(int64_t bytes);
  /* Pinned memory that kernels and copies of this call may read or write; the host may fill it before they are launched.
     NULL (and status() set) when memory is out. */
  void* host_scratch(int64_t bytes);
  /* A copy on the device, for the kernels of this call; the array may change when this returns. 16-byte aligned. NULL
     (and status() set) when memory is out; not NULL for count 0. */
  template <class T>
  const T* upload(const T* array, int64_t count) {
    return static_cast<const T*>(upload_bytes(array, count * static_cast<int64_t>(sizeof(T))));
  }

  /* Notes that the queue uses it from now on. NULL is nothing. */
  void use(Allocation* allocation);
  /* Device memory that outlives the call, with one reference, for release(); NULL (and status() set) when memory is out.
     A not NULL `content` is copied in and may change when this returns. */
  Allocation* keep(const void* content, int64_t bytes);

  /* For a kernel that checks its data: values must be in [0, limit), positions count along rows of `width`. NULL record
     (and status() set) when memory is out. */
  FaultTicket faults(FaultKind kind, int64_t limit, int64_t width);

  bool capturing() const { return cuda(queue_)->capture != nullptr; }
  /* False, and status() set, while a graph is being recorded: for what a graph cannot repeat. */
  bool not_capturing(const char* doing);

  /* Ends the call: the status, after a wait where KITH_CHECKED=1. */
  kith_status finish();

 protected:
  void accepted(kith_memory* memory) override { use(static_cast<CudaMemory*>(memory)->allocation); }

 private:
  const void* upload_bytes(const void* bytes, int64_t count);
  bool stage(int64_t bytes, unsigned char** host, unsigned char** device);
  Staging* staging_for(int64_t bytes);
  Allocation* graph_memory(int64_t bytes);

  DeviceScope scope_;
  Staging* staging_ = nullptr; /* the call's own, taken out of the queue's list */
  int64_t staging_used_ = 0;
};

/* Gives up the queue's handle of a BLAS. */
void drop_blas(CudaQueue* queue);

/* KITH_OK, or the fault that the queue's finished work found in its data; clears it. */
kith_status reported(CudaQueue* queue, kith_call* call);

}  // namespace kith

#endif
