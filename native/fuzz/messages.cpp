// The checks of messages that come from outside, and the kernels behind them, on any bytes. Under AddressSanitizer every
// buffer has exactly its size, so that one byte too far is seen.
//
// An input is 8 bytes and the words of a message:
//   0     bit 0: a code (else a sparse message); bit 1: not aligned; then the tier, and whether the sum is added to y
//   1     form, or kind
//   2, 3  bits and levels of a code; bit 7 of the first: the maximum norm, of the second: rounds at random
//   4, 5  columns
//   6, 7  entries, or block
// A sparse message of form AT has the values first and then the columns, which both sides know.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "kith.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr size_t kHead = 8;

[[noreturn]] void broken(const char* law) {
  std::fprintf(stderr, "broken: %s\n", law);
  std::abort();
}

void must(kith_status status, const char* what) {
  if (status != KITH_OK) broken(what);
}

// One for the process.
struct Device {
  kith_device* device = nullptr;
  kith_queue* queue = nullptr;
  Device() {
    must(kith_device_open(0, 1, &device, nullptr), "kith_device_open");
    must(kith_queue_create(device, &queue, nullptr), "kith_queue_create");
  }
};

// A row of 32-bit elements in memory of exactly that size.
class Row {
 public:
  Row(Device& d, const void* from, int64_t cols, int32_t dtype)
      : words_(new uint32_t[static_cast<size_t>(cols > 0 ? cols : 1)]()) {
    const int64_t bytes = 4 * (cols > 0 ? cols : 1);
    if (from != nullptr && cols > 0) std::memcpy(words_.get(), from, static_cast<size_t>(4 * cols));
    must(kith_memory_wrap(d.device, words_.get(), bytes, &memory_, nullptr), "kith_memory_wrap");
    matrix_ = kith_matrix{memory_, 0, 1, cols, cols, dtype, 0};
  }
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;
  ~Row() { kith_memory_release(memory_, nullptr); }
  const kith_matrix* matrix() const { return &matrix_; }

 private:
  std::unique_ptr<uint32_t[]> words_;
  kith_memory* memory_ = nullptr;
  kith_matrix matrix_{};
};

// A copy of bytes at an address that is a multiple of 4, or one more.
class Payload {
 public:
  Payload(const uint8_t* from, size_t bytes, bool aligned) : all_(new uint8_t[bytes + 1]), skip_(aligned ? 0 : 1) {
    if (bytes > 0) std::memcpy(all_.get() + skip_, from, bytes);
  }
  const void* words() const { return all_.get() + skip_; }

 private:
  std::unique_ptr<uint8_t[]> all_;
  size_t skip_;
};

void sparse(Device& d, const uint8_t* head, const uint8_t* body, int64_t words, int64_t cols, int64_t last) {
  const bool aligned = (head[0] & 2) == 0;
  const auto form = static_cast<int8_t>(head[1]);
  const int64_t entries = last;
  // Columns of form AT are no part of the message.
  const int64_t sent = form == KITH_SPARSE_AT && words >= 2 * entries ? entries : words;
  const Payload payload(body, static_cast<size_t>(4 * sent), aligned);
  const kith_status checked =
      kith_sparse_check(form, static_cast<const int32_t*>(payload.words()), sent, cols, entries, nullptr);
  if (checked != KITH_OK && checked != KITH_INVALID) broken("a check says OK or INVALID");
  const Row message(d, body, sent, KITH_I32), y(d, nullptr, cols, KITH_F32);
  if (form == KITH_SPARSE_AT) {
    const Row columns(d, body + 4 * sent, words - sent, KITH_I32);
    kith_sparse_accumulate(d.queue, nullptr, form, entries, columns.matrix(), nullptr, message.matrix(), nullptr,
                           (head[0] >> 5) & 1, y.matrix(), nullptr);
    return;
  }
  const kith_status added = kith_sparse_accumulate(d.queue, nullptr, form, entries, nullptr, nullptr, message.matrix(),
                                                   nullptr, (head[0] >> 5) & 1, y.matrix(), nullptr);
  if (checked == KITH_OK && added != KITH_OK) broken("what the check takes can be added");
}

void code(Device& d, const uint8_t* head, const uint8_t* body, int64_t words, int64_t cols, int64_t last) {
  const kith_code code{
      static_cast<int8_t>(head[1]), head[2] & 0x7F, head[3] & 0x7F, head[2] >> 7, head[3] >> 7, 0, last};
  int64_t right = 0;
  const bool exists = kith_code_words(&code, cols, &right, nullptr) == KITH_OK;
  const Payload payload(body, static_cast<size_t>(4 * words), (head[0] & 2) == 0);
  const kith_status checked = kith_code_check(&code, cols, payload.words(), words, nullptr);
  if (checked == KITH_OK && (!exists || right != words)) broken("a message has the words of its code");
  const Row message(d, body, words, KITH_I32), y(d, nullptr, cols, KITH_F32);
  const kith_status added = kith_quantize_accumulate(d.queue, nullptr, &code, message.matrix(), nullptr,
                                                     (head[0] >> 5) & 1, y.matrix(), nullptr);
  if (exists && words >= right && added != KITH_OK) broken("any words of the right number can be added");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < kHead) return 0;
  static Device device;
  constexpr const char* kTiers[] = {"scalar", "v2", "v3", "v4"};
  // A tier that this CPU lacks leaves the one before.
  kith_select_tier(kTiers[(data[0] >> 3) & 3], nullptr);
  const int64_t words = static_cast<int64_t>((size - kHead) / 4);
  const int64_t cols = data[4] | (data[5] & 0x0F) << 8;
  const int64_t last = data[6] | (data[7] & 0x0F) << 8;
  ((data[0] & 1) == 0 ? sparse : code)(device, data, data + kHead, words, cols, last);
  must(kith_queue_sync(device.queue, 1000000000, nullptr), "kith_queue_sync");
  return 0;
}
