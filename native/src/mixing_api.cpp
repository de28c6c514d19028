// mixing: weights, the checks of kith_mix, and the choice of a strategy.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core.hpp"
#include "dispatch.hpp"
#include "mixing.hpp"

struct kith_weights {
  kith_device* device;
  int64_t rows;
  int64_t cols;
  int64_t entries;
  int64_t used_count;
  int64_t pair_count;
  bool pairwise;
  int64_t output_end;  // 1 + the largest output row
  int64_t* offsets;    // NULL: dense
  int32_t* columns;
  int32_t* slots;
  int32_t* used;  // NULL: every column
  int32_t* output_rows;
  int32_t* pairs;
  float* values32;
  double* values64;
};

namespace kith {

KITH_FAMILY(MixKernels, mixing)

namespace {

// Columns of one block of a pass without neighbours, in bytes of y.
constexpr int64_t kCombineBytes = 256 << 10;
// Inner rows of a tile together: what a core's second-level cache holds beside the streams.
constexpr int64_t kTileBytes = 256 << 10;
constexpr int64_t kTileColumns = 4096;
// Below this width of a tile a row is too short to stream, and gathering whole rows is faster.
constexpr int64_t kTileBytesPerRow = 256;
constexpr int64_t kTilesPerBlock = 4;
constexpr int64_t kBlocksWanted = 16;
constexpr int64_t kGatherBytes = 256 << 10;
constexpr int64_t kPairTileBytes = 16 << 10;
// Outputs of this size do not stay in the caches for whoever reads them next.
constexpr int64_t kStreamBytes = 16 << 20;
constexpr int64_t kDenseLimit = 4096;
constexpr int64_t kIndexLimit = INT32_MAX;

void release(kith_weights* w) {
  std::free(w->offsets);
  std::free(w->columns);
  if (w->slots != w->columns) std::free(w->slots);
  std::free(w->used);
  std::free(w->output_rows);
  std::free(w->pairs);
  std::free(w->values32);
  std::free(w->values64);
  std::free(w);
}

template <class T>
bool take(T** array, int64_t count) {
  *array = static_cast<T*>(std::malloc(static_cast<size_t>(count > 0 ? count : 1) * sizeof(T)));
  return *array != nullptr;
}

void take_values(kith_weights* w, const double* values) {
  for (int64_t e = 0; e < w->entries; e++) {
    w->values64[e] = values[e];
    w->values32[e] = static_cast<float>(values[e]);
  }
}

// Which columns have entries, and where each entry's column stands among them.
bool find_used(kith_weights* w) {
  int32_t* position = nullptr;
  if (!take(&position, w->cols)) return false;
  for (int64_t j = 0; j < w->cols; j++) position[j] = -1;
  for (int64_t e = 0; e < w->entries; e++) position[w->columns[e]] = 0;
  int32_t count = 0;
  for (int64_t j = 0; j < w->cols; j++) {
    if (position[j] == 0) position[j] = count++;
  }
  w->used_count = count;
  w->slots = w->columns;
  bool fine = true;
  if (count < w->cols) {
    fine = take(&w->used, count);
    w->slots = nullptr;
    fine = fine && take(&w->slots, w->entries);
    if (fine) {
      for (int64_t j = 0; j < w->cols; j++) {
        if (position[j] >= 0) w->used[position[j]] = static_cast<int32_t>(j);
      }
      for (int64_t e = 0; e < w->entries; e++) w->slots[e] = position[w->columns[e]];
    }
  }
  std::free(position);
  return fine;
}

// Sets w->pairwise and the list of pairs; false when memory is out.
bool find_pairs(kith_weights* w) {
  if (w->rows != w->cols || w->output_rows != nullptr) return true;
  int32_t* partner = nullptr;
  if (!take(&partner, w->rows)) return false;
  for (int64_t i = 0; i < w->rows; i++) partner[i] = static_cast<int32_t>(i);
  bool pairwise = true;
  for (int64_t i = 0; i < w->rows && pairwise; i++) {
    for (int64_t e = w->offsets[i]; e < w->offsets[i + 1] && pairwise; e++) {
      const int64_t j = w->columns[e];
      if (j == i) continue;
      const bool free_both = partner[i] == i && partner[j] == j;
      pairwise = free_both || partner[i] == j;
      if (free_both) {
        partner[i] = static_cast<int32_t>(j);
        partner[j] = static_cast<int32_t>(i);
      }
    }
  }
  w->pairwise = pairwise;
  bool fine = true;
  if (pairwise) {
    fine = take(&w->pairs, 2 * w->rows);
    for (int64_t i = 0; i < w->rows && fine; i++) {
      if (partner[i] < i) continue;
      w->pairs[2 * w->pair_count] = static_cast<int32_t>(i);
      w->pairs[2 * w->pair_count++ + 1] = partner[i];
    }
  }
  std::free(partner);
  return fine;
}

kith_status check_sparse(kith_call* call, int64_t rows, int64_t cols, const int64_t* offsets, const int32_t* columns,
                         const double* values) {
  if (rows < 0 || cols < 0 || rows > kIndexLimit || cols > kIndexLimit) {
    return fail(call, KITH_INVALID, "kith_weights_sparse: %lld x %lld is no shape; give 0 to %lld rows and columns",
                static_cast<long long>(rows), static_cast<long long>(cols), static_cast<long long>(kIndexLimit));
  }
  if (offsets == nullptr)
    return fail(call, KITH_INVALID, "kith_weights_sparse: row_offsets is NULL; give rows + 1 numbers");
  if (offsets[0] != 0) {
    return fail(call, KITH_INVALID, "kith_weights_sparse: row_offsets begin with %lld; begin with 0",
                static_cast<long long>(offsets[0]));
  }
  for (int64_t r = 0; r < rows; r++) {
    if (offsets[r + 1] < offsets[r]) {
      return fail(
          call, KITH_INVALID, "kith_weights_sparse: row_offsets fall from %lld to %lld after row %lld; let them ascend",
          static_cast<long long>(offsets[r]), static_cast<long long>(offsets[r + 1]), static_cast<long long>(r));
    }
  }
  if (offsets[rows] > 0 && (columns == nullptr || values == nullptr)) {
    return fail(call, KITH_INVALID, "kith_weights_sparse: %lld entries but columns or values is NULL; give both",
                static_cast<long long>(offsets[rows]));
  }
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t e = offsets[r]; e < offsets[r + 1]; e++) {
      if (columns[e] < 0 || columns[e] >= cols) {
        return fail(call, KITH_INVALID, "kith_weights_sparse: row %lld names column %d of %lld; keep columns in range",
                    static_cast<long long>(r), columns[e], static_cast<long long>(cols));
      }
      if (!std::isfinite(values[e])) {
        return fail(call, KITH_INVALID,
                    "kith_weights_sparse: the weight of row %lld and column %d is %g; give finite weights",
                    static_cast<long long>(r), columns[e], values[e]);
      }
    }
  }
  return KITH_OK;
}

