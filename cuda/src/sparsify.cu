// sparsify: not on CUDA yet; every operation says so.
#include "host.hpp"
#include "sparsify_checks.hpp"

namespace kith {

namespace {

kith_status absent(Entry& entry) {
  return entry.fail(KITH_UNSUPPORTED, "the CUDA library has no sparse messages; use the CPU library");
}

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_select_top(kith_queue* queue, const kith_matrix*, const kith_matrix*, const kith_matrix*, int64_t,
                            int64_t, const kith_matrix*, const kith_matrix*, kith_call* call) {
  kith::Entry entry(queue, call, "kith_select_top");
  return kith::absent(entry);
}

kith_status kith_select_at(kith_queue* queue, const kith_matrix*, const kith_matrix*, const kith_matrix*,
                           const kith_matrix*, double, const kith_matrix*, const kith_matrix*, kith_call* call) {
  kith::Entry entry(queue, call, "kith_select_at");
  return kith::absent(entry);
}

kith_status kith_select_above(kith_queue* queue, const kith_matrix*, const kith_matrix*, const kith_matrix*,
                              const kith_matrix*, int64_t, const kith_matrix*, const kith_matrix*, kith_call* call) {
  kith::Entry entry(queue, call, "kith_select_above");
  return kith::absent(entry);
}

kith_status kith_sparse_accumulate(kith_queue* queue, const kith_weights*, int32_t, int64_t, const kith_matrix*,
                                   const kith_matrix*, const kith_matrix*, const kith_matrix*, int32_t,
                                   const kith_matrix*, kith_call* call) {
  kith::Entry entry(queue, call, "kith_sparse_accumulate");
  return kith::absent(entry);
}

}  // extern "C"
