/*
 * Runs the blocks of a launch: the threads of a block are fibers of one thread of the machine, blocks go over the cores.
 *
 * A fiber takes a thread of the block at random, runs it, and takes the next; only at a barrier it parks with the
 * thread's stack, and another fiber goes on. A kernel without barriers so runs on one stack. The order depends on the
 * seed, the launch and the block, not on the cores.
 *
 * Of every element of shared memory a cell keeps who wrote it last and who read it since. Two accesses of different
 * threads, one of them a write, are a race unless __syncthreads lies between them (the epoch differs) or, within a warp, a
 * meeting that both threads know of (the stamp of the earlier access is known to the later thread). Epochs grow over
 * blocks, so cells need no clearing. The cell of an element is that of its first word: a static array is always seen as
 * elements of one type. Dynamic memory that is seen as elements of two sizes has cells for words from then on.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <xmmintrin.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "internal.hpp"

__thread __attribute__((tls_model("initial-exec"))) uint3 threadIdx;
__thread __attribute__((tls_model("initial-exec"))) uint3 blockIdx;
__thread __attribute__((tls_model("initial-exec"))) uint3 blockDim;
__thread __attribute__((tls_model("initial-exec"))) uint3 gridDim;

namespace kith::emulation {

__thread __attribute__((tls_model("initial-exec"))) Watch watch;

namespace {

constexpr size_t kStackBytes = KITH_ADDRESS_SANITIZER ? 512 << 10 : 128 << 10;
constexpr size_t kPageBytes = 4096;
constexpr size_t kArenaBytes = kSharedMost + kSharedStatic;
constexpr size_t kWordCells = kArenaBytes / 4;
constexpr unsigned kLanes = 32;
constexpr uint64_t kNeverRead = ~0ull;
constexpr uint16_t kSeveralWarps = 0xffff;
constexpr uint16_t kAtomicWriter = 0x8000;
/* Below this much work waking the other cores costs more than they save. */
constexpr uint64_t kThreadsWorthSharing = 4096;

struct Fiber {
  void* at = nullptr;             /* the stack pointer while it does not run; NULL: not started */
  unsigned char* stack = nullptr; /* NULL: the stack of the machine's thread */
  size_t bytes = 0;
  void* sanitizer = nullptr; /* the sanitizer's own stack of this fiber */
};

struct Thread {
  Fiber* fiber; /* NULL: not started */
  Meeting meeting;
  uint8_t source;
  unsigned mask;
  unsigned line;
  const char* file;
  uint64_t value;
  uint64_t result;
};

/* What the lanes of a warp know of each other's accesses: all up to stamp `full`, or, where `partial`, known[a][b]. */
struct Warp {
  uint32_t ended;   /* lanes */
  uint32_t waiting; /* lanes at a meeting of the warp */
  uint32_t stamp;
  uint32_t full;
  bool partial;
  uint32_t known[kLanes][kLanes];
};

struct Cell {
  uint32_t write_epoch;
  uint32_t write_stamp;
  uint32_t read_epoch;
  uint32_t read_stamp;
  uint32_t read_lanes;
  uint16_t read_warp;
  uint16_t writer; /* with kAtomicWriter */
};

/* Runs one block at a time. */
struct Worker {
  const Kernel* kernel = nullptr;
  unsigned thread_count = 0;
  unsigned ended = 0;
  unsigned current = 0;
  unsigned ready_count = 0;
  uint16_t ready[kMostThreads];
  Thread threads[kMostThreads];
  Warp warps[kMostThreads / kLanes];
  Random random{0};

  Fiber machine;
  void* abandoned = nullptr; /* where a block stopped; not on its stack, which the sanitizer may have taken down */
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Fiber*> idle;

  unsigned char* arena = nullptr;
  size_t dynamic_end = 0;     /* static arrays lie behind */
  size_t dynamic_element = 0; /* bytes of an element of dynamic memory; 0: nobody has asked */
  bool dynamic_mixed = false; /* there are several: cells are those of words */
  size_t static_used = 0;
  struct Array {
    const void* identity;
    size_t offset;
  };
  std::vector<Array> arrays;
  Cell* cells = nullptr;       /* of elements by their first word, then of bytes */
  uint32_t* settled = nullptr; /* see Watch */
  uint32_t epoch = 0;
  uint32_t first_epoch = 0;
  bool checks = false;
  Finding finding;

