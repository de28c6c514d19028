/* Checks of the family mixing, the same in every library. */
#ifndef KITH_MIXING_CHECKS_HPP
#define KITH_MIXING_CHECKS_HPP

#include "arguments.hpp"
#include "mixing.hpp"

namespace kith {

constexpr int64_t kDenseLimit = 4096;

/* *output_end becomes 1 + the largest row of y that is written. */
kith_status check_sparse(kith_call* call, int64_t rows, int64_t cols, const int64_t* offsets, const int32_t* columns,
                         const double* values, const int32_t* output_rows, int64_t* output_end);
kith_status check_dense(kith_call* call, int64_t rows, int64_t cols, const double* values);

/* The columns that have entries, ascending, and where each entry's column stands among them; both NULL when all have.
   False when memory is out; what was set is to be freed in any case. */
bool list_used(int64_t cols, const int32_t* columns, int64_t entries, int32_t** used, int32_t** slots,
               int64_t* used_count);
/* Whether a square W is pairwise, and then its pairs: two rows each, equal where a row is alone. False when memory is
   out. */
bool list_pairs(int64_t rows, const int64_t* offsets, const int32_t* columns, bool* pairwise, int32_t** pairs,
                int64_t* pair_count);

/* The checked operands of one call. */
struct MixOperands {
  Matrix y;
  Matrix flags;
  Matrix halo;
  Matrix inner[KITH_MAX_TERMS];
  Matrix outer[KITH_MAX_TERMS];
  const kith_noise_term* noise = nullptr;
  bool in_place = false;   /* y is an inner term */
  bool accumulate = false; /* y is an outer term */
};

/* Fills the operands, and of the job all that a caller of kith_mix states. */
bool check_mix(Arguments& entry, const kith_weights* weights, const kith_expression* expression, const kith_matrix* y,
               const kith_matrix* flags, MixOperands* operands, MixJob* job);

}  // namespace kith

#endif
