// The scope of one ABI call on the CPU: floating-point mode, budget, blocks on the pool, scratch.
#include <cstdlib>

#include "core.hpp"
#include "pool.hpp"

namespace kith {

namespace {

// Smaller work is done before another thread has woken up.
constexpr int64_t kCallerBytes = 64 << 10;

}  // namespace

Entry::Entry(kith_queue* queue, kith_call* call, const char* operation) : Arguments(queue, call, operation) {
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
  if (bytes < kCallerBytes) {
    for (; done < blocks; done++) body(context, done, 0);
  } else {
    if (deadline_ == 0 && call_ != nullptr && call_->budget_ns > 0) deadline_ = now_ns() + call_->budget_ns;
    done = queue_->device->pool->run(done, blocks, deadline_, body, context);
  }
  if (done < blocks) {
    call_->cursor = begin + done;
    status_ = KITH_AGAIN;
  }
  return status_;
}

kith_status Entry::finish() {
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
  // Doubling keeps a queue from growing step by step; the old content is of a call that is over.
  int64_t wanted = 4096;
  while (wanted < bytes && wanted <= INT64_MAX / 2) wanted *= 2;
  if (wanted < bytes) wanted = bytes;
  std::free(queue->scratch);
  queue->scratch = std::aligned_alloc(64, static_cast<size_t>(wanted));
  queue->scratch_bytes = queue->scratch == nullptr ? 0 : wanted;
  if (queue->scratch == nullptr) {
    fail(KITH_OUT_OF_MEMORY, "%lld bytes of scratch memory are not available; use smaller matrices",
         static_cast<long long>(bytes));
  }
  return queue->scratch;
}

int32_t Entry::workers() const { return queue_ == nullptr ? 1 : queue_->device->pool->threads(); }

}  // namespace kith
