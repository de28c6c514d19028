// kith_twin: the loop that says how fast a kernel with the same streams could be.
#include "core.hpp"
#include "dispatch.hpp"
#include "twin_checks.hpp"

namespace kith {

KITH_FAMILY(TwinKernels, twin)

namespace {

// Columns of a block; a multiple of every vector of every tier.
constexpr int64_t kBlockColumns = 64 << 10;

struct Twin {
  TwinJob job;
  int wide;
  int64_t cols;
  int64_t across;
  int64_t rows_each;
  int64_t rows;
  double* partial;  // one value per block
};

void twin_block(void* context, int64_t block, int32_t) {
  const Twin& twin_call = *static_cast<const Twin*>(context);
  const int64_t column = block % twin_call.across * kBlockColumns;
  const int64_t column_end = column + kBlockColumns < twin_call.cols ? column + kBlockColumns : twin_call.cols;
  const int64_t row = block / twin_call.across * twin_call.rows_each;
  double total = 0;
  for (int64_t r = row; r < row + twin_call.rows_each && r < twin_call.rows; r++) {
    total += twin().row[twin_call.wide](twin_call.job, r, column, column_end);
  }
  if (twin_call.partial != nullptr) twin_call.partial[block] = total;
}

}  // namespace

}  // namespace kith

using kith::Entry;

extern "C" kith_status kith_twin(kith_queue* queue, const kith_matrix* const* sources, int32_t read_count,
                                 const kith_matrix* const* targets, int32_t write_count, int32_t nontemporal,
                                 const kith_matrix* sink, kith_call* call) {
  Entry entry(queue, call, "kith_twin");
  kith::TwinOperands operands = {};
  if (!kith::check_twin(entry, sources, read_count, targets, write_count, nontemporal, sink, &operands)) {
    return entry.status();
  }
  kith::Twin twin_call{};
  twin_call.job = operands.job;
  twin_call.wide = operands.wide;
  twin_call.cols = operands.cols;
  twin_call.rows = operands.rows;
  twin_call.across = (operands.cols + kith::kBlockColumns - 1) / kith::kBlockColumns;
  twin_call.rows_each =
      operands.cols > 0 && operands.cols < kith::kBlockColumns ? kith::kBlockColumns / operands.cols : 1;
  const int64_t blocks = twin_call.across * ((operands.rows + twin_call.rows_each - 1) / twin_call.rows_each);
  if (write_count == 0) {
    twin_call.partial = static_cast<double*>(entry.scratch(blocks * static_cast<int64_t>(sizeof(double))));
    if (twin_call.partial == nullptr) return entry.status();
  }
  if (entry.phase(blocks, operands.bytes, kith::twin_block, &twin_call) != KITH_OK) return entry.status();
  if (write_count == 0) {
    double total = 0;
    for (int64_t b = 0; b < blocks; b++) total += twin_call.partial[b];
    *reinterpret_cast<double*>(operands.sink.data) = total;
  }
  return entry.finish();
}
