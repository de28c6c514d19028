#include "pool.hpp"

#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <new>

namespace kith {

namespace {

constexpr int64_t kSpinNs = 20000;
// Threads run block kernels only; scratch beyond some KiB comes from queues.
constexpr size_t kStackBytes = 1 << 20;

void futex_wait(uint32_t* word, uint32_t expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

void futex_wake(uint32_t* word, int count) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0); }

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  __asm__ volatile("yield" ::: "memory");
#endif
}

// Waits at most kSpinNs for *word to differ from `seen`.
bool spin(const uint32_t* word, uint32_t seen) {
  const int64_t end = now_ns() + kSpinNs;
  do {
    for (int i = 0; i < 16; i++) {
      if (__atomic_load_n(word, __ATOMIC_ACQUIRE) != seen) return true;
      relax();
    }
  } while (now_ns() < end);
  return false;
}

}  // namespace

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<int64_t>(t.tv_sec) * 1000000000 + t.tv_nsec;
}

#if defined(__x86_64__)
uint32_t floating_mode() { return __builtin_ia32_stmxcsr(); }
void set_floating_mode(uint32_t mode) { __builtin_ia32_ldmxcsr(mode); }
// The sticky exception flags (low six bits) stay as they are.
uint32_t ieee_floating_mode(uint32_t present) { return (present & 0x3fu) | 0x1f80u; }
#elif defined(__aarch64__)
uint32_t floating_mode() {
  uint64_t mode;
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
  return static_cast<uint32_t>(mode);
}
void set_floating_mode(uint32_t mode) {
  const uint64_t wide = mode;
  __asm__ volatile("msr fpcr, %0" ::"r"(wide));
}
uint32_t ieee_floating_mode(uint32_t) { return 0; }
#endif

struct Pool::Job {
  BlockBody body;
  void* context;
  int64_t blocks;
  int64_t deadline;
  alignas(64) int64_t next;     // __atomic: the next block to take
  alignas(64) uint32_t active;  // __atomic, futex: workers inside; changed under the mutex
  Job* link;
};

struct Pool::Worker {
  Pool* pool;
  pthread_t thread;
  int32_t index;
};

kith_status Pool::create(int32_t threads, Pool** pool, kith_call* call) {
  void* memory = std::malloc(sizeof(Pool));
  if (memory == nullptr) return fail(call, KITH_OUT_OF_MEMORY, "no memory for a thread pool");
  Pool* made = new (memory) Pool();
  pthread_mutex_init(&made->mutex_, nullptr);
  const kith_status status = made->resize(threads, call);
  if (status != KITH_OK) {
    std::free(memory);
    return status;
  }
  *pool = made;
  return KITH_OK;
}

kith_status Pool::resize(int32_t threads, kith_call* call) {
  if (threads < 1 || threads > 1024) {
    return fail(call, KITH_INVALID, "a pool of %d threads was asked for; use 1 to 1024", threads);
  }
  if (threads == threads_) return KITH_OK;
  const int32_t before = threads_;
  stop();
  const kith_status status = start(threads - 1, call);
  if (status != KITH_OK) {
    // The text of the first failure stands; what cannot be had again is reported by it too.
    stop();
    if (start(before - 1, nullptr) != KITH_OK) stop();
  }
  threads_ = workers_ + 1;
  return status;
}

kith_status Pool::start(int32_t workers, kith_call* call) {
  workers_ = 0;
  if (workers == 0) return KITH_OK;
  worker_ = static_cast<Worker*>(std::calloc(static_cast<size_t>(workers), sizeof(Worker)));
  if (worker_ == nullptr) return fail(call, KITH_OUT_OF_MEMORY, "no memory for %d threads", workers);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  // Signals belong to the host process (a JVM uses them); only faults of the thread itself are left open.
  sigset_t blocked, previous;
  sigfillset(&blocked);
  const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
  for (const int fault : faults) sigdelset(&blocked, fault);
  pthread_sigmask(SIG_SETMASK, &blocked, &previous);
  int error = 0;
  while (workers_ < workers && error == 0) {
    Worker* worker = &worker_[workers_];
    worker->pool = this;
    worker->index = workers_ + 1;
    error = pthread_create(&worker->thread, &attributes, worker_main, worker);
    if (error == 0) workers_++;
  }
  pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  pthread_attr_destroy(&attributes);
  if (error != 0) {
    return fail(call, KITH_OUT_OF_MEMORY,
                "the system gave only %d of %d threads (error %d); ask for fewer with KITH_THREADS", workers_ + 1,
                workers + 1, error);
  }
  return KITH_OK;
}