  Worker();
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  bool block(uint64_t index, uint64_t seed);
  void discard_fibers();
};

__thread __attribute__((tls_model("initial-exec"))) Worker* worker;

uint3 position(unsigned linear, const dim3& extent) {
  return uint3{linear % extent.x, linear / extent.x % extent.y, linear / extent.x / extent.y};
}

std::string text_of(const uint3& p) {
  return "(" + std::to_string(p.x) + ", " + std::to_string(p.y) + ", " + std::to_string(p.z) + ")";
}
std::string thread_text(const Worker& w, unsigned thread) {
  return "thread " + text_of(position(thread, w.kernel->block));
}

/* ---- fibers -------------------------------------------------------------------------------------------------------- */

[[noreturn]] void fiber_main();

/* Lays what a function must keep for its caller onto the present stack, and the stack pointer into *from; goes on from
   `to`, which was laid down in the same way. setjmp and longjmp take six times as long. */
extern "C" void kith_emulation_switch(void** from, void* to);
asm(R"(
  .text
  .p2align 4
  .hidden kith_emulation_switch
  .globl kith_emulation_switch
  .type kith_emulation_switch, @function
kith_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size kith_emulation_switch, . - kith_emulation_switch
)");

/* Where a fiber that has not run begins: the first switch pops six registers and returns into fiber_main, whose own
   return address is 0. */
void* beginning(const Fiber& fiber) {
  void** top = reinterpret_cast<void**>(fiber.stack + fiber.bytes);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&fiber_main);
  for (int i = 0; i < 6; i++) *--top = nullptr;
  return top;
}

/* Goes on where `to` stopped; returns when somebody switches to `from`. */
void switch_to(Fiber* from, Fiber* to) {
  if (to->at == nullptr) to->at = beginning(*to);
#if KITH_ADDRESS_SANITIZER
  __sanitizer_start_switch_fiber(&from->sanitizer, to->stack, to->bytes);
#endif
  kith_emulation_switch(&from->at, to->at);
#if KITH_ADDRESS_SANITIZER
  __sanitizer_finish_switch_fiber(from->sanitizer, nullptr, nullptr);
#endif
}

