/*
 * weights: mixing matrices on the device, for every family that sums over neighbours. No kernels.
 */
#include <cstdlib>
#include <cstring>

#include "cuda_weights.hpp"
#include "host.hpp"
#include "mixing_checks.hpp"

namespace kith {

namespace {

void destroy(CudaWeights* w) {
  release(w->memory);
  std::free(w->host_used);
  std::free(w);
}

/* Arrays one after the other, 16-byte aligned; first measured, then filled. */
class Packing {
 public:
  explicit Packing(unsigned char* to) : to_(to) {}
  template <class T>
  int64_t add(const T* from, int64_t count) {
    const int64_t at = place(count * static_cast<int64_t>(sizeof(T)));
    if (to_ != nullptr && from != nullptr && count > 0) {
      std::memcpy(to_ + at, from, static_cast<size_t>(count) * sizeof(T));
    }
    return at;
  }
  template <class T>
  int64_t add_weights(bool dense, const double* values, const int32_t* slots, int64_t count) {
    if (dense) {
      const int64_t at = place(count * static_cast<int64_t>(sizeof(T)));
      if (to_ != nullptr) {
        T* entries = reinterpret_cast<T*>(to_ + at);
        for (int64_t e = 0; e < count; e++) entries[e] = static_cast<T>(values[e]);
      }
      return at;
    }
    const int64_t at = place(count * static_cast<int64_t>(sizeof(Weight<T>)));
    if (to_ != nullptr) {
      Weight<T>* entries = reinterpret_cast<Weight<T>*>(to_ + at);
      for (int64_t e = 0; e < count; e++) entries[e] = Weight<T>{static_cast<T>(values[e]), slots[e]};
    }
    return at;
  }
  int64_t bytes() const { return bytes_; }

 private:
  int64_t place(int64_t count) {
    const int64_t at = bytes_;
    bytes_ += (count + 15) / 16 * 16;
    return at;
  }
  unsigned char* to_;
  int64_t bytes_ = 0;
};

/* What the device gets a copy of. */
struct Content {
  const int64_t* offsets;
  const int32_t* slots; /* NULL: dense */
  const double* values;
  const int32_t* output_rows;
  const int32_t* pairs;
};

/* On failure the status of the entry is set. */
bool place(Entry& entry, CudaWeights* w, const Content& from) {
  int64_t offsets = 0, outputs = 0, used = 0, members = 0, entries[2] = {};
  unsigned char* content = nullptr;
  int64_t bytes = 0;
  for (int pass = 0; pass < 2; pass++) {
    Packing packing(content);
    offsets = packing.add(from.offsets, w->dense ? 0 : w->rows + 1);
    outputs = packing.add(from.output_rows, from.output_rows == nullptr ? 0 : w->rows);
    used = packing.add(w->host_used, w->host_used == nullptr ? 0 : w->used_count);
    members = packing.add(from.pairs, 2 * w->pair_count);
    entries[0] = packing.add_weights<float>(w->dense, from.values, from.slots, w->entries);
    entries[1] = packing.add_weights<double>(w->dense, from.values, from.slots, w->entries);
    bytes = packing.bytes();
    if (pass == 0) {
      content = static_cast<unsigned char*>(std::calloc(static_cast<size_t>(bytes > 0 ? bytes : 1), 1));
      if (content == nullptr) {
        entry.fail(KITH_OUT_OF_MEMORY, "no memory for %lld entries of %lld rows", static_cast<long long>(w->entries),
                   static_cast<long long>(w->rows));
        return false;
      }
    }
  }
  w->memory = entry.keep(content, bytes > 0 ? bytes : 16);
  std::free(content);
  if (w->memory == nullptr) return false;
  const unsigned char* base = w->memory->address;
  w->offsets = w->dense ? nullptr : reinterpret_cast<const int64_t*>(base + offsets);
  w->output_rows = from.output_rows == nullptr ? nullptr : reinterpret_cast<const int32_t*>(base + outputs);
  w->used = w->host_used == nullptr ? nullptr : reinterpret_cast<const int32_t*>(base + used);
  w->pairs = reinterpret_cast<const int32_t*>(base + members);
  w->links[0] = base + entries[0];
  w->links[1] = base + entries[1];
  return true;
}

}  // namespace

}  // namespace kith

