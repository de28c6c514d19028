/*
 * What every ABI entry file (FAMILY_api.cpp, compiled once at the baseline) is written with: handles, error texts,
 * checked matrices, and the pool. Tier files (FAMILY.cpp) do not include this header; they see tier.hpp and FAMILY.hpp.
 *
 * An entry looks like this:
 *
 *   kith_status kith_thing(kith_queue* queue, const kith_matrix* a, const kith_matrix* b, kith_call* call) {
 *     kith::Entry entry(queue, call, "kith_thing");
 *     kith::Matrix x, y;
 *     if (!entry.matrix("a", a, &x) || !entry.matrix("b", b, &y)) return entry.status();
 *     if (x.cols != y.cols) return entry.fail(KITH_INVALID, "b has %lld columns and a has %lld; give equal shapes",
 * ...);
 *     ... fill a context on the stack ...
 *     return entry.run(blocks, bytes, body, &context);
 *   }
 */
#ifndef KITH_CORE_HPP
#define KITH_CORE_HPP

#include "arguments.hpp"

namespace kith {
class Pool;
}

struct kith_device {
  kith::Pool* pool;
  int32_t ordinal;
  int64_t total_bytes;
  int64_t live_bytes;       /* __atomic */
  int64_t live_allocations; /* __atomic */
};

namespace kith {

struct CpuQueue : kith_queue {
  void* scratch;
  int64_t scratch_bytes;
};

struct CpuMemory : kith_memory {
  void* mapping; /* NULL: foreign memory */
  int64_t mapping_bytes;
};

/* Threads and tier may change only while no entry runs, because scratch and kernels are chosen for them. False, and
   nothing to end, when one runs. Entries that come meanwhile wait. */
bool begin_exclusive();
void end_exclusive();

/* One block of work. `worker` is 0 .. Entry::workers() - 1 and differs between blocks that run at the same time. */
using BlockBody = void (*)(void* context, int64_t block, int32_t worker);

/* Scope of one ABI call: sets the IEEE floating-point mode (no flush to zero, round to nearest) and restores it, holds
   the deadline of the budget, and remembers the first error. */
class Entry : public Arguments {
 public:
  Entry(kith_queue* queue, kith_call* call, const char* operation);
  ~Entry();

  /*
   * Runs body(context, b, worker) for b = 0 .. blocks - 1, in ascending order of taking, on the caller and the pool;
   * on the caller alone when the whole work moves fewer than 64 KiB (`bytes`, reads and writes together). Stops taking
   * blocks when the budget is spent (at least one is done per call): then call->cursor is the number of blocks done
   * and KITH_AGAIN comes back. On KITH_OK the cursor is 0.
   * The size of a block must be a constant of the operation, never a function of the number of threads.
   */
  kith_status run(int64_t blocks, int64_t bytes, BlockBody body, void* context);

  /*
   * The same for work in several phases, each of which needs the one before. Phases share the cursor: phase p owns the
   * cursor values from the sum of the earlier phases' blocks on. Returns KITH_OK at once for a phase that an earlier
   * call finished. After the last phase return entry.finish().
   *   if (entry.phase(chunks, ...) != KITH_OK) return entry.status();
   *   if (entry.phase(rows, ...) != KITH_OK) return entry.status();
   *   return entry.finish();
   */
  kith_status phase(int64_t blocks, int64_t bytes, BlockBody body, void* context);
  kith_status finish();

  /* True on the first call of an operation, false when it continues after KITH_AGAIN. */
  bool fresh() const { return call_ == nullptr || start_cursor_ == 0; }

  /* At least `bytes` bytes, 64-byte aligned, that belong to the queue. What was written there is still there when the
     same call continues after KITH_AGAIN. NULL (and status() set) when memory is out. One block of scratch per queue:
     ask once per call, for everything. */
  void* scratch(int64_t bytes);

  /* Threads that may work at the same time, for scratch per worker. Never let results depend on it. */
  int32_t workers() const;

 private:
  int64_t start_cursor_ = 0;
  int64_t phase_begin_ = 0;
  int64_t deadline_ = 0; /* 0: not asked for yet */
  uint32_t saved_mode_ = 0;
  bool mode_changed_ = false;
};

}  // namespace kith

#endif