void Pool::stop() {
  __atomic_store_n(&stopping_, true, __ATOMIC_SEQ_CST);
  __atomic_add_fetch(&epoch_, 1, __ATOMIC_SEQ_CST);
  futex_wake(&epoch_, workers_);
  for (int32_t i = 0; i < workers_; i++) pthread_join(worker_[i].thread, nullptr);
  __atomic_store_n(&stopping_, false, __ATOMIC_SEQ_CST);
  std::free(worker_);
  worker_ = nullptr;
  workers_ = 0;
}

void Pool::take_blocks(Job* job, int32_t index) {
  while (job->deadline <= 0 || now_ns() < job->deadline) {
    const int64_t block = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED);
    if (block >= job->blocks) return;
    job->body(job->context, block, index);
  }
}

Pool::Job* Pool::attach() {
  Job* found = nullptr;
  pthread_mutex_lock(&mutex_);
  // Of several callers' jobs the one with the fewest helpers.
  for (Job* job = jobs_; job != nullptr; job = job->link) {
    if (__atomic_load_n(&job->next, __ATOMIC_RELAXED) >= job->blocks) continue;
    if (job->deadline > 0 && now_ns() >= job->deadline) continue;
    if (found == nullptr || job->active < found->active) found = job;
  }
  if (found != nullptr) __atomic_add_fetch(&found->active, 1, __ATOMIC_RELAXED);
  pthread_mutex_unlock(&mutex_);
  return found;
}

void Pool::detach(Job* job) {
  // The caller may free the job as soon as `active` reads 0, so the wake uses the address only.
  uint32_t* active = &job->active;
  if (__atomic_sub_fetch(active, 1, __ATOMIC_RELEASE) == 0) futex_wake(active, 1);
}

void* Pool::worker_main(void* argument) {
  Worker* worker = static_cast<Worker*>(argument);
  Pool* pool = worker->pool;
  set_floating_mode(ieee_floating_mode(floating_mode()));
  while (true) {
    const uint32_t seen = __atomic_load_n(&pool->epoch_, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&pool->stopping_, __ATOMIC_SEQ_CST)) return nullptr;
    Job* job = pool->attach();
    if (job != nullptr) {
      take_blocks(job, worker->index);
      pool->detach(job);
      continue;
    }
    if (spin(&pool->epoch_, seen)) continue;
    __atomic_add_fetch(&pool->parked_, 1, __ATOMIC_SEQ_CST);
    futex_wait(&pool->epoch_, seen);
    __atomic_sub_fetch(&pool->parked_, 1, __ATOMIC_SEQ_CST);
  }
}

int64_t Pool::run(int64_t first, int64_t blocks, int64_t deadline, BlockBody body, void* context) {
  if (first >= blocks) return blocks;
  if (workers_ == 0 || blocks - first == 1) {
    int64_t block = first;
    do {
      body(context, block++, 0);
    } while (block < blocks && (deadline <= 0 || now_ns() < deadline));
    return block;
  }
  Job job{body, context, blocks, deadline, first + 1, 0, nullptr};
  pthread_mutex_lock(&mutex_);
  job.link = jobs_;
  jobs_ = &job;
  pthread_mutex_unlock(&mutex_);
  __atomic_add_fetch(&epoch_, 1, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&parked_, __ATOMIC_SEQ_CST) > 0) {
    const int64_t helpers = blocks - first - 1;
    futex_wake(&epoch_, helpers < workers_ ? static_cast<int>(helpers) : workers_);
  }
  body(context, first, 0);
  take_blocks(&job, 0);
  pthread_mutex_lock(&mutex_);
  Job** place = &jobs_;
  while (*place != &job) place = &(*place)->link;
  *place = job.link;
  pthread_mutex_unlock(&mutex_);
  for (uint32_t active; (active = __atomic_load_n(&job.active, __ATOMIC_ACQUIRE)) != 0;) {
    if (!spin(&job.active, active)) futex_wait(&job.active, active);
  }
  return job.next < blocks ? job.next : blocks;
}

}  // namespace kith