// Distinct and not negative; *end becomes 1 + the largest.
kith_status check_output_rows(kith_call* call, int64_t rows, const int32_t* output_rows, int64_t* end) {
  for (int64_t r = 0; r < rows; r++) {
    if (output_rows[r] < 0) {
      return fail(call, KITH_INVALID, "kith_weights_sparse: output row %lld is %d; give rows of y from 0 on",
                  static_cast<long long>(r), output_rows[r]);
    }
    if (output_rows[r] >= *end) *end = static_cast<int64_t>(output_rows[r]) + 1;
  }
  unsigned char* seen = static_cast<unsigned char*>(std::calloc(static_cast<size_t>(*end / 8 + 1), 1));
  if (seen == nullptr) return fail(call, KITH_OUT_OF_MEMORY, "kith_weights_sparse: no memory to check output rows");
  kith_status status = KITH_OK;
  for (int64_t r = 0; r < rows && status == KITH_OK; r++) {
    unsigned char* cell = &seen[output_rows[r] / 8];
    const unsigned char bit = static_cast<unsigned char>(1 << (output_rows[r] % 8));
    if ((*cell & bit) != 0) {
      status = fail(call, KITH_INVALID, "kith_weights_sparse: output row %d is written twice; let output rows differ",
                    output_rows[r]);
    }
    *cell = static_cast<unsigned char>(*cell | bit);
  }
  std::free(seen);
  return status;
}

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/* ---- kith_mix ---------------------------------------------------------------------------------------------------- */

