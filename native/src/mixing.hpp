/* Block kernels of the family mixing. */
#ifndef KITH_MIXING_HPP
#define KITH_MIXING_HPP

#include <cstdint>

#include "kith.h"
#include "noise.hpp"

namespace kith {

/* The widest tile of rows. */
inline constexpr int64_t kTileColumns = 1024;
/* Rows that a sparse tile refers to at most. */
inline constexpr int64_t kMostSlots = 1024;

/* A kith_term whose matrices were checked; strides in bytes. */
struct MixTerm {
  const unsigned char* data;
  int64_t stride;
  int32_t dtype;
  double coefficient;
  const double* row_coefficients; /* NULL: none */
};

/* W: CSR, or dense with offsets == NULL. values has the compute type; NULL: the identity. */
struct MixWeights {
  int64_t rows;
  int64_t cols;
  const int64_t* offsets;
  const int32_t* columns;
  const int32_t* slots; /* position of each entry's column in `used`; == columns when every column is used */
  const void* values;
  const int32_t* output_rows; /* NULL: row r */
  const int32_t* used;        /* columns with entries, ascending; NULL: all */
  int64_t used_count;
  const int32_t* pairs; /* pairwise: 2 rows each, equal where a row is alone */
};

struct MixJob {
  MixTerm inner[KITH_MAX_TERMS];
  MixTerm outer[KITH_MAX_TERMS];
  int32_t inner_count;
  int32_t outer_count;
  int32_t message_dtype;
  int64_t inner_rows;
  MixTerm halo; /* data NULL: none */
  MixWeights weights;
  unsigned char* y;
  int64_t y_stride; /* bytes */
  int32_t y_dtype;  /* kith_dtype: what is computed is rounded to it at the end */
  int32_t* flags;   /* NULL: none */
  bool plain;       /* one inner term, coefficient 1, in the compute type, as the messages are */
  bool staged;      /* copy inner rows even where they are plain */
  bool streaming;   /* store past the caches; never where y is narrow */
  int64_t tile;     /* columns of a tile */
  int64_t pitch;    /* bytes from one staged row to the next */
  /* Noise of the inner rows; its rows are those that W refers to. */
  const NoiseTask* noise; /* NULL: none */
  const NoiseKernels* drawing;
  int64_t used_inner;   /* the first ones of the used columns, which name inner rows */
  int64_t factor_bytes; /* of scratch */
  int64_t drawn_bytes;  /* of scratch, for the numbers of a tile */
};

/* Columns [column, column_end) of some rows; [0] computes in f32, [1] in f64. */
struct MixKernels {
  /* W is the identity, or there are no inner terms. */
  void (*combine[2])(const MixJob& job, int64_t row, int64_t row_end, int64_t column, int64_t column_end);
  /* Rows of W in any order of memory. */
  void (*gather[2])(const MixJob& job, int64_t row, int64_t row_end, int64_t column, int64_t column_end);
  /* Tile by tile, with the inner rows of a tile in the caches. scratch: used_count pointers and, where rows are
     staged, used_count times the pitch. */
  void (*tiles[2])(const MixJob& job, int64_t row, int64_t row_end, int64_t column, int64_t column_end,
                   unsigned char* scratch);
  /* Pairs [pair, pair_end) of a pairwise W, in place or not; scratch: twice the pitch. */
  void (*pairs[2])(const MixJob& job, int64_t pair, int64_t pair_end, int64_t column, int64_t column_end,
                   unsigned char* scratch);
  /* With noise, tile by tile. Rows [row, row_end) are those of W, where it is the identity those of y too. scratch: a pointer
     for each row that is staged, rounded up to a cache line, then factors, numbers, and the pitch for each row. */
  void (*noisy[2])(const MixJob& job, int64_t row, int64_t row_end, int64_t column, int64_t column_end,
                   unsigned char* scratch);
};

}  // namespace kith

#endif
