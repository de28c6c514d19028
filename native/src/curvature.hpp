/* What curvature_api.cpp (once) and curvature.cpp (per tier) agree on. */
#ifndef KITH_CURVATURE_HPP
#define KITH_CURVATURE_HPP

#include <cstdint>

#include "noise.hpp"
#include "step.hpp"

namespace kith {

/* The estimate of the diagonal, and what OASIS adds. */
struct DiagonalSpan {
  const NoiseKey* key; /* of the row; NULL: z = 1 */
  int32_t generator;
  int32_t hz_dtype; /* 0: that of d; 1: bf16; 2: f16 */
  double beta;
  double alpha;
  const void* hz; /* addresses of column `column` */
  void* d;
  const void* x;
  const void* x_before;
  const void* g;
  const void* g_before;
  int64_t column; /* a multiple of 1024 */
  int64_t n;
};

struct ScaledSpan {
  double alpha;
  double eta;
  const void* d;
  const void* g;
  void* x;
  void* x_before; /* NULL: not kept */
  int64_t n;
  int32_t floor; /* bit 0: add alpha, bit 1: d holds squares */
};

struct ConjugateSpan {
  double alpha;
  double beta;
  void* r;
  const void* w;
  void* p;
  void* s;
  void* x;
  int64_t n;
};

/* Index [2]: f32, f64. */
struct CurvatureKernels {
  StepKernel span[3][2][3]; /* rule; x; g as in StepKernels */
  void (*hutchinson[2])(const DiagonalSpan& span);
  /* n at most kRowBlock from a block border on; sums of both norms. */
  void (*statistics[2])(const DiagonalSpan& span, double sums[2]);
  void (*scaled[2])(const ScaledSpan& span);
  void (*dots[2])(const void* r, const void* w, int64_t n, double sums[2]);
  void (*conjugate[2])(const ConjugateSpan& span);
};

}  // namespace kith

#endif