// The checked operands of one call.
struct Operands {
  Matrix y;
  Matrix flags;
  Matrix halo;
  Matrix inner[KITH_MAX_TERMS];
  Matrix outer[KITH_MAX_TERMS];
  bool in_place = false;    // y is an inner term
  bool accumulate = false;  // y is an outer term
};

bool check_term(Entry& entry, const char* kind, int k, const kith_term& term, int64_t rows, const Operands& operands,
                Matrix* m, MixTerm* out) {
  char name[32];
  std::snprintf(name, sizeof(name), "%s[%d]", kind, k);
  if (!entry.matrix(name, term.matrix, -1, rows, operands.y.cols, m)) return false;
  if (!is_floating(m->dtype) || dtype_bytes(m->dtype) > operands.y.element_bytes()) {
    entry.fail(KITH_INVALID, "%s is %s and y is %s; terms must be floating and not wider than y", name,
               dtype_name(m->dtype), dtype_name(operands.y.dtype));
    return false;
  }
  *out = MixTerm{m->data, m->stride * m->element_bytes(), m->dtype, term.coefficient, nullptr};
  if (term.row_coefficients != nullptr) {
    Matrix coefficients;
    std::snprintf(name, sizeof(name), "%s[%d].row_coefficients", kind, k);
    if (!entry.matrix(name, term.row_coefficients, KITH_F64, 1, m->rows, &coefficients) ||
        !entry.disjoint(name, coefficients, "y", operands.y, false)) {
      return false;
    }
    out->row_coefficients = reinterpret_cast<const double*>(coefficients.data);
  }
  return true;
}

bool check(Entry& entry, const kith_weights* weights, const kith_expression* expression, const kith_matrix* y,
           const kith_matrix* flags, Operands* operands, MixJob* job) {
  if (expression == nullptr) {
    entry.fail(KITH_INVALID, "expression is NULL; give one");
    return false;
  }
  if (!entry.matrix("y", y, &operands->y)) return false;
  const Matrix& out = operands->y;
  if (out.dtype != KITH_F32 && out.dtype != KITH_F64) {
    entry.fail(KITH_UNSUPPORTED, "y is %s; mix into f32 or f64 and convert", dtype_name(out.dtype));
    return false;
  }
  if (expression->inner_count < 0 || expression->inner_count > KITH_MAX_TERMS || expression->outer_count < 0 ||
      expression->outer_count > KITH_MAX_TERMS) {
    entry.fail(KITH_INVALID, "the expression has %d inner and %d outer terms; give 0 to %d of each",
               expression->inner_count, expression->outer_count, KITH_MAX_TERMS);
    return false;
  }
  if (weights != nullptr && weights->device != entry.device()) {
    entry.fail(KITH_INVALID, "weights live on another device than the queue; create them there");
    return false;
  }
  if (weights != nullptr && expression->inner_count == 0) {
    entry.fail(KITH_INVALID, "weights are given but no inner term; give a term to mix or no weights");
    return false;
  }
  job->inner_count = expression->inner_count;
  job->outer_count = expression->outer_count;
  job->message_dtype = expression->message_dtype;
  if (expression->inner_count > 0 &&
      (!is_floating(job->message_dtype) || dtype_bytes(job->message_dtype) > out.element_bytes())) {
    entry.fail(KITH_INVALID, "the message dtype is %s and y is %s; use a floating dtype not wider than y",
               dtype_name(job->message_dtype), dtype_name(out.dtype));
    return false;
  }
  int64_t inner_rows = weights == nullptr ? out.rows : -1;
  for (int k = 0; k < job->inner_count; k++) {
    if (!check_term(entry, "inner", k, expression->inner[k], inner_rows, *operands, &operands->inner[k],
                    &job->inner[k])) {
      return false;
    }
    inner_rows = operands->inner[0].rows;
    operands->in_place |= overlap(operands->inner[k], out) == Overlap::kSame;
  }
  job->inner_rows = inner_rows;
  for (int k = 0; k < job->outer_count; k++) {
    if (!check_term(entry, "outer", k, expression->outer[k], out.rows, *operands, &operands->outer[k],
                    &job->outer[k]) ||
        !entry.disjoint("outer", operands->outer[k], "y", out, true)) {
      return false;
    }
    operands->accumulate |= overlap(operands->outer[k], out) == Overlap::kSame;
  }
  int64_t halo_rows = 0;
  if (expression->halo != nullptr) {
    if (weights == nullptr) {
      entry.fail(KITH_INVALID, "a halo is given but no weights; only weights refer to its rows");
      return false;
    }
    if (!entry.matrix("halo", expression->halo, job->message_dtype, -1, out.cols, &operands->halo) ||
        !entry.disjoint("halo", operands->halo, "y", out, false)) {
      return false;
    }
    halo_rows = operands->halo.rows;
    job->halo = MixTerm{operands->halo.data, operands->halo.stride * operands->halo.element_bytes(),
                        operands->halo.dtype, 1, nullptr};
  }
  const bool may_be_same = weights == nullptr || (weights->pairwise && halo_rows == 0);
  for (int k = 0; k < job->inner_count; k++) {
    if (!entry.disjoint("inner", operands->inner[k], "y", out, may_be_same)) return false;
  }
  if (weights != nullptr) {
    if (weights->cols != inner_rows + halo_rows) {
      entry.fail(KITH_INVALID, "weights have %lld columns for %lld inner and %lld halo rows; let the numbers agree",
                 static_cast<long long>(weights->cols), static_cast<long long>(inner_rows),
                 static_cast<long long>(halo_rows));
      return false;
    }
    if (weights->output_rows == nullptr ? weights->rows != out.rows : weights->output_end > out.rows) {
      entry.fail(KITH_INVALID, "weights write %lld rows and y has %lld; let the numbers agree",
                 static_cast<long long>(weights->output_rows == nullptr ? weights->rows : weights->output_end),
                 static_cast<long long>(out.rows));
      return false;
    }
  }
  if (flags != nullptr) {
    const int64_t most = out.rows > inner_rows ? out.rows : inner_rows;
    if (!entry.matrix("flags", flags, KITH_I32, 1, most, &operands->flags) ||
        !entry.disjoint("flags", operands->flags, "y", out, false)) {
      return false;
    }
    for (int k = 0; k < job->inner_count + job->outer_count; k++) {
      const bool inner = k < job->inner_count;
      if (!entry.disjoint("flags", operands->flags, inner ? "inner" : "outer",
                          inner ? operands->inner[k] : operands->outer[k - job->inner_count], false)) {
        return false;
      }
    }
    job->flags = reinterpret_cast<int32_t*>(operands->flags.data);
  }
  job->y = out.data;
  job->y_stride = out.stride * out.element_bytes();
  return true;
}

