/* What runtime.cpp, which has queues, events, graphs and errors, shares with memory.cpp. */
#ifndef KITH_EMULATION_RUNTIME_HPP
#define KITH_EMULATION_RUNTIME_HPP

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "internal.hpp"

namespace kith::emulation {

constexpr size_t kGuardBefore = 256; /* keeps the alignment of cudaMalloc */
constexpr size_t kMostPitch = 0x7fffffff;

enum class Phase { kOrdered, kLive, kFreed }; /* kOrdered: its cudaMallocAsync has not run yet */

struct Allocation {
  unsigned char* address = nullptr;
  size_t bytes = 0;
  int device = 0;
  bool host = false;
  Phase phase = Phase::kLive;
  bool freeing = false;

  unsigned char* base() const { return address - kGuardBefore; }
};
using AllocationPointer = std::shared_ptr<Allocation>;

/* A point in a stream. */
struct Marker {
  bool passed = false;
  double milliseconds = 0;
};

struct Task {
  std::function<void()> run;
  std::shared_ptr<Marker> after; /* runs only when this was passed */
};

struct Capture {
  std::vector<Task> tasks;
  cudaStream_t origin = nullptr;
  std::set<cudaStream_t> streams;  /* that record into it */
  std::set<cudaStream_t> unjoined; /* with work that the origin does not wait for yet */
};

}  // namespace kith::emulation

struct CUstream_st {
  int device = 0;
  bool destroyed = false;
  std::deque<kith::emulation::Task> tasks;
  uint64_t queued = 0;
  uint64_t done = 0;
  std::shared_ptr<kith::emulation::Capture> capture;
};
struct CUevent_st {
  bool timed = true;
  std::shared_ptr<kith::emulation::Marker> marker; /* NULL: never recorded */
  std::shared_ptr<kith::emulation::Capture> capture;
  cudaStream_t stream = nullptr; /* of the capture */
};
struct CUgraph_st {
  std::vector<kith::emulation::Task> tasks;
};
struct CUgraphExec_st {
  std::shared_ptr<const std::vector<kith::emulation::Task>> tasks;
};
struct CUmemPoolHandle_st {
  int device = 0;
  uint64_t threshold = 0;
};

namespace kith::emulation {

/* Everything behind one mutex; tasks run without it, but with `executing`, so one after the other. */
struct Runtime {
  std::mutex executing;
  std::mutex mutex;
  Random random{settings().seed};
  std::vector<cudaStream_t> streams; /* the default streams of the devices first */
  std::unordered_set<cudaEvent_t> events;
  std::unordered_set<cudaGraph_t> graphs;
  std::unordered_set<cudaGraphExec_t> executables;
  std::vector<CUmemPoolHandle_st> pools;
  std::map<uintptr_t, AllocationPointer> memory; /* by address */
  std::vector<size_t> used;                      /* per device */
  std::deque<AllocationPointer> quarantine;
  size_t quarantined = 0;
  std::unordered_map<const void*, int> shared_limits;
  Finding finding;         /* of work that ran, until a wait reports it */
  uint64_t operations = 0; /* kernels, copies and fills that ran */
  bool lost = false;       /* the device, for good */

  Runtime() : pools(static_cast<size_t>(settings().devices)), used(static_cast<size_t>(settings().devices)) {
    for (int d = 0; d < settings().devices; d++) {
      pools[static_cast<size_t>(d)].device = d;
      streams.push_back(new CUstream_st);
      streams.back()->device = d;
    }
  }
};

Runtime& runtime();
using Lock = std::unique_lock<std::mutex>;

extern thread_local int current_device;

/* Notes an error for cudaGetLastError, and gives it back. */
cudaError_t result(cudaError_t error);
/* What every call that needs a lost device gets. */
cudaError_t device_lost();
cudaError_t check_device(int device);
void find_fault(Runtime& r, cudaError_t error, const std::string& text);
/* Counts a kernel, copy or fill; true where it does not run, since the device is lost. Under the mutex. */
bool loses(Runtime& r);

/* NULL where the handle is not a stream. Under the mutex. */
cudaStream_t stream_of(Runtime& r, cudaStream_t stream);
bool capturing(Runtime& r, cudaStream_t handle);
/* Appends a task to a stream, or to what it records. */
cudaError_t append(cudaStream_t handle, Task task);
void synchronize_device(Runtime& r, int device);

/* The allocation around an address, NULL where there is none. Under the mutex. */
AllocationPointer find(Runtime& r, const void* address);
/* "" or what is wrong with the guard zones. The sanitizer watches them itself. */
std::string broken_guard(const Allocation& a);

}  // namespace kith::emulation

#endif
