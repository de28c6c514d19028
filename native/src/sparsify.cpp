/*
 * Selection of few elements of a row, and their sum into rows, per tier; formulas in kith.h.
 *
 *   form     v = [residual +] (x [- minus]), keys of it     4 B/element read (12 with a residual in place), keys in cache
 *   list     the same, elements from a bound up             4 B/element read (12), 8 B per listed element
 *   kth      k-th largest key by bisection of its bits      keys in cache, some 20 passes, fewer where keys are apart
 *   choose   columns of what was chosen                     keys in cache
 *   add      y += w m at the entries of a message           8 B per entry read, a line of y each
 *
 * Determinism: keys are integers, and each element of v is one or two f32 operations. What is listed or chosen depends on
 * values and columns alone.
 */
#include "sparsify.hpp"

#include "tier.hpp"

namespace kith::KITH_TIER {

namespace {

// Elements between two looks at the mask of candidates.
constexpr int64_t kGroup = 64;
constexpr int64_t kAheadBytes = 1024;

KITH_INLINE Mask<float> integers(int32_t value) { return Mask<float>{} + value; }

KITH_INLINE Mask<float> keys_of(Vec<float> v) {
  const Mask<float> key = bit_cast<Mask<float>>(v) & 0x7fffffff;
  return key > kInfinityKey ? integers(kNanKey) : key;
}

// One bit per lane, lane 0 lowest.
KITH_INLINE uint32_t lane_bits(Mask<float> mask) {
#if defined(__AVX512F__)
  return _mm512_cmpneq_epi32_mask(bit_cast<__m512i>(mask), _mm512_setzero_si512());
#elif defined(__AVX2__)
  return static_cast<uint32_t>(_mm256_movemask_ps(bit_cast<__m256>(mask)));
#elif defined(__x86_64__)
  return static_cast<uint32_t>(_mm_movemask_ps(bit_cast<__m128>(mask)));
#else
  uint32_t bits = 0;
  for (int i = 0; i < kLanes<float>; i++) bits |= static_cast<uint32_t>(mask[i] & 1) << i;
  return bits;
#endif
}

KITH_INLINE int64_t sum_of(Mask<float> counts) {
  int64_t sum = 0;
  for (int i = 0; i < kLanes<float>; i++) sum += counts[i];
  return sum;
}

template <bool kMinus, bool kResidual>
struct Terms {
  const float* x;
  const float* minus;
  float* residual;
  explicit KITH_INLINE Terms(const SelectSpan& span) : x(span.x), minus(span.minus), residual(span.residual) {}
  KITH_INLINE void prefetch(int64_t i) const {
    __builtin_prefetch(reinterpret_cast<const char*>(x + i) + kAheadBytes, 0, 3);
    if constexpr (kMinus) __builtin_prefetch(reinterpret_cast<const char*>(minus + i) + kAheadBytes, 0, 3);
    if constexpr (kResidual) __builtin_prefetch(reinterpret_cast<const char*>(residual + i) + kAheadBytes, 0, 3);
  }
  KITH_INLINE Vec<float> whole(int64_t i) const {
    Vec<float> v = load<float>(x + i);
    if constexpr (kMinus) v = v - load<float>(minus + i);
    if constexpr (kResidual) {
      v = load<float>(residual + i) + v;
      store<float>(residual + i, v);
    }
    return v;
  }
  // Lanes from n on are +0.
  KITH_INLINE Vec<float> part(int64_t i, int64_t n) const {
    Vec<float> v = load_partial<float>(x + i, n);
    if constexpr (kMinus) v = v - load_partial<float>(minus + i, n);
    if constexpr (kResidual) {
      v = load_partial<float>(residual + i, n) + v;
      store_partial<float>(residual + i, v, n);
    }
    return v;
  }
};

template <bool kMinus, bool kResidual>
int32_t form(const SelectSpan& span, int32_t* keys) {
  const Terms<kMinus, kResidual> terms(span);
  Mask<float> largest{};
  int64_t i = 0;
  for (; i + kLanes<float> <= span.n; i += kLanes<float>) {
    if (i % (64 / 4) == 0) terms.prefetch(i);
    const Mask<float> key = keys_of(terms.whole(i));
    largest = key > largest ? key : largest;
    if (keys != nullptr) store_bytes(keys + i, key);
  }
  if (i < span.n) {
    const Mask<float> key = keys_of(terms.part(i, span.n - i));
    largest = key > largest ? key : largest;
    if (keys != nullptr) std::memcpy(keys + i, &key, static_cast<size_t>(span.n - i) * sizeof(int32_t));
  }
  return lane_bits(largest >= kInfinityKey) != 0 ? 1 : 0;
}

int32_t form_any(const SelectSpan& span, int32_t* keys) {
  if (span.minus == nullptr) {
    return span.residual == nullptr ? form<false, false>(span, keys) : form<false, true>(span, keys);
  }
  return span.residual == nullptr ? form<true, false>(span, keys) : form<true, true>(span, keys);
}

KITH_INLINE int64_t count_from(const int32_t* keys, int64_t n, int32_t least) {
  Mask<float> counts[4] = {};
  const Mask<float> below = integers(least - 1);
  int64_t i = 0;
  for (; i + 4 * kLanes<float> <= n; i += 4 * kLanes<float>) {
    for (int u = 0; u < 4; u++) counts[u] -= load_bytes<Mask<float>>(keys + i + u * kLanes<float>) > below;
  }
  for (; i + kLanes<float> <= n; i += kLanes<float>) counts[0] -= load_bytes<Mask<float>>(keys + i) > below;
  int64_t count = sum_of((counts[0] + counts[1]) + (counts[2] + counts[3]));
  for (; i < n; i++) count += keys[i] >= least ? 1 : 0;
  return count;
}

// The least of the keys that are at least `least`, of which there is one.
KITH_INLINE int32_t least_from(const int32_t* keys, int64_t n, int32_t least) {
  Mask<float> found = integers(INT32_MAX);
  int64_t i = 0;
  for (; i + kLanes<float> <= n; i += kLanes<float>) {
    const Mask<float> key = load_bytes<Mask<float>>(keys + i);
    found = (key >= least) & (key < found) ? key : found;
  }
  int32_t result = INT32_MAX;
  for (int l = 0; l < kLanes<float>; l++) result = found[l] < result ? found[l] : result;
  for (; i < n; i++) result = keys[i] >= least && keys[i] < result ? keys[i] : result;
  return result;
}

int32_t kth(const int32_t* keys, int64_t n, int64_t k, int64_t* above) {
  // The largest bound with at least k keys from it up is the k-th largest key. Bits are settled from the top.
  int32_t bound = 0;
  for (int bit = 30; bit >= 0; bit--) {
    const int32_t next = bound | (int32_t{1} << bit);
    if (next > kNanKey) continue;
    const int64_t count = count_from(keys, n, next);
    if (count < k) continue;
    bound = next;
    if (count == k) {
      bound = least_from(keys, n, bound);
      break;
    }
  }
  *above = count_from(keys, n, bound + 1);
  return bound;
}

template <bool kMinus, bool kResidual>
int64_t list(const SelectSpan& span, int32_t least, int32_t column, int64_t capacity, int32_t* columns,
             uint32_t* values, int32_t* bad) {
  const Terms<kMinus, kResidual> terms(span);
  // Where v is what x or the residual hold it is read again from there, else from here.
  float formed[kGroup];
  const Mask<float> below = integers(least - 1);
  int64_t count = 0;
  uint32_t largest = 0;
  for (int64_t i = 0; i < span.n; i += kGroup) {
    uint64_t found = 0;
    if (i + kGroup <= span.n) {
      for (int64_t l = 0; l < kGroup; l += kLanes<float>) {
        if (l % (64 / 4) == 0) terms.prefetch(i + l);
        const Vec<float> v = terms.whole(i + l);
        if constexpr (kMinus && !kResidual) store<float>(formed + l, v);
        found |= static_cast<uint64_t>(lane_bits((bit_cast<Mask<float>>(v) & 0x7fffffff) > below)) << l;
      }
    } else {
      for (int64_t l = 0; i + l < span.n; l += kLanes<float>) {
        const int64_t rest = span.n - i - l;
        const Vec<float> v = rest >= kLanes<float> ? terms.whole(i + l) : terms.part(i + l, rest);
        if constexpr (kMinus && !kResidual) store<float>(formed + l, v);
        found |= static_cast<uint64_t>(lane_bits((bit_cast<Mask<float>>(v) & 0x7fffffff) > below)) << l;
      }
      found &= (uint64_t{1} << (span.n - i)) - 1;
    }
    const float* const v = kResidual ? terms.residual + i : kMinus ? formed : terms.x + i;
    while (found != 0) {
      const int64_t l = __builtin_ctzll(found);
      found &= found - 1;
      const uint32_t bits = bit_cast<uint32_t>(v[l]);
      const uint32_t magnitude = bits & 0x7fffffffu;
      largest = magnitude > largest ? magnitude : largest;
      if (count < capacity) {
        columns[count] = column + static_cast<int32_t>(i + l);
        values[count] = bits;
        if constexpr (kResidual) terms.residual[i + l] = v[l] - v[l];
      }
      count++;
    }
  }
  if (largest >= static_cast<uint32_t>(kInfinityKey)) *bad = 1;
  if (kResidual && count > capacity) {
    for (int64_t i = 0; i < capacity; i++) terms.residual[columns[i] - column] = bit_cast<float>(values[i]);
  }
  return count;
}

int64_t list_any(const SelectSpan& span, int32_t least, int32_t column, int64_t capacity, int32_t* columns,
                 uint32_t* values, int32_t* bad) {
  if (span.minus == nullptr) {
    return span.residual == nullptr ? list<false, false>(span, least, column, capacity, columns, values, bad)
                                    : list<false, true>(span, least, column, capacity, columns, values, bad);
  }
  return span.residual == nullptr ? list<true, false>(span, least, column, capacity, columns, values, bad)
                                  : list<true, true>(span, least, column, capacity, columns, values, bad);
}

int64_t choose(const int32_t* keys, int64_t n, int32_t border, int64_t ties, int64_t limit, int32_t column,
               int32_t* columns) {
  const Mask<float> below = integers(border - 1);
  int64_t count = 0;
  for (int64_t i = 0; i < n && count < limit; i += kLanes<float>) {
    uint32_t found = 0;
    if (i + kLanes<float> <= n) {
      found = lane_bits(load_bytes<Mask<float>>(keys + i) > below);
    } else {
      for (int64_t l = 0; i + l < n; l++) found |= (keys[i + l] >= border ? 1u : 0u) << l;
    }
    for (; found != 0 && count < limit; found &= found - 1) {
      const int64_t at = i + __builtin_ctz(found);
      if (keys[at] == border && ties-- <= 0) continue;
      columns[count++] = column + static_cast<int32_t>(at);
    }
  }
  return count;
}

void add(float* y, const int32_t* columns, const float* values, int64_t n, int64_t first, float weight, bool plain) {
  if (plain) {
    for (int64_t i = 0; i < n; i++) y[columns[i] - first] = y[columns[i] - first] + values[i];
  } else {
    for (int64_t i = 0; i < n; i++) y[columns[i] - first] = fma(weight, values[i], y[columns[i] - first]);
  }
}

}  // namespace

extern const SparsifyKernels sparsify_kernels;
const SparsifyKernels sparsify_kernels = {form_any, kth, list_any, choose, add};

}  // namespace kith::KITH_TIER