using kith::Entry;
using kith::fail;

extern "C" {

kith_status kith_weights_sparse(kith_queue* queue, int64_t rows, int64_t cols, const int64_t* row_offsets,
                                const int32_t* columns, const double* values, const int32_t* output_rows,
                                kith_weights** weights, kith_call* call) {
  if (queue == nullptr || weights == nullptr) {
    return fail(call, KITH_INVALID, "kith_weights_sparse: queue or weights is NULL; give both");
  }
  int64_t output_end = 0;
  const kith_status status =
      kith::check_sparse(call, rows, cols, row_offsets, columns, values, output_rows, &output_end);
  if (status != KITH_OK) return status;
  Entry entry(queue, call, "kith_weights_sparse");
  if (!entry.ok()) return entry.status();
  const int64_t entries = row_offsets[rows];
  kith::CudaWeights* w = static_cast<kith::CudaWeights*>(std::calloc(1, sizeof(kith::CudaWeights)));
  int32_t* slots = nullptr;
  int32_t* pairs = nullptr;
  bool fine = w != nullptr;
  if (fine) {
    w->device = queue->device;
    w->rows = rows;
    w->cols = cols;
    w->entries = entries;
    w->output_end = output_end;
    w->scattered = output_rows != nullptr;
    fine = kith::list_used(cols, columns, entries, &w->host_used, &slots, &w->used_count);
    if (fine && rows == cols && output_rows == nullptr) {
      fine = kith::list_pairs(rows, row_offsets, columns, &w->pairwise, &pairs, &w->pair_count);
    }
  }
  if (!fine) {
    entry.fail(KITH_OUT_OF_MEMORY, "no memory for %lld entries of %lld rows", static_cast<long long>(entries),
               static_cast<long long>(rows));
  }
  fine =
      fine &&
      kith::place(entry, w, kith::Content{row_offsets, slots == nullptr ? columns : slots, values, output_rows, pairs});
  std::free(slots);
  std::free(pairs);
  if (!fine) {
    if (w != nullptr) kith::destroy(w);
    return entry.status();
  }
  *weights = w;
  return entry.finish();
}

kith_status kith_weights_dense(kith_queue* queue, int64_t rows, int64_t cols, const double* values,
                               kith_weights** weights, kith_call* call) {
  if (queue == nullptr || weights == nullptr || values == nullptr) {
    return fail(call, KITH_INVALID, "kith_weights_dense: queue, values or weights is NULL; give all three");
  }
  const kith_status status = kith::check_dense(call, rows, cols, values);
  if (status != KITH_OK) return status;
  Entry entry(queue, call, "kith_weights_dense");
  if (!entry.ok()) return entry.status();
  kith::CudaWeights* w = static_cast<kith::CudaWeights*>(std::calloc(1, sizeof(kith::CudaWeights)));
  bool fine = w != nullptr;
  if (!fine) {
    entry.fail(KITH_OUT_OF_MEMORY, "no memory for %lld x %lld weights", static_cast<long long>(rows),
               static_cast<long long>(cols));
  } else {
    w->device = queue->device;
    w->rows = rows;
    w->cols = cols;
    w->entries = rows * cols;
    w->used_count = cols;
    w->output_end = rows;
    w->dense = true;
    fine = kith::place(entry, w, kith::Content{nullptr, nullptr, values, nullptr, nullptr});
  }
  if (!fine) {
    if (w != nullptr) kith::destroy(w);
    return entry.status();
  }
  *weights = w;
  return entry.finish();
}

kith_status kith_weights_pairwise(kith_weights* weights, int32_t* pairwise, kith_call* call) {
  if (weights == nullptr || pairwise == nullptr) {
    return fail(call, KITH_INVALID, "kith_weights_pairwise: weights or pairwise is NULL; give both");
  }
  *pairwise = weights->pairwise ? 1 : 0;
  return KITH_OK;
}

kith_status kith_weights_release(kith_weights* weights, kith_call* call) {
  if (weights == nullptr) return fail(call, KITH_INVALID, "kith_weights_release: weights is NULL; give weights");
  kith::destroy(static_cast<kith::CudaWeights*>(weights));
  return KITH_OK;
}

}  // extern "C"
