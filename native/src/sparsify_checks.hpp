/* Checks of the family sparsify, the same in every library. */
#ifndef KITH_SPARSIFY_CHECKS_HPP
#define KITH_SPARSIFY_CHECKS_HPP

#include "arguments.hpp"
#include "draw.hpp"
#include "sparsify.hpp"

namespace kith {

/* The checked operands of a selection; data is NULL where one is not given. */
struct SelectOperands {
  Matrix x;
  Matrix minus;
  Matrix residual;
  Matrix messages;
  Matrix flags;
  Matrix indices;
  Matrix thresholds;
  int64_t block; /* columns of a whole block, at least 1 */
};

/* Entries of a row of `cols` columns. */
int64_t top_entries(int64_t cols, int64_t k, int64_t block);

bool check_select_top(Arguments& entry, const kith_matrix* x, const kith_matrix* minus, const kith_matrix* residual,
                      int64_t k, int64_t block, const kith_matrix* messages, const kith_matrix* flags,
                      SelectOperands* operands);
bool check_select_at(Arguments& entry, const kith_matrix* x, const kith_matrix* minus, const kith_matrix* residual,
                     const kith_matrix* indices, const kith_matrix* messages, const kith_matrix* flags,
                     SelectOperands* operands);
bool check_select_above(Arguments& entry, const kith_matrix* x, const kith_matrix* minus, const kith_matrix* residual,
                        const kith_matrix* thresholds, int64_t capacity, const kith_matrix* messages,
                        const kith_matrix* flags, SelectOperands* operands);

/* Columns of a row that are sampled at most: their k-th largest is found in one go. */
inline constexpr int64_t kMostThresholdSamples = 1 << 20;

bool check_sample_thresholds(Arguments& entry, const kith_matrix* x, const kith_matrix* minus,
                             const kith_matrix* residual, const kith_draw* draw, int64_t k, int64_t samples,
                             const kith_matrix* thresholds, SelectOperands* operands, Draw* numbers);

struct AccumulateOperands {
  Matrix y;
  Matrix messages;
  Matrix halo;
  Matrix indices;
  Matrix halo_indices;
};

/* dense: W is. */
bool check_sparse_accumulate(Arguments& entry, const kith_weights* weights, bool dense, int32_t form, int64_t entries,
                             const kith_matrix* indices, const kith_matrix* halo_indices, const kith_matrix* messages,
                             const kith_matrix* halo, int32_t add, const kith_matrix* y, AccumulateOperands* operands);

/* The first of columns [begin, end) that does not ascend strictly within [0, cols), or -1. */
int64_t wrong_column(const int32_t* columns, int64_t begin, int64_t end, int64_t cols);

}  // namespace kith

#endif
