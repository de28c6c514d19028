/*
 * factorization: eigenvalues, QR, polar and Cholesky factors of many small or a few larger matrices; formulas and bounds in
 * kith.h, the steps in factorization_steps.hpp.
 *
 * A matrix is copied into a workspace of f64, rows padded to 64 bytes. Small ones are worked as many together as a vector has
 * lanes, each in its lane (Lanes); where that would leave the second cache, and for what is left over of a batch, a matrix is
 * worked across its columns (Columns): rotations of rows and columns, reflections and sums over rows are then whole vectors.
 * Both take the same steps in the same order. A matrix that would branch off (not finite, not of full rank, not positive
 * definite) is left by its lane and worked again by itself.
 * Bytes: each matrix read and written once, 4.2 MB for 1,024 polar factors of 64 x 8 in f32, far below the time of the
 * arithmetic: 26,000 fused operations for each of these, of which rotations are the larger half. Work per matrix: QR 4 m n^2 - 4/3 n^3 fused operations,
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
  using S = double;
  using M = bool;
  using State = FactorState;
  using V = Vec<double>;
  static constexpr bool kAlone = true;
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
  KITH_INLINE bool every(bool holds) const { return holds; }
  KITH_INLINE bool some(bool holds) const { return holds; }
  KITH_INLINE bool apart(bool holds) const { return holds; }
  template <class T>
  KITH_INLINE T of(T value, int) const {
    return value;
  }
  template <class F>
  KITH_INLINE void each(const FactorTask& task, F f) const {
    f(task, 0);
  }
  KITH_INLINE double get(const FactorTask& task, int64_t i, int64_t j) const { return element(task, task.in, i, j); }

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
  template <class R, class F>
  KITH_INLINE void rows(int64_t rows, int64_t from, int64_t to, R row, F f) const {
    for (int64_t i = 0; i < rows; i++) {
      const auto r = row(i);
      if (r.idle) continue;
      for (int64_t j = from / kWidth * kWidth; j < to; j += kWidth) f(r, Count<1>{}, j);
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

/* One thread has as many matrices as a vector has lanes; a number of each is in a lane. */
struct Lanes {
  using S = Vec<double>;
  using M = Mask<double>;
  using V = S;
  struct State {
    int64_t stage;
    int64_t k;
    int64_t sweep;
    S scale;
    S bound;
    M not_finite;
    M left;
  };
  static constexpr bool kAlone = false;
  static constexpr int kWidth = 1;
  static constexpr int64_t kStrip = kFactorSide;
  static constexpr int kMatrices = kLanes<double>;

  const FactorTask* tasks;
  M* left; /* to be worked one by one */

  KITH_INLINE S load(const S* at) const { return *at; }
  KITH_INLINE void store(S* at, S v) const { *at = v; }
  KITH_INLINE S set(double value) const { return broadcast(value); }
  KITH_INLINE S set(S value) const { return value; }
  KITH_INLINE S fma(S a, S b, S c) const { return KITH_TIER::fma(a, b, c); }
  KITH_INLINE S root(S a) const { return KITH_TIER::sqrt(a); }
  KITH_INLINE S folded(S* sum) const {
    for (int n = static_cast<int>(kPad) / 2; n >= 1; n /= 2) {
      for (int l = 0; l < n; l++) sum[l] = sum[l] + sum[l + n];
    }
    return sum[0];
  }
  KITH_INLINE M bits(S a) const { return bit_cast<M>(a); }
  KITH_INLINE S number(M bits) const { return bit_cast<S>(bits); }
  KITH_INLINE void barrier() const {}
  KITH_INLINE bool some(M holds) const {
    int64_t any = 0;
    for (int l = 0; l < kMatrices; l++) any |= holds[l];
    return any != 0;
  }
  KITH_INLINE bool every(M holds) const { return !some(!holds); }
  KITH_INLINE bool apart(M holds) const {
    *left = *left | holds;
    return false;
  }
  KITH_INLINE double of(S value, int l) const { return value[l]; }
  KITH_INLINE bool of(M holds, int l) const { return holds[l] != 0; }
  template <class F>
  KITH_INLINE void each(const FactorTask&, F f) const {
    for (int l = 0; l < kMatrices; l++) {
      if ((*left)[l] == 0) f(tasks[l], l);
    }
  }
  KITH_INLINE S get(const FactorTask&, int64_t i, int64_t j) const {
    double lane[kMatrices];
    for (int l = 0; l < kMatrices; l++) lane[l] = element(tasks[l], tasks[l].in, i, j);
    return load_bytes<S>(lane);
  }

