// Checks of kith_twin.
#include "twin_checks.hpp"

namespace kith {

bool check_twin(Arguments& entry, const kith_matrix* const* sources, int32_t read_count,
                const kith_matrix* const* targets, int32_t write_count, int32_t nontemporal, const kith_matrix* sink,
                TwinOperands* operands) {
  if (!entry.ok()) return false;
  if (read_count < 0 || write_count < 0 || read_count > kTwinStreams || write_count > kTwinStreams ||
      read_count + write_count == 0 || (read_count > 0 && sources == nullptr) ||
      (write_count > 0 && targets == nullptr)) {
    entry.fail(KITH_INVALID, "%d sources and %d targets; give 1 to %d streams", read_count, write_count, kTwinStreams);
    return false;
  }
  Matrix reads[kTwinStreams] = {}, writes[kTwinStreams] = {};
  const Matrix* shape = read_count > 0 ? &reads[0] : &writes[0];
  bool updated[kTwinStreams] = {};
  TwinJob& job = operands->job;
  job.streaming = nontemporal != 0;
  const auto accept = [&](const char* name, const kith_matrix* given, int32_t k, bool first, Matrix* m) {
    if (!entry.matrix(name, given, -1, first ? -1 : shape->rows, first ? -1 : shape->cols, m)) return false;
    if (!is_floating(m->dtype)) {
      entry.fail(KITH_UNSUPPORTED, "%s[%d] is %s; give floating streams", name, k, dtype_name(m->dtype));
      return false;
    }
    if (m->dtype == KITH_F64) operands->wide = 1;
    operands->bytes += m->bytes();
    return true;
  };
  const auto stream = [](const Matrix& m) { return TwinStream{m.data, m.stride * m.element_bytes(), m.dtype}; };
  for (int32_t k = 0; k < read_count; k++) {
    if (!accept("sources", sources[k], k, k == 0, &reads[k])) return false;
  }
  for (int32_t k = 0; k < write_count; k++) {
    if (!accept("targets", targets[k], k, read_count == 0 && k == 0, &writes[k])) return false;
    bool update = false;
    for (int32_t r = 0; r < read_count; r++) {
      if (!entry.disjoint("sources", reads[r], "targets", writes[k], true)) return false;
      if (overlap(reads[r], writes[k]) == Overlap::kSame) update = updated[r] = true;
    }
    for (int32_t other = 0; other < k; other++) {
      if (!entry.disjoint("targets", writes[other], "targets", writes[k], false)) return false;
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
  operands->rows = shape->rows;
  operands->cols = shape->cols;
  return write_count > 0 || entry.matrix("sink", sink, KITH_F64, 1, 1, &operands->sink);
}

}  // namespace kith
