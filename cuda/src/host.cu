/*
 * Devices and their memory, and what all calls share. No kernels.
 *
 * Memory goes back by cudaFreeAsync: on the stream of the only queue that used it, else on a side stream that waits for
 * all of them.
 */
#include "host.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "host_internal.hpp"
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
constexpr int kLeastArchitecture = 75;

pthread_mutex_t open_mutex = PTHREAD_MUTEX_INITIALIZER;
kith_device devices[kDevices];  // guarded by open_mutex until `open`

bool flag_variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && std::strcmp(value, "1") == 0;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

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

/* ---- releases ---------------------------------------------------------------------------------------------------- */

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

}  // namespace

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

cudaError_t side_after(kith_device* device, uint64_t slots) {
  cudaError_t error = ensure_side(device);
  for (CudaQueue* q = device->queues; q != nullptr && error == cudaSuccess; q = q->next) {
    if ((slots & bit_of(q)) == 0 || q->capture != nullptr) continue;
    error = cudaEventRecord(device->marker, q->stream);
    if (error == cudaSuccess) error = cudaStreamWaitEvent(device->side, device->marker, 0);
  }
  return error;
}

/* ---- what the families see --------------------------------------------------------------------------------------- */

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

}  // extern "C"
