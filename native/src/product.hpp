/* What product_api.cpp (once) and product.cpp (per tier) agree on. */
#ifndef KITH_PRODUCT_HPP
#define KITH_PRODUCT_HPP

#include <cstdint>

namespace kith {

/* A product is cut into panels of c and slabs of the inner dimension of these sizes, whoever computes them. */
inline constexpr int64_t kPanelRows = 240; /* a multiple of every tier's tile */
inline constexpr int64_t kPanelColumns = 512;
inline constexpr int64_t kSlab = 2048;
/* Sides of the panels of a symmetric product: few elements beyond the diagonal, and still enough work for a panel. */
inline constexpr int64_t kSymmetricPanel = 192;
static_assert(kSymmetricPanel <= kPanelRows && kSymmetricPanel <= kPanelColumns);

/* c(i, j) = alpha sum_p a(i, p) b(p, j) + beta c(i, j); element (i, p) of a at a[i * a_row + p * a_column]. */
struct MultiplyTask {
  const void* a;
  const void* b;
  void* c;
  int64_t m; /* <= kPanelRows */
  int64_t n; /* <= kPanelColumns */
  int64_t k; /* <= kSlab */
  int64_t a_row;
  int64_t a_column;
  int64_t b_row;
  int64_t b_column;
  int64_t c_row;
  double alpha;
  double beta; /* 0: c is not read */
};

inline constexpr int64_t kBiasColumns = 256; /* at most in one call of bias_backward */

struct BiasTask {
  void* d;
  const void* h; /* NULL: identity */
  void* gradient;
  int64_t rows;
  int64_t columns;
  int64_t d_pitch; /* elements */
  int64_t h_pitch;
  bool fresh; /* sums start at +0, else at what gradient holds */
};

struct SoftmaxTask {
  const void* z;
  void* gradient; /* NULL: not wanted */
  const int32_t* labels;
  double* loss; /* one per row, not divided */
  int64_t rows;
  int64_t columns;
  int64_t z_pitch; /* elements */
  int64_t gradient_pitch;
  int64_t all_rows; /* what the gradient is divided by */
};

struct SoftmaxCurvatureTask {
  const void* z;
  void* u;
  int64_t rows;
  int64_t columns;
  int64_t z_pitch; /* elements */
  int64_t u_pitch;
  int64_t all_rows; /* what the result is divided by */
};

/* Index 0: f32, 1: f64. */
struct ProductKernels {
  void (*multiply[2])(const MultiplyTask& task, void* scratch);
  int64_t (*multiply_scratch)();
  /* h = act(h + bias) on n elements. */
  void (*bias_activate[2])(void* h, const void* bias, int64_t n, bool relu);
  void (*bias_backward[2])(const BiasTask& task);
  /* Returns how many labels are the lowest index of their row's largest logit. */
  int32_t (*softmax[2])(const SoftmaxTask& task);
  void (*softmax_curvature[2])(const SoftmaxCurvatureTask& task);
};

}  // namespace kith

#endif