/* NULL when memory is out. */
Fiber* idle_fiber(Worker& w) {
  if (w.idle.empty()) {
    auto made = std::make_unique<Fiber>();
    void* const memory = mmap(nullptr, kStackBytes + kPageBytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    mprotect(memory, kPageBytes, PROT_NONE);
    made->stack = static_cast<unsigned char*>(memory) + kPageBytes;
    made->bytes = kStackBytes;
    w.idle.push_back(made.get());
    w.fibers.push_back(std::move(made));
  }
  Fiber* const fiber = w.idle.back();
  w.idle.pop_back();
  return fiber;
}

void make_ready(Worker& w, unsigned thread) {
  w.threads[thread].meeting = Meeting::kNone;
  w.ready[w.ready_count++] = static_cast<uint16_t>(thread);
}

unsigned lanes_of_warp(const Worker& w, unsigned warp) {
  const unsigned count = w.thread_count - warp * kLanes;
  return count >= kLanes ? 0xffffffffu : (1u << count) - 1;
}

bool has_ended(const Worker& w, unsigned thread) {
  return (w.warps[thread / kLanes].ended >> thread % kLanes & 1u) != 0;
}

/* Lets the warp's lanes of one mask go on where all of them have arrived that have not ended. */
bool complete(Worker& w, unsigned warp, unsigned first) {
  Thread* const lanes = w.threads + warp * kLanes;
  Warp& known = w.warps[warp];
  const unsigned present = lanes[first].mask & lanes_of_warp(w, warp) & ~known.ended;
  if ((present & ~known.waiting) != 0) return false;
  const Meeting meeting = lanes[first].meeting;
  for (unsigned rest = present; rest != 0; rest &= rest - 1) {
    const unsigned l = static_cast<unsigned>(__builtin_ctz(rest));
    if (lanes[l].meeting != meeting || lanes[l].mask != lanes[first].mask) return false;
  }
  uint64_t votes = 0;
  for (unsigned l = 0; l < kLanes; l++) {
    if ((present >> l & 1u) != 0 && lanes[l].value != 0) votes |= 1ull << l;
  }
  known.waiting &= ~present;
  if (present == lanes_of_warp(w, warp)) {
    known.full = known.stamp;
  } else {
    if (!known.partial) std::memset(known.known, 0, sizeof(known.known));
    known.partial = true;
    uint32_t joined[kLanes] = {};
    for (unsigned l = 0; l < kLanes; l++) {
      if ((present >> l & 1u) == 0) continue;
      for (unsigned other = 0; other < kLanes; other++) {
        const bool here = (present >> other & 1u) != 0;
        const uint32_t knows = here ? known.stamp : known.known[l][other];
        if (knows > joined[other]) joined[other] = knows;
      }
    }
    for (unsigned l = 0; l < kLanes; l++) {
      if ((present >> l & 1u) != 0) std::memcpy(known.known[l], joined, sizeof(joined));
    }
  }
  known.stamp++;
  for (unsigned l = 0; l < kLanes; l++) {
    if ((present >> l & 1u) == 0) continue;
    if (meeting == Meeting::kVote) {
      lanes[l].result = votes;
    } else if (meeting == Meeting::kShuffle) {
      /* CUDA leaves the value of a lane that does not take part undefined. */
      const bool there = lanes[l].source < kLanes && (present >> lanes[l].source & 1u) != 0;
      lanes[l].result = there ? lanes[lanes[l].source].value : kNeverRead;
    }
  }
  for (unsigned l = 0; l < kLanes; l++) {
    if ((present >> l & 1u) != 0) make_ready(w, warp * kLanes + l);
  }
  return true;
}

const char* name_of(Meeting meeting) {
  switch (meeting) {
    case Meeting::kBarrier:
      return "__syncthreads";
    case Meeting::kSyncWarp:
      return "__syncwarp";
    case Meeting::kShuffle:
      return "a shuffle";
    default:
      return "a vote";
  }
}

/* Nobody can run: the end of the block, a barrier that all have reached, or an error. */
void resolve(Worker& w) {
  if (w.ended == w.thread_count) return;
  unsigned waiting = 0;
  for (unsigned t = 0; t < w.thread_count; t++) {
    Thread& thread = w.threads[t];
    if (thread.meeting == Meeting::kBarrier) {
      waiting++;
    } else if (thread.meeting != Meeting::kNone) {
      complete(w, t / kLanes, t % kLanes);
    }
  }
  if (w.ready_count != 0) return;
  unsigned first = 0;
  while (w.threads[first].meeting == Meeting::kNone) first++;
  if (waiting == w.thread_count) {
    uint64_t votes = 0;
    for (unsigned t = 0; t < w.thread_count; t++) {
      const Thread& thread = w.threads[t];
      const bool alike = thread.file == w.threads[0].file || std::strcmp(thread.file, w.threads[0].file) == 0;
      if (thread.line != w.threads[0].line || !alike) {
        w.current = t;
        stop(cudaErrorLaunchFailure,
             "waits at the barrier of line %u and %s at that of line %u; all threads of a block must meet at one "
             "__syncthreads()",
             thread.line, thread_text(w, 0).c_str(), w.threads[0].line);
      }
      votes += thread.value;
    }
    for (unsigned t = 0; t < w.thread_count; t++) {
      w.threads[t].result = votes;
      make_ready(w, t);
    }
    w.epoch++;
    if (w.checks) watch.epoch = w.epoch;
    return;
  }
  for (unsigned t = 0; t < w.thread_count; t++) {
    if (w.threads[t].meeting == Meeting::kBarrier && w.threads[first].meeting != Meeting::kBarrier) continue;
    const bool expected = w.threads[first].meeting == Meeting::kBarrier ||
                          (t / kLanes == first / kLanes && (w.threads[first].mask >> (t % kLanes) & 1u) != 0);
    if (t == first || !expected ||
        (w.threads[t].meeting == w.threads[first].meeting && w.threads[t].mask == w.threads[first].mask))
      continue;
    w.current = first;
    stop(cudaErrorLaunchFailure, "waits at %s for %s, which %s; every thread that is waited for must reach it",
         name_of(w.threads[first].meeting), thread_text(w, t).c_str(),
         has_ended(w, t) ? "has ended" : "waits elsewhere");
  }
  w.current = first;
  stop(cudaErrorLaunchFailure,
       "waits at %s for threads that wait elsewhere; every thread that is waited for must reach it",
       name_of(w.threads[first].meeting));
}

/* The thread to run next, -1 when all have ended. */
int take(Worker& w) {
  if (w.ready_count == 0) resolve(w);
  if (w.ready_count == 0) return -1;
  const uint32_t i = w.random.below(w.ready_count);
  const uint16_t thread = w.ready[i];
  w.ready[i] = w.ready[--w.ready_count];
  w.current = thread;
  threadIdx =
      w.kernel->block.y == 1 && w.kernel->block.z == 1 ? uint3{thread, 0, 0} : position(thread, w.kernel->block);
  return thread;
}

[[noreturn]] void fiber_main() {
#if KITH_ADDRESS_SANITIZER
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
  Worker& w = *worker;
  Fiber* const self = w.threads[w.current].fiber;
  for (;;) {
    w.kernel->call(w.kernel->arguments);
    w.warps[w.current / kLanes].ended |= 1u << w.current % kLanes;
    w.ended++;
    const int next = take(w);
    Fiber* to = &w.machine;
    if (next >= 0) {
      Thread& thread = w.threads[next];
      if (thread.fiber == nullptr) {
        thread.fiber = self;
        continue;
      }
      to = thread.fiber;
    }
    w.idle.push_back(self);
    switch_to(self, to);
  }
}

/* Parks the present thread until it is ready again. */
void park(Worker& w) {
  Fiber* const self = w.threads[w.current].fiber;
  const int next = take(w);
  Thread& thread = w.threads[next];
  if (thread.fiber == nullptr) thread.fiber = idle_fiber(w);
  if (thread.fiber == nullptr) stop(cudaErrorLaunchOutOfResources, "needs a stack, and the system gives none");
  if (thread.fiber != self) switch_to(self, thread.fiber);
}

/* ---- workers ------------------------------------------------------------------------------------------------------- */

Worker::Worker() {
  arena = static_cast<unsigned char*>(std::aligned_alloc(256, kArenaBytes));
  cells = static_cast<Cell*>(std::calloc(kWordCells + kArenaBytes, sizeof(Cell)));
  settled = static_cast<uint32_t*>(std::calloc(kWordCells, sizeof(uint32_t)));
  if (arena == nullptr || cells == nullptr || settled == nullptr) std::abort();
}

Worker::~Worker() {
  discard_fibers();
  std::free(arena);
  std::free(cells);
  std::free(settled);
}

void Worker::discard_fibers() {
  for (const auto& fiber : fibers) {
#if KITH_ADDRESS_SANITIZER
    __asan_unpoison_memory_region(fiber->stack, fiber->bytes);
#endif
    munmap(fiber->stack - kPageBytes, fiber->bytes + kPageBytes);
  }
  fibers.clear();
  idle.clear();
}

bool Worker::block(uint64_t index, uint64_t seed) {
  random = Random(seed + index * 0xd1342543de82ef95u);
  blockIdx = uint3{static_cast<unsigned>(index % kernel->grid.x),
                   static_cast<unsigned>(index / kernel->grid.x % kernel->grid.y),
                   static_cast<unsigned>(index / kernel->grid.x / kernel->grid.y)};
  blockDim = uint3{kernel->block.x, kernel->block.y, kernel->block.z};
  gridDim = uint3{kernel->grid.x, kernel->grid.y, kernel->grid.z};
  thread_count = kernel->block.x * kernel->block.y * kernel->block.z;
  ended = 0;
  ready_count = thread_count;
  for (unsigned t = 0; t < thread_count; t++) {
    ready[t] = static_cast<uint16_t>(t);
    threads[t].fiber = nullptr;
    threads[t].meeting = Meeting::kNone;
  }
  for (unsigned warp = 0; warp * kLanes < thread_count; warp++) {
    warps[warp].ended = 0;
    warps[warp].waiting = 0;
    warps[warp].stamp = 1;
    warps[warp].full = 0;
    warps[warp].partial = false;
  }
  arrays.clear();
  dynamic_end = (kernel->shared_bytes + 15) / 16 * 16;
  dynamic_element = 0;
  dynamic_mixed = false;
  static_used = dynamic_end;
  if (epoch > 0xfffff000u) {
    std::memset(static_cast<void*>(cells), 0, (kWordCells + kArenaBytes) * sizeof(Cell));
    std::memset(settled, 0, kWordCells * sizeof(uint32_t));
    epoch = 0;
  }
  first_epoch = ++epoch;
  watch = Watch{arena, settled, checks ? epoch : 0}; /* without checks nothing is settled, and 0 is the epoch of all */
  if (checks) std::memset(arena, 0xff, kernel->shared_bytes);
  take(*this);
  threads[current].fiber = idle_fiber(*this);
  if (threads[current].fiber == nullptr) {
    finding = Finding{cudaErrorLaunchOutOfResources, "the system gives no stack for a thread"};
    return false;
  }
  switch_to(&machine, threads[current].fiber);
  if (finding.error == cudaSuccess) return true;
  discard_fibers();
  return false;
}

/* ---- blocks over the cores ------------------------------------------------------------------------------------------ */

struct Pool {
  std::mutex mutex;
  std::condition_variable start, finish;
  std::vector<std::unique_ptr<Worker>> workers; /* the first is the caller's */
  const Kernel* kernel = nullptr;
  uint64_t launches = 0;
  unsigned busy = 0;

  uint64_t seed = 0, blocks = 0, stride = 1, offset = 0;
  std::atomic<uint64_t> next{0};
  std::atomic<bool> failed{false};
};

Pool& pool() {
  static Pool* const made = new Pool; /* its threads outlive static destruction */
  return *made;
}

void run_blocks(Pool& p, Worker& w) {
  const unsigned mode = _mm_getcsr();
  _mm_setcsr(0x1f80);
  Worker* const outer = worker;
  worker = &w;
  w.kernel = p.kernel;
  w.checks = settings().checks;
  w.finding = Finding{};
#if KITH_ADDRESS_SANITIZER
  pthread_attr_t attributes;
  void* stack = nullptr;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &stack, &w.machine.bytes);
  pthread_attr_destroy(&attributes);
  w.machine.stack = static_cast<unsigned char*>(stack);
#endif
  while (!p.failed.load(std::memory_order_relaxed)) {
    const uint64_t i = p.next.fetch_add(1, std::memory_order_relaxed);
    if (i >= p.blocks) break;
    if (!w.block((i * p.stride + p.offset) % p.blocks, p.seed)) p.failed = true;
  }
  worker = outer;
  _mm_setcsr(mode);
}

