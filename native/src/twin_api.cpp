// kith_twin: the loop that says how fast a kernel with the same streams could be.
#include "core.hpp"
#include "dispatch.hpp"
#include "twin.hpp"

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
using kith::Matrix;

extern "C" kith_status kith_twin(kith_queue* queue, const kith_matrix* const* sources, int32_t read_count,
                                 const kith_matrix* const* targets, int32_t write_count, int32_t nontemporal,
                                 const kith_matrix* sink, kith_call* call) {
  Entry entry(queue, call, "kith_twin");
  if (!entry.ok()) return entry.status();
  if (read_count < 0 || write_count < 0 || read_count > kith::kTwinStreams || write_count > kith::kTwinStreams ||
      read_count + write_count == 0 || (read_count > 0 && sources == nullptr) ||
      (write_count > 0 && targets == nullptr)) {
    return entry.fail(KITH_INVALID, "%d sources and %d targets; give 1 to %d streams", read_count, write_count,
                      kith::kTwinStreams);
  }
  Matrix reads[kith::kTwinStreams], writes[kith::kTwinStreams], result{};
  const Matrix* shape = read_count > 0 ? &reads[0] : &writes[0];
  bool updated[kith::kTwinStreams] = {};
  kith::Twin twin_call{};
  kith::TwinJob& job = twin_call.job;
  job.streaming = nontemporal != 0;
  int64_t bytes = 0;
  const auto accept = [&](const char* name, const kith_matrix* given, int32_t k, bool first, Matrix* m) {
    if (!entry.matrix(name, given, -1, first ? -1 : shape->rows, first ? -1 : shape->cols, m)) return false;
    if (!kith::is_floating(m->dtype)) {
      entry.fail(KITH_UNSUPPORTED, "%s[%d] is %s; give floating streams", name, k, kith::dtype_name(m->dtype));
      return false;
    }
    if (m->dtype == KITH_F64) twin_call.wide = 1;
    bytes += m->bytes();
    return true;
  };
  const auto stream = [](const Matrix& m) { return kith::TwinStream{m.data, m.stride * m.element_bytes(), m.dtype}; };
  for (int32_t k = 0; k < read_count; k++) {
    if (!accept("sources", sources[k], k, k == 0, &reads[k])) return entry.status();
  }
  for (int32_t k = 0; k < write_count; k++) {
    if (!accept("targets", targets[k], k, read_count == 0 && k == 0, &writes[k])) return entry.status();
    bool update = false;
    for (int32_t r = 0; r < read_count; r++) {
      if (!entry.disjoint("sources", reads[r], "targets", writes[k], true)) return entry.status();
      if (kith::overlap(reads[r], writes[k]) == kith::Overlap::kSame) update = updated[r] = true;
    }
    for (int32_t other = 0; other < k; other++) {
      if (!entry.disjoint("targets", writes[other], "targets", writes[k], false)) return entry.status();
    }
    if (update) {
      job.updates[job.update_count++] = stream(writes[k]);
    } else {
      job.writes[job.write_count++] = stream(writes[k]);
      if (reinterpret_cast<uintptr_t>(writes[k].data) % 64 != 0 ||
          writes[k].stride * writes[k].element_bytes() % 64 != 0) {
        job.streaming = false;  // streaming stores need aligned rows
      }
    }
  }
  for (int32_t k = 0; k < read_count; k++) {
    if (!updated[k]) job.reads[job.read_count++] = stream(reads[k]);
  }
  twin_call.cols = shape->cols;
  twin_call.rows = shape->rows;
  twin_call.across = (shape->cols + kith::kBlockColumns - 1) / kith::kBlockColumns;
  twin_call.rows_each = shape->cols > 0 && shape->cols < kith::kBlockColumns ? kith::kBlockColumns / shape->cols : 1;
  const int64_t blocks = twin_call.across * ((shape->rows + twin_call.rows_each - 1) / twin_call.rows_each);
  if (write_count == 0) {
    if (!entry.matrix("sink", sink, KITH_F64, 1, 1, &result)) return entry.status();
    twin_call.partial = static_cast<double*>(entry.scratch(blocks * static_cast<int64_t>(sizeof(double))));
    if (twin_call.partial == nullptr) return entry.status();
  }
  if (entry.phase(blocks, bytes, kith::twin_block, &twin_call) != KITH_OK) return entry.status();
  if (write_count == 0) {
    double total = 0;
    for (int64_t b = 0; b < blocks; b++) total += twin_call.partial[b];
    *reinterpret_cast<double*>(result.data) = total;
  }
  return entry.finish();
}
