// Checks of the family lowrank.
#include "lowrank_checks.hpp"

namespace kith {

namespace {

long long wide(int64_t n) { return static_cast<long long>(n); }

// The tensors lie apart within `width` columns; *p_cols and *q_cols are what their factors take.
bool check_shapes(Arguments& entry, const kith_shape* shapes, int64_t count, int64_t width, int64_t* p_cols,
                  int64_t* q_cols) {
  if (!entry.ok()) return false;
  if (count < 0 || (count > 0 && shapes == nullptr)) {
    entry.fail(KITH_INVALID, "shapes is %s with %lld tensors; give their address and number",
               shapes == nullptr ? "NULL" : "given", wide(count));
    return false;
  }
  int64_t at = 0;
  *p_cols = 0;
  *q_cols = 0;
  for (int64_t t = 0; t < count; t++) {
    const kith_shape& s = shapes[t];
    const int64_t least = s.rows < s.cols ? s.rows : s.cols;
    if (s.rows < 1 || s.cols < 1 || s.rank < 1 || s.rank > KITH_MAX_RANK || s.rank > least) {
      entry.fail(KITH_INVALID,
                 "tensor %lld is %lld x %lld of rank %lld; give a rank from 1 to %d and to its least side", wide(t),
                 wide(s.rows), wide(s.cols), wide(s.rank), KITH_MAX_RANK);
      return false;
    }
    int64_t size = 0, end = 0;
    if (s.offset < at || __builtin_mul_overflow(s.rows, s.cols, &size) ||
        __builtin_add_overflow(s.offset, size, &end) || end > width) {
      entry.fail(KITH_INVALID,
                 "tensor %lld is %lld x %lld at column %lld; tensors must ascend without overlap within %lld columns",
                 wide(t), wide(s.rows), wide(s.cols), wide(s.offset), wide(width));
      return false;
    }
    at = end;
    // A factor is no larger than its tensor, so these sums stay below `end`.
    *p_cols += s.rank * s.rows;
    *q_cols += s.rank * s.cols;
  }
  return true;
}

// rows < 0: one, or `nodes`.
bool check_factor(Arguments& entry, const char* name, const kith_matrix* m, int64_t rows, int64_t nodes, int64_t cols,
                  Matrix* out) {
  if (!entry.matrix(name, m, KITH_F32, rows, -1, out)) return false;
  if (rows < 0 && out->rows != 1 && out->rows != nodes) {
    entry.fail(KITH_INVALID, "%s has %lld rows for %lld nodes; give as many, or one row for all", name, wide(out->rows),
               wide(nodes));
    return false;
  }
  if (out->cols < cols) {
    entry.fail(KITH_INVALID, "%s has %lld columns and the factors of the tensors take %lld", name, wide(out->cols),
               wide(cols));
    return false;
  }
  return true;
}

bool check_source(Arguments& entry, const kith_matrix* x, const kith_matrix* minus, const kith_matrix* residual,
                  LowRankOperands* operands) {
  *operands = LowRankOperands{};
  Matrix& mx = operands->x;
  if (!entry.matrix("x", x, &mx)) return false;
  if (mx.dtype != KITH_F32) {
    entry.fail(KITH_UNSUPPORTED, "x is %s; low-rank factors are of f32", dtype_name(mx.dtype));
    return false;
  }
  return (minus == nullptr || entry.matrix("minus", minus, KITH_F32, mx.rows, mx.cols, &operands->minus)) &&
         (residual == nullptr || entry.matrix("residual", residual, KITH_F32, mx.rows, mx.cols, &operands->residual));
}

// `written` lies apart from all that is read; out alone may stand in for a matrix of the shape of x.
bool check_written(Arguments& entry, const char* name, const Matrix& written, const LowRankOperands& operands,
                   bool same_allowed) {
  return entry.disjoint(name, written, "x", operands.x, same_allowed) &&
         (operands.minus.data == nullptr || entry.disjoint(name, written, "minus", operands.minus, same_allowed)) &&
         (operands.residual.data == nullptr ||
          entry.disjoint(name, written, "residual", operands.residual, same_allowed));
}

}  // namespace

bool check_lowrank_left(Arguments& entry, const kith_shape* shapes, int64_t count, const kith_matrix* x,
                        const kith_matrix* minus, const kith_matrix* residual, const kith_matrix* q,
                        const kith_matrix* p, const kith_matrix* flags, LowRankOperands* operands) {
  int64_t p_cols = 0, q_cols = 0;
  if (!check_source(entry, x, minus, residual, operands)) return false;
  const Matrix& mx = operands->x;
  if (!check_shapes(entry, shapes, count, mx.cols, &p_cols, &q_cols) ||
      !check_factor(entry, "q", q, -1, mx.rows, q_cols, &operands->q) ||
      !check_factor(entry, "p", p, mx.rows, mx.rows, p_cols, &operands->p) ||
      !check_written(entry, "p", operands->p, *operands, false) ||
      !entry.disjoint("p", operands->p, "q", operands->q, false)) {
    return false;
  }
  if (flags == nullptr) return true;
  return entry.matrix("flags", flags, KITH_I32, 1, mx.rows, &operands->flags) &&
         check_written(entry, "flags", operands->flags, *operands, false) &&
         entry.disjoint("flags", operands->flags, "q", operands->q, false) &&
         entry.disjoint("flags", operands->flags, "p", operands->p, false);
}

bool check_lowrank_right(Arguments& entry, const kith_shape* shapes, int64_t count, const kith_matrix* x,
                         const kith_matrix* minus, const kith_matrix* residual, const kith_matrix* p,
                         const kith_matrix* q, LowRankOperands* operands) {
  int64_t p_cols = 0, q_cols = 0;
  if (!check_source(entry, x, minus, residual, operands)) return false;
  const Matrix& mx = operands->x;
  return check_shapes(entry, shapes, count, mx.cols, &p_cols, &q_cols) &&
         check_factor(entry, "p", p, -1, mx.rows, p_cols, &operands->p) &&
         check_factor(entry, "q", q, mx.rows, mx.rows, q_cols, &operands->q) &&
         check_written(entry, "q", operands->q, *operands, false) &&
         entry.disjoint("q", operands->q, "p", operands->p, false);
}

bool check_lowrank_orthonormalise(Arguments& entry, const kith_shape* shapes, int64_t count, int32_t right,
                                  const kith_matrix* factors, Matrix* out) {
  int64_t p_cols = 0, q_cols = 0;
  if (!check_shapes(entry, shapes, count, INT64_MAX, &p_cols, &q_cols)) return false;
  if (right != 0 && right != 1) {
    entry.fail(KITH_INVALID, "right is %d; give 0 for the factors P and 1 for Q", right);
    return false;
  }
  if (!entry.matrix("factors", factors, out)) return false;
  if (out->dtype != KITH_F32) {
    entry.fail(KITH_UNSUPPORTED, "factors is %s; low-rank factors are of f32", dtype_name(out->dtype));
    return false;
  }
  return check_factor(entry, "factors", factors, out->rows, out->rows, right == 1 ? q_cols : p_cols, out);
}

bool check_lowrank_residual(Arguments& entry, const kith_shape* shapes, int64_t count, const kith_matrix* x,
                            const kith_matrix* minus, const kith_matrix* residual, const kith_matrix* p,
                            const kith_matrix* q, const kith_matrix* out, LowRankOperands* operands) {
  int64_t p_cols = 0, q_cols = 0;
  if (!check_source(entry, x, minus, residual, operands)) return false;
  const Matrix& mx = operands->x;
  return check_shapes(entry, shapes, count, mx.cols, &p_cols, &q_cols) &&
         check_factor(entry, "p", p, -1, mx.rows, p_cols, &operands->p) &&
         check_factor(entry, "q", q, -1, mx.rows, q_cols, &operands->q) &&
         entry.matrix("out", out, KITH_F32, mx.rows, mx.cols, &operands->out) &&
         check_written(entry, "out", operands->out, *operands, true) &&
         entry.disjoint("out", operands->out, "p", operands->p, false) &&
         entry.disjoint("out", operands->out, "q", operands->q, false);
}

bool check_lowrank_accumulate(Arguments& entry, const kith_weights* weights, const kith_shape* shapes, int64_t count,
                              const kith_matrix* p, const kith_matrix* q, const kith_matrix* halo_p,
                              const kith_matrix* halo_q, int32_t add, const kith_matrix* y,
                              LowRankSumOperands* operands) {
  *operands = LowRankSumOperands{};
  Matrix &my = operands->y, &mp = operands->p, &mq = operands->q;
  if (!entry.matrix("y", y, &my)) return false;
  if (my.dtype != KITH_F32) {
    entry.fail(KITH_UNSUPPORTED, "y is %s; low-rank factors are added to f32", dtype_name(my.dtype));
    return false;
  }
  if (add != 0 && add != 1) {
    entry.fail(KITH_INVALID, "add is %d; give 1 to add to y and 0 to overwrite it", add);
    return false;
  }
  int64_t p_cols = 0, q_cols = 0;
  if (!check_shapes(entry, shapes, count, my.cols, &p_cols, &q_cols)) return false;
  if (!entry.matrix("p", p, KITH_F32, -1, -1, &mp) || !entry.matrix("q", q, KITH_F32, -1, -1, &mq)) return false;
  operands->nodes = weights == nullptr ? my.rows : mp.rows > mq.rows ? mp.rows : mq.rows;
  if (!check_factor(entry, "p", p, -1, operands->nodes, p_cols, &mp) ||
      !check_factor(entry, "q", q, -1, operands->nodes, q_cols, &mq) || !entry.disjoint("y", my, "p", mp, false) ||
      !entry.disjoint("y", my, "q", mq, false)) {
    return false;
  }
  if (weights == nullptr) {
    if (halo_p == nullptr && halo_q == nullptr) return true;
    entry.fail(KITH_INVALID, "a halo is given but no weights; only weights refer to its rows");
    return false;
  }
  if (weights->device != entry.device()) {
    entry.fail(KITH_INVALID, "weights live on another device than the queue; create them there");
    return false;
  }
  const int64_t beyond = weights->cols - operands->nodes;
  const struct {
    const char* name;
    const char* factor;
    const kith_matrix* halo;
    const Matrix* own;
    int64_t cols;
    Matrix* out;
  } halos[] = {{"halo_p", "p", halo_p, &mp, p_cols, &operands->halo_p},
               {"halo_q", "q", halo_q, &mq, q_cols, &operands->halo_q}};
  for (const auto& h : halos) {
    if (h.halo == nullptr) {
      // One row serves every column; several name as many.
      if (beyond == 0 || (beyond > 0 && h.own->rows == 1)) continue;
      entry.fail(KITH_INVALID, "weights have %lld columns for %lld rows of %s and no %s; let the numbers agree",
                 wide(weights->cols), wide(h.own->rows), h.factor, h.name);
      return false;
    }
    if (!check_factor(entry, h.name, h.halo, beyond < 0 ? 0 : beyond, 0, h.cols, h.out) ||
        !entry.disjoint("y", my, h.name, *h.out, false)) {
      return false;
    }
    if (h.own->rows != operands->nodes || beyond < 0) {
      entry.fail(KITH_INVALID, "%s is given beside %lld rows of %s for %lld nodes; a common factor has no halo", h.name,
                 wide(h.own->rows), h.factor, wide(operands->nodes));
      return false;
    }
  }
  if (!weights->scattered ? weights->rows != my.rows : weights->output_end > my.rows) {
    entry.fail(KITH_INVALID, "weights write %lld rows and y has %lld; let the numbers agree",
               wide(!weights->scattered ? weights->rows : weights->output_end), wide(my.rows));
    return false;
  }
  return true;
}

}  // namespace kith
