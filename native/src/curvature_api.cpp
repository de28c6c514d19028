// curvature: how rows are cut into blocks, and where the sums of blocks lie.
#include <string.h>

#include "curvature_checks.hpp"
#include "dispatch.hpp"
#include "reduction.hpp"
#include "step_blocks.hpp"
#include "tree_sums.hpp"

namespace kith {

KITH_FAMILY(CurvatureKernels, curvature)

namespace {

// Columns per block of what sums nothing; narrow matrices take so many rows that a block has about as many elements.
constexpr int64_t kSpan = 16384;

int64_t cut_into(int64_t n, int64_t size) { return (n + size - 1) / size; }
int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t lines(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Row r of a vector of f64; the vector is one row.
double entry_of(const Matrix& m, int64_t r) { return reinterpret_cast<const double*>(m.data)[r]; }

// Blocks of `span` columns, or of several rows that are shorter.
struct Cut {
  int64_t rows;
  int64_t cols;
  int64_t span;
  int64_t across;
  int64_t rows_each;

  Cut(const Matrix& m, int64_t columns) : rows(m.rows), cols(m.cols), span(columns) {
    across = cols > 0 ? cut_into(cols, span) : 1;
    rows_each = cols < span ? span / (cols + 64) + 1 : 1;
  }
  int64_t blocks() const { return across * cut_into(rows, rows_each); }
  // Calls f(row, block of the row, first column, columns).
  template <class F>
  void each(int64_t block, F f) const {
    const int64_t part = block % across, begin = part * span;
    const int64_t first = block / across * rows_each;
    for (int64_t r = first; r < least(rows, first + rows_each); r++) f(r, part, begin, least(span, cols - begin));
  }
};

// Two sums of each row, block by block, and where they go.
struct Sums {
  double* blocks; /* rows x across x 2 */
  int64_t across;
  Matrix out; /* 2 x rows */

  double* of(int64_t row, int64_t part) const { return blocks + 2 * (row * across + part); }
};

void finish_row(void* context, int64_t row, int32_t) {
  const Sums& sums = *static_cast<const Sums*>(context);
  double* const values = sums.of(row, 0);
  combine_vectors(values, sums.across, 2, 2);
  for (int64_t i = 0; i < 2; i++) reinterpret_cast<double*>(sums.out.row(i))[row] = plain_nan(values[i]);
}

struct DiagonalContext {
  DiagonalOperands operands;
  Cut cut;
  DiagonalSpan span;
  const NoiseKey* keys; /* NULL: z = 1 */
  Sums sums;
};

DiagonalSpan span_of(const DiagonalContext& context, int64_t row, int64_t begin, int64_t n) {
  const DiagonalOperands& o = context.operands;
  DiagonalSpan span = context.span;
  span.key = context.keys == nullptr ? nullptr : context.keys + row;
  span.hz = element(o.hz, row, begin);
  span.d = element(o.d, row, begin);
  span.x = element(o.x, row, begin);
  span.x_before = element(o.x_before, row, begin);
  span.g = element(o.g, row, begin);
  span.g_before = element(o.g_before, row, begin);
  span.column = begin;
  span.n = n;
  return span;
}

int wide(const Matrix& m) { return m.dtype == KITH_F64 ? 1 : 0; }

void hutchinson_block(void* pointer, int64_t block, int32_t) {
  const DiagonalContext& context = *static_cast<const DiagonalContext*>(pointer);
  const auto kernel = curvature().hutchinson[wide(context.operands.d)];
  context.cut.each(block,
                   [&](int64_t row, int64_t, int64_t begin, int64_t n) { kernel(span_of(context, row, begin, n)); });
}

void statistics_block(void* pointer, int64_t block, int32_t) {
  const DiagonalContext& context = *static_cast<const DiagonalContext*>(pointer);
  const auto kernel = curvature().statistics[wide(context.operands.d)];
  context.cut.each(block, [&](int64_t row, int64_t part, int64_t begin, int64_t n) {
    kernel(span_of(context, row, begin, n), context.sums.of(row, part));
  });
}

struct ScaledContext {
  ScaledOperands operands;
  Cut cut;
  ScaledSpan span;
};

void scaled_block(void* pointer, int64_t block, int32_t) {
  const ScaledContext& context = *static_cast<const ScaledContext*>(pointer);
  const ScaledOperands& o = context.operands;
  const auto kernel = curvature().scaled[wide(o.x)];
  context.cut.each(block, [&](int64_t row, int64_t, int64_t begin, int64_t n) {
    ScaledSpan span = context.span;
    span.eta = entry_of(o.eta, row);
    span.d = element(o.d, row, begin);
    span.g = element(o.g, row, begin);
    span.x = element(o.x, row, begin);
    span.x_before = element(o.x_before, row, begin);
    span.n = n;
    kernel(span);
  });
}

struct DotsContext {
  Matrix r;
  Matrix w;
  Cut cut;
  Sums sums;
};

void dots_block(void* pointer, int64_t block, int32_t) {
  const DotsContext& context = *static_cast<const DotsContext*>(pointer);
  const auto kernel = curvature().dots[wide(context.r)];
  context.cut.each(block, [&](int64_t row, int64_t part, int64_t begin, int64_t n) {
    kernel(element(context.r, row, begin), element(context.w, row, begin), n, context.sums.of(row, part));
  });
}

struct ConjugateContext {
  ConjugateOperands operands;
  Cut cut;
};

void conjugate_block(void* pointer, int64_t block, int32_t) {
  const ConjugateContext& context = *static_cast<const ConjugateContext*>(pointer);
  const ConjugateOperands& o = context.operands;
  const auto kernel = curvature().conjugate[wide(o.x)];
  context.cut.each(block, [&](int64_t row, int64_t, int64_t begin, int64_t n) {
    const double alpha = entry_of(o.alpha, row);
    if (alpha == 0) return;
    kernel(ConjugateSpan{alpha, entry_of(o.beta, row), element(o.r, row, begin), element(o.w, row, begin),
                         element(o.p, row, begin), element(o.s, row, begin), element(o.x, row, begin), n});
  });
}

// Keys of the field, if there is one, at the start of the scratch.
int64_t key_bytes(const kith_field* field) {
  return field == nullptr ? 0 : lines(field->count * static_cast<int64_t>(sizeof(NoiseKey)));
}

void draw_keys(const kith_field* field, void* scratch, DiagonalContext* context) {
  if (field == nullptr) return;
  NoiseKey* const keys = static_cast<NoiseKey*>(scratch);
  noise_keys(*field, keys);
  context->keys = keys;
  context->span.generator = field->generator;
}

// Keys of secrets stay nowhere.
kith_status wiped(const kith_field* field, void* keys, kith_status status) {
  if (field != nullptr && field->generator == KITH_CHACHA) {
    explicit_bzero(keys, static_cast<size_t>(key_bytes(field)));
  }
  return status;
}

kith_status summed(Entry& entry, const Cut& cut, int64_t bytes, BlockBody body, void* context, Sums* sums) {
  if (entry.phase(cut.blocks(), bytes, body, context) != KITH_OK) return entry.status();
  if (entry.phase(cut.rows, 16 * cut.rows * cut.across, finish_row, sums) != KITH_OK) return entry.status();
  return entry.finish();
}

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_curvature_step(kith_queue* queue, const kith_step* step, double scale, const kith_matrix* x,
                                const kith_matrix* g, const kith_matrix* h, const kith_matrix* s1,
                                const kith_matrix* s2, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_curvature_step");
  StepContext context = {};
  StepOperands& operands = context.operands;
  if (!check_curvature_step(entry, step, scale, x, g, h, s1, s2, &operands)) return entry.status();
  const int64_t blocks = cut(context);
  if (blocks == 0) return entry.finish();
  StepNumbers* numbers =
      static_cast<StepNumbers*>(entry.scratch(operands.group_count * static_cast<int64_t>(sizeof(StepNumbers))));
  if (numbers == nullptr) return entry.status();
  for (int64_t k = 0; k < operands.group_count; k++) numbers[k] = curvature_numbers(*step, scale, k);
  context.numbers = numbers;
  context.groups = step->groups;
  context.kernel = curvature().span[step->rule][wide(operands.x)][operands.gradient];
  return entry.run(blocks, moved_bytes(operands), step_body, &context);
}

kith_status kith_hutchinson(kith_queue* queue, const kith_field* field, double beta, const kith_matrix* hz,
                            const kith_matrix* d, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_hutchinson");
  DiagonalOperands operands = {};
  if (!check_hutchinson(entry, field, beta, hz, d, &operands)) return entry.status();
  if (operands.d.rows == 0 || operands.d.cols == 0) return entry.finish();
  DiagonalContext context = {operands, Cut(operands.d, kSpan), {}, nullptr, {}};
  context.span.hz_dtype = operands.hz_dtype;
  context.span.beta = beta;
  void* const scratch = entry.scratch(key_bytes(field) + 64);
  if (scratch == nullptr) return entry.status();
  draw_keys(field, scratch, &context);
  return wiped(
      field, scratch,
      entry.run(context.cut.blocks(), 2 * operands.d.bytes() + operands.hz.bytes(), hutchinson_block, &context));
}

kith_status kith_oasis_statistics(kith_queue* queue, const kith_field* field, double beta, double alpha,
                                  const kith_matrix* hz, const kith_matrix* d, const kith_matrix* x,
                                  const kith_matrix* x_before, const kith_matrix* g, const kith_matrix* g_before,
                                  const kith_matrix* norms, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_oasis_statistics");
  DiagonalOperands operands = {};
  if (!check_statistics(entry, field, beta, alpha, hz, d, x, x_before, g, g_before, norms, &operands)) {
    return entry.status();
  }
  if (operands.d.rows == 0) return entry.finish();
  DiagonalContext context = {operands, Cut(operands.d, kRowBlock), {}, nullptr, {}};
  context.span.beta = beta;
  context.span.alpha = alpha;
  const int64_t keys = key_bytes(field);
  unsigned char* const scratch =
      static_cast<unsigned char*>(entry.scratch(keys + 16 * operands.d.rows * context.cut.across));
  if (scratch == nullptr) return entry.status();
  draw_keys(field, scratch, &context);
  context.sums = Sums{reinterpret_cast<double*>(scratch + keys), context.cut.across, operands.norms};
  return wiped(field, scratch,
               summed(entry, context.cut, 7 * operands.d.bytes(), statistics_block, &context, &context.sums));
}

kith_status kith_oasis_step(kith_queue* queue, double alpha, int32_t floor, const kith_matrix* eta,
                            const kith_matrix* d, const kith_matrix* g, const kith_matrix* x,
                            const kith_matrix* x_before, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_oasis_step");
  ScaledOperands operands = {};
  if (!check_scaled(entry, alpha, floor, eta, d, g, x, x_before, &operands)) return entry.status();
  if (operands.x.rows == 0 || operands.x.cols == 0) return entry.finish();
  ScaledContext context = {operands, Cut(operands.x, kSpan), {}};
  context.span.alpha = alpha;
  context.span.floor = floor;
  const int64_t streams = x_before == nullptr ? 4 : 5;
  return entry.run(context.cut.blocks(), streams * operands.x.bytes(), scaled_block, &context);
}

kith_status kith_dots(kith_queue* queue, const kith_matrix* r, const kith_matrix* w, const kith_matrix* out,
                      kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_dots");
  Matrix mr, mw, mout;
  if (!check_dots(entry, r, w, out, &mr, &mw, &mout)) return entry.status();
  if (mr.rows == 0) return entry.finish();
  DotsContext context = {mr, mw, Cut(mr, kRowBlock), {}};
  double* const blocks = static_cast<double*>(entry.scratch(16 * mr.rows * context.cut.across));
  if (blocks == nullptr) return entry.status();
  context.sums = Sums{blocks, context.cut.across, mout};
  return summed(entry, context.cut, 2 * mr.bytes(), dots_block, &context, &context.sums);
}

kith_status kith_cg_update(kith_queue* queue, const kith_matrix* alpha, const kith_matrix* beta, const kith_matrix* r,
                           const kith_matrix* w, const kith_matrix* p, const kith_matrix* s, const kith_matrix* x,
                           kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_cg_update");
  ConjugateOperands operands = {};
  if (!check_conjugate(entry, alpha, beta, r, w, p, s, x, &operands)) return entry.status();
  if (operands.x.rows == 0 || operands.x.cols == 0) return entry.finish();
  ConjugateContext context = {operands, Cut(operands.x, kSpan)};
  return entry.run(context.cut.blocks(), 9 * operands.x.bytes(), conjugate_block, &context);
}

}  // extern "C"