void helper(Pool& p, Worker& w) {
  uint64_t seen = 0;
  std::unique_lock lock(p.mutex);
  for (;;) {
    p.start.wait(lock, [&] { return p.launches != seen; });
    seen = p.launches;
    lock.unlock();
    run_blocks(p, w);
    lock.lock();
    if (--p.busy == 0) p.finish.notify_one();
  }
}

}  // namespace

Finding run(const Kernel& kernel, uint64_t seed) {
  Pool& p = pool();
  Random random(seed);
  p.kernel = &kernel;
  p.seed = random.next();
  p.blocks = static_cast<uint64_t>(kernel.grid.x) * kernel.grid.y * kernel.grid.z;
  /* A permutation of the blocks: they are taken in an order of the seed. */
  p.stride = p.blocks <= 2 ? 1 : 1 + random.next() % std::min<uint64_t>(p.blocks - 1, 1u << 31);
  while (std::gcd(p.stride, p.blocks) != 1) p.stride++;
  p.offset = random.next() % p.blocks;
  p.next = 0;
  p.failed = false;
  if (p.workers.empty()) p.workers.push_back(std::make_unique<Worker>());
  const uint64_t all = p.blocks * kernel.block.x * kernel.block.y * kernel.block.z;
  const bool share = settings().threads > 1 && p.blocks > 1 && all > kThreadsWorthSharing;
  if (share) {
    const std::lock_guard lock(p.mutex);
    while (static_cast<int>(p.workers.size()) < settings().threads) {
      p.workers.push_back(std::make_unique<Worker>());
      std::thread(helper, std::ref(p), std::ref(*p.workers.back())).detach();
    }
    p.launches++;
    p.busy = static_cast<unsigned>(p.workers.size()) - 1;
    p.start.notify_all();
  }
  run_blocks(p, *p.workers[0]);
  if (share) {
    std::unique_lock lock(p.mutex);
    p.finish.wait(lock, [&] { return p.busy == 0; });
  }
  for (const auto& w : p.workers) {
    if (w->finding.error != cudaSuccess) return std::exchange(w->finding, Finding{});
  }
  return Finding{};
}

