/* What reduction_api.cpp (once) and reduction.cpp (per tier) agree on. */
#ifndef KITH_REDUCTION_HPP
#define KITH_REDUCTION_HPP

#include <cstdint>

namespace kith {

inline constexpr int64_t kChunk = 4096;
/* A block is a power of two of whole chunks that begins at a multiple of itself, so its sum is one node of the tree. */
inline constexpr int64_t kRowBlock = 16 * kChunk;
inline constexpr int64_t kNodesBlock = 4 * kChunk;
inline constexpr int64_t kGramBlock = 4 * kChunk;
inline constexpr int64_t kGramTile = 32; /* rows of a and of b that meet in one block */

/* Operations on a stack of column tiles. A row number below x_rows names a row of x, others are rows of remote. */
enum NodeKind : int32_t {
  kNodePush = 0,   /* push rows[0] */
  kNodeAdd = 1,    /* a, b -> a + b */
  kNodeAddRow = 2, /* a -> a + rows[0] */
  kNodeSum2 = 3,   /* push rows[0] + rows[1] */
  kNodeSum4 = 4,   /* push the balanced sum of four rows, all of x or all of remote */
  kNodeSum8 = 5    /* push the balanced sum of eight */
};

struct NodeOperation {
  int32_t kind;
  int32_t rows[8];
};

struct NodesTask {
  const unsigned char* x;
  const unsigned char* remote;
  unsigned char* out; /* NULL: not stored */
  int64_t x_pitch;    /* bytes from row to row, as the other pitches */
  int64_t remote_pitch;
  int64_t out_pitch;
  int64_t x_rows;
  int64_t out_rows;
  int64_t depth;
  int64_t tile; /* columns at a time: a power of two, 64 <= tile <= kChunk */
  int64_t operation_count;
  const NodeOperation* operations;
  double divisor;
  int32_t x_dtype;
  int32_t remote_dtype;
  int32_t out_dtype;
  int32_t distances; /* 1: wanted */
};

struct GramTask {
  const unsigned char* a; /* first row of the tile */
  const unsigned char* b;
  int64_t a_pitch;
  int64_t b_pitch;
  int64_t a_rows; /* <= kGramTile */
  int64_t b_rows;
  int32_t dtype;
  int32_t symmetric; /* 1: a and b are the same rows; only i <= j is wanted */
};

struct ReductionKernels {
  /* The reduction of n <= kRowBlock elements from a block border on; chunk sums are combined pairwise. b is NULL where
     the reduction has one operand. An empty range gives the value of an empty row. */
  double (*row_block)(int32_t reduction, int32_t dtype, const void* a, const void* b, int64_t n);
  /* sums[i * b_rows + j] = dot of n <= kGramBlock columns of row i of a and row j of b. */
  void (*gram_block)(const GramTask& task, int64_t column, int64_t n, double* sums, void* scratch);
  int64_t (*gram_scratch)(int32_t dtype);
  /* Evaluates the program on n <= kNodesBlock columns; distances receives x_rows sums. */
  void (*nodes_block)(const NodesTask& task, int64_t column, int64_t n, double* distances, void* scratch);
  int64_t (*nodes_scratch)(const NodesTask& task);
};

}  // namespace kith

#endif
