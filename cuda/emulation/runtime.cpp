/*
 * The runtime: queues, events, graphs, memory, errors.
 *
 * Nothing runs when it is called for. Every stream has a list of tasks; a wait runs them, on the thread that waits, until
 * what it waits for is done, and takes the streams in an order of the seed wherever events leave a choice. Destinations
 * on the host are poisoned until their copy ran. A query runs a few tasks and tells.
 *
 * Device memory lies between guard zones and is poisoned when it is allocated and when it is freed. A launch remembers
 * the allocations that its arguments point to: they must live when it runs, and their guards must be whole afterwards.
 */
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "internal.hpp"

namespace kith::emulation {

namespace {

constexpr size_t kGuardBefore = 256; /* keeps the alignment of cudaMalloc */
constexpr size_t kGuardAfter = 1024;
constexpr size_t kQuarantine = 32 << 20; /* bytes of freed memory watched for late writes */
constexpr size_t kMostPending = 1024;    /* tasks of a stream; CUDA blocks at about as many */
constexpr uint32_t kQueryTasks = 16;
constexpr size_t kMostPitch = 0x7fffffff;
constexpr int kMultiprocessors = 4; /* few: loops over the grid make more than one turn */

uint64_t number_of(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == 0 ? otherwise : std::strtoull(text, nullptr, 0);
}

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

}  // namespace

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

const Settings& settings() {
  static const Settings made = [] {
    Settings s;
    s.seed = number_of("KITH_EMULATION_SEED", 1);
    s.checks = number_of("KITH_EMULATION_CHECKS", 1) != 0;
    s.leaks = number_of("KITH_EMULATION_LEAKS", 1) != 0;
    const unsigned cores = std::thread::hardware_concurrency();
    s.threads = static_cast<int>(number_of("KITH_EMULATION_THREADS", std::min(std::max(cores, 1u), 8u)));
    s.devices = static_cast<int>(number_of("KITH_EMULATION_DEVICES", 1));
    s.driver = static_cast<int>(number_of("KITH_EMULATION_DRIVER", CUDART_VERSION));
    s.architecture = static_cast<int>(number_of("KITH_EMULATION_ARCHITECTURE", 75));
    s.memory = number_of("KITH_EMULATION_MEMORY_MB", 4096) << 20;
    s.lost_after = number_of("KITH_EMULATION_LOST_AFTER", 0);
    return s;
  }();
  return made;
}

namespace {

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

Runtime& runtime() {
  static Runtime* const made = new Runtime; /* outlives static destruction: other threads may still call */
  return *made;
}
using Lock = std::unique_lock<std::mutex>;

thread_local cudaError_t last_error = cudaSuccess;
thread_local int current_device = 0;
thread_local Finding reported; /* what cudaGetErrorString explains */

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

double now_milliseconds() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) * 1e-6;
}

void find_fault(Runtime& r, cudaError_t error, const std::string& text) {
  if (r.finding.error == cudaSuccess) r.finding = Finding{error, text};
}

/* Counts a kernel, copy or fill; true where it does not run, since the device is lost. Under the mutex. */
bool loses(Runtime& r) {
  if (settings().lost_after != 0 && r.operations == settings().lost_after) r.lost = true;
  if (!r.lost) r.operations++;
  return r.lost;
}

/* What every call that needs a lost device gets. */
cudaError_t device_lost() { return result(cudaErrorLaunchFailure); }

/* Hands what was found to the present thread. Under the mutex. */
cudaError_t report(Runtime& r) {
  if (r.lost) return device_lost();
  if (r.finding.error == cudaSuccess) return cudaSuccess;
  reported = std::exchange(r.finding, Finding{});
  return result(reported.error);
}

/* ---- memory -------------------------------------------------------------------------------------------------------- */

/* A guard zone that begins at `at`: NaN in every type at an even address, and not what a computation makes. */
const unsigned char* guard_pattern(const unsigned char* at) {
  static const std::vector<unsigned char> made = [] {
    std::vector<unsigned char> bytes(kGuardAfter + 1);
    for (size_t i = 0; i < bytes.size(); i++) bytes[i] = (i & 1) != 0 ? 0xff : 0xf7;
    return bytes;
  }();
  return made.data() + (reinterpret_cast<uintptr_t>(at) & 1);
}

template <class F>
void each_guard(const Allocation& a, F&& f) {
  f(a.base(), kGuardBefore);
  f(a.address + a.bytes, kGuardAfter);
}

void fill_guards(const Allocation& a) {
  each_guard(a, [](unsigned char* zone, size_t bytes) { std::memcpy(zone, guard_pattern(zone), bytes); });
}

void poison(const Allocation& a) {
  if (settings().checks) std::memset(a.address, 0xff, a.bytes);
}

