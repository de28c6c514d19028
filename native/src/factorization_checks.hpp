/* Checks of the family factorization, the same in every library. */
#ifndef KITH_FACTORIZATION_CHECKS_HPP
#define KITH_FACTORIZATION_CHECKS_HPP

#include "factorization.hpp"
#include "product_checks.hpp"

namespace kith {

/* A batch of problems of one operation; data NULL where a result is not wanted. */
struct FactorOperands {
  int32_t operation;
  int64_t batches;
  int64_t width; /* columns of b, rows of v */
  View in;
  View out;
  View second;
  Matrix count;
  Matrix figure;
  int32_t downdate;
};

bool check_eigen(Arguments& entry, int64_t batches, const kith_batch* a, const kith_batch* values,
                 const kith_batch* vectors, const kith_matrix* sweeps, FactorOperands* out);
bool check_qr(Arguments& entry, int64_t batches, const kith_batch* a, const kith_batch* q, const kith_batch* r,
              FactorOperands* out);

bool check_polar(Arguments& entry, int64_t batches, const kith_batch* y, const kith_batch* x,
                 const kith_matrix* distance, const kith_matrix* rank, FactorOperands* out);
bool check_tangent(Arguments& entry, int64_t batches, const kith_batch* x, const kith_batch* z, const kith_batch* out,
                   FactorOperands* operands);
bool check_cholesky(Arguments& entry, int64_t batches, const kith_batch* a, const kith_batch* l,
                    const kith_matrix* failed, FactorOperands* out);
bool check_cholesky_solve(Arguments& entry, int64_t batches, const kith_batch* l, const kith_batch* b,
                          const kith_batch* x, FactorOperands* out);
bool check_cholesky_update(Arguments& entry, int64_t batches, int32_t downdate, const kith_batch* l,
                           const kith_batch* v, const kith_matrix* failed, FactorOperands* out);

/* The task of matrix b. */
FactorTask factor_task(const FactorOperands& operands, int64_t b);

}  // namespace kith

#endif