/* ---- what kernels call --------------------------------------------------------------------------------------------- */

void stop(cudaError_t error, const char* format, ...) {
  Worker& w = *worker;
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  w.finding.error = error;
  w.finding.text = std::string("kernel ") + w.kernel->name + ", block " + text_of(blockIdx) + ", " +
                   thread_text(w, w.current) + " " + text;
#if KITH_ADDRESS_SANITIZER
  /* The fibers of this block are never entered again. */
  __sanitizer_start_switch_fiber(nullptr, w.machine.stack, w.machine.bytes);
#endif
  kith_emulation_switch(&w.abandoned, w.machine.at);
  __builtin_unreachable();
}

int barrier(bool predicate, unsigned line, const char* file) {
  Worker& w = *worker;
  Thread& thread = w.threads[w.current];
  thread.meeting = Meeting::kBarrier;
  thread.line = line;
  thread.file = file;
  thread.value = predicate;
  park(w);
  return static_cast<int>(thread.result);
}

uint64_t meet(Meeting meeting, unsigned mask, uint64_t value, unsigned source) {
  Worker& w = *worker;
  const unsigned self = w.current;
  Thread& thread = w.threads[self];
  if ((mask >> (self % kLanes) & 1u) == 0) {
    stop(cudaErrorLaunchFailure, "calls %s with the mask 0x%08x, which lacks its own lane %u", name_of(meeting), mask,
         self % kLanes);
  }
  thread.meeting = meeting;
  thread.mask = mask;
  thread.value = value;
  thread.source = static_cast<uint8_t>(source);
  w.warps[self / kLanes].waiting |= 1u << self % kLanes;
  complete(w, self / kLanes, self % kLanes);
  park(w);
  return thread.result;
}

