// The scope of one ABI call on the CPU: floating-point mode, budget, blocks on the pool, scratch.
#include <sched.h>

#include <cstdlib>
#include <cstring>

#include "core.hpp"
#include "pool.hpp"

namespace kith {

namespace {

// Entries under way; -1 while threads or the tier change. __atomic.
int32_t running = 0;

// Smaller work is done before another thread has woken up.
constexpr int64_t kCallerBytes = 64 << 10;
// Blocks that the caller does between looks at the clock.
constexpr int64_t kCallerBlocks = 1024;

void enter() {
  for (;;) {
    int32_t present = __atomic_load_n(&running, __ATOMIC_RELAXED);
    while (present >= 0) {
      if (__atomic_compare_exchange_n(&running, &present, present + 1, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        return;
      }
    }
    sched_yield();
  }
}

void leave() { __atomic_sub_fetch(&running, 1, __ATOMIC_RELEASE); }

}  // namespace

bool begin_exclusive() {
  int32_t none = 0;
  return __atomic_compare_exchange_n(&running, &none, -1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void end_exclusive() { __atomic_store_n(&running, 0, __ATOMIC_RELEASE); }

Entry::Entry(kith_queue* queue, kith_call* call, const char* operation) : Arguments(queue, call, operation) {
  enter();
  if (call_ != nullptr) start_cursor_ = call_->cursor;
  saved_mode_ = floating_mode();
  const uint32_t wanted = ieee_floating_mode(saved_mode_);
  if (wanted != saved_mode_) {
    set_floating_mode(wanted);
    mode_changed_ = true;
  }
  if (start_cursor_ < 0) {
    fail(KITH_INVALID, "the cursor is %lld; start a call with 0", static_cast<long long>(start_cursor_));
  }
}

Entry::~Entry() {
  if (mode_changed_) set_floating_mode(saved_mode_);
  leave();
}

kith_status Entry::run(int64_t blocks, int64_t bytes, BlockBody body, void* context) {
  if (phase(blocks, bytes, body, context) != KITH_OK) return status_;
  return finish();
}

kith_status Entry::phase(int64_t blocks, int64_t bytes, BlockBody body, void* context) {
  if (!ok()) return status_;
  const int64_t begin = phase_begin_;
  phase_begin_ += blocks;
  int64_t done = start_cursor_ - begin;
  if (done >= blocks) return KITH_OK;
  if (done < 0) done = 0;
  if (deadline_ == 0 && call_ != nullptr && call_->budget_ns > 0 && (bytes >= kCallerBytes || blocks > kCallerBlocks)) {
    deadline_ = now_ns() + call_->budget_ns;
  }
  if (bytes < kCallerBytes) {
    while (done < blocks) {
      body(context, done++, 0);
      if (deadline_ > 0 && done % kCallerBlocks == 0 && now_ns() >= deadline_) break;
    }
  } else {
    done = queue_->device->pool->run(done, blocks, deadline_, body, context);
  }
  if (done < blocks) {
    call_->cursor = begin + done;
    status_ = KITH_AGAIN;
  }
  return status_;
}

kith_status Entry::finish() {
  if (ok() && start_cursor_ > 0 && start_cursor_ >= phase_begin_) {
    return fail(KITH_INVALID, "the cursor is %lld of %lld; start a call with 0 and leave the cursor alone",
                static_cast<long long>(start_cursor_), static_cast<long long>(phase_begin_));
  }
  if (ok() && call_ != nullptr) call_->cursor = 0;
  return status_;
}

void* Entry::scratch(int64_t bytes) {
  if (!ok()) return nullptr;
  if (bytes < 0) {
    fail(KITH_INTERNAL, "scratch of %lld bytes was asked for", static_cast<long long>(bytes));
    return nullptr;
  }
  CpuQueue* const queue = static_cast<CpuQueue*>(queue_);
  if (bytes <= queue->scratch_bytes) return queue->scratch;
  // Doubling keeps a queue from growing step by step.
  int64_t wanted = 4096;
  while (wanted < bytes && wanted <= INT64_MAX / 2) wanted *= 2;
  if (wanted < bytes) wanted = bytes;
  void* const grown = std::aligned_alloc(64, static_cast<size_t>(wanted));
  // A call that continues with more workers finds what it wrote at the front.
  if (grown != nullptr && !fresh() && queue->scratch != nullptr) {
    std::memcpy(grown, queue->scratch, static_cast<size_t>(queue->scratch_bytes));
  }
  std::free(queue->scratch);
  queue->scratch = grown;
  queue->scratch_bytes = grown == nullptr ? 0 : wanted;
  if (queue->scratch == nullptr) {
    fail(KITH_OUT_OF_MEMORY, "%lld bytes of scratch memory are not available; use smaller matrices",
         static_cast<long long>(bytes));
  }
  return queue->scratch;
}

int32_t Entry::workers() const { return queue_ == nullptr ? 1 : queue_->device->pool->threads(); }

}  // namespace kith
