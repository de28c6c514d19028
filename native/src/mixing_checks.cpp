// Checks of the family mixing.
#include "mixing_checks.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "noise_checks.hpp"

namespace kith {

namespace {

constexpr int64_t kIndexLimit = INT32_MAX;

kith_status check_entries(kith_call* call, int64_t rows, int64_t cols, const int64_t* offsets, const int32_t* columns,
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

int32_t* take(int64_t count) {
  return static_cast<int32_t*>(std::malloc(static_cast<size_t>(count > 0 ? count : 1) * sizeof(int32_t)));
}

// Whether y's compute type holds a dtype.
bool fits(int32_t dtype, const Matrix& y) { return is_floating(dtype) && (dtype != KITH_F64 || y.dtype == KITH_F64); }

bool check_term(Arguments& entry, const char* kind, int k, const kith_term& term, int64_t rows,
                const MixOperands& operands, Matrix* m, MixTerm* out) {
  char name[32];
  std::snprintf(name, sizeof(name), "%s[%d]", kind, k);
  if (!entry.matrix(name, term.matrix, -1, rows, operands.y.cols, m)) return false;
  if (!fits(m->dtype, operands.y)) {
    entry.fail(KITH_INVALID, "%s is %s and y is %s; terms must be floating, and f64 only where y is f64", name,
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

bool check_noise_term(Arguments& entry, const kith_noise_term& noise, int64_t inner_rows, int64_t cols) {
  if (!check_field(entry, noise.field)) return false;
  if (noise.field->distribution == KITH_WORDS) {
    entry.fail(KITH_INVALID, "the noise is of words, which are bits; draw numbers");
    return false;
  }
  if (!std::isfinite(noise.scale)) {
    entry.fail(KITH_INVALID, "the scale of the noise is %g; use a finite number", noise.scale);
    return false;
  }
  if (cols > kMostNoiseColumns) {
    entry.fail(KITH_INVALID, "y has %lld columns; a row of noise draws at most 2^42 numbers",
               static_cast<long long>(cols));
    return false;
  }
  const kith_weights* const factor = noise.factor;
  const int64_t count = noise.field->count;
  if (factor == nullptr) {
    if (count == inner_rows) return true;
    entry.fail(KITH_INVALID, "the noise has %lld sources for %lld inner rows; give as many, or a factor",
               static_cast<long long>(count), static_cast<long long>(inner_rows));
    return false;
  }
  if (factor->device != entry.device()) {
    entry.fail(KITH_INVALID, "the factor of the noise lives on another device than the queue; create it there");
    return false;
  }
  if (factor->scattered) {
    entry.fail(KITH_INVALID, "the factor of the noise has output rows; give a row for each inner row");
    return false;
  }
  if (factor->rows != inner_rows || factor->cols != count) {
    entry.fail(KITH_INVALID,
               "the factor of the noise is %lld x %lld for %lld inner rows and %lld sources; let the numbers agree",
               static_cast<long long>(factor->rows), static_cast<long long>(factor->cols),
               static_cast<long long>(inner_rows), static_cast<long long>(count));
    return false;
  }
  return true;
}

}  // namespace

kith_status check_sparse(kith_call* call, int64_t rows, int64_t cols, const int64_t* offsets, const int32_t* columns,
                         const double* values, const int32_t* output_rows, int64_t* output_end) {
  const kith_status status = check_entries(call, rows, cols, offsets, columns, values);
  if (status != KITH_OK) return status;
  *output_end = output_rows == nullptr ? rows : 0;
  return output_rows == nullptr ? KITH_OK : check_output_rows(call, rows, output_rows, output_end);
}

kith_status check_dense(kith_call* call, int64_t rows, int64_t cols, const double* values) {
  if (rows < 1 || cols < 1 || rows > kDenseLimit || cols > kDenseLimit) {
    return fail(call, KITH_INVALID, "kith_weights_dense: %lld x %lld is no shape; give 1 to %lld rows and columns",
                static_cast<long long>(rows), static_cast<long long>(cols), static_cast<long long>(kDenseLimit));
  }
  for (int64_t e = 0; e < rows * cols; e++) {
    if (!std::isfinite(values[e])) {
      return fail(call, KITH_INVALID,
                  "kith_weights_dense: the weight of row %lld and column %lld is %g; give finite weights",
                  static_cast<long long>(e / cols), static_cast<long long>(e % cols), values[e]);
    }
  }
  return KITH_OK;
}

bool list_used(int64_t cols, const int32_t* columns, int64_t entries, int32_t** used, int32_t** slots,
               int64_t* used_count) {
  int32_t* position = take(cols);
  if (position == nullptr) return false;
  for (int64_t j = 0; j < cols; j++) position[j] = -1;
  for (int64_t e = 0; e < entries; e++) position[columns[e]] = 0;
  int32_t count = 0;
  for (int64_t j = 0; j < cols; j++) {
    if (position[j] == 0) position[j] = count++;
  }
  *used_count = count;
  bool fine = true;
  if (count < cols) {
    *used = take(count);
    *slots = take(entries);
    fine = *used != nullptr && *slots != nullptr;
    for (int64_t j = 0; j < cols && fine; j++) {
      if (position[j] >= 0) (*used)[position[j]] = static_cast<int32_t>(j);
    }
    for (int64_t e = 0; e < entries && fine; e++) (*slots)[e] = position[columns[e]];
  }
  std::free(position);
  return fine;
}

bool list_pairs(int64_t rows, const int64_t* offsets, const int32_t* columns, bool* pairwise, int32_t** pairs,
                int64_t* pair_count) {
  int32_t* partner = take(rows);
  if (partner == nullptr) return false;
  for (int64_t i = 0; i < rows; i++) partner[i] = static_cast<int32_t>(i);
  *pairwise = true;
  for (int64_t i = 0; i < rows && *pairwise; i++) {
    for (int64_t e = offsets[i]; e < offsets[i + 1] && *pairwise; e++) {
      const int64_t j = columns[e];
      if (j == i) continue;
      const bool free_both = partner[i] == i && partner[j] == j;
      *pairwise = free_both || partner[i] == j;
      if (free_both) {
        partner[i] = static_cast<int32_t>(j);
        partner[j] = static_cast<int32_t>(i);
      }
    }
  }
  bool fine = true;
  if (*pairwise) {
    *pairs = take(2 * rows);
    fine = *pairs != nullptr;
    for (int64_t i = 0; i < rows && fine; i++) {
      if (partner[i] < i) continue;
      (*pairs)[2 * *pair_count] = static_cast<int32_t>(i);
      (*pairs)[2 * (*pair_count)++ + 1] = partner[i];
    }
  }
  std::free(partner);
  return fine;
}

bool check_mix(Arguments& entry, const kith_weights* weights, const kith_expression* expression, const kith_matrix* y,
               const kith_matrix* flags, MixOperands* operands, MixJob* job) {
  if (expression == nullptr) {
    entry.fail(KITH_INVALID, "expression is NULL; give one");
    return false;
  }
  if (!entry.matrix("y", y, &operands->y)) return false;
  const Matrix& out = operands->y;
  if (!is_floating(out.dtype)) {
    entry.fail(KITH_UNSUPPORTED, "y is %s; mix into a floating dtype", dtype_name(out.dtype));
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
  if ((expression->inner_count > 0 || expression->noise != nullptr) && !fits(job->message_dtype, out)) {
    entry.fail(KITH_INVALID, "the message dtype is %s and y is %s; use a floating dtype, and f64 only where y is f64",
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
  operands->noise = expression->noise;
  if (expression->noise != nullptr && !check_noise_term(entry, *expression->noise, inner_rows, out.cols)) return false;
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
    if (!weights->scattered ? weights->rows != out.rows : weights->output_end > out.rows) {
      entry.fail(KITH_INVALID, "weights write %lld rows and y has %lld; let the numbers agree",
                 static_cast<long long>(!weights->scattered ? weights->rows : weights->output_end),
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
  job->y_dtype = out.dtype;
  return true;
}

}  // namespace kith