AllocationPointer make_allocation(size_t bytes, int device, bool host) {
  const size_t all = (kGuardBefore + bytes + kGuardAfter + 255) / 256 * 256;
  unsigned char* const base = static_cast<unsigned char*>(std::aligned_alloc(256, all));
  if (base == nullptr) return nullptr;
  auto made = std::make_shared<Allocation>();
  made->address = base + kGuardBefore;
  made->bytes = bytes;
  made->device = device;
  made->host = host;
  fill_guards(*made);
#if KITH_ADDRESS_SANITIZER
  __asan_poison_memory_region(base, kGuardBefore);
  __asan_poison_memory_region(made->address + bytes, kGuardAfter);
#endif
  return made;
}

/* "" or what is wrong with the guard zones. The sanitizer watches them itself. */
std::string broken_guard(const Allocation& a) {
  std::string text;
#if !KITH_ADDRESS_SANITIZER
  if (!settings().checks) return text;
  each_guard(a, [&](const unsigned char* zone, size_t bytes) {
    const unsigned char* const whole = guard_pattern(zone);
    if (!text.empty() || std::memcmp(zone, whole, bytes) == 0) return;
    size_t i = 0;
    while (zone[i] == whole[i]) i++;
    const long long offset = zone + i - a.address;
    text = offset < 0 ? std::to_string(-offset) + " bytes before"
                      : std::to_string(offset - static_cast<long long>(a.bytes)) + " bytes after the end of";
    text += " an allocation of " + std::to_string(a.bytes) + " bytes";
  });
  if (!text.empty()) fill_guards(a);
#else
  static_cast<void>(a);
#endif
  return text;
}

void give_back(const Allocation& a) {
#if KITH_ADDRESS_SANITIZER
  __asan_unpoison_memory_region(a.base(), kGuardBefore + a.bytes + kGuardAfter);
#endif
  std::free(a.base());
}

/* Frees at once; the block stays for a while to find who still writes to it. Under the mutex. */
void retire(Runtime& r, const AllocationPointer& a) {
  const std::string broken = broken_guard(*a);
  if (!broken.empty())
    find_fault(r, cudaErrorIllegalAddress, "something wrote " + broken + ", found when it was freed");
  a->phase = Phase::kFreed;
  r.memory.erase(reinterpret_cast<uintptr_t>(a->address));
  if (!a->host) r.used[static_cast<size_t>(a->device)] -= a->bytes;
  if (!settings().checks || a->bytes > kQuarantine) {
    give_back(*a);
    return;
  }
  poison(*a);
#if KITH_ADDRESS_SANITIZER
  __asan_poison_memory_region(a->address, a->bytes);
#endif
  r.quarantine.push_back(a);
  r.quarantined += a->bytes;
  while (r.quarantined > kQuarantine) {
    const AllocationPointer oldest = r.quarantine.front();
    r.quarantine.pop_front();
    r.quarantined -= oldest->bytes;
#if !KITH_ADDRESS_SANITIZER
    for (size_t i = 0; i < oldest->bytes; i++) {
      if (oldest->address[i] == 0xff) continue;
      find_fault(r, cudaErrorIllegalAddress,
                 "something wrote to byte " + std::to_string(i) + " of an allocation of " +
                     std::to_string(oldest->bytes) + " bytes after it was freed");
      break;
    }
#endif
    give_back(*oldest);
  }
}

/* The allocation around an address, NULL where there is none. Under the mutex. */
AllocationPointer find(Runtime& r, const void* address) {
  const uintptr_t at = reinterpret_cast<uintptr_t>(address);
  auto place = r.memory.upper_bound(at);
  if (place == r.memory.begin()) return nullptr;
  --place;
  const Allocation& a = *place->second;
  return at - place->first < a.bytes || at == place->first ? place->second : nullptr;
}

/* ---- queues -------------------------------------------------------------------------------------------------------- */

/* NULL where the handle is not a stream. Under the mutex. */
cudaStream_t stream_of(Runtime& r, cudaStream_t stream) {
  if (reinterpret_cast<uintptr_t>(stream) <= 2)
    return r.streams[static_cast<size_t>(current_device)]; /* default ones */
  for (const cudaStream_t s : r.streams) {
    if (s == stream && !s->destroyed) return s;
  }
  return nullptr;
}

bool runnable(const CUstream_st& s) {
  return !s.tasks.empty() && (s.tasks.front().after == nullptr || s.tasks.front().after->passed);
}

/* Runs one task of a stream chosen by the seed; false when there is none. With `executing` and the mutex held. */
bool run_one(Runtime& r, Lock& lock) {
  uint32_t count = 0;
  for (const cudaStream_t s : r.streams) count += runnable(*s);
  if (count == 0) return false;
  uint32_t chosen = r.random.below(count);
  size_t place = 0;
  while (!runnable(*r.streams[place]) || chosen-- != 0) place++;
  const cudaStream_t stream = r.streams[place];
  Task task = std::move(stream->tasks.front());
  lock.unlock();
  if (task.run) task.run();
  task = Task{};
  lock.lock();
  stream->tasks.pop_front();
  stream->done++;
  if (stream->destroyed && stream->tasks.empty()) {
    std::erase(r.streams, stream);
    delete stream;
  }
  return true;
}