// How a call is cut: `across` column ranges by `down` row ranges, column ranges outermost.
struct Plan {
  const MixJob* job;
  enum Strategy { kCombine, kTiles, kGather, kPairs } strategy;
  int wide;  // index into MixKernels: 1 for f64
  int64_t rows;
  int64_t cols;
  int64_t row_step;
  int64_t column_step;
  int64_t down;
  unsigned char* scratch;
  int64_t scratch_step;

  void cut(int64_t all_rows, int64_t all_cols, int64_t rows_each, int64_t cols_each) {
    rows = all_rows;
    cols = all_cols;
    row_step = rows_each < 1 ? 1 : rows_each;
    column_step = cols_each < 1 ? 1 : cols_each;
    down = (rows + row_step - 1) / row_step;
  }
  int64_t blocks() const { return down * ((cols + column_step - 1) / column_step); }
};

void mix_block(void* context, int64_t block, int32_t worker) {
  const Plan& plan = *static_cast<const Plan*>(context);
  const int64_t row = block % plan.down * plan.row_step;
  const int64_t column = block / plan.down * plan.column_step;
  const int64_t row_end = row + plan.row_step < plan.rows ? row + plan.row_step : plan.rows;
  const int64_t column_end = column + plan.column_step < plan.cols ? column + plan.column_step : plan.cols;
  unsigned char* scratch = plan.scratch + worker * plan.scratch_step;
  const MixKernels& kernels = mixing();
  switch (plan.strategy) {
    case Plan::kCombine:
      return kernels.combine[plan.wide](*plan.job, row, row_end, column, column_end);
    case Plan::kGather:
      return kernels.gather[plan.wide](*plan.job, row, row_end, column, column_end);
    case Plan::kTiles:
      return kernels.tiles[plan.wide](*plan.job, row, row_end, column, column_end, scratch);
    case Plan::kPairs:
      return kernels.pairs[plan.wide](*plan.job, row, row_end, column, column_end, scratch);
  }
}

