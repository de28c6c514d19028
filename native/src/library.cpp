// Library, devices, queues and events. The CPU library finishes its work before an entry returns, so events are always
// passed and syncs never wait; the handles exist so that callers are written once for every backend.
#include <pthread.h>
#include <sched.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core.hpp"
#include "dispatch.hpp"
#include "pool.hpp"

#define KITH_TEXT_OF(x) #x
#define KITH_TEXT(x) KITH_TEXT_OF(x)
#if defined(__clang__)
#define KITH_COMPILER \
  "Clang " KITH_TEXT(__clang_major__) "." KITH_TEXT(__clang_minor__) "." KITH_TEXT(__clang_patchlevel__)
#else
#define KITH_COMPILER "GCC " KITH_TEXT(__GNUC__) "." KITH_TEXT(__GNUC_MINOR__) "." KITH_TEXT(__GNUC_PATCHLEVEL__)
#endif

namespace kith {

namespace {

pthread_mutex_t open_mutex = PTHREAD_MUTEX_INITIALIZER;
kith_device cpu_device;  // guarded by open_mutex until `opened`
bool opened = false;     // guarded by open_mutex

int32_t available_processors() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? static_cast<int32_t>(online) : 1;
}

kith_status default_threads(int32_t* threads, kith_call* call) {
  const char* variable = std::getenv("KITH_THREADS");
  if (variable == nullptr || variable[0] == 0) {
    const int32_t processors = available_processors();
    *threads = processors < 1024 ? processors : 1024;
    return KITH_OK;
  }
  char* end = nullptr;
  errno = 0;
  const long value = std::strtol(variable, &end, 10);
  if (errno != 0 || *end != 0 || value < 1 || value > 1024) {
    return fail(call, KITH_INVALID, "KITH_THREADS is \"%.64s\"; set it to a number from 1 to 1024 or unset it",
                variable);
  }
  *threads = static_cast<int32_t>(value);
  return KITH_OK;
}

kith_status open(int32_t threads, kith_device** device, kith_call* call) {
  if (opened) {
    const int32_t present = cpu_device.pool->threads();
    if (threads > 0 && threads != present) {
      return fail(
          call, KITH_INVALID,
          "kith_device_open: device 0 is open with %d threads and %d were asked for; use kith_device_set_threads",
          present, threads);
    }
    *device = &cpu_device;
    return KITH_OK;
  }
  kith_status status = check_tier_cap(call);
  if (status == KITH_OK && threads <= 0) status = default_threads(&threads, call);
  if (status == KITH_OK) status = Pool::create(threads, &cpu_device.pool, call);
  if (status != KITH_OK) return status;
  struct sysinfo info;
  if (sysinfo(&info) == 0) cpu_device.total_bytes = static_cast<int64_t>(info.totalram) * info.mem_unit;
  opened = true;
  *device = &cpu_device;
  return KITH_OK;
}

// The model name as the system tells it, or "".
void processor_name(char* name, size_t capacity) {
  name[0] = 0;
  std::FILE* file = std::fopen("/proc/cpuinfo", "re");
  if (file == nullptr) return;
  char line[256];
  while (std::fgets(line, sizeof(line), file) != nullptr) {
    if (std::strncmp(line, "model name", 10) != 0) continue;
    const char* colon = std::strchr(line, ':');
    if (colon == nullptr) continue;
    line[std::strcspn(line, "\n")] = 0;
    std::snprintf(name, capacity, "%s", colon[1] == ' ' ? colon + 2 : colon + 1);
    break;
  }
  std::fclose(file);
}

}  // namespace

}  // namespace kith

using kith::fail;

