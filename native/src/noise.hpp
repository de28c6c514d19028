/* What noise_api.cpp (once) and noise.cpp (per tier) agree on. */
#ifndef KITH_NOISE_HPP
#define KITH_NOISE_HPP

#include <cstdint>

namespace kith {

/* One random row: all that its words depend on but their index. */
struct NoiseKey {
  uint32_t words[8]; /* Philox uses two */
  uint32_t node;
  uint32_t round; /* bits 0-31 */
  uint32_t high;  /* bits 8-31 of the last counter word: round 32-39, form, tag */
};

/* Coefficients of docs/randomness.md, the constant one first. Macros, since device code takes no arrays of the host. */
/* The quantile of 1/2 + q for |q| < 7/16 is q times this polynomial in q^2. */
#define KITH_NORMAL_CENTRAL                                                                                        \
  {                                                                                                                \
    0x1.40d931b42753bp+1, 0x1.5000181064264p+1, 0x1.700ce9cabb526p+2, 0x1.266a2540feb54p+4, -0x1.06a0f3e4ea198p+7, \
        0x1.ba0f7170c95adp+12, -0x1.4ffa32838a117p+17, 0x1.600fe813bc391p+21, -0x1.f77bf41e30dd1p+24,              \
        0x1.efc710c664c08p+27, -0x1.4a661b372b4bep+30, 0x1.1d55f4d5c168cp+32, -0x1.20ac33d1612ccp+33,              \
        0x1.050b089469569p+33                                                                                      \
  }
/* ln(1 + m) is m times this polynomial in m for 1/sqrt(2) <= 1 + m < sqrt(2). */
#define KITH_NORMAL_LOG                                                                                             \
  {                                                                                                                 \
    0x1.00000000b3b6ep+0, -0x1.0000004c311d9p-1, 0x1.555552a71d58ap-2, -0x1.ffff5ac222db3p-3, 0x1.999a87a992c8bp-3, \
        -0x1.5572f6edfebf2p-3, 0x1.2492c359e35a6p-3, -0x1.fb59d4e770596p-4, 0x1.c270d26608780p-4,                   \
        -0x1.c2311d3dabcaep-4, 0x1.bee01d950e7c0p-4, -0x1.eb41d21a2db09p-5                                          \
  }
/* Minus the quantile of p < 1/16 is this polynomial in sqrt(-2 ln p) - 4.5. */
#define KITH_NORMAL_TAIL                                                                                             \
  {                                                                                                                  \
    0x1.f8d54ae1e9fa0p+1, 0x1.141c06ef1e1ebp+0, -0x1.a754d8afda04ap-7, 0x1.28059429514afp-9, -0x1.ac018bc855650p-12, \
        0x1.3c0a0308c4082p-14, -0x1.e88b19e7e51f4p-17, 0x1.82ba3159c53cap-19, -0x1.badbcd83bbfa7p-22,                \
        0x1.0af28c7ea2ae5p-24, -0x1.4f2154df8effap-25, 0x1.37c81f3cc56bep-27                                         \
  }

/* The word as a signed number from which on, and from minus that less one on, normals are those of the tails. */
inline constexpr int32_t kNormalTail = 7 << 28;
inline constexpr double kLn2 = 0x1.62e42fefa39efp-1;

/* Columns that a tile has, or a multiple of them. */
inline constexpr int64_t kNoiseGrain = 32;
/* Most columns of a tile of signs; such a tile is a multiple of 1024 columns. */
inline constexpr int64_t kNoiseSigns = 8192;
/* Rows of a dense W that are summed together. */
inline constexpr int64_t kNoiseRows = 4;

struct NoiseTask {
  int32_t generator;
  int32_t distribution;
  int32_t add;
  int32_t streaming; /* 1: y is stored past the caches */
  double scale;
  int64_t count;
  const NoiseKey* keys;
  /* W; values NULL: none */
  int64_t rows;
  const int64_t* offsets; /* NULL: dense */
  const int32_t* columns;
  const int32_t* output_rows; /* NULL: row r */
  const double* values;
  const int32_t* taken;        /* the rows of W that are summed, `rows` of them; NULL: all */
  const unsigned char* wanted; /* 1 for each source that they need; NULL: all */
  unsigned char* y;
  int64_t pitch;   /* bytes */
  int64_t tile;    /* columns whose z are held, a multiple of kNoiseGrain, of 1024 for signs */
  int64_t z_pitch; /* from one row of a tile to the next, in numbers or in words of 32 signs */
};

struct NoiseKernels {
  /* Row r of y, columns [begin, end); begin is a multiple of 1024. */
  void (*words)(const NoiseTask& task, int64_t row, int64_t begin, int64_t end);
  /* The same for f32 and f64. */
  void (*rows[2])(const NoiseTask& task, int64_t row, int64_t begin, int64_t end);
  /* Source k as numbers, columns [begin, begin + n), begin a multiple of kNoiseGrain; z: n rounded up to that. */
  void (*draw)(const NoiseTask& task, int64_t k, int64_t begin, int64_t n, float* z);
  /* y = fma(scale, z, y) over n columns. */
  void (*add[2])(const NoiseTask& task, const float* z, int64_t n, void* y);
  /* The sums of the rows over n columns of sources that stand in z as numbers, z_pitch apart. Row i of those that are summed
     is at y + i * pitch, in bytes. */
  void (*tile[2])(const NoiseTask& task, const float* z, int64_t n, unsigned char* y, int64_t pitch, void* factors);
  /* All rows that W writes, columns [begin, end); begin is a multiple of the tile. z: count rows of the tile.
     factors: kNoiseRows for each column of a dense W, one for each entry of the longest row of a sparse one. */
  void (*sums[2])(const NoiseTask& task, int64_t begin, int64_t end, void* z, void* factors);
};

}  // namespace kith

#endif