/* Runs tasks until `done`. */
template <class Done>
void wait_for(Runtime& r, Done&& done) {
  const Lock execution(r.executing);
  Lock lock(r.mutex);
  while (!done() && run_one(r, lock)) {
  }
}

bool all_done(const Runtime& r, int device) {
  for (const cudaStream_t s : r.streams) {
    if (s->device == device && !s->tasks.empty()) return false;
  }
  return true;
}

/* Waits for a point of a stream, which may end meanwhile. */
void wait_for_stream(Runtime& r, cudaStream_t stream, uint64_t point) {
  wait_for(r, [&r, stream, point] {
    for (const cudaStream_t s : r.streams) {
      if (s == stream) return s->done >= point;
    }
    return true;
  });
}

/* Appends a task to a stream, or to what it records. */
cudaError_t append(cudaStream_t handle, Task task) {
  Runtime& r = runtime();
  Lock lock(r.mutex);
  const cudaStream_t stream = stream_of(r, handle);
  if (stream == nullptr) return result(cudaErrorInvalidResourceHandle);
  if (r.lost) return device_lost();
  if (stream->capture != nullptr) {
    if (stream != stream->capture->origin) stream->capture->unjoined.insert(stream);
    stream->capture->tasks.push_back(std::move(task));
    return cudaSuccess;
  }
  stream->tasks.push_back(std::move(task));
  const uint64_t queued = ++stream->queued;
  const bool full = stream->tasks.size() > kMostPending;
  lock.unlock();
  if (full) wait_for_stream(r, stream, queued - kMostPending / 2);
  return cudaSuccess;
}

bool capturing(Runtime& r, cudaStream_t handle) {
  const Lock lock(r.mutex);
  const cudaStream_t stream = stream_of(r, handle);
  return stream != nullptr && stream->capture != nullptr;
}

/* ---- launches ------------------------------------------------------------------------------------------------------ */

/* A queued kernel with its own copy of the arguments. */
struct Launch {
  Kernel kernel;
  std::string name;
  std::vector<std::max_align_t> arguments;
  std::vector<AllocationPointer> memory;
};

void run_launch(const Launch& launch) {
  Runtime& r = runtime();
  Lock lock(r.mutex);
  if (loses(r)) return;
  for (const AllocationPointer& a : launch.memory) {
    if (a->phase == Phase::kLive) continue;
    find_fault(r, cudaErrorIllegalAddress,
               "kernel " + launch.name + " uses an allocation of " + std::to_string(a->bytes) + " bytes " +
                   (a->phase == Phase::kFreed ? "that was freed before it ran; order the free after it"
                                              : "that is not there yet when it runs; order it after the allocation"));
    return;
  }
  const uint64_t seed = r.random.next();
  lock.unlock();
  Finding finding = run(launch.kernel, seed);
  lock.lock();
  if (finding.error != cudaSuccess) {
    find_fault(r, finding.error, finding.text);
    return;
  }
  for (const AllocationPointer& a : launch.memory) {
    const std::string broken = broken_guard(*a);
    if (!broken.empty()) find_fault(r, cudaErrorIllegalAddress, "kernel " + launch.name + " wrote " + broken);
  }
}

}  // namespace

cudaError_t enqueue(const Kernel& kernel) {
  Runtime& r = runtime();
  const uint64_t threads = static_cast<uint64_t>(kernel.block.x) * kernel.block.y * kernel.block.z;
  const bool grid = kernel.grid.x >= 1 && kernel.grid.x <= 0x7fffffffu && kernel.grid.y >= 1 &&
                    kernel.grid.y <= 65535 && kernel.grid.z >= 1 && kernel.grid.z <= 65535;
  if (!grid || threads < 1 || threads > kMostThreads || kernel.block.z > 64)
    return result(cudaErrorInvalidConfiguration);
  auto launch = std::make_shared<Launch>();
  {
    const Lock lock(r.mutex);
    const auto limit = r.shared_limits.find(kernel.function);
    if (kernel.shared_bytes > (limit == r.shared_limits.end() ? kSharedStatic : static_cast<size_t>(limit->second))) {
      return result(cudaErrorInvalidValue);
    }
    for (size_t at = 0; at + sizeof(void*) <= kernel.argument_bytes; at += sizeof(void*)) {
      const void* word;
      std::memcpy(&word, static_cast<const unsigned char*>(kernel.arguments) + at, sizeof(word));
      const AllocationPointer a = find(r, word);
      if (a != nullptr) launch->memory.push_back(a);
    }
  }
  /* A template in parentheses: without them in messages. */
  launch->name = kernel.name;
  if (launch->name.size() > 1 && launch->name.front() == '(')
    launch->name = launch->name.substr(1, launch->name.size() - 2);
  launch->arguments.resize((kernel.argument_bytes + sizeof(std::max_align_t) - 1) / sizeof(std::max_align_t));
  std::memcpy(static_cast<void*>(launch->arguments.data()), kernel.arguments, kernel.argument_bytes);
  launch->kernel = kernel;
  launch->kernel.name = launch->name.c_str();
  launch->kernel.arguments = launch->arguments.data();
  return append(kernel.stream, Task{[launch] { run_launch(*launch); }, nullptr});
}

