/*
 * The loop over a span of a step, for tier files: step.cpp and curvature.cpp bring the rules. A rule has kStates, a
 * constructor from StepNumbers, and `next`, which gives x' and replaces the states; x is already shrunk, g scaled and
 * decayed.
 */
#ifndef KITH_STEP_SPAN_HPP
#define KITH_STEP_SPAN_HPP

#include "step.hpp"
#include "tier.hpp"

namespace kith::KITH_TIER {

namespace {

template <class T>
KITH_INLINE Vec<T> wide(double value) {
  return broadcast<T>(static_cast<T>(value));
}

// Math.max of Java: NaN wins, +0 above -0 where b is an absolute value.
template <class T>
KITH_INLINE Vec<T> greatest(Vec<T> a, Vec<T> b) {
  return (a > b) | (a != a) ? a : b;
}

// Several streams in place keep the memory busy only when lines are asked for ahead: 1 KiB is worth 15 to 25 % of AdamW.
constexpr int64_t kAheadBytes = 1024;

template <class T>
KITH_INLINE void prefetch(const T* p) {
  __builtin_prefetch(reinterpret_cast<const char*>(p) + kAheadBytes, 0, 3);
}

// Elements that are converted to the copy before they leave the first-level cache.
constexpr int64_t kCopyTile = 1024;

template <class T, class S>
KITH_INLINE void convert(S* to, const T* from, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store<T, S>(to + i, load<T, T>(from + i));
  if (i < n) store_partial<T, S>(to + i, load_partial<T, T>(from + i, n - i), n - i);
}

/* What a rule of the family curvature says of itself: its `next` takes h after g. */
template <class Rule>
inline constexpr bool kTakesCurvature = requires {
  Rule::kTakesCurvature;
};

/* One span: x, states and copy as kith_apply_step says; H is the storage type of h where the rule takes one. */
template <template <class> class Rule, class T, class G, class H = T>
int32_t apply(const StepSpan& span) {
  const StepNumbers& k = *span.numbers;
  const Rule<T> rule(k);
  constexpr bool kCurved = kTakesCurvature<Rule<T>>;
  T* const x = static_cast<T*>(span.x);
  const G* const g = static_cast<const G*>(span.g);
  const H* const h = static_cast<const H*>(span.h);
  T* const s1 = static_cast<T*>(span.s1);
  T* const s2 = static_cast<T*>(span.s2);
  const Vec<T> shrink = wide<T>(k.shrink);
  const Vec<T> scale = wide<T>(span.scale);
  const Vec<T> decay = wide<T>(k.decay);
  const bool decayed = k.decay != 0;
  // Multiplying by one changes nothing, so only what does cost is asked for.
  const auto element = [&](Vec<T> before, Vec<T> gradient, Vec<T> curvature, Vec<T> & a, Vec<T> & b)
      __attribute__((always_inline)) {
    gradient = scale * gradient;
    if (decayed) gradient = fma(decay, before, gradient);
    if constexpr (kCurved) {
      return rule.next(before * shrink, gradient, curvature, a, b);
    } else {
      return rule.next(before * shrink, gradient, a, b);
    }
  };
  Vec<T> g_watch{}, x_watch{};
  int64_t i = 0;
  for (int64_t tile = 0; tile < span.n; tile += kCopyTile) {
    const int64_t end = span.n - tile < kCopyTile ? span.n : tile + kCopyTile;
    for (; i + kLanes<T> <= end; i += kLanes<T>) {
      if (i % (64 / static_cast<int64_t>(sizeof(T))) == 0) {
        prefetch(x + i);
        prefetch(g + i);
        if constexpr (kCurved) prefetch(h + i);
        if constexpr (Rule<T>::kStates > 0) prefetch(s1 + i);
        if constexpr (Rule<T>::kStates > 1) prefetch(s2 + i);
      }
      const Vec<T> gradient = load<T, G>(g + i);
      Vec<T> a{}, b{}, curvature{};
      if constexpr (kCurved) curvature = load<T, H>(h + i);
      if constexpr (Rule<T>::kStates > 0) a = load<T, T>(s1 + i);
      if constexpr (Rule<T>::kStates > 1) b = load<T, T>(s2 + i);
      const Vec<T> after = element(load<T, T>(x + i), gradient, curvature, a, b);
      store<T, T>(x + i, after);
      if constexpr (Rule<T>::kStates > 0) store<T, T>(s1 + i, a);
      if constexpr (Rule<T>::kStates > 1) store<T, T>(s2 + i, b);
      g_watch = watch<T>(g_watch, gradient);
      if constexpr (kCurved) g_watch = watch<T>(g_watch, curvature);
      x_watch = watch<T>(x_watch, after);
    }
    if (i < end) {
      const int64_t rest = end - i;
      const Vec<T> gradient = load_partial<T, G>(g + i, rest);
      Vec<T> a{}, b{}, curvature{};
      if constexpr (kCurved) curvature = load_partial<T, H>(h + i, rest);
      if constexpr (Rule<T>::kStates > 0) a = load_partial<T, T>(s1 + i, rest);
      if constexpr (Rule<T>::kStates > 1) b = load_partial<T, T>(s2 + i, rest);
      const Vec<T> after = element(load_partial<T, T>(x + i, rest), gradient, curvature, a, b);
      store_partial<T, T>(x + i, after, rest);
      if constexpr (Rule<T>::kStates > 0) store_partial<T, T>(s1 + i, a, rest);
      if constexpr (Rule<T>::kStates > 1) store_partial<T, T>(s2 + i, b, rest);
      g_watch = watch<T>(g_watch, gradient);
      if constexpr (kCurved) g_watch = watch<T>(g_watch, curvature);
      // Lanes beyond the end may be 0 / 0.
      x_watch = watch<T>(x_watch, load_partial<T, T>(x + i, rest));
      i = end;
    }
    if (span.copy != nullptr) {
      if (span.copy_dtype == KITH_BF16) {
        convert<T, bf16>(static_cast<bf16*>(span.copy) + tile, x + tile, end - tile);
      } else {
        convert<T, f16>(static_cast<f16*>(span.copy) + tile, x + tile, end - tile);
      }
    }
  }
  return (any_nan<T>(g_watch) ? 1 : 0) | (any_nan<T>(x_watch) ? 2 : 0);
}

}  // namespace

}  // namespace kith::KITH_TIER

#endif
