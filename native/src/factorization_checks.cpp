// Checks of the family factorization.
#include "factorization_checks.hpp"

namespace kith {

namespace {

long long wide(int64_t n) { return static_cast<long long>(n); }

bool side(Arguments& entry, const char* name, int64_t n) {
  if (n <= kFactorSide) return true;
  entry.fail(KITH_INVALID, "%s has %lld columns; a factorization takes up to %lld", name, wide(n), wide(kFactorSide));
  return false;
}

bool square(Arguments& entry, const char* name, const View& v) {
  if (v.rows == v.cols) return side(entry, name, v.cols);
  entry.fail(KITH_INVALID, "%s is %lld x %lld; give square matrices", name, wide(v.rows), wide(v.cols));
  return false;
}

bool tall(Arguments& entry, const char* name, const View& v) {
  if (v.rows >= v.cols) return side(entry, name, v.cols);
  entry.fail(KITH_INVALID, "%s is %lld x %lld; give at least as many rows as columns, or its transpose", name,
             wide(v.rows), wide(v.cols));
  return false;
}

Matrix one_row(const View& v) { return Matrix{v.data, v.extent == 0 ? 0 : 1, v.extent, v.extent, v.dtype}; }

// Written apart from what is read; where it is the same window it is read first.
bool written(Arguments& entry, const char* name, const View& v, const char* other, const View& with) {
  return same(v, with) || disjoint(entry, name, v, other, with);
}

bool figure(Arguments& entry, const char* name, const kith_matrix* m, int32_t dtype, const FactorOperands& operands,
            Matrix* out) {
  if (m == nullptr) return true;
  if (!entry.matrix(name, m, dtype, 1, operands.batches, out)) return false;
  const struct {
    const char* name;
    const View& view;
  } others[] = {{"what is read", operands.in}, {"the result", operands.out}, {"the second result", operands.second}};
  for (const auto& o : others) {
    if (o.view.data != nullptr && !entry.disjoint(name, *out, o.name, one_row(o.view), false)) return false;
  }
  return true;
}

FactorMatrix at(const View& v, int64_t b) {
  if (v.data == nullptr) return FactorMatrix{nullptr, 0};
  return FactorMatrix{v.at(b, 0, 0), v.row_stride};
}

}  // namespace

bool check_eigen(Arguments& entry, int64_t batches, const kith_batch* a, const kith_batch* values,
                 const kith_batch* vectors, const kith_matrix* sweeps, FactorOperands* out) {
  *out = FactorOperands{};
  out->operation = kEigen;
  out->batches = batches;
  if (!check_batches(entry, batches) || !view(entry, "a", a, batches, false, &out->in) ||
      !square(entry, "a", out->in) || !view(entry, "values", values, batches, true, &out->second) ||
      !shaped(entry, "values", out->second, out->in.dtype, 1, out->in.cols) ||
      !disjoint(entry, "values", out->second, "a", out->in)) {
    return false;
  }
  if (vectors != nullptr && (!view(entry, "vectors", vectors, batches, true, &out->out) ||
                             !shaped(entry, "vectors", out->out, out->in.dtype, out->in.rows, out->in.cols) ||
                             !written(entry, "vectors", out->out, "a", out->in) ||
                             !disjoint(entry, "vectors", out->out, "values", out->second))) {
    return false;
  }
  return figure(entry, "sweeps", sweeps, KITH_I32, *out, &out->count);
}

bool check_qr(Arguments& entry, int64_t batches, const kith_batch* a, const kith_batch* q, const kith_batch* r,
              FactorOperands* out) {
  *out = FactorOperands{};
  out->operation = kQr;
  out->batches = batches;
  if (!check_batches(entry, batches) || !view(entry, "a", a, batches, false, &out->in) || !tall(entry, "a", out->in) ||
      !view(entry, "q", q, batches, true, &out->out) ||
      !shaped(entry, "q", out->out, out->in.dtype, out->in.rows, out->in.cols) ||
      !written(entry, "q", out->out, "a", out->in)) {
    return false;
  }
  return r == nullptr ||
         (view(entry, "r", r, batches, true, &out->second) &&
          shaped(entry, "r", out->second, out->in.dtype, out->in.cols, out->in.cols) &&
          disjoint(entry, "r", out->second, "a", out->in) && disjoint(entry, "r", out->second, "q", out->out));
}

bool check_polar(Arguments& entry, int64_t batches, const kith_batch* y, const kith_batch* x,
                 const kith_matrix* distance, const kith_matrix* rank, FactorOperands* out) {
  *out = FactorOperands{};
  out->operation = kPolar;
  out->batches = batches;
  if (!check_batches(entry, batches) || !view(entry, "y", y, batches, false, &out->in) || !tall(entry, "y", out->in)) {
    return false;
  }
  if (x != nullptr && (!view(entry, "x", x, batches, true, &out->out) ||
                       !shaped(entry, "x", out->out, out->in.dtype, out->in.rows, out->in.cols) ||
                       !written(entry, "x", out->out, "y", out->in))) {
    return false;
  }
  if (!figure(entry, "distance", distance, KITH_F64, *out, &out->figure) ||
      !figure(entry, "rank", rank, KITH_I32, *out, &out->count)) {
    return false;
  }
  return distance == nullptr || rank == nullptr || entry.disjoint("distance", out->figure, "rank", out->count, false);
}

bool check_tangent(Arguments& entry, int64_t batches, const kith_batch* x, const kith_batch* z, const kith_batch* out,
                   FactorOperands* operands) {
  *operands = FactorOperands{};
  operands->operation = kTangent;
  operands->batches = batches;
  FactorOperands& o = *operands;
  return check_batches(entry, batches) && view(entry, "x", x, batches, false, &o.in) && tall(entry, "x", o.in) &&
         view(entry, "z", z, batches, false, &o.second) &&
         shaped(entry, "z", o.second, o.in.dtype, o.in.rows, o.in.cols) &&
         view(entry, "out", out, batches, true, &o.out) &&
         shaped(entry, "out", o.out, o.in.dtype, o.in.rows, o.in.cols) && written(entry, "out", o.out, "x", o.in) &&
         written(entry, "out", o.out, "z", o.second);
}

bool check_cholesky(Arguments& entry, int64_t batches, const kith_batch* a, const kith_batch* l,
                    const kith_matrix* failed, FactorOperands* out) {
  *out = FactorOperands{};
  out->operation = kCholesky;
  out->batches = batches;
  return check_batches(entry, batches) && view(entry, "a", a, batches, false, &out->in) &&
         square(entry, "a", out->in) && view(entry, "l", l, batches, true, &out->out) &&
         shaped(entry, "l", out->out, out->in.dtype, out->in.rows, out->in.cols) &&
         written(entry, "l", out->out, "a", out->in) && figure(entry, "failed", failed, KITH_I32, *out, &out->count);
}

bool check_cholesky_solve(Arguments& entry, int64_t batches, const kith_batch* l, const kith_batch* b,
                          const kith_batch* x, FactorOperands* out) {
  *out = FactorOperands{};
  out->operation = kSolve;
  out->batches = batches;
  if (!check_batches(entry, batches) || !view(entry, "l", l, batches, false, &out->in) ||
      !square(entry, "l", out->in) || !view(entry, "b", b, batches, false, &out->second)) {
    return false;
  }
  out->width = out->second.cols;
  return shaped(entry, "b", out->second, out->in.dtype, out->in.rows, out->width) &&
         view(entry, "x", x, batches, true, &out->out) &&
         shaped(entry, "x", out->out, out->in.dtype, out->in.rows, out->width) &&
         disjoint(entry, "x", out->out, "l", out->in) && written(entry, "x", out->out, "b", out->second);
}

bool check_cholesky_update(Arguments& entry, int64_t batches, int32_t downdate, const kith_batch* l,
                           const kith_batch* v, const kith_matrix* failed, FactorOperands* out) {
  *out = FactorOperands{};
  out->operation = kUpdate;
  out->batches = batches;
  out->downdate = downdate;
  if (!check_batches(entry, batches) || !view(entry, "l", l, batches, true, &out->in) || !square(entry, "l", out->in) ||
      !view(entry, "v", v, batches, false, &out->second)) {
    return false;
  }
  out->out = out->in;
  out->width = out->second.rows;
  if (downdate != 0 && downdate != 1) {
    entry.fail(KITH_INVALID, "downdate is %d; give 0 to add the vectors and 1 to take them away", downdate);
    return false;
  }
  return shaped(entry, "v", out->second, out->in.dtype, out->width, out->in.cols) &&
         disjoint(entry, "l", out->in, "v", out->second) &&
         figure(entry, "failed", failed, KITH_I32, *out, &out->count);
}

FactorTask factor_task(const FactorOperands& operands, int64_t b) {
  FactorTask task = {};
  task.operation = operands.operation;
  task.f64 = operands.in.dtype == KITH_F64 ? 1 : 0;
  task.rows = operands.in.rows;
  task.cols = operands.in.cols;
  task.width = operands.width;
  task.downdate = operands.downdate;
  task.in = at(operands.in, b);
  task.out = at(operands.out, b);
  task.second = at(operands.second, b);
  task.count = operands.count.data == nullptr ? nullptr : reinterpret_cast<int32_t*>(operands.count.data) + b;
  task.figure = operands.figure.data == nullptr ? nullptr : reinterpret_cast<double*>(operands.figure.data) + b;
  return task;
}

}  // namespace kith