namespace {

/* ---- copies -------------------------------------------------------------------------------------------------------- */

struct Copy {
  unsigned char* to;
  size_t to_pitch;
  const unsigned char* from; /* NULL: fill with `value` */
  size_t from_pitch;
  size_t width;
  size_t height;
  int value;
  AllocationPointer to_memory, from_memory; /* NULL: of the host */
  std::shared_ptr<std::vector<unsigned char>> staged;
};

void run_copy(const Copy& c) {
  Runtime& r = runtime();
  {
    const Lock lock(r.mutex);
    if (loses(r)) return;
    for (const AllocationPointer& a : {c.to_memory, c.from_memory}) {
      if (a == nullptr || a->phase == Phase::kLive) continue;
      find_fault(r, cudaErrorIllegalAddress,
                 "a copy or fill uses an allocation of " + std::to_string(a->bytes) + " bytes " +
                     (a->phase == Phase::kFreed ? "that was freed before it ran; order the free after it"
                                                : "that is not there yet when it runs; order it after the allocation"));
      return;
    }
  }
  for (size_t row = 0; row < c.height; row++) {
    if (c.from == nullptr) {
      std::memset(c.to + row * c.to_pitch, c.value, c.width);
    } else {
      std::memmove(c.to + row * c.to_pitch, c.from + row * c.from_pitch, c.width);
    }
  }
}

/* The extent of rows in bytes. */
size_t extent(size_t pitch, size_t width, size_t height) { return (height - 1) * pitch + width; }

/* False where rows at an address leave the allocation they begin in. */
bool inside(const AllocationPointer& a, const void* address, size_t bytes) {
  if (a == nullptr) return true;
  return bytes <= a->bytes - static_cast<size_t>(static_cast<const unsigned char*>(address) - a->address);
}

cudaError_t queue_copy(Copy c, int kind, cudaStream_t stream) {
  if (c.width == 0 || c.height == 0) return cudaSuccess;
  if (c.to == nullptr || (kind >= 0 && c.from == nullptr)) return result(cudaErrorInvalidValue);
  if (c.height > 1 && (c.to_pitch < c.width || (c.from != nullptr && c.from_pitch < c.width))) {
    return result(cudaErrorInvalidValue);
  }
  Runtime& r = runtime();
  {
    const Lock lock(r.mutex);
    c.to_memory = find(r, c.to);
    if (c.from != nullptr) c.from_memory = find(r, c.from);
  }
  if (!inside(c.to_memory, c.to, extent(c.to_pitch, c.width, c.height)) ||
      (c.from != nullptr && !inside(c.from_memory, c.from, extent(c.from_pitch, c.width, c.height)))) {
    return result(cudaErrorInvalidValue);
  }
  const bool to_device = c.to_memory != nullptr && !c.to_memory->host;
  const bool from_device = c.from_memory != nullptr && !c.from_memory->host;
  const bool wants_to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool wants_from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind >= 0 && kind != cudaMemcpyDefault && (to_device != wants_to || from_device != wants_from)) {
    return result(cudaErrorInvalidMemcpyDirection);
  }
  const bool recorded = capturing(r, stream);
  if (c.from != nullptr && c.from_memory == nullptr && !recorded) {
    /* As with CUDA, pageable memory was read when the call returns. */
    c.staged = std::make_shared<std::vector<unsigned char>>(c.width * c.height);
    for (size_t row = 0; row < c.height; row++) {
      std::memcpy(c.staged->data() + row * c.width, c.from + row * c.from_pitch, c.width);
    }
    c.from = c.staged->data();
    c.from_pitch = c.width;
  }
  if (!to_device && from_device && settings().checks && !recorded) {
    for (size_t row = 0; row < c.height; row++) std::memset(c.to + row * c.to_pitch, 0xff, c.width);
  }
  return append(stream, Task{[copy = std::move(c)] { run_copy(copy); }, nullptr});
}

/* For the forms that wait. */
cudaError_t and_wait(cudaError_t error) { return error == cudaSuccess ? cudaStreamSynchronize(nullptr) : error; }

