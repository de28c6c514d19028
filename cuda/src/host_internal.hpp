/* Between host.cu (devices and memory), queue.cu (queues, events, graphs) and entry.cu (the scope of one call). */
#ifndef KITH_CUDA_HOST_INTERNAL_HPP
#define KITH_CUDA_HOST_INTERNAL_HPP

#include <cstdlib>

#include "host.hpp"

namespace kith {

struct Lock {
  explicit Lock(pthread_mutex_t* m) : mutex(m) { pthread_mutex_lock(mutex); }
  ~Lock() { pthread_mutex_unlock(mutex); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  pthread_mutex_t* mutex;
};

template <class T>
T* zeroed() {
  return static_cast<T*>(std::calloc(1, sizeof(T)));
}

/* Users of memory and of graphs are bits of queues' slots. */
constexpr int kMostSlots = 64;
static_assert(kMostSlots <= 8 * sizeof(Allocation::users) && kMostSlots <= 8 * sizeof(kith_graph::launched));
inline uint64_t bit_of(const CudaQueue* queue) { return 1ull << queue->slot; }

/* Makes the device's side stream where there is none. Under the mutex. */
cudaError_t ensure_side(kith_device* device);
/* Makes the side stream wait for all queues of these slots. Under the mutex. */
cudaError_t side_after(kith_device* device, uint64_t slots);

}  // namespace kith

#endif