  template <class F>
  KITH_INLINE void columns(int64_t from, int64_t to, F f) const {
    int64_t j = from;
    for (; j + 4 <= to; j += 4) f(Count<4>{}, j);
    for (; j < to; j++) f(Count<1>{}, j);
  }
  template <class F>
  KITH_INLINE void elements(int64_t rows, int64_t from, int64_t to, F f) const {
    for (int64_t i = 0; i < rows; i++) {
      for (int64_t j = from; j < to; j++) f(i, Count<1>{}, j);
    }
  }
  template <class R, class F>
  KITH_INLINE void rows(int64_t rows, int64_t from, int64_t to, R row, F f) const {
    for (int64_t i = 0; i < rows; i++) {
      const auto r = row(i);
      if (r.idle) continue;
      int64_t j = from;
      for (; j + 2 <= to; j += 2) f(r, Count<2>{}, j);
      if (j < to) f(r, Count<1>{}, j);
    }
  }
  template <class F>
  KITH_INLINE void triangle(int64_t first, int64_t n, F f) const {
    for (int64_t i = first; i < n; i++) {
      for (int64_t j = i; j < n; j++) f(i, j);
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

  KITH_INLINE void put(S* row, int64_t h, int64_t below, int64_t k, S above, S beneath) const {
    row[k == 0 ? 0 : k < h - 1 ? k + 1 : below + h - 1] = above;
    row[k > 0 ? below + k - 1 : h > 1 ? 1 : below] = beneath;
  }
  KITH_INLINE void settle(S*, int64_t, int64_t) const {}
};

/* Element l of vector r goes to element r of vector l. */
KITH_INLINE void turn(Lanes::S* v) {
#if defined(__AVX512F__)
  Lanes::S a[8], b[8];
  for (int r = 0; r < 8; r += 2) {
    a[r] = __builtin_shufflevector(v[r], v[r + 1], 0, 8, 2, 10, 4, 12, 6, 14);
    a[r + 1] = __builtin_shufflevector(v[r], v[r + 1], 1, 9, 3, 11, 5, 13, 7, 15);
  }
  for (int r = 0; r < 8; r += 4) {
    for (int k = r; k < r + 2; k++) {
      b[k] = __builtin_shufflevector(a[k], a[k + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      b[k + 2] = __builtin_shufflevector(a[k], a[k + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
  for (int k = 0; k < 4; k++) {
    v[k] = __builtin_shufflevector(b[k], b[k + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    v[k + 4] = __builtin_shufflevector(b[k], b[k + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
#elif defined(__AVX2__)
  Lanes::S a[4];
  for (int r = 0; r < 4; r += 2) {
    a[r] = __builtin_shufflevector(v[r], v[r + 1], 0, 4, 2, 6);
    a[r + 1] = __builtin_shufflevector(v[r], v[r + 1], 1, 5, 3, 7);
  }
  for (int k = 0; k < 2; k++) {
    v[k] = __builtin_shufflevector(a[k], a[k + 2], 0, 1, 4, 5);
    v[k + 2] = __builtin_shufflevector(a[k], a[k + 2], 2, 3, 6, 7);
  }
#else
  const Lanes::S a = v[0], b = v[1];
  v[0] = __builtin_shufflevector(a, b, 0, 2);
  v[1] = __builtin_shufflevector(a, b, 1, 3);
#endif
}

template <class T>
void load_lanes(const Lanes& p, Which which, int64_t rows, int64_t cols, Lanes::S* to, int64_t pitch) {
  constexpr int W = Lanes::kMatrices;
  const int64_t stride = (p.tasks[0].*which).stride;
  const T* data[W];
  for (int l = 0; l < W; l++) data[l] = reinterpret_cast<const T*>((p.tasks[l].*which).data);
  for (int64_t i = 0; i < rows; i++) {
    Lanes::S* const row = to + i * pitch;
    int64_t j = 0;
    for (; j + W <= cols; j += W) {
      Lanes::S v[W];
      for (int l = 0; l < W; l++) v[l] = KITH_TIER::load<double>(data[l] + i * stride + j);
      turn(v);
      for (int l = 0; l < W; l++) row[j + l] = v[l];
    }
    for (; j < cols; j++) {
      for (int l = 0; l < W; l++) row[j][l] = static_cast<double>(data[l][i * stride + j]);
    }
    for (; j < pitch; j++) row[j] = Lanes::S{};
  }
}

KITH_INLINE void load_window(const Lanes& p, const FactorTask& task, Which which, int64_t rows, int64_t cols,
                             Lanes::S* to, int64_t pitch) {
  if (task.f64 != 0) {
    load_lanes<double>(p, which, rows, cols, to, pitch);
  } else {
    load_lanes<float>(p, which, rows, cols, to, pitch);
  }
}

template <class T>
void store_lanes(const Lanes& p, Which which, int64_t rows, int64_t cols, const Lanes::S* from, int64_t pitch) {
  constexpr int W = Lanes::kMatrices;
  const int64_t stride = (p.tasks[0].*which).stride;
  T* data[W];
  bool left[W];
  for (int l = 0; l < W; l++) {
    data[l] = reinterpret_cast<T*>((p.tasks[l].*which).data);
    left[l] = (*p.left)[l] != 0;
  }
  for (int64_t i = 0; i < rows; i++) {
    const Lanes::S* const row = from + i * pitch;
    int64_t j = 0;
    for (; j + W <= cols; j += W) {
      Lanes::S v[W];
      for (int l = 0; l < W; l++) v[l] = row[j + l];
      turn(v);
      for (int l = 0; l < W; l++) {
        if (!left[l]) KITH_TIER::store<double>(data[l] + i * stride + j, v[l]);
      }
    }
    for (; j < cols; j++) {
      for (int l = 0; l < W; l++) {
        if (!left[l]) data[l][i * stride + j] = static_cast<T>(row[j][l]);
      }
    }
  }
}

KITH_INLINE void store_window(const Lanes& p, const FactorTask& task, Which which, int64_t rows, int64_t cols,
                              const Lanes::S* from, int64_t pitch) {
  if (task.f64 != 0) {
    store_lanes<double>(p, which, rows, cols, from, pitch);
  } else {
    store_lanes<float>(p, which, rows, cols, from, pitch);
  }
}

/* One function for each operation and policy. Eight columns fill a padded row: where their number is a literal the loops over
   them unroll, a fifth of the time of rotations. */
#define KITH_STEPS(operation)                                                                             \
  bool advance_##operation(const FactorTask& task, FactorState& state, double* workspace, int64_t work) { \
    return operation(Columns{}, task, state, workspace, work);                                            \
  }                                                                                                       \
  void together_##operation(const Lanes& lanes, Lanes::S* workspace) {                                    \
    Lanes::State state = {};                                                                              \
    FactorTask task = lanes.tasks[0];                                                                     \
    if (task.cols == 8) {                                                                                 \
      task.cols = 8;                                                                                      \
      operation(lanes, task, state, workspace, INT64_MAX);                                                \
    } else {                                                                                              \
      operation(lanes, task, state, workspace, INT64_MAX);                                                \
    }                                                                                                     \
  }
KITH_STEPS(eigen)
KITH_STEPS(qr)
KITH_STEPS(polar)
KITH_STEPS(tangent)
KITH_STEPS(cholesky)
KITH_STEPS(solve)
KITH_STEPS(update)

constexpr bool (*kAdvance[kFactorOperations])(const FactorTask&, FactorState&, double*, int64_t) = {
    advance_eigen, advance_qr, advance_polar, advance_tangent, advance_cholesky, advance_solve, advance_update};
constexpr void (*kTogether[kFactorOperations])(const Lanes&, Lanes::S*) = {
    together_eigen, together_qr, together_polar, together_tangent, together_cholesky, together_solve, together_update};

int64_t workspace(const FactorTask& task) { return workspace_size(task); }

/* What matrices that are worked together may take, to stay in the second cache. */
constexpr int64_t kTogetherBytes = 256 << 10;

bool is_together(const FactorTask& task) {
  return workspace_size(task) * static_cast<int64_t>(sizeof(Lanes::S)) <= kTogetherBytes;
}

int64_t whole_workspace(const FactorTask& task) {
  return workspace_size(task) * (is_together(task) ? Lanes::kMatrices : 1);
}

void whole(const FactorTask* tasks, int64_t count, double* workspace) {
  const int operation = tasks[0].operation;
  const int64_t step = is_together(tasks[0]) ? Lanes::kMatrices : 1;
  for (int64_t b = 0; b < count; b += step) {
    const int64_t end = b + step <= count ? b + step : count;
    Lanes::M left = Lanes::M{} - 1;
    if (step > 1 && end == b + step) {
      left = Lanes::M{};
      kTogether[operation](Lanes{tasks + b, &left}, reinterpret_cast<Lanes::S*>(workspace));
    }
    for (int64_t l = b; l < end; l++) {
      FactorState state = {};
      if (left[l - b] != 0) kAdvance[operation](tasks[l], state, workspace, INT64_MAX);
    }
  }
}

}  // namespace

extern const FactorizationKernels factorization_kernels;
const FactorizationKernels factorization_kernels = {
    {advance_eigen, advance_qr, advance_polar, advance_tangent, advance_cholesky, advance_solve, advance_update},
    whole,
    workspace,
    whole_workspace};

}  // namespace kith::KITH_TIER