cudaError_t allocate(void** address, size_t bytes, bool host, bool ordered, cudaStream_t handle) {
  if (address == nullptr) return result(cudaErrorInvalidValue);
  *address = nullptr;
  if (bytes == 0) return cudaSuccess;
  Runtime& r = runtime();
  if (ordered && capturing(r, handle)) return result(cudaErrorStreamCaptureUnsupported);
  AllocationPointer made;
  {
    const Lock lock(r.mutex);
    const cudaStream_t stream = stream_of(r, handle);
    if (stream == nullptr) return result(cudaErrorInvalidResourceHandle);
    if (r.lost) return device_lost();
    const int device = ordered ? stream->device : current_device;
    size_t& used = r.used[static_cast<size_t>(device)];
    if (!host && (bytes > settings().memory || used > settings().memory - bytes))
      return result(cudaErrorMemoryAllocation);
    made = make_allocation(bytes, device, host);
    if (made == nullptr) return result(cudaErrorMemoryAllocation);
    if (!host) used += bytes;
    if (ordered) made->phase = Phase::kOrdered;
    r.memory[reinterpret_cast<uintptr_t>(made->address)] = made;
  }
  poison(*made);
  *address = made->address;
  if (!ordered) return cudaSuccess;
  return append(handle, Task{[made] {
                               const Lock lock(runtime().mutex);
                               if (made->phase == Phase::kOrdered) made->phase = Phase::kLive;
                             },
                             nullptr});
}

/* Marks an allocation that begins at this address as on its way back; NULL where there is none. */
AllocationPointer begin_free(void* address, bool host) {
  Runtime& r = runtime();
  const Lock lock(r.mutex);
  const auto place = r.memory.find(reinterpret_cast<uintptr_t>(address));
  if (place == r.memory.end() || place->second->host != host || place->second->freeing) return nullptr;
  place->second->freeing = true;
  return place->second;
}

void finish_free(const AllocationPointer& a) {
  Runtime& r = runtime();
  const Lock lock(r.mutex);
  retire(r, a);
}

void synchronize_device(Runtime& r, int device) {
  wait_for(r, [&] { return all_done(r, device); });
}

/* At the end of the process, on the error stream, since nobody is left to ask for a status. */
__attribute__((destructor)) void report_leaks() {
  if (!settings().leaks) return;
  Runtime& r = runtime();
  const Lock lock(r.mutex);
  size_t streams = 0, allocations = 0, bytes = 0;
  for (const cudaStream_t s : r.streams) streams += !s->destroyed;
  streams -= static_cast<size_t>(settings().devices);
  for (const auto& [address, a] : r.memory) {
    if (a->freeing) continue; /* only no wait came after its release */
    allocations++;
    bytes += a->bytes;
  }
  if (r.lost) return; /* nothing can be given back */
  const size_t graphs = r.graphs.size() + r.executables.size();
  if (streams + allocations + graphs + r.events.size() != 0) {
    std::fprintf(stderr,
                 "kith emulation: never released: %zu streams, %zu events, %zu graphs, %zu allocations of %zu bytes\n",
                 streams, r.events.size(), graphs, allocations, bytes);
  }
  if (r.finding.error != cudaSuccess) {
    std::fprintf(stderr, "kith emulation: no wait asked for this error: %s\n", r.finding.text.c_str());
  }
}

}  // namespace

}  // namespace kith::emulation

/* ==== the calls of CUDA ============================================================================================= */

using namespace kith::emulation;

namespace {

struct ErrorText {
  cudaError_t error;
  const char* name;
  const char* text;
};
constexpr ErrorText kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorIllegalState, "cudaErrorIllegalState", "the operation cannot be performed in the present state"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources", "too many resources requested for launch"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureMerge, "cudaErrorStreamCaptureMerge",
     "operation would result in a merge of separate capture sequences"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not ended in the same stream as it began"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
};
const ErrorText& text_of(cudaError_t error) {
  static constexpr ErrorText kUnknown = {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"};
  for (const ErrorText& e : kErrors) {
    if (e.error == error) return e;
  }
  return kUnknown;
}

cudaError_t check_device(int device) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) return error;
  return device >= 0 && device < count ? cudaSuccess : result(cudaErrorInvalidDevice);
}

/* The event, NULL where the handle is none. Under the mutex. */
cudaEvent_t event_of(Runtime& r, cudaEvent_t event) { return r.events.count(event) != 0 ? event : nullptr; }

}  // namespace

const char* cudaGetErrorName(cudaError_t error) { return text_of(error).name; }
const char* cudaGetErrorString(cudaError_t error) {
  if (error != cudaSuccess && error == reported.error) return reported.text.c_str();
  return text_of(error).text;
}
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error; }

/* ---- devices ------------------------------------------------------------------------------------------------------- */