// Everything here is a function of shapes and dtypes; nothing depends on threads.
void choose(const kith_weights* weights, const Operands& operands, MixJob* job, Plan* plan) {
  const int64_t size = operands.y.element_bytes();
  const int64_t rows = operands.y.rows, cols = operands.y.cols;
  const int64_t line = 64 / size;
  job->plain = job->inner_count == 1 && job->inner[0].coefficient == 1.0 && job->inner[0].row_coefficients == nullptr &&
               job->inner[0].dtype == operands.y.dtype && job->message_dtype == operands.y.dtype;
  job->streaming = operands.y.bytes() >= kStreamBytes && !operands.in_place && !operands.accumulate;
  if (weights == nullptr) {
    plan->strategy = Plan::kCombine;
    const int64_t wide = cols < kCombineBytes / size ? cols : kCombineBytes / size;
    plan->cut(rows, cols, kCombineBytes / size / (wide > 0 ? wide : 1), wide);
    return;
  }
  job->weights = MixWeights{
      weights->rows,        weights->cols,  weights->offsets,
      weights->columns,     weights->slots, size == 4 ? static_cast<const void*>(weights->values32) : weights->values64,
      weights->output_rows, weights->used,  weights->used_count,
      weights->pairs};
  if (weights->pairwise && job->halo.data == nullptr) {
    plan->strategy = Plan::kPairs;
    job->tile = cols < kPairTileBytes / size ? round_up(cols, line) : kPairTileBytes / size;
    job->pitch = job->tile * size + 64;
    const int64_t wide = cols < kCombineBytes / size ? cols : kCombineBytes / size;
    plan->cut(weights->pair_count, cols, kCombineBytes / size / (wide > 0 ? 2 * wide : 1), wide);
    plan->scratch_step = 2 * job->pitch;
    return;
  }
  const int64_t used = weights->used_count > 0 ? weights->used_count : 1;
  int64_t tile = kTileBytes / (used * size) / line * line;
  if (tile > kTileColumns) tile = kTileColumns;
  const bool fits = tile * size >= kTileBytesPerRow;
  const bool dense = weights->offsets == nullptr;
  if (!dense && (!fits || cols < kBlocksWanted * line)) {
    plan->strategy = Plan::kGather;
    const int64_t wide = cols < kGatherBytes / size ? cols : kGatherBytes / size;
    plan->cut(weights->rows, cols, kGatherBytes / size / (wide > 0 ? wide : 1), wide);
    return;
  }
  plan->strategy = Plan::kTiles;
  if (!fits) tile = kTileBytesPerRow / size;
  if (cols < kBlocksWanted * tile) tile = round_up(cols, kBlocksWanted * line) / kBlocksWanted;
  if (tile < line) tile = line;
  job->tile = tile;
  job->pitch = tile * size + 64;
  // Rows a multiple of a page apart compete for the same sets of the caches.
  job->staged = !job->plain || (job->inner[0].stride % 4096 == 0 && used > 8);
  const int64_t tiles = (cols + tile - 1) / tile;
  const int64_t each = tiles < kBlocksWanted * kTilesPerBlock ? 1 : kTilesPerBlock;
  // Few tiles of many dense rows: cut the rows too, though each part then stages the tile anew.
  const int64_t row_step = dense && tiles < kBlocksWanted ? 64 : weights->rows;
  plan->cut(weights->rows, cols, row_step, each * tile);
  plan->scratch_step = round_up(used * 8, 64) + used * job->pitch;
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
  kith_status status = kith::check_sparse(call, rows, cols, row_offsets, columns, values);
  int64_t output_end = output_rows == nullptr ? rows : 0;
  if (status == KITH_OK && output_rows != nullptr) {
    status = kith::check_output_rows(call, rows, output_rows, &output_end);
  }
  if (status != KITH_OK) return status;
  const int64_t entries = row_offsets[rows];
  kith_weights* w = static_cast<kith_weights*>(std::calloc(1, sizeof(kith_weights)));
  bool fine = w != nullptr;
  if (fine) {
    w->device = queue->device;
    w->rows = rows;
    w->cols = cols;
    w->entries = entries;
    w->output_end = output_end;
    fine = kith::take(&w->offsets, rows + 1) && kith::take(&w->columns, entries) && kith::take(&w->values32, entries) &&
           kith::take(&w->values64, entries) && (output_rows == nullptr || kith::take(&w->output_rows, rows));
  }
  if (fine) {
    std::memcpy(w->offsets, row_offsets, static_cast<size_t>(rows + 1) * sizeof(int64_t));
    if (entries > 0) std::memcpy(w->columns, columns, static_cast<size_t>(entries) * sizeof(int32_t));
    if (output_rows != nullptr && rows > 0) {
      std::memcpy(w->output_rows, output_rows, static_cast<size_t>(rows) * sizeof(int32_t));
    }
    kith::take_values(w, values);
    fine = kith::find_used(w) && kith::find_pairs(w);
  }
  if (!fine) {
    if (w != nullptr) kith::release(w);
    return fail(call, KITH_OUT_OF_MEMORY, "kith_weights_sparse: no memory for %lld entries of %lld rows",
                static_cast<long long>(entries), static_cast<long long>(rows));
  }
  *weights = w;
  return KITH_OK;
}

