/* The lanes of the tree of kith.h and how they and the sums of chunks are put together, for tier files. */
#ifndef KITH_TREE_HPP
#define KITH_TREE_HPP

#include "tier.hpp"

namespace kith::KITH_TIER {

namespace {

constexpr int64_t kTreeLanes = 64;

template <class T>
constexpr int kTreeVectors = static_cast<int>(kTreeLanes) / kLanes<T>;
template <class T>
constexpr int kPassVectors = kTreeVectors<T> < 8 ? kTreeVectors<T> : 8;

template <class T>
KITH_INLINE T fold(T* lanes) {
  for (int s = 32; s >= kLanes<T>; s /= 2) {
    for (int l = 0; l < s; l += kLanes<T>) {
      store<T, T>(lanes + l, load<T, T>(lanes + l) + load<T, T>(lanes + l + s));
    }
  }
  for (int s = kLanes<T> / 2 < 32 ? kLanes<T> / 2 : 32; s >= 1; s /= 2) {
    for (int l = 0; l < s; l++) lanes[l] += lanes[l + s];
  }
  return lanes[0];
}

// Neighbours first, an odd last one moves up.
KITH_INLINE double pairwise(double* values, int64_t n) {
  while (n > 1) {
    const int64_t half = n / 2;
    for (int64_t i = 0; i < half; i++) values[i] = values[2 * i] + values[2 * i + 1];
    if (n % 2 != 0) values[half] = values[n - 1];
    n = half + n % 2;
  }
  return n == 0 ? 0.0 : values[0];
}

}  // namespace

}  // namespace kith::KITH_TIER

#endif
