/* What lowrank_api.cpp (once) and lowrank.cpp (per tier) agree on; the numbers of the trees are those of kith.h. */
#ifndef KITH_LOWRANK_HPP
#define KITH_LOWRANK_HPP

#include <cstdint>

namespace kith {

inline constexpr int64_t kLowRankLanes = 16;
inline constexpr int64_t kLeftChunk = 4096; /* columns */
inline constexpr int64_t kRightChunk = 256; /* rows */
/* A node of either tree: so many whole chunks, which one block sums. */
inline constexpr int64_t kNodeChunks = 16;
inline constexpr int64_t kLeftNode = kNodeChunks * kLeftChunk;
inline constexpr int64_t kRightNode = kNodeChunks * kRightChunk;
/* Rows of a tensor that one block of left takes, and those that right takes at a time. */
inline constexpr int64_t kLeftRows = 32;
inline constexpr int64_t kRightRows = 8;

/* One tensor in one row of the operands: addresses of its element (0, 0). */
struct LowRankTensor {
  const float* x;
  const float* minus;    /* NULL: none */
  const float* residual; /* NULL: none */
  const float* p;        /* rank x rows */
  const float* q;        /* rank x cols */
  float* out;            /* as x */
  int64_t rows;
  int64_t cols;
  int64_t rank;
};

/* A weighted reconstruction that enters a sum. */
struct LowRankTerm {
  const float* p;
  const float* q;
  float weight;
};

struct LowRankSum {
  const LowRankTerm* terms;
  int64_t count;
  float* y; /* element (0, 0) of the tensor */
  int64_t rows;
  int64_t cols;
  int64_t rank;
  bool identity;  /* one term, added without a weight */
  bool add;       /* to y; else to +0 */
  bool streaming; /* store past the caches where rows are aligned */
};

struct LowRankKernels {
  /* sums[i * rank + k] = the node of rows [row, row + rows), rows <= kLeftRows, of columns [column, column + n) of a left
     product, n <= kLeftNode from a multiple of it. True when `watched` and some v is not finite. */
  bool (*left)(const LowRankTensor& tensor, int64_t row, int64_t rows, int64_t column, int64_t n, bool watched,
               double* sums, void* scratch);
  int64_t (*left_scratch)(int64_t rank);
  /* sums[k * n + j] = the node of rows [row, row + rows), rows <= kRightNode from a multiple of it, of columns [column,
     column + n) of a right product. */
  void (*right)(const LowRankTensor& tensor, int64_t row, int64_t rows, int64_t column, int64_t n, double* sums,
                void* scratch);
  int64_t (*right_scratch)(int64_t rank, int64_t n);
  /* Column k of a factor of n rows, in place. */
  void (*orthonormalise)(float* factor, int64_t n, int64_t k);
  /* Rows [row, row_end) and columns [column, column_end) of a tensor. */
  void (*residual)(const LowRankTensor& tensor, int64_t row, int64_t row_end, int64_t column, int64_t column_end);
  void (*accumulate)(const LowRankSum& sum, int64_t row, int64_t row_end, int64_t column, int64_t column_end);
};

}  // namespace kith

#endif
