// Checks of the family memory.
#include "memory_checks.hpp"

#include <cmath>
#include <cstring>

namespace kith {

namespace {

// Host memory as a window of the shape of m. False (with an error) when the stride or the address cannot be.
bool host_window(Arguments& entry, const void* host, int64_t stride, const Matrix& m, Matrix* window) {
  if (m.rows == 0 || m.cols == 0) {
    *window = m;
    return true;
  }
  int64_t end = 0;
  if (host == nullptr || (m.rows > 1 && stride < m.cols) || __builtin_mul_overflow(m.rows - 1, stride, &end) ||
      __builtin_add_overflow(end, m.cols, &end) || __builtin_mul_overflow(end, m.element_bytes(), &end)) {
    entry.fail(KITH_INVALID, "host is %s with stride %lld for %lld columns; give memory of rows that do not overlap",
               host == nullptr ? "NULL" : "given", static_cast<long long>(stride), static_cast<long long>(m.cols));
    return false;
  }
  // The host side may lie at any address: it is only copied bytewise.
  *window = Matrix{static_cast<unsigned char*>(const_cast<void*>(host)), m.rows, m.cols, m.rows > 1 ? stride : m.cols,
                   m.dtype};
  return true;
}

}  // namespace

kith_status check_allocate(kith_call* call, const kith_queue* queue, int64_t bytes, kith_memory* const* memory) {
  if (queue == nullptr || memory == nullptr) {
    return fail(call, KITH_INVALID, "kith_memory_allocate: queue or memory is NULL; give both");
  }
  if (bytes < 0) {
    return fail(call, KITH_INVALID, "kith_memory_allocate: %lld bytes were asked for; give 0 or more",
                static_cast<long long>(bytes));
  }
  return KITH_OK;
}

kith_status check_wrap(kith_call* call, const kith_device* device, const void* address, int64_t bytes,
                       kith_memory* const* memory) {
  if (device == nullptr || memory == nullptr) {
    return fail(call, KITH_INVALID, "kith_memory_wrap: device or memory is NULL; give both");
  }
  if (bytes < 0 || (address == nullptr && bytes > 0)) {
    return fail(call, KITH_INVALID,
                "kith_memory_wrap: %lld bytes at %p cannot be wrapped; give an address and its size",
                static_cast<long long>(bytes), address);
  }
  return KITH_OK;
}

kith_status check_address(kith_call* call, const kith_memory* memory, void* const* address, const int32_t* host) {
  if (memory == nullptr || address == nullptr || host == nullptr) {
    return fail(call, KITH_INVALID, "kith_memory_address: memory, address or host is NULL; give all three");
  }
  return KITH_OK;
}

kith_status fail_memory(kith_call* call, const char* operation, int64_t bytes, int64_t free_bytes, int64_t total_bytes,
                        int64_t live_bytes) {
  return fail(call, KITH_OUT_OF_MEMORY,
              "%s: %lld bytes were asked for, with %lld of %lld bytes free on the device and %lld in use by this "
              "library; release matrices or use smaller ones",
              operation, static_cast<long long>(bytes), static_cast<long long>(free_bytes),
              static_cast<long long>(total_bytes), static_cast<long long>(live_bytes));
}

bool check_fill(Arguments& entry, const kith_matrix* m, double value, Matrix* to, unsigned char (&pattern)[8]) {
  if (!entry.matrix("m", m, to)) return false;
  std::memcpy(pattern, &value, sizeof(value));
  if (to->dtype == KITH_I32) {
    const double truncated = std::trunc(value);
    if (!(truncated >= -2147483648.0 && truncated <= 2147483647.0)) {
      entry.fail(KITH_INVALID, "%g does not fit i32; give a value from -2147483648 to 2147483647", value);
      return false;
    }
    const int32_t element = static_cast<int32_t>(truncated);
    std::memcpy(pattern, &element, sizeof(element));
  }
  return true;
}

bool check_convert(Arguments& entry, const kith_matrix* from, const kith_matrix* to, Matrix* source, Matrix* target) {
  if (!entry.matrix("from", from, source) || !entry.matrix("to", to, -1, source->rows, source->cols, target)) {
    return false;
  }
  if ((source->dtype == KITH_I32) != (target->dtype == KITH_I32)) {
    entry.fail(KITH_UNSUPPORTED, "from is %s and to is %s; i32 converts to i32 only", dtype_name(source->dtype),
               dtype_name(target->dtype));
    return false;
  }
  return entry.disjoint("from", *source, "to", *target, source->dtype == target->dtype);
}

bool check_transfer(Arguments& entry, const char* name, const kith_matrix* m, const void* host, int64_t host_stride,
                    Matrix* checked, Matrix* window) {
  return entry.matrix(name, m, checked) && host_window(entry, host, host_stride, *checked, window) &&
         entry.disjoint("host", *window, name, *checked, false);
}

bool check_gather(Arguments& entry, const kith_matrix* from, const kith_matrix* index, const kith_matrix* to,
                  Matrix* source, Matrix* indices, Matrix* target) {
  return entry.matrix("from", from, source) && entry.matrix("to", to, source->dtype, -1, source->cols, target) &&
         entry.matrix("index", index, KITH_I32, 1, target->rows, indices) &&
         entry.disjoint("from", *source, "to", *target, false) &&
         entry.disjoint("index", *indices, "to", *target, false);
}

kith_status fail_index(Arguments& entry, int64_t position, int32_t index, int64_t rows) {
  return entry.fail(KITH_INVALID, "index %d at position %lld names no row; from has %lld rows", index,
                    static_cast<long long>(position), static_cast<long long>(rows));
}

}  // namespace kith
