/* The sums of blocks, put together on the tree of kith.h: for code that is compiled once. */
#ifndef KITH_TREE_SUMS_HPP
#define KITH_TREE_SUMS_HPP

#include <cmath>
#include <cstdint>
#include <cstring>

namespace kith {

// Which NaN comes out of a sum is the processor's choice, so all are given as one.
inline double plain_nan(double value) { return std::isnan(value) ? __builtin_nan("") : value; }

// Pairwise over `count` vectors of `width` values, neighbours first; the result lies in the first.
inline void combine_vectors(double* values, int64_t count, int64_t pitch, int64_t width) {
  while (count > 1) {
    const int64_t half = count / 2;
    for (int64_t i = 0; i < half; i++) {
      const double* a = values + 2 * i * pitch;
      const double* b = a + pitch;
      double* to = values + i * pitch;
      for (int64_t k = 0; k < width; k++) to[k] = a[k] + b[k];
    }
    if (count % 2 != 0) {
      std::memmove(values + half * pitch, values + (count - 1) * pitch, static_cast<size_t>(width) * sizeof(double));
    }
    count = half + count % 2;
  }
}

}  // namespace kith

#endif