unsigned lane() { return worker->current % kLanes; }

unsigned char* static_shared(const char* name, const void* identity, size_t bytes) {
  Worker& w = *worker;
  for (const Worker::Array& array : w.arrays) {
    if (array.identity == identity) return w.arena + array.offset;
  }
  if (w.static_used - w.dynamic_end + bytes > kSharedStatic) {
    stop(cudaErrorLaunchOutOfResources, "declares %s, with which its shared arrays take %zu of %zu bytes", name,
         w.static_used - w.dynamic_end + bytes, kSharedStatic);
  }
  const size_t offset = w.static_used;
  w.static_used += (bytes + 15) / 16 * 16;
  w.arrays.push_back(Worker::Array{identity, offset});
  if (w.checks) std::memset(w.arena + offset, 0xff, bytes);
  return w.arena + offset;
}

unsigned char* dynamic_shared(size_t element, size_t* bytes) {
  Worker& w = *worker;
  *bytes = w.kernel->shared_bytes;
  /* Elements below a word have cells of their own. */
  if (element >= 4 && w.dynamic_element == 0) w.dynamic_element = element;
  if (element >= 4 && w.dynamic_element != element && !w.dynamic_mixed) {
    w.dynamic_mixed = true;
    const size_t words = w.dynamic_element / 4;
    for (size_t at = 0; at + words <= w.dynamic_end / 4; at += words) {
      std::fill_n(w.cells + at + 1, words - 1, w.cells[at]);
      w.settled[at] = 0;
    }
    w.dynamic_element = 4;
  }
  return w.arena;
}

