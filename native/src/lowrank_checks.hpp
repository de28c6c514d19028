/* Checks of the family lowrank, the same in every library. */
#ifndef KITH_LOWRANK_CHECKS_HPP
#define KITH_LOWRANK_CHECKS_HPP

#include "arguments.hpp"
#include "lowrank.hpp"

namespace kith {

/* v = x [- minus] [+ residual] and what is made of it. */
struct LowRankOperands {
  Matrix x;
  Matrix minus;
  Matrix residual;
  Matrix p;
  Matrix q;
  Matrix out;
  Matrix flags;
};

struct LowRankSumOperands {
  Matrix p;
  Matrix q;
  Matrix halo_p;
  Matrix halo_q;
  Matrix y;
  int64_t nodes; /* columns of W below this are rows of p and q */
};

bool check_lowrank_left(Arguments& entry, const kith_shape* shapes, int64_t count, const kith_matrix* x,
                        const kith_matrix* minus, const kith_matrix* residual, const kith_matrix* q,
                        const kith_matrix* p, const kith_matrix* flags, LowRankOperands* operands);
bool check_lowrank_right(Arguments& entry, const kith_shape* shapes, int64_t count, const kith_matrix* x,
                         const kith_matrix* minus, const kith_matrix* residual, const kith_matrix* p,
                         const kith_matrix* q, LowRankOperands* operands);
bool check_lowrank_orthonormalise(Arguments& entry, const kith_shape* shapes, int64_t count, int32_t right,
                                  const kith_matrix* factors, Matrix* out);
bool check_lowrank_residual(Arguments& entry, const kith_shape* shapes, int64_t count, const kith_matrix* x,
                            const kith_matrix* minus, const kith_matrix* residual, const kith_matrix* p,
                            const kith_matrix* q, const kith_matrix* out, LowRankOperands* operands);
bool check_lowrank_accumulate(Arguments& entry, const kith_weights* weights, const kith_shape* shapes, int64_t count,
                              const kith_matrix* p, const kith_matrix* q, const kith_matrix* halo_p,
                              const kith_matrix* halo_q, int32_t add, const kith_matrix* y,
                              LowRankSumOperands* operands);

/* Row of a factor for node r: its only row where it has one. */
inline const float* factor_row(const Matrix& m, int64_t r) {
  return reinterpret_cast<const float*>(m.row(m.rows == 1 ? 0 : r));
}

}  // namespace kith

#endif