cudaError_t cudaDriverGetVersion(int* version) {
  *version = settings().driver;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  if (settings().driver < CUDART_VERSION) return result(cudaErrorInsufficientDriver);
  if (settings().devices == 0) return result(cudaErrorNoDevice);
  *count = settings().devices;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  const cudaError_t error = check_device(device);
  if (error == cudaSuccess) current_device = device;
  return error;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const cudaError_t error = check_device(device);
  if (error != cudaSuccess) return error;
  *properties = cudaDeviceProp{};
  std::snprintf(properties->name, sizeof(properties->name), "Kith emulation");
  properties->totalGlobalMem = settings().memory;
  properties->sharedMemPerBlock = kSharedStatic;
  properties->sharedMemPerBlockOptin = shared_most(settings().architecture);
  properties->sharedMemPerMultiprocessor = properties->sharedMemPerBlockOptin;
  properties->warpSize = warpSize;
  properties->maxThreadsPerBlock = kMostThreads;
  properties->maxThreadsPerMultiProcessor = kMostThreads;
  properties->maxBlocksPerMultiProcessor = 16;
  properties->major = settings().architecture / 10;
  properties->minor = settings().architecture % 10;
  properties->multiProcessorCount = kMultiprocessors;
  properties->l2CacheSize = 4 << 20;
  properties->memoryPoolsSupported = 1;
  properties->memPitch = kMostPitch;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp p;
  const cudaError_t error = cudaGetDeviceProperties(&p, device);
  if (error != cudaSuccess) return error;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = p.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(p.sharedMemPerBlock);
      break;
    case cudaDevAttrWarpSize:
      *value = p.warpSize;
      break;
    case cudaDevAttrMaxPitch:
      *value = static_cast<int>(p.memPitch);
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = p.multiProcessorCount;
      break;
    case cudaDevAttrIntegrated:
      *value = 0;
      break;
    case cudaDevAttrL2CacheSize:
      *value = p.l2CacheSize;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = p.maxThreadsPerMultiProcessor;
      break;
    case cudaDevAttrUnifiedAddressing:
      *value = 1;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = p.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = p.minor;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(p.sharedMemPerMultiprocessor);
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(p.sharedMemPerBlockOptin);
      break;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      *value = p.maxBlocksPerMultiProcessor;
      break;
    case cudaDevAttrMemoryPoolsSupported:
      *value = p.memoryPoolsSupported;
      break;
    default:
      return result(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  Runtime& r = runtime();
  synchronize_device(r, current_device);
  const Lock lock(r.mutex);
  for (const auto& [address, a] : r.memory) {
    const std::string broken = broken_guard(*a);
    if (!broken.empty()) find_fault(r, cudaErrorIllegalAddress, "something wrote " + broken);
  }
  return report(r);
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  Runtime& r = runtime();
  const Lock lock(r.mutex);
  if (r.lost) return device_lost();
  *total_bytes = settings().memory;
  *free_bytes = settings().memory - r.used[static_cast<size_t>(current_device)];
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || static_cast<size_t>(value) > shared_most(settings().architecture))
    return result(cudaErrorInvalidValue);
  Runtime& r = runtime();
  const Lock lock(r.mutex);
  r.shared_limits[kernel] = value;
  return cudaSuccess;
}

