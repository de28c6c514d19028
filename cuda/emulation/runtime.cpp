/*
 * The runtime: queues, events, graphs, launches, errors; memory.cpp has memory and copies.
 *
 * Nothing runs when it is called for. Every stream has a list of tasks; a wait runs them, on the thread that waits, until
 * what it waits for is done, and takes the streams in an order of the seed wherever events leave a choice. A query runs a
 * few tasks and tells.
 *
 * A launch remembers the allocations that its arguments point to: they must live when it runs, and their guards must be
 * whole afterwards.
 */
#include "runtime.hpp"

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <utility>

namespace kith::emulation {

namespace {

constexpr size_t kMostPending = 1024; /* tasks of a stream; CUDA blocks at about as many */
constexpr uint32_t kQueryTasks = 16;
constexpr int kMultiprocessors = 4; /* few: loops over the grid make more than one turn */

uint64_t number_of(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == 0 ? otherwise : std::strtoull(text, nullptr, 0);
}

thread_local cudaError_t last_error = cudaSuccess;
thread_local Finding reported; /* what cudaGetErrorString explains */

}  // namespace

thread_local int current_device = 0;

const Settings& settings() {
  static const Settings made = [] {
    Settings s;
    s.seed = number_of("KITH_EMULATION_SEED", 1);
    s.checks = number_of("KITH_EMULATION_CHECKS", 1) != 0;
    s.leaks = number_of("KITH_EMULATION_LEAKS", 1);
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

Runtime& runtime() {
  static Runtime* const made = new Runtime; /* outlives static destruction: other threads may still call */
  return *made;
}

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

void find_fault(Runtime& r, cudaError_t error, const std::string& text) {
  if (r.finding.error == cudaSuccess) r.finding = Finding{error, text};
}

bool loses(Runtime& r) {
  if (settings().lost_after != 0 && r.operations == settings().lost_after) r.lost = true;
  if (!r.lost) r.operations++;
  return r.lost;
}

cudaError_t device_lost() { return result(cudaErrorLaunchFailure); }

namespace {

double now_milliseconds() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) * 1e-6;
}

/* Hands what was found to the present thread. Under the mutex. */
cudaError_t report(Runtime& r) {
  if (r.lost) return device_lost();
  if (r.finding.error == cudaSuccess) return cudaSuccess;
  reported = std::exchange(r.finding, Finding{});
  return result(reported.error);
}

}  // namespace

/* ---- queues -------------------------------------------------------------------------------------------------------- */

cudaStream_t stream_of(Runtime& r, cudaStream_t stream) {
  if (reinterpret_cast<uintptr_t>(stream) <= 2)
    return r.streams[static_cast<size_t>(current_device)]; /* default ones */
  for (const cudaStream_t s : r.streams) {
    if (s == stream && !s->destroyed) return s;
  }
  return nullptr;
}

namespace {

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

}  // namespace

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

void synchronize_device(Runtime& r, int device) {
  wait_for(r, [&] { return all_done(r, device); });
}

/* ---- launches ------------------------------------------------------------------------------------------------------ */

namespace {

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

/* At the end of the process, on the error stream, since nobody is left to ask for a status. */
__attribute__((destructor)) void report_leaks() {
  if (settings().leaks == 0) return;
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
  const bool leaked = streams + allocations + graphs + r.events.size() != 0;
  if (leaked) {
    std::fprintf(stderr,
                 "kith emulation: never released: %zu streams, %zu events, %zu graphs, %zu allocations of %zu bytes\n",
                 streams, r.events.size(), graphs, allocations, bytes);
  }
  if (r.finding.error != cudaSuccess) {
    std::fprintf(stderr, "kith emulation: no wait asked for this error: %s\n", r.finding.text.c_str());
  }
  if (settings().leaks >= 2 && (leaked || r.finding.error != cudaSuccess)) std::_Exit(1);
}

}  // namespace

}  // namespace kith::emulation

/* ==== the calls of CUDA ============================================================================================= */

cudaError_t kith::emulation::check_device(int device) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) return error;
  return device >= 0 && device < count ? cudaSuccess : result(cudaErrorInvalidDevice);
}

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