namespace {

[[noreturn]] __attribute__((noinline)) void race(const Worker& w, Access access, const char* name, int64_t index,
                                                 const char* verb, unsigned other) {
  const bool warp = other / kLanes == w.current / kLanes;
  stop(cudaErrorLaunchFailure, "%s %s[%lld], which %s %s with no barrier between the two; put %s there",
       access == Access::kRead    ? "reads"
       : access == Access::kWrite ? "writes"
                                  : "updates",
       name, static_cast<long long>(index),
       other >= kMostThreads ? "threads of several warps" : thread_text(w, other).c_str(), verb,
       warp ? "__syncwarp()" : "__syncthreads()");
}

/* True where the present thread knows of an access of this epoch by `other` at `stamp`. */
bool ordered(const Worker& w, unsigned other, uint32_t stamp) {
  const unsigned warp = w.current / kLanes;
  if (other / kLanes != warp) return false;
  const Warp& known = w.warps[warp];
  return stamp <= known.full || (known.partial && stamp <= known.known[w.current % kLanes][other % kLanes]);
}

void check_cell(Worker& w, Cell& cell, Access access, const char* name, int64_t index) {
  const unsigned self = w.current;
  const uint16_t warp = static_cast<uint16_t>(self / kLanes);
  const uint32_t bit = 1u << self % kLanes;
  const uint32_t stamp = w.warps[warp].stamp;
  if (access != Access::kWrite && cell.write_epoch < w.first_epoch) {
    stop(cudaErrorLaunchFailure, "reads %s[%lld], which no thread of its block has written", name,
         static_cast<long long>(index));
  }
  const unsigned writer = cell.writer & ~static_cast<unsigned>(kAtomicWriter);
  if (cell.write_epoch == w.epoch && writer != self && !ordered(w, writer, cell.write_stamp)) {
    const bool atomic = (cell.writer & kAtomicWriter) != 0;
    if (!atomic || access != Access::kAtomic) race(w, access, name, index, atomic ? "updated" : "wrote", writer);
  }
  const bool read = cell.read_epoch == w.epoch;
  if (access == Access::kRead) {
    if (!read) {
      cell.read_epoch = w.epoch;
      cell.read_warp = warp;
      cell.read_lanes = bit;
    } else if (cell.read_warp != warp) {
      cell.read_warp = kSeveralWarps;
    } else if (cell.read_stamp == stamp) {
      cell.read_lanes |= bit; /* nobody knows of this stamp yet */
    } else {
      /* Readers that this one knows of are forgotten: who is ordered after it is ordered after them. */
      uint32_t unknown = 0;
      for (uint32_t rest = cell.read_lanes; rest != 0; rest &= rest - 1) {
        const unsigned l = static_cast<unsigned>(__builtin_ctz(rest));
        if (!ordered(w, warp * kLanes + l, cell.read_stamp)) unknown |= 1u << l;
      }
      cell.read_lanes = unknown | bit;
    }
    cell.read_stamp = stamp;
    return;
  }
  if (read && cell.read_warp == kSeveralWarps) race(w, access, name, index, "read", kMostThreads);
  if (read) {
    for (uint32_t rest = cell.read_lanes; rest != 0; rest &= rest - 1) {
      const unsigned other = cell.read_warp * kLanes + static_cast<unsigned>(__builtin_ctz(rest));
      if (other != self && !ordered(w, other, cell.read_stamp)) race(w, access, name, index, "read", other);
    }
  }
  cell.read_epoch = 0;
  cell.write_epoch = w.epoch;
  cell.write_stamp = stamp;
  cell.writer = static_cast<uint16_t>(self | (access == Access::kAtomic ? kAtomicWriter : 0u));
}

}  // namespace

void check(const void* address, size_t bytes, Access access, const char* name, int64_t index) {
  Worker& w = *worker;
  if (!w.checks) return;
  const size_t offset = static_cast<size_t>(static_cast<const unsigned char*>(address) - w.arena);
  if (bytes < 4) {
    check_cell(w, w.cells[kWordCells + offset], access, name, index);
    return;
  }
  const bool dynamic = offset < w.dynamic_end;
  const size_t element = dynamic ? w.dynamic_element : bytes;
  for (size_t at = offset; at < offset + bytes; at += element) {
    check_cell(w, w.cells[at / 4], access, name, index);
  }
  /* Nobody has written it since the last barrier, and who does now is told of its readers. */
  const Cell& cell = w.cells[offset / 4];
  if (access == Access::kRead && !(dynamic && w.dynamic_mixed) && cell.read_warp == kSeveralWarps &&
      cell.write_epoch != w.epoch) {
    w.settled[offset / 4] = w.epoch;
  }
}

}  // namespace kith::emulation
