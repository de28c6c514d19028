/*
 * The thread pool of a device. Callers take part; several callers may submit at the same time. Blocks are taken in
 * ascending order from an atomic counter, so the blocks that are done when the budget ends are a prefix.
 */
#ifndef KITH_POOL_HPP
#define KITH_POOL_HPP

#include <pthread.h>

#include <cstdint>

#include "core.hpp"

namespace kith {

int64_t now_ns();

/* IEEE default: round to nearest, no flush to zero, exceptions masked. */
uint32_t floating_mode();
void set_floating_mode(uint32_t mode);
uint32_t ieee_floating_mode(uint32_t present);

class Pool {
 public:
  /* NULL and a status when threads cannot be started. Pools are never destroyed. */
  static kith_status create(int32_t threads, Pool** pool, kith_call* call);

  int32_t threads() const { return threads_; }
  /* No work may be under way. */
  kith_status resize(int32_t threads, kith_call* call);

  /* Runs blocks first .. blocks - 1; deadline <= 0: none. Returns the number of blocks done, counted from 0. */
  int64_t run(int64_t first, int64_t blocks, int64_t deadline, BlockBody body, void* context);

 private:
  struct Job;
  struct Worker;

  static void* worker_main(void* worker);
  static void take_blocks(Job* job, int32_t index);
  Job* attach();
  void detach(Job* job);
  kith_status start(int32_t workers, kith_call* call);
  void stop();

  int32_t threads_ = 1;
  int32_t workers_ = 0;
  Worker* worker_ = nullptr;
  pthread_mutex_t mutex_;
  Job* jobs_ = nullptr;   /* guarded by mutex_ */
  uint32_t epoch_ = 0;    /* __atomic; futex: changes when there may be work */
  int32_t parked_ = 0;    /* __atomic */
  bool stopping_ = false; /* __atomic */
};

}  // namespace kith

#endif
