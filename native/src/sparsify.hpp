/* What sparsify_api.cpp (once) and sparsify.cpp (per tier) agree on. */
#ifndef KITH_SPARSIFY_HPP
#define KITH_SPARSIFY_HPP

#include <cstdint>

namespace kith {

/* Columns whose keys are made at a time; a selection of no more is made in one go. */
inline constexpr int64_t kSelectChunk = 16384;

/* The order of elements as integers: the bits of |v|, all NaN as one above infinity. */
inline constexpr int32_t kNanKey = 0x7fc00000;
inline constexpr int32_t kInfinityKey = 0x7f800000;

/* Neighbouring columns of one row of v. */
struct SelectSpan {
  const float* x;
  const float* minus; /* NULL: none */
  float* residual;    /* NULL: none */
  int64_t n;
};

struct SparsifyKernels {
  /* Forms v, stores it in the residual and its keys in `keys` (NULL: not wanted). 1 when v is not finite, else 0. */
  int32_t (*form)(const SelectSpan& span, int32_t* keys);
  /* The k-th largest of n keys, 1 <= k <= n; *above: how many are larger. */
  int32_t (*kth)(const int32_t* keys, int64_t n, int64_t k, int64_t* above);
  /* Forms v, stores it in the residual, and lists the elements with a key of at least `least` <= infinity's, counted from
     `column` on: the first `capacity` of them. Returns how many there are; *bad becomes 1 when v is not finite. Where
     all are listed the residual keeps v - v of them: most are sent, and their lines are at hand. */
  int64_t (*list)(const SelectSpan& span, int32_t least, int32_t column, int64_t capacity, int32_t* columns,
                  uint32_t* values, int32_t* bad);
  /* Lists the columns, counted from `column` on, of the keys above `border` and of the first `ties` that equal it, at most
     `limit`. Returns how many. */
  int64_t (*choose)(const int32_t* keys, int64_t n, int32_t border, int64_t ties, int64_t limit, int32_t column,
                    int32_t* columns);
  /* y[columns[i] - first] = fma(weight, values[i], y[..]); weight 1 and `plain`: y + value. */
  void (*add)(float* y, const int32_t* columns, const float* values, int64_t n, int64_t first, float weight,
              bool plain);
};

}  // namespace kith

#endif
