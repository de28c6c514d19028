// Error texts and checked matrices.
#include "arguments.hpp"

#include <cstdio>

namespace kith {

namespace {

kith_status write_text(kith_call* call, kith_status status, const char* operation, const char* format,
                       va_list arguments) {
  if (call == nullptr || call->error == nullptr || call->error_capacity <= 0) return status;
  const size_t capacity = static_cast<size_t>(call->error_capacity);
  size_t used = 0;
  if (operation != nullptr) {
    const int written = std::snprintf(call->error, capacity, "%s: ", operation);
    used = written < 0 ? 0 : static_cast<size_t>(written);
    if (used >= capacity) return status;
  }
  std::vsnprintf(call->error + used, capacity - used, format, arguments);
  return status;
}

}  // namespace

const char* dtype_name(int32_t dtype) {
  switch (dtype) {
    case KITH_F32:
      return "f32";
    case KITH_F64:
      return "f64";
    case KITH_BF16:
      return "bf16";
    case KITH_F16:
      return "f16";
    case KITH_I32:
      return "i32";
    default:
      return "unknown";
  }
}

int64_t dtype_bytes(int32_t dtype) {
  switch (dtype) {
    case KITH_F32:
    case KITH_I32:
      return 4;
    case KITH_F64:
      return 8;
    case KITH_BF16:
    case KITH_F16:
      return 2;
    default:
      return 0;
  }
}

kith_status fail(kith_call* call, kith_status status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  write_text(call, status, nullptr, format, arguments);
  va_end(arguments);
  return status;
}

Overlap overlap(const Matrix& a, const Matrix& b) {
  if (a.rows <= 0 || a.cols <= 0 || b.rows <= 0 || b.cols <= 0) return Overlap::kNone;
  const int64_t a_width = a.cols * a.element_bytes();
  const int64_t b_width = b.cols * b.element_bytes();
  const int64_t a_begin = static_cast<int64_t>(reinterpret_cast<intptr_t>(a.data));
  const int64_t b_begin = static_cast<int64_t>(reinterpret_cast<intptr_t>(b.data));
  const int64_t a_end = a_begin + (a.rows - 1) * a.stride * a.element_bytes() + a_width;
  const int64_t b_end = b_begin + (b.rows - 1) * b.stride * b.element_bytes() + b_width;
  if (a_end <= b_begin || b_end <= a_begin) return Overlap::kNone;
  if (a_begin == b_begin && a.rows == b.rows && a.cols == b.cols && a.stride == b.stride && a.dtype == b.dtype) {
    return Overlap::kSame;
  }
  // Windows on one grid of rows: compare columns and rows apart. A single row lies on any grid it fits.
  int64_t pitch = a.rows > 1 ? a.stride * a.element_bytes() : b.stride * b.element_bytes();
  const int64_t b_pitch = b.rows > 1 ? b.stride * b.element_bytes() : pitch;
  if (a.rows <= 1 && b.rows <= 1) return Overlap::kPartial;  // their ranges overlap, so they do
  if (pitch != b_pitch || a_width > pitch || b_width > pitch) return Overlap::kPartial;
  const int64_t distance = b_begin - a_begin;
  int64_t down = distance / pitch;
  int64_t across = distance % pitch;
  if (across < 0) {
    across += pitch;
    down -= 1;
  }
  // Row i of b begins in grid row i + down of a, `across` bytes in, and may run over into the next grid row.
  const bool here = across < a_width && down < a.rows && down + b.rows > 0;
  const bool next = across + b_width > pitch && down + 1 < a.rows && down + 1 + b.rows > 0;
  return here || next ? Overlap::kPartial : Overlap::kNone;
}

Arguments::Arguments(kith_queue* queue, kith_call* call, const char* operation)
    : queue_(queue), call_(call), operation_(operation) {
  if (queue_ == nullptr) fail(KITH_INVALID, "queue is NULL; create one with kith_queue_create");
}

kith_status Arguments::fail(kith_status status, const char* format, ...) {
  if (status_ != KITH_OK) return status_;
  status_ = status;
  va_list arguments;
  va_start(arguments, format);
  write_text(call_, status, operation_, format, arguments);
  va_end(arguments);
  return status;
}

bool Arguments::matrix(const char* name, const kith_matrix* m, Matrix* out) {
  if (!ok()) return false;
  *out = Matrix{};
  if (m == nullptr || m->memory == nullptr) {
    fail(KITH_INVALID, "%s %s; give a matrix with memory", name, m == nullptr ? "is NULL" : "has no memory");
    return false;
  }
  const int64_t size = dtype_bytes(m->dtype);
  if (size == 0) {
    fail(KITH_INVALID, "%s has the dtype %d; use one of kith_dtype", name, m->dtype);
    return false;
  }
  if (m->memory->device != queue_->device) {
    fail(KITH_INVALID, "%s lives on another device than the queue; copy it over first", name);
    return false;
  }
  if (m->rows < 0 || m->cols < 0 || m->offset < 0) {
    fail(KITH_INVALID, "%s is %lld x %lld at byte %lld; none of these may be negative", name,
         static_cast<long long>(m->rows), static_cast<long long>(m->cols), static_cast<long long>(m->offset));
    return false;
  }
  if (m->rows > 1 && m->stride < m->cols) {
    fail(KITH_INVALID, "%s has the row stride %lld below its %lld columns; rows must not overlap", name,
         static_cast<long long>(m->stride), static_cast<long long>(m->cols));
    return false;
  }
  const int64_t stride = m->rows > 1 ? m->stride : m->cols;
  int64_t end = 0;
  bool overflow = false;
  if (m->rows > 0 && m->cols > 0) {
    overflow = __builtin_mul_overflow(m->rows - 1, stride, &end) || __builtin_add_overflow(end, m->cols, &end) ||
               __builtin_mul_overflow(end, size, &end);
  }
  if (overflow || __builtin_add_overflow(end, m->offset, &end) || end > m->memory->bytes) {
    fail(KITH_INVALID,
         "%s is %lld x %lld of %s with stride %lld at byte %lld, which ends beyond its %lld bytes of memory", name,
         static_cast<long long>(m->rows), static_cast<long long>(m->cols), dtype_name(m->dtype),
         static_cast<long long>(stride), static_cast<long long>(m->offset), static_cast<long long>(m->memory->bytes));
    return false;
  }
  unsigned char* data = m->memory->address + m->offset;
  if (reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(size) != 0) {
    fail(KITH_INVALID, "%s begins at an address that is no multiple of %lld; align %s elements", name,
         static_cast<long long>(size), dtype_name(m->dtype));
    return false;
  }
  *out = Matrix{data, m->rows, m->cols, stride, m->dtype};
  accepted(m->memory);
  return true;
}

bool Arguments::matrix(const char* name, const kith_matrix* m, int32_t dtype, int64_t rows, int64_t cols, Matrix* out) {
  if (!matrix(name, m, out)) return false;
  if (dtype >= 0 && out->dtype != dtype) {
    fail(KITH_INVALID, "%s is %s and must be %s", name, dtype_name(out->dtype), dtype_name(dtype));
    return false;
  }
  if ((rows >= 0 && out->rows != rows) || (cols >= 0 && out->cols != cols)) {
    fail(KITH_INVALID, "%s is %lld x %lld and must be %lld x %lld", name, static_cast<long long>(out->rows),
         static_cast<long long>(out->cols), static_cast<long long>(rows >= 0 ? rows : out->rows),
         static_cast<long long>(cols >= 0 ? cols : out->cols));
    return false;
  }
  return true;
}

bool Arguments::disjoint(const char* a_name, const Matrix& a, const char* b_name, const Matrix& b, bool same_allowed) {
  if (!ok()) return false;
  const Overlap found = overlap(a, b);
  if (found == Overlap::kNone || (found == Overlap::kSame && same_allowed)) return true;
  if (found == Overlap::kSame) {
    fail(KITH_INVALID, "%s and %s are the same memory; this operation cannot work in place", a_name, b_name);
  } else {
    fail(KITH_INVALID, "%s and %s overlap in memory; give %s", a_name, b_name,
         same_allowed ? "separate windows or the same one" : "separate windows");
  }
  return false;
}

}  // namespace kith