/* ---- streams and events -------------------------------------------------------------------------------------------- */

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  Runtime& r = runtime();
  const Lock lock(r.mutex);
  if (r.lost) return device_lost();
  *stream = new CUstream_st;
  (*stream)->device = current_device;
  r.streams.push_back(*stream);
  return cudaSuccess;
}
/* As with CUDA, work that is queued still runs. */
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  Runtime& r = runtime();
  const Lock lock(r.mutex);
  const cudaStream_t stream = stream_of(r, handle);
  if (stream == nullptr || stream != handle) return result(cudaErrorInvalidResourceHandle);
  stream->destroyed = true;
  stream->capture = nullptr;
  if (stream->tasks.empty()) {
    std::erase(r.streams, stream);
    delete stream;
  }
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  Runtime& r = runtime();
  if (capturing(r, handle)) return result(cudaErrorStreamCaptureUnsupported);
  const Lock execution(r.executing);
  Lock lock(r.mutex);
  const cudaStream_t stream = stream_of(r, handle);
  if (stream == nullptr) return result(cudaErrorInvalidResourceHandle);
  for (uint32_t n = 1 + r.random.below(kQueryTasks); n > 0 && !stream->tasks.empty(); n--) run_one(r, lock);
  const cudaError_t found = report(r);
  if (found != cudaSuccess) return found;
  return stream->tasks.empty() ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  Runtime& r = runtime();
  if (capturing(r, handle)) return result(cudaErrorStreamCaptureUnsupported);
  Lock lock(r.mutex);
  const cudaStream_t stream = stream_of(r, handle);
  if (stream == nullptr) return result(cudaErrorInvalidResourceHandle);
  const uint64_t point = stream->queued;
  lock.unlock();
  wait_for_stream(r, stream, point);
  lock.lock();
  return report(r);
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return append(stream, Task{[function, data] { function(data); }, nullptr});
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  Runtime& r = runtime();
  const Lock lock(r.mutex);
  if (r.lost) return device_lost();
  *event = new CUevent_st;
  (*event)->timed = (flags & cudaEventDisableTiming) == 0;
  r.events.insert(*event);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  Runtime& r = runtime();
  const Lock lock(r.mutex);
  if (r.events.erase(event) == 0) return result(cudaErrorInvalidResourceHandle);
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  Runtime& r = runtime();
  auto marker = std::make_shared<Marker>();
  {
    const Lock lock(r.mutex);
    const cudaStream_t stream = stream_of(r, handle);
    if (event_of(r, event) == nullptr || stream == nullptr) return result(cudaErrorInvalidResourceHandle);
    event->capture = stream->capture;
    event->stream = stream;
    event->marker = marker;
    if (stream->capture != nullptr) return cudaSuccess;
  }
  return append(handle, Task{[marker] {
                               const Lock lock(runtime().mutex);
                               marker->milliseconds = now_milliseconds();
                               marker->passed = true;
                             },
                             nullptr});
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  Runtime& r = runtime();
  std::shared_ptr<Marker> marker;
  {
    const Lock lock(r.mutex);
    const cudaStream_t stream = stream_of(r, handle);
    if (event_of(r, event) == nullptr || stream == nullptr) return result(cudaErrorInvalidResourceHandle);
    if (event->capture != nullptr) {
      /* The stream joins the recording, or the recording takes in what it waits for. */
      if (stream->capture != nullptr && stream->capture != event->capture) return result(cudaErrorStreamCaptureMerge);
      stream->capture = event->capture;
      event->capture->streams.insert(stream);
      event->capture->unjoined.erase(event->stream);
      return cudaSuccess;
    }
    /* What came before the recording is done when the graph runs, or is waited for by whoever launches it. */
    if (stream->capture != nullptr && event->marker != nullptr) return result(cudaErrorStreamCaptureUnsupported);
    if (event->marker == nullptr || event->marker->passed) return cudaSuccess;
    marker = event->marker;
  }
  return append(handle, Task{nullptr, marker});
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  Runtime& r = runtime();
  const Lock execution(r.executing);
  Lock lock(r.mutex);
  if (event_of(r, event) == nullptr) return result(cudaErrorInvalidResourceHandle);
  if (event->capture != nullptr) return result(cudaErrorCapturedEvent);
  const std::shared_ptr<Marker> marker = event->marker;
  if (marker == nullptr) return cudaSuccess;
  for (uint32_t n = 1 + r.random.below(kQueryTasks); n > 0 && !marker->passed; n--) run_one(r, lock);
  const cudaError_t found = report(r);
  if (found != cudaSuccess) return found;
  return marker->passed ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  Runtime& r = runtime();
  std::shared_ptr<Marker> marker;
  {
    const Lock lock(r.mutex);
    if (event_of(r, event) == nullptr) return result(cudaErrorInvalidResourceHandle);
    if (event->capture != nullptr) return result(cudaErrorCapturedEvent);
    marker = event->marker;
  }
  if (marker != nullptr) wait_for(r, [&] { return marker->passed; });
  const Lock lock(r.mutex);
  return report(r);
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  Runtime& r = runtime();
  const Lock lock(r.mutex);
  if (event_of(r, begin) == nullptr || event_of(r, end) == nullptr || !begin->timed || !end->timed ||
      begin->marker == nullptr || end->marker == nullptr) {
    return result(cudaErrorInvalidResourceHandle);
  }
  if (!begin->marker->passed || !end->marker->passed) return result(cudaErrorNotReady);
  *milliseconds = static_cast<float>(end->marker->milliseconds - begin->marker->milliseconds);
  return cudaSuccess;
}

/* ---- memory -------------------------------------------------------------------------------------------------------- */

cudaError_t cudaMalloc(void** address, size_t bytes) { return allocate(address, bytes, false, false, nullptr); }
cudaError_t cudaMallocAsync(void** address, size_t bytes, cudaStream_t stream) {
  return allocate(address, bytes, false, true, stream);
}
cudaError_t cudaHostAlloc(void** address, size_t bytes, unsigned) {
  return allocate(address, bytes, true, false, nullptr);
}
cudaError_t cudaMallocHost(void** address, size_t bytes) { return cudaHostAlloc(address, bytes, cudaHostAllocDefault); }
/* As with CUDA, waits for the whole device first. */
cudaError_t cudaFree(void* address) {
  if (address == nullptr) return cudaSuccess;
  const AllocationPointer a = begin_free(address, false);
  if (a == nullptr) return result(cudaErrorInvalidValue);
  synchronize_device(runtime(), a->device);
  finish_free(a);
  return cudaSuccess;
}
cudaError_t cudaFreeAsync(void* address, cudaStream_t stream) {
  if (address == nullptr) return cudaSuccess;
  if (capturing(runtime(), stream)) return result(cudaErrorStreamCaptureUnsupported);
  const AllocationPointer a = begin_free(address, false);
  if (a == nullptr) return result(cudaErrorInvalidValue);
  const cudaError_t error = append(stream, Task{[a] { finish_free(a); }, nullptr});
  if (error != cudaSuccess) {
    const Lock lock(runtime().mutex);
    a->freeing = false;
  }
  return error;
}
cudaError_t cudaFreeHost(void* address) {
  if (address == nullptr) return cudaSuccess;
  const AllocationPointer a = begin_free(address, true);
  if (a == nullptr) return result(cudaErrorInvalidValue);
  synchronize_device(runtime(), a->device);
  finish_free(a);
  return cudaSuccess;
}
cudaError_t cudaHostGetDevicePointer(void** device_address, void* host_address, unsigned) {
  *device_address = host_address;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  const cudaError_t error = check_device(device);
  if (error == cudaSuccess) *pool = &runtime().pools[static_cast<size_t>(device)];
  return error;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  if (attribute != cudaMemPoolAttrReleaseThreshold) return result(cudaErrorInvalidValue);
  std::memcpy(&pool->threshold, value, sizeof(pool->threshold));
  return cudaSuccess;
}
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  Runtime& r = runtime();
  const Lock lock(r.mutex);
  const uint64_t used = r.used[static_cast<size_t>(pool->device)];
  const uint64_t answer = attribute == cudaMemPoolAttrReleaseThreshold ? pool->threshold : used;
  std::memcpy(value, &answer, sizeof(answer));
  return cudaSuccess;
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return cudaSuccess; }
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
  Runtime& r = runtime();
  const Lock lock(r.mutex);
  *attributes = cudaPointerAttributes{cudaMemoryTypeUnregistered, -1, nullptr, nullptr};
  const AllocationPointer a = find(r, address);
  if (a == nullptr) return cudaSuccess;
  void* const at = const_cast<void*>(address);
  attributes->type = a->host ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
  attributes->device = a->device;
  attributes->devicePointer = at;
  attributes->hostPointer = a->host ? at : nullptr;
  return cudaSuccess;
}

cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  if (to_pitch > kMostPitch || from_pitch > kMostPitch) return result(cudaErrorInvalidValue);
  return queue_copy(Copy{static_cast<unsigned char*>(to), to_pitch, static_cast<const unsigned char*>(from), from_pitch,
                         width, height, 0, nullptr, nullptr, nullptr},
                    kind, stream);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return queue_copy(Copy{static_cast<unsigned char*>(to), bytes, static_cast<const unsigned char*>(from), bytes, bytes,
                         1, 0, nullptr, nullptr, nullptr},
                    kind, stream);
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return and_wait(cudaMemcpyAsync(to, from, bytes, kind, nullptr));
}
cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height,
                         cudaMemcpyKind kind) {
  return and_wait(cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, height, kind, nullptr));
}
cudaError_t cudaMemset2DAsync(void* to, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream) {
  return queue_copy(
      Copy{static_cast<unsigned char*>(to), pitch, nullptr, 0, width, height, value, nullptr, nullptr, nullptr}, -1,
      stream);
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return cudaMemset2DAsync(to, bytes, value, bytes, 1, stream);
}
cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  return and_wait(cudaMemsetAsync(to, value, bytes, nullptr));
}

/* ---- graphs -------------------------------------------------------------------------------------------------------- */

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode) {
  Runtime& r = runtime();
  const Lock lock(r.mutex);
  const cudaStream_t stream = stream_of(r, handle);
  if (stream == nullptr) return result(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr || stream != handle) return result(cudaErrorStreamCaptureUnsupported);
  stream->capture = std::make_shared<Capture>();
  stream->capture->origin = stream;
  stream->capture->streams.insert(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  *graph = nullptr;
  Runtime& r = runtime();
  const Lock lock(r.mutex);
  const cudaStream_t stream = stream_of(r, handle);
  if (stream == nullptr) return result(cudaErrorInvalidResourceHandle);
  const std::shared_ptr<Capture> capture = stream->capture;
  if (capture == nullptr) return result(cudaErrorIllegalState);
  if (capture->origin != stream) return result(cudaErrorStreamCaptureUnmatched);
  for (const cudaStream_t s : r.streams) {
    if (s->capture == capture) s->capture = nullptr;
  }
  for (const cudaEvent_t e : r.events) {
    if (e->capture != capture) continue;
    e->capture = nullptr;
    e->marker = nullptr;
  }
  if (!capture->unjoined.empty()) return result(cudaErrorStreamCaptureUnjoined);
  *graph = new CUgraph_st{std::move(capture->tasks)};
  r.graphs.insert(*graph);
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = capturing(runtime(), stream) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  Runtime& r = runtime();
  const Lock lock(r.mutex);
  if (r.graphs.count(graph) == 0) return result(cudaErrorInvalidValue);
  *executable = new CUgraphExec_st{std::make_shared<const std::vector<Task>>(graph->tasks)};
  r.executables.insert(*executable);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  Runtime& r = runtime();
  std::shared_ptr<const std::vector<Task>> tasks;
  {
    const Lock lock(r.mutex);
    if (r.executables.count(executable) == 0) return result(cudaErrorInvalidValue);
    tasks = executable->tasks;
  }
  return append(stream, Task{[tasks] {
                               for (const Task& task : *tasks) task.run();
                             },
                             nullptr});
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  Runtime& r = runtime();
  const Lock lock(r.mutex);
  if (r.executables.erase(executable) == 0) return result(cudaErrorInvalidValue);
  delete executable;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  Runtime& r = runtime();
  const Lock lock(r.mutex);
  if (r.graphs.erase(graph) == 0) return result(cudaErrorInvalidValue);
  delete graph;
  return cudaSuccess;
}
