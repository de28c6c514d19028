/*
 * Memory and copies.
 *
 * Device memory lies between guard zones and is poisoned when it is allocated and when it is freed. Destinations on the
 * host are poisoned until their copy ran.
 */
#include <algorithm>
#include <cstdlib>
#include <utility>

#include "runtime.hpp"

namespace kith::emulation {

namespace {

constexpr size_t kGuardAfter = 1024;
constexpr size_t kQuarantine = 32 << 20; /* bytes of freed memory watched for late writes */

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

}  // namespace

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

namespace {

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
    const unsigned char* const bytes = oldest->address;
    /* All bytes are that of the poison: the first is, and each is its neighbour. */
    if (bytes[0] != 0xff || std::memcmp(bytes, bytes + 1, oldest->bytes - 1) != 0) {
      const auto at = std::find_if(bytes, bytes + oldest->bytes, [](unsigned char b) { return b != 0xff; }) - bytes;
      find_fault(r, cudaErrorIllegalAddress,
                 "something wrote to byte " + std::to_string(at) + " of an allocation of " +
                     std::to_string(oldest->bytes) + " bytes after it was freed");
    }
#endif
    give_back(*oldest);
  }
}

}  // namespace

AllocationPointer find(Runtime& r, const void* address) {
  const uintptr_t at = reinterpret_cast<uintptr_t>(address);
  auto place = r.memory.upper_bound(at);
  if (place == r.memory.begin()) return nullptr;
  --place;
  const Allocation& a = *place->second;
  return at - place->first < a.bytes || at == place->first ? place->second : nullptr;
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

}  // namespace

}  // namespace kith::emulation

using namespace kith::emulation;

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
