// Checks of the family product.
#include "product_checks.hpp"

namespace kith {

bool view(Arguments& entry, const char* name, const kith_batch* batch, int64_t batches, bool written, View* out) {
  if (!entry.ok()) return false;
  if (batch == nullptr || batch->base == nullptr) {
    entry.fail(KITH_INVALID, "%s %s; give a batch on a matrix", name, batch == nullptr ? "is NULL" : "has no base");
    return false;
  }
  const kith_batch& b = *batch;
  if (b.base->dtype != KITH_F32 && b.base->dtype != KITH_F64) {
    entry.fail(KITH_UNSUPPORTED, "%s is %s; batches are of f32 or f64", name, dtype_name(b.base->dtype));
    return false;
  }
  if (b.rows < 0 || b.cols < 0 || b.batch_stride < 0 || (b.rows > 1 && b.row_stride < b.cols)) {
    entry.fail(KITH_INVALID,
               "%s is %lld x %lld with row stride %lld and batch stride %lld; rows must not overlap and nothing may be "
               "negative",
               name, static_cast<long long>(b.rows), static_cast<long long>(b.cols),
               static_cast<long long>(b.row_stride), static_cast<long long>(b.batch_stride));
    return false;
  }
  const bool empty = batches == 0 || b.rows == 0 || b.cols == 0;
  View v = {};
  v.rows = b.rows;
  v.cols = b.cols;
  v.row_stride = b.rows > 1 ? b.row_stride : b.cols;
  v.batch_stride = batches > 1 ? b.batch_stride : 0;
  v.dtype = b.base->dtype;
  int64_t down = 0, across = 0;
  kith_matrix window = *b.base;
  bool overflow = false;
  if (!empty) {
    overflow = __builtin_mul_overflow(v.rows - 1, v.row_stride, &down) ||
               __builtin_mul_overflow(batches - 1, v.batch_stride, &across) ||
               __builtin_add_overflow(down, across, &v.extent) || __builtin_add_overflow(v.extent, v.cols, &v.extent);
  }
  int64_t shift = 0;
  overflow = overflow || __builtin_mul_overflow(b.offset, v.size(), &shift) ||
             __builtin_add_overflow(window.offset, shift, &window.offset);
  if (overflow) {
    entry.fail(KITH_INVALID, "%s ends beyond what 64 bits can count; check its strides", name);
    return false;
  }
  window.rows = 1;
  window.cols = v.extent;
  Matrix m;
  if (!entry.matrix(name, &window, &m)) return false;
  v.data = m.data;
  if (written && !empty && batches > 1 && v.batch_stride < down + v.cols &&
      (v.batch_stride < v.cols || (v.rows > 1 && v.row_stride < across + v.cols))) {
    entry.fail(KITH_INVALID, "the matrices of %s overlap each other with batch stride %lld; they are written apart",
               name, static_cast<long long>(v.batch_stride));
    return false;
  }
  *out = v;
  return true;
}

bool shaped(Arguments& entry, const char* name, const View& v, int32_t dtype, int64_t rows, int64_t cols) {
  if (v.dtype != dtype) {
    entry.fail(KITH_INVALID, "%s is %s and must be %s", name, dtype_name(v.dtype), dtype_name(dtype));
    return false;
  }
  if (v.rows != rows || v.cols != cols) {
    entry.fail(KITH_INVALID, "%s is %lld x %lld and must be %lld x %lld", name, static_cast<long long>(v.rows),
               static_cast<long long>(v.cols), static_cast<long long>(rows), static_cast<long long>(cols));
    return false;
  }
  return true;
}

namespace {

// Intervals of these lengths that repeat every `stride`, the second `distance` behind the first, never meet.
bool apart(int64_t distance, int64_t stride, int64_t a_length, int64_t b_length) {
  if (stride <= 0) return false;
  int64_t d = distance % stride;
  if (d < 0) d += stride;
  return d >= a_length && b_length <= stride - d;
}

}  // namespace

// Both of one dtype. An overlap may be claimed where batches interleave in unlike strides, and is never missed.
bool disjoint(Arguments& entry, const char* a_name, const View& a, const char* b_name, const View& b) {
  const int64_t bytes = reinterpret_cast<intptr_t>(b.data) - reinterpret_cast<intptr_t>(a.data);
  const int64_t distance = bytes / a.size();
  if (a.extent == 0 || b.extent == 0 || distance >= a.extent || -distance >= b.extent) return true;
  if (bytes % a.size() == 0) {
    const int64_t a_down = (a.rows - 1) * a.row_stride;
    const int64_t b_down = (b.rows - 1) * b.row_stride;
    // As matrices in a row of batches; as rows in a column of rows.
    if (a.batch_stride == b.batch_stride && apart(distance, a.batch_stride, a_down + a.cols, b_down + b.cols)) {
      return true;
    }
    if (a.rows > 1 && a.row_stride == b.row_stride &&
        apart(distance, a.row_stride, a.extent - a_down, b.extent - b_down)) {
      return true;
    }
  }
  entry.fail(KITH_INVALID, "%s and %s overlap in memory; give separate windows", a_name, b_name);
  return false;
}

bool same(const View& a, const View& b) {
  return a.data == b.data && a.rows == b.rows && a.cols == b.cols && a.row_stride == b.row_stride &&
         a.batch_stride == b.batch_stride;
}

bool check_batches(Arguments& entry, int64_t batches) {
  if (!entry.ok()) return false;
  if (batches >= 0) return true;
  entry.fail(KITH_INVALID, "batches is %lld; give 0 or more", static_cast<long long>(batches));
  return false;
}

namespace {

bool check_activation(Arguments& entry, int32_t activation) {
  if (activation == KITH_IDENTITY || activation == KITH_RELU) return true;
  entry.fail(KITH_INVALID, "the activation is %d; use one of kith_activation", activation);
  return false;
}

}  // namespace

bool check_multiply(Arguments& entry, int64_t batches, const kith_batch* a, int32_t transpose_a, const kith_batch* b,
                    int32_t transpose_b, const kith_batch* c, View* a_view, View* b_view, View* c_view) {
  if (!check_batches(entry, batches) || !view(entry, "a", a, batches, false, a_view) ||
      !view(entry, "b", b, batches, false, b_view) || !view(entry, "c", c, batches, true, c_view)) {
    return false;
  }
  if ((transpose_a | transpose_b) & ~1) {
    entry.fail(KITH_INVALID, "transpose_a is %d and transpose_b is %d; give 0 or 1", transpose_a, transpose_b);
    return false;
  }
  const int64_t m = transpose_a != 0 ? a_view->cols : a_view->rows;
  const int64_t k = transpose_a != 0 ? a_view->rows : a_view->cols;
  const int64_t n = transpose_b != 0 ? b_view->rows : b_view->cols;
  const int64_t b_inner = transpose_b != 0 ? b_view->cols : b_view->rows;
  if (b_inner != k) {
    entry.fail(KITH_INVALID, "op(a) is %lld x %lld and op(b) is %lld x %lld; the inner lengths must agree",
               static_cast<long long>(m), static_cast<long long>(k), static_cast<long long>(b_inner),
               static_cast<long long>(n));
    return false;
  }
  return shaped(entry, "c", *c_view, a_view->dtype, m, n) &&
         shaped(entry, "b", *b_view, a_view->dtype, b_view->rows, b_view->cols) &&
         disjoint(entry, "c", *c_view, "a", *a_view) && disjoint(entry, "c", *c_view, "b", *b_view);
}

bool check_multiply_symmetric(Arguments& entry, int64_t batches, const kith_batch* a, int32_t transpose_a,
                              const kith_batch* d, const kith_batch* c, View* a_view, View* d_view, View* c_view) {
  if (!check_batches(entry, batches) || !view(entry, "a", a, batches, false, a_view) ||
      !view(entry, "c", c, batches, true, c_view)) {
    return false;
  }
  if (transpose_a & ~1) {
    entry.fail(KITH_INVALID, "transpose_a is %d; give 0 or 1", transpose_a);
    return false;
  }
  const int64_t n = transpose_a != 0 ? a_view->cols : a_view->rows;
  if (!shaped(entry, "c", *c_view, a_view->dtype, n, n) || !disjoint(entry, "c", *c_view, "a", *a_view)) return false;
  if (d == nullptr) return true;
  return view(entry, "d", d, batches, false, d_view) && shaped(entry, "d", *d_view, a_view->dtype, n, n) &&
         (same(*d_view, *c_view) || disjoint(entry, "c", *c_view, "d", *d_view));
}

bool check_bias_activate(Arguments& entry, int64_t batches, const kith_batch* h, const kith_batch* bias,
                         int32_t activation, View* h_view, View* bias_view) {
  return check_batches(entry, batches) && view(entry, "h", h, batches, true, h_view) &&
         view(entry, "bias", bias, batches, false, bias_view) && check_activation(entry, activation) &&
         shaped(entry, "bias", *bias_view, h_view->dtype, 1, h_view->cols) &&
         disjoint(entry, "h", *h_view, "bias", *bias_view);
}

bool check_bias_backward(Arguments& entry, int64_t batches, const kith_batch* h, const kith_batch* d,
                         const kith_batch* bias_gradient, int32_t activation, View* h_view, View* d_view,
                         View* gradient_view) {
  if (!check_batches(entry, batches) || !view(entry, "d", d, batches, true, d_view) ||
      !view(entry, "bias_gradient", bias_gradient, batches, true, gradient_view) ||
      !check_activation(entry, activation) ||
      !shaped(entry, "bias_gradient", *gradient_view, d_view->dtype, 1, d_view->cols) ||
      !disjoint(entry, "d", *d_view, "bias_gradient", *gradient_view)) {
    return false;
  }
  if (activation != KITH_RELU) return true;
  return view(entry, "h", h, batches, false, h_view) &&
         shaped(entry, "h", *h_view, d_view->dtype, d_view->rows, d_view->cols) &&
         disjoint(entry, "h", *h_view, "d", *d_view) && disjoint(entry, "h", *h_view, "bias_gradient", *gradient_view);
}

bool check_softmax(Arguments& entry, int64_t batches, const kith_batch* logits, const kith_matrix* labels,
                   const kith_batch* gradient, const kith_matrix* loss, const kith_matrix* correct,
                   SoftmaxOperands* operands) {
  if (!check_batches(entry, batches) || !view(entry, "logits", logits, batches, false, &operands->z)) return false;
  const View& z = operands->z;
  if (!entry.matrix("labels", labels, KITH_I32, batches, z.rows, &operands->labels)) return false;
  if (gradient != nullptr) {
    if (!view(entry, "gradient", gradient, batches, true, &operands->gradient) ||
        !shaped(entry, "gradient", operands->gradient, z.dtype, z.rows, z.cols)) {
      return false;
    }
    if (!same(operands->gradient, z) && !disjoint(entry, "gradient", operands->gradient, "logits", z)) return false;
  }
  if (loss != nullptr && !entry.matrix("loss", loss, KITH_F64, 1, batches, &operands->loss)) return false;
  if (correct != nullptr && !entry.matrix("correct", correct, KITH_I32, 1, batches, &operands->correct)) return false;
  // What is written besides the gradient, against everything else.
  const auto one_row = [](const View& v) { return Matrix{v.data, v.extent == 0 ? 0 : 1, v.extent, v.extent, v.dtype}; };
  const struct {
    const char* name;
    Matrix m;
  } all[] = {{"loss", operands->loss},
             {"correct", operands->correct},
             {"labels", operands->labels},
             {"logits", one_row(z)},
             {"gradient", one_row(operands->gradient)}};
  for (int written = 0; written < 2; written++) {
    for (int other = written + 1; other < 5; other++) {
      if (!entry.disjoint(all[written].name, all[written].m, all[other].name, all[other].m, false)) return false;
    }
  }
  return entry.disjoint(all[2].name, all[2].m, all[4].name, all[4].m, false);
}

bool check_softmax_curvature(Arguments& entry, int64_t batches, const kith_batch* logits, const kith_batch* u, View* z,
                             View* u_view) {
  return check_batches(entry, batches) && view(entry, "logits", logits, batches, false, z) &&
         view(entry, "u", u, batches, true, u_view) && shaped(entry, "u", *u_view, z->dtype, z->rows, z->cols) &&
         disjoint(entry, "u", *u_view, "logits", *z);
}

kith_status fail_label(Arguments& entry, int64_t batch, int64_t row, int32_t label, int64_t classes) {
  return entry.fail(KITH_INVALID, "the label of row %lld in batch %lld is %d; labels are 0 to %lld",
                    static_cast<long long>(row), static_cast<long long>(batch), label,
                    static_cast<long long>(classes - 1));
}

}  // namespace kith
