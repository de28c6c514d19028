/* Checks of the family curvature, the same in every library. */
#ifndef KITH_CURVATURE_CHECKS_HPP
#define KITH_CURVATURE_CHECKS_HPP

#include "arguments.hpp"
#include "curvature.hpp"
#include "noise_checks.hpp"
#include "step_checks.hpp"

namespace kith {

bool check_curvature_step(Arguments& entry, const kith_step* step, double scale, const kith_matrix* x,
                          const kith_matrix* g, const kith_matrix* h, const kith_matrix* s1, const kith_matrix* s2,
                          StepOperands* operands);
/* The numbers of group k (0 without groups). */
StepNumbers curvature_numbers(const kith_step& step, double scale, int64_t k);

struct DiagonalOperands {
  Matrix hz;
  Matrix d;
  Matrix x; /* these five: of kith_oasis_statistics */
  Matrix x_before;
  Matrix g;
  Matrix g_before;
  Matrix norms;
  int32_t hz_dtype; /* 0: that of d; 1: bf16; 2: f16 */
};

bool check_hutchinson(Arguments& entry, const kith_field* field, double beta, const kith_matrix* hz,
                      const kith_matrix* d, DiagonalOperands* out);
bool check_statistics(Arguments& entry, const kith_field* field, double beta, double alpha, const kith_matrix* hz,
                      const kith_matrix* d, const kith_matrix* x, const kith_matrix* x_before, const kith_matrix* g,
                      const kith_matrix* g_before, const kith_matrix* norms, DiagonalOperands* out);

struct ScaledOperands {
  Matrix eta;
  Matrix d;
  Matrix g;
  Matrix x;
  Matrix x_before; /* data NULL: not kept */
};

bool check_scaled(Arguments& entry, double alpha, int32_t floor, const kith_matrix* eta, const kith_matrix* d,
                  const kith_matrix* g, const kith_matrix* x, const kith_matrix* x_before, ScaledOperands* out);

struct ConjugateOperands {
  Matrix alpha;
  Matrix beta;
  Matrix r;
  Matrix w;
  Matrix p;
  Matrix s;
  Matrix x;
};

bool check_dots(Arguments& entry, const kith_matrix* r, const kith_matrix* w, const kith_matrix* out, Matrix* mr,
                Matrix* mw, Matrix* mout);
bool check_conjugate(Arguments& entry, const kith_matrix* alpha, const kith_matrix* beta, const kith_matrix* r,
                     const kith_matrix* w, const kith_matrix* p, const kith_matrix* s, const kith_matrix* x,
                     ConjugateOperands* out);

}  // namespace kith

#endif
