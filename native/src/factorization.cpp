/*
 * factorization: eigenvalues, QR, polar and Cholesky factors of many small or a few larger matrices; formulas and bounds in
 * kith.h, the steps in factorization_steps.hpp.
 *
 * A matrix is copied into a workspace of f64, rows padded to 64 bytes, and worked across its columns: rotations of rows and
 * columns, reflections and sums over rows are then whole vectors. Work per matrix: QR 4 m n^2 - 4/3 n^3 fused operations,
 * half of them for Q; eigen 6 n^3 a sweep, n < 64 needs 5 to 9 of them; polar those of QR and 3.5 n^3 a sweep; tangent
 * 2 m n^2; Cholesky n^3 / 6, each solve n^2 a column, each vector of an update n^2.
 * Determinism: each element is formed by one order of operations, so all tiers, threads and cuts give the same bits.
 * Supported range: square problems up to 1,024.
 * Sources: G. H. Golub, C. F. Van Loan, "Matrix Computations", 4th edition, 2013: 4.2 (Cholesky), 5.2 (Householder), 6.5
 * (updates; downdates in the mixed form), 8.5 and 8.6 (Jacobi, one- and two-sided, parallel order).
 */
#include "factorization.hpp"

#include "tier.hpp"

namespace kith::KITH_TIER {

namespace {

#define KITH_STEP KITH_INLINE
#define KITH_STEP_BOTH KITH_INLINE
#define KITH_STEP_BODY __attribute__((always_inline))

#include "factorization_steps.hpp"

/* One thread has the matrix; columns go by vectors. */
struct Columns {
  using V = Vec<double>;
  static constexpr int kWidth = kLanes<double>;
  static constexpr int64_t kStrip = 64; /* 512 KiB of 1,024 rows */

  KITH_INLINE V load(const double* at) const { return load_bytes<V>(at); }
  KITH_INLINE void store(double* at, V v) const { store_bytes(at, v); }
  KITH_INLINE V set(double value) const { return broadcast(value); }
  KITH_INLINE V fma(V a, V b, V c) const { return KITH_TIER::fma(a, b, c); }
  KITH_INLINE double fma(double a, double b, double c) const { return KITH_TIER::fma(a, b, c); }
  KITH_INLINE double root(double a) const { return __builtin_sqrt(a); }
  KITH_INLINE V root(V a) const { return KITH_TIER::sqrt(a); }
  KITH_INLINE double folded(V* sum) const {
    for (int n = static_cast<int>(kPad) / kWidth / 2; n >= 1; n /= 2) {
      for (int l = 0; l < n; l++) sum[l] = sum[l] + sum[l + n];
    }
    double lane[kWidth];
    store(lane, sum[0]);
    for (int n = kWidth / 2; n >= 1; n /= 2) {
      for (int l = 0; l < n; l++) lane[l] = lane[l] + lane[l + n];
    }
    return lane[0];
  }
  KITH_INLINE int64_t bits(double a) const { return bit_cast<int64_t>(a); }
  KITH_INLINE double number(int64_t bits) const { return bit_cast<double>(bits); }
  KITH_INLINE void barrier() const {}

  template <class F>
  KITH_INLINE void columns(int64_t from, int64_t to, F f) const {
    int64_t j = from / kWidth * kWidth;
    for (; j + 2 * kWidth <= to; j += 2 * kWidth) f(Count<2>{}, j);
    for (; j < to; j += kWidth) f(Count<1>{}, j);
  }
  template <class F>
  KITH_INLINE void elements(int64_t rows, int64_t from, int64_t to, F f) const {
    for (int64_t i = 0; i < rows; i++) {
      for (int64_t j = from / kWidth * kWidth; j < to; j += kWidth) f(i, Count<1>{}, j);
    }
  }
  template <class F>
  KITH_INLINE void triangle(int64_t first, int64_t n, F f) const {
    for (int64_t i = first; i < n; i++) {
      for (int64_t j = i / kWidth * kWidth; j < n; j += kWidth) f(i, j);
    }
  }
  template <class F>
  KITH_INLINE void cells(int64_t rows, int64_t cols, F f) const {
    for (int64_t i = 0; i < rows; i++) {
      for (int64_t j = 0; j < cols; j++) f(i, j);
    }
  }
  template <class F>
  KITH_INLINE void items(int64_t n, F f) const {
    for (int64_t i = 0; i < n; i++) f(i);
  }
  template <class F>
  KITH_INLINE void one(F f) const {
    f();
  }

  // Columns above move one on and those below one back; the three that turn a corner are set right by settle.
  KITH_INLINE void put(double* row, int64_t, int64_t below, int64_t k, V above, V beneath) const {
    store(row + k + 1, above);
    store(row + below + k - 1, beneath);
  }
  KITH_INLINE void settle(double* row, int64_t h, int64_t below) const {
    row[0] = row[1];
    const double first = row[below - 1];
    const double last = row[h];
    if (h > 1) row[1] = first;
    row[below + h - 1] = h > 1 ? last : first;
  }
};

bool advance_eigen(const FactorTask& task, FactorState& state, double* workspace, int64_t work) {
  return eigen(Columns{}, task, state, workspace, work);
}

bool advance_qr(const FactorTask& task, FactorState& state, double* workspace, int64_t work) {
  return qr(Columns{}, task, state, workspace, work);
}

bool advance_polar(const FactorTask& task, FactorState& state, double* workspace, int64_t work) {
  return polar(Columns{}, task, state, workspace, work);
}

bool advance_tangent(const FactorTask& task, FactorState& state, double* workspace, int64_t work) {
  return tangent(Columns{}, task, state, workspace, work);
}

bool advance_cholesky(const FactorTask& task, FactorState& state, double* workspace, int64_t work) {
  return cholesky(Columns{}, task, state, workspace, work);
}

bool advance_solve(const FactorTask& task, FactorState& state, double* workspace, int64_t work) {
  return solve(Columns{}, task, state, workspace, work);
}

bool advance_update(const FactorTask& task, FactorState& state, double* workspace, int64_t work) {
  return update(Columns{}, task, state, workspace, work);
}

int64_t workspace(const FactorTask& task) { return workspace_size(task); }

}  // namespace

extern const FactorizationKernels factorization_kernels;
const FactorizationKernels factorization_kernels = {
    {advance_eigen, advance_qr, advance_polar, advance_tangent, advance_cholesky, advance_solve, advance_update},
    workspace};

}  // namespace kith::KITH_TIER
