// Checks of the family curvature.
#include "curvature_checks.hpp"

#include <cmath>

namespace kith {

namespace {

constexpr int kStates[] = {2, 1, 1};
constexpr int64_t kMostColumns = int64_t{1} << 42;  // words of one key, stream, node and round; signs take fewer

struct Named {
  const char* name;
  const Matrix& m;
  bool written;
};

// What is written overlaps nothing.
template <int count>
bool check_apart(Arguments& entry, const Named (&all)[count]) {
  for (int a = 0; a < count; a++) {
    for (int b = a + 1; b < count; b++) {
      if (all[a].m.data == nullptr || all[b].m.data == nullptr || (!all[a].written && !all[b].written)) continue;
      if (!entry.disjoint(all[a].name, all[a].m, all[b].name, all[b].m, false)) return false;
    }
  }
  return true;
}

bool check_computed(Arguments& entry, const char* name, const kith_matrix* m, Matrix* out) {
  if (!entry.matrix(name, m, out)) return false;
  if (out->dtype == KITH_F32 || out->dtype == KITH_F64) return true;
  entry.fail(KITH_UNSUPPORTED, "%s is %s; it is f32 or f64", name, dtype_name(out->dtype));
  return false;
}

bool check_like(Arguments& entry, const char* name, const kith_matrix* m, const Matrix& like, Matrix* out) {
  return entry.matrix(name, m, like.dtype, like.rows, like.cols, out);
}

bool check_positive(Arguments& entry, const char* name, double value) {
  if (std::isfinite(value) && value > 0) return true;
  entry.fail(KITH_INVALID, "%s is %g; use a positive finite number", name, value);
  return false;
}

bool check_probe(Arguments& entry, const kith_field* field, double beta, const Matrix& d) {
  if (!std::isfinite(beta)) {
    entry.fail(KITH_INVALID, "beta is %g; use a finite number", beta);
    return false;
  }
  if (field == nullptr) return true;
  if (!check_field(entry, field)) return false;
  if (field->distribution != KITH_RADEMACHER || field->count != d.rows) {
    entry.fail(KITH_INVALID,
               "the field has the distribution %d and %lld sources for %lld rows of d; use signs (%d), one "
               "source for each row",
               field->distribution, static_cast<long long>(field->count), static_cast<long long>(d.rows),
               KITH_RADEMACHER);
    return false;
  }
  if (d.cols > kMostColumns) {
    entry.fail(KITH_INVALID, "d has %lld columns; a row draws at most 2^42 signs", static_cast<long long>(d.cols));
    return false;
  }
  return true;
}

}  // namespace

bool check_curvature_step(Arguments& entry, const kith_step* step, double scale, const kith_matrix* x,
                          const kith_matrix* g, const kith_matrix* h, const kith_matrix* s1, const kith_matrix* s2,
                          StepOperands* operands) {
  if (!entry.ok()) return false;
  if (step == nullptr) {
    entry.fail(KITH_INVALID, "step is NULL; give the rule and its numbers");
    return false;
  }
  if (step->rule < KITH_ADAHESSIAN || step->rule > KITH_SOPHIA_H) {
    entry.fail(KITH_INVALID, "the rule is %d; use one of kith_curvature_rule", step->rule);
    return false;
  }
  if (h == nullptr) {
    entry.fail(KITH_INVALID, "h is NULL; give the curvature");
    return false;
  }
  if (!std::isfinite(scale)) {
    entry.fail(KITH_INVALID, "scale is %g; use a finite number", scale);
    return false;
  }
  operands->states = kStates[step->rule];
  if (!check_step_operands(entry, *step, x, g, h, s1, s2, operands)) return false;
  const Matrix& wanted = step->rule == KITH_ADAHESSIAN ? operands->g : operands->x;
  if (operands->h.dtype != wanted.dtype) {
    entry.fail(KITH_UNSUPPORTED, "h is %s; for this rule it is %s, as %s", dtype_name(operands->h.dtype),
               dtype_name(wanted.dtype), step->rule == KITH_ADAHESSIAN ? "g" : "x");
    return false;
  }
  return true;
}

StepNumbers curvature_numbers(const kith_step& step, double scale, int64_t k) {
  StepNumbers numbers = step_numbers(step, k);
  numbers.k = scale;
  return numbers;
}

bool check_hutchinson(Arguments& entry, const kith_field* field, double beta, const kith_matrix* hz,
                      const kith_matrix* d, DiagonalOperands* out) {
  if (!check_computed(entry, "d", d, &out->d) || !check_probe(entry, field, beta, out->d) ||
      !entry.matrix("hz", hz, -1, out->d.rows, out->d.cols, &out->hz)) {
    return false;
  }
  out->hz_dtype = out->hz.dtype == out->d.dtype ? 0 : out->hz.dtype == KITH_BF16 ? 1 : 2;
  if (out->hz_dtype == 2 && out->hz.dtype != KITH_F16) {
    entry.fail(KITH_UNSUPPORTED, "hz is %s and d is %s; hz is the dtype of d, bf16 or f16", dtype_name(out->hz.dtype),
               dtype_name(out->d.dtype));
    return false;
  }
  return entry.disjoint("d", out->d, "hz", out->hz, false);
}

bool check_statistics(Arguments& entry, const kith_field* field, double beta, double alpha, const kith_matrix* hz,
                      const kith_matrix* d, const kith_matrix* x, const kith_matrix* x_before, const kith_matrix* g,
                      const kith_matrix* g_before, const kith_matrix* norms, DiagonalOperands* out) {
  if (!check_computed(entry, "d", d, &out->d) || !check_probe(entry, field, beta, out->d) ||
      !check_positive(entry, "alpha", alpha)) {
    return false;
  }
  const Matrix& md = out->d;
  if (!check_like(entry, "hz", hz, md, &out->hz) || !check_like(entry, "x", x, md, &out->x) ||
      !check_like(entry, "x_before", x_before, md, &out->x_before) || !check_like(entry, "g", g, md, &out->g) ||
      !check_like(entry, "g_before", g_before, md, &out->g_before) ||
      !entry.matrix("norms", norms, KITH_F64, 2, md.rows, &out->norms)) {
    return false;
  }
  return check_apart(entry, {{"d", md, true},
                             {"norms", out->norms, true},
                             {"hz", out->hz, false},
                             {"x", out->x, false},
                             {"x_before", out->x_before, false},
                             {"g", out->g, false},
                             {"g_before", out->g_before, false}});
}

bool check_scaled(Arguments& entry, double alpha, int32_t floor, const kith_matrix* eta, const kith_matrix* d,
                  const kith_matrix* g, const kith_matrix* x, const kith_matrix* x_before, ScaledOperands* out) {
  if (!check_computed(entry, "x", x, &out->x) || !check_positive(entry, "alpha", alpha)) return false;
  if (floor < 0 || floor > 3) {
    entry.fail(KITH_INVALID, "floor is %d; use 0 to 3", floor);
    return false;
  }
  const Matrix& mx = out->x;
  if (!check_like(entry, "d", d, mx, &out->d) || !check_like(entry, "g", g, mx, &out->g) ||
      !entry.matrix("eta", eta, KITH_F64, 1, mx.rows, &out->eta) ||
      (x_before != nullptr && !check_like(entry, "x_before", x_before, mx, &out->x_before))) {
    return false;
  }
  return check_apart(entry, {{"x", mx, true},
                             {"x_before", out->x_before, true},
                             {"d", out->d, false},
                             {"g", out->g, false},
                             {"eta", out->eta, false}});
}

bool check_dots(Arguments& entry, const kith_matrix* r, const kith_matrix* w, const kith_matrix* out, Matrix* mr,
                Matrix* mw, Matrix* mout) {
  return check_computed(entry, "r", r, mr) && check_like(entry, "w", w, *mr, mw) &&
         entry.matrix("out", out, KITH_F64, 2, mr->rows, mout) &&
         check_apart(entry, {{"out", *mout, true}, {"r", *mr, false}, {"w", *mw, false}});
}

bool check_conjugate(Arguments& entry, const kith_matrix* alpha, const kith_matrix* beta, const kith_matrix* r,
                     const kith_matrix* w, const kith_matrix* p, const kith_matrix* s, const kith_matrix* x,
                     ConjugateOperands* out) {
  if (!check_computed(entry, "x", x, &out->x)) return false;
  const Matrix& mx = out->x;
  if (!check_like(entry, "r", r, mx, &out->r) || !check_like(entry, "w", w, mx, &out->w) ||
      !check_like(entry, "p", p, mx, &out->p) || !check_like(entry, "s", s, mx, &out->s) ||
      !entry.matrix("alpha", alpha, KITH_F64, 1, mx.rows, &out->alpha) ||
      !entry.matrix("beta", beta, KITH_F64, 1, mx.rows, &out->beta)) {
    return false;
  }
  return check_apart(entry, {{"x", mx, true},
                             {"r", out->r, true},
                             {"p", out->p, true},
                             {"s", out->s, true},
                             {"w", out->w, false},
                             {"alpha", out->alpha, false},
                             {"beta", out->beta, false}});
}

}  // namespace kith