extern "C" {

int32_t kith_abi_version(void) { return (KITH_ABI_MAJOR << 16) | KITH_ABI_MINOR; }

const char* kith_build_info(void) { return "cpu " KITH_VERSION ", " KITH_COMPILER; }

const char* kith_backend(void) { return "cpu"; }

kith_status kith_device_count(int32_t* count, kith_call* call) {
  if (count == nullptr) return fail(call, KITH_INVALID, "kith_device_count: count is NULL; give an int32_t");
  *count = 1;
  return KITH_OK;
}

kith_status kith_device_open(int32_t ordinal, int32_t threads, kith_device** device, kith_call* call) {
  if (device == nullptr) return fail(call, KITH_INVALID, "kith_device_open: device is NULL; give a kith_device*");
  if (ordinal != 0) {
    return fail(call, KITH_NOT_FOUND, "kith_device_open: there is no device %d; this library has device 0 only",
                ordinal);
  }
  pthread_mutex_lock(&kith::open_mutex);
  const kith_status status = kith::open(threads, device, call);
  pthread_mutex_unlock(&kith::open_mutex);
  return status;
}

kith_status kith_device_name(kith_device* device, char* name, int64_t capacity, kith_call* call) {
  if (device == nullptr || name == nullptr || capacity < 1) {
    return fail(call, KITH_INVALID,
                "kith_device_name: device or name is NULL or capacity %lld below 1; give room for a text",
                static_cast<long long>(capacity));
  }
  char processor[200];
  kith::processor_name(processor, sizeof(processor));
  std::snprintf(name, static_cast<size_t>(capacity), "%s", processor[0] != 0 ? processor : "CPU");
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
  *threads = device->pool->threads();
  return KITH_OK;
}

kith_status kith_device_set_threads(kith_device* device, int32_t threads, kith_call* call) {
  if (device == nullptr) return fail(call, KITH_INVALID, "kith_device_set_threads: device is NULL; open one first");
  if (!kith::begin_exclusive()) {
    return fail(call, KITH_BUSY,
                "kith_device_set_threads: operations are running; change the number of threads between them");
  }
  const kith_status status = device->pool->resize(threads, call);
  kith::end_exclusive();
  return status;
}

kith_status kith_queue_create(kith_device* device, kith_queue** queue, kith_call* call) {
  if (device == nullptr || queue == nullptr) {
    return fail(call, KITH_INVALID, "kith_queue_create: device or queue is NULL; give both");
  }
  kith::CpuQueue* made = static_cast<kith::CpuQueue*>(std::calloc(1, sizeof(kith::CpuQueue)));
  if (made == nullptr) return fail(call, KITH_OUT_OF_MEMORY, "kith_queue_create: no memory for a queue");
  made->device = device;
  *queue = made;
  return KITH_OK;
}

kith_status kith_queue_destroy(kith_queue* queue, kith_call* call) {
  if (queue == nullptr) return fail(call, KITH_INVALID, "kith_queue_destroy: queue is NULL; give a queue");
  std::free(static_cast<kith::CpuQueue*>(queue)->scratch);
  std::free(queue);
  return KITH_OK;
}

kith_status kith_queue_sync(kith_queue* queue, int64_t, kith_call* call) {
  if (queue == nullptr) return fail(call, KITH_INVALID, "kith_queue_sync: queue is NULL; give a queue");
  return KITH_OK;
}

kith_status kith_event_create(kith_device* device, kith_event** event, kith_call* call) {
  if (device == nullptr || event == nullptr) {
    return fail(call, KITH_INVALID, "kith_event_create: device or event is NULL; give both");
  }
  kith_event* made = static_cast<kith_event*>(std::calloc(1, sizeof(kith_event)));
  if (made == nullptr) return fail(call, KITH_OUT_OF_MEMORY, "kith_event_create: no memory for an event");
  made->device = device;
  *event = made;
  return KITH_OK;
}

kith_status kith_event_destroy(kith_event* event, kith_call* call) {
  if (event == nullptr) return fail(call, KITH_INVALID, "kith_event_destroy: event is NULL; give an event");
  std::free(event);
  return KITH_OK;
}

kith_status kith_event_record(kith_event* event, kith_queue* queue, kith_call* call) {
  if (event == nullptr || queue == nullptr || event->device != queue->device) {
    return fail(call, KITH_INVALID, "kith_event_record: give an event and a queue of one device");
  }
  return KITH_OK;
}

kith_status kith_event_wait(kith_event* event, kith_queue* queue, kith_call* call) {
  if (event == nullptr || queue == nullptr || event->device != queue->device) {
    return fail(call, KITH_INVALID, "kith_event_wait: give an event and a queue of one device");
  }
  return KITH_OK;
}

kith_status kith_event_query(kith_event* event, int32_t* done, kith_call* call) {
  if (event == nullptr || done == nullptr) {
    return fail(call, KITH_INVALID, "kith_event_query: event or done is NULL; give both");
  }
  *done = 1;
  return KITH_OK;
}

// The CPU library has no streams and finishes its work before an entry returns, so there is nothing to record.

kith_status kith_queue_wrap(kith_device*, void*, kith_queue**, kith_call* call) {
  return fail(call, KITH_UNSUPPORTED, "kith_queue_wrap: the CPU has no streams; create a queue with kith_queue_create");
}

kith_status kith_queue_stream(kith_queue*, void**, kith_call* call) {
  return fail(call, KITH_UNSUPPORTED, "kith_queue_stream: the CPU has no streams; ask a queue of a CUDA device");
}

kith_status kith_graph_begin(kith_queue*, kith_call* call) {
  return fail(call, KITH_UNSUPPORTED, "kith_graph_begin: the CPU has no graphs; make the calls anew in every step");
}

kith_status kith_graph_end(kith_queue*, kith_graph**, kith_call* call) {
  return fail(call, KITH_UNSUPPORTED, "kith_graph_end: the CPU has no graphs; make the calls anew in every step");
}

kith_status kith_graph_launch(kith_graph*, kith_queue*, kith_call* call) {
  return fail(call, KITH_UNSUPPORTED, "kith_graph_launch: the CPU has no graphs; make the calls anew in every step");
}

kith_status kith_graph_release(kith_graph*, kith_call* call) {
  return fail(call, KITH_UNSUPPORTED, "kith_graph_release: the CPU has no graphs; make the calls anew in every step");
}

}  // extern "C"
