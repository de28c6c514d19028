/* What step_api.cpp (once) and step.cpp (per tier) agree on. */
#ifndef KITH_STEP_HPP
#define KITH_STEP_HPP

#include <cstdint>

namespace kith {

/* The numbers of one group of columns in f64, as kith.h forms them; the kernels round each to the compute type once. */
struct StepNumbers {
  double eta;
  double b1;
  double c1; /* 1 - b1 */
  double b2;
  double c2; /* 1 - b2 */
  double epsilon;
  double a;      /* eta / bias1 */
  double q;      /* 1 / sqrt(bias2) */
  double n1;     /* eta b1 / bias1 */
  double n2;     /* eta (1 - b1) / bias1 */
  double decay;  /* of the L2 form; 0: none */
  double shrink; /* factor of x: 1 - eta decay when decoupled, else 1 */
  double k;      /* of the rules of Sophia */
};

/* Neighbouring columns of one row and one group. */
struct StepSpan {
  void* x;
  const void* g;
  const void* h; /* curvature; NULL where the rule takes none */
  void* s1;      /* NULL where the rule has no such state */
  void* s2;
  void* copy; /* NULL: none */
  int64_t n;
  const StepNumbers* numbers;
  double scale; /* of g; 1: none */
  int32_t copy_dtype;
};

/* Bits for flags: 1 when an element of g is not finite, 2 when a new x is not. */
using StepKernel = int32_t (*)(const StepSpan& span);

struct StepKernels {
  StepKernel span[10][2][3]; /* rule; x in f32, f64; g in the dtype of x, bf16, f16 */
};

}  // namespace kith

#endif
