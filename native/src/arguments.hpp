/*
 * Arguments of an ABI call, checked: the same rules and sentences in every library. What a library keeps behind a handle
 * derives from the structs here.
 */
#ifndef KITH_ARGUMENTS_HPP
#define KITH_ARGUMENTS_HPP

#include <cstdarg>
#include <cstddef>
#include <cstdint>

#include "kith.h"

struct kith_queue {
  kith_device* device;
};

struct kith_event {
  kith_device* device;
};

struct kith_memory {
  kith_device* device;
  unsigned char* address;
  int64_t bytes;
};

struct kith_weights {
  kith_device* device;
  int64_t rows;
  int64_t cols;
  int64_t entries;
  int64_t output_end; /* 1 + the largest output row */
  bool pairwise;
  bool scattered; /* output rows were given */
};

namespace kith {

/* A kith_matrix that was checked: `data` is the address of element (0, 0), NULL where an optional one is absent. */
struct Matrix {
  unsigned char* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0; /* elements; cols when rows <= 1, so that rows * stride is always meaningful */
  int32_t dtype = 0;

  int64_t element_bytes() const;
  unsigned char* row(int64_t r) const { return data + r * stride * element_bytes(); }
  int64_t bytes() const { return rows * cols * element_bytes(); } /* of the elements, without padding */
};

const char* dtype_name(int32_t dtype); /* "f32", ..., "unknown" */
int64_t dtype_bytes(int32_t dtype);    /* 0 when unknown */
inline bool is_floating(int32_t dtype) { return dtype >= KITH_F32 && dtype <= KITH_F16; }
inline int32_t compute_dtype(int32_t dtype) { return dtype == KITH_F64 ? KITH_F64 : KITH_F32; }

inline int64_t Matrix::element_bytes() const { return dtype_bytes(dtype); }

/* How two windows lie to each other in memory. PARTIAL may be claimed, never missed, where row strides differ. */
enum class Overlap { kNone, kSame, kPartial };
Overlap overlap(const Matrix& a, const Matrix& b);

/* Writes the text (one sentence) to call->error and returns status. call may be NULL. */
kith_status fail(kith_call* call, kith_status status, const char* format, ...) __attribute__((format(printf, 3, 4)));

/* The arguments of one call and its first error. */
class Arguments {
 public:
  Arguments(kith_queue* queue, kith_call* call, const char* operation);
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;

  /* False (and status() != KITH_OK) when m is not a valid window of memory on this queue's device. `name` is the
     parameter's name in kith.h. Checks everything that could corrupt memory, overflow-safe. */
  bool matrix(const char* name, const kith_matrix* m, Matrix* out);
  /* As above, and the dtype and shape must be these; -1 takes any. */
  bool matrix(const char* name, const kith_matrix* m, int32_t dtype, int64_t rows, int64_t cols, Matrix* out);
  /* KITH_INVALID unless the windows do not overlap, or are the same one and same_allowed. */
  bool disjoint(const char* a_name, const Matrix& a, const char* b_name, const Matrix& b, bool same_allowed);

  kith_status fail(kith_status status, const char* format, ...) __attribute__((format(printf, 3, 4)));
  /* Takes over a failure whose text is written. */
  void refuse(kith_status status) {
    if (ok()) status_ = status;
  }
  kith_status status() const { return status_; }
  bool ok() const { return status_ == KITH_OK; }

  kith_device* device() const { return queue_ == nullptr ? nullptr : queue_->device; }
  kith_call* call() const { return call_; }

 protected:
  /* Called with the memory of every matrix that was found valid. */
  virtual void accepted(kith_memory*) {}

  kith_queue* queue_;
  kith_call* call_;
  const char* operation_;
  kith_status status_ = KITH_OK;
};

}  // namespace kith

#endif