kith_status kith_weights_dense(kith_queue* queue, int64_t rows, int64_t cols, const double* values,
                               kith_weights** weights, kith_call* call) {
  if (queue == nullptr || weights == nullptr || values == nullptr) {
    return fail(call, KITH_INVALID, "kith_weights_dense: queue, values or weights is NULL; give all three");
  }
  if (rows < 1 || cols < 1 || rows > kith::kDenseLimit || cols > kith::kDenseLimit) {
    return fail(call, KITH_INVALID, "kith_weights_dense: %lld x %lld is no shape; give 1 to %lld rows and columns",
                static_cast<long long>(rows), static_cast<long long>(cols), static_cast<long long>(kith::kDenseLimit));
  }
  for (int64_t e = 0; e < rows * cols; e++) {
    if (!std::isfinite(values[e])) {
      return fail(call, KITH_INVALID,
                  "kith_weights_dense: the weight of row %lld and column %lld is %g; give finite weights",
                  static_cast<long long>(e / cols), static_cast<long long>(e % cols), values[e]);
    }
  }
  kith_weights* w = static_cast<kith_weights*>(std::calloc(1, sizeof(kith_weights)));
  if (w == nullptr || !kith::take(&w->values32, rows * cols) || !kith::take(&w->values64, rows * cols)) {
    if (w != nullptr) kith::release(w);
    return fail(call, KITH_OUT_OF_MEMORY, "kith_weights_dense: no memory for %lld x %lld weights",
                static_cast<long long>(rows), static_cast<long long>(cols));
  }
  w->device = queue->device;
  w->rows = rows;
  w->cols = cols;
  w->entries = rows * cols;
  w->used_count = cols;
  w->output_end = rows;
  kith::take_values(w, values);
  *weights = w;
  return KITH_OK;
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
  kith::release(weights);
  return KITH_OK;
}

kith_status kith_mix(kith_queue* queue, const kith_weights* weights, const kith_expression* expression,
                     const kith_matrix* y, const kith_matrix* flags, kith_call* call) {
  Entry entry(queue, call, "kith_mix");
  kith::Operands operands;
  kith::MixJob job{};
  if (!entry.ok() || !kith::check(entry, weights, expression, y, flags, &operands, &job)) return entry.status();
  kith::Plan plan{};
  plan.job = &job;
  plan.wide = operands.y.dtype == KITH_F64 ? 1 : 0;
  kith::choose(weights, operands, &job, &plan);
  const int64_t blocks = plan.blocks();
  if (plan.scratch_step > 0 && blocks > 0) {
    plan.scratch = static_cast<unsigned char*>(entry.scratch(entry.workers() * plan.scratch_step));
    if (plan.scratch == nullptr) return entry.status();
  }
  int64_t bytes = operands.y.bytes() + operands.halo.bytes();
  for (int k = 0; k < job.inner_count; k++) bytes += operands.inner[k].bytes();
  for (int k = 0; k < job.outer_count; k++) bytes += operands.outer[k].bytes();
  return entry.run(blocks, bytes, kith::mix_block, &plan);
}

}  // extern "C"
