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
  View in;
  View out;
  View second;
  Matrix count;
};

bool check_eigen(Arguments& entry, int64_t batches, const kith_batch* a, const kith_batch* values,
                 const kith_batch* vectors, const kith_matrix* sweeps, FactorOperands* out);
bool check_qr(Arguments& entry, int64_t batches, const kith_batch* a, const kith_batch* q, const kith_batch* r,
              FactorOperands* out);

/* The task of matrix b. */
FactorTask factor_task(const FactorOperands& operands, int64_t b);

}  // namespace kith

#endif
