/*
 * curvature: steps that divide by an estimate of the curvature, the estimates, and conjugate gradient; formulas in kith.h.
 *
 * Bytes per element with f32: AdaHessian 32, Sophia 24, Hutchinson 12; OASIS 28 for its statistics and 20 for its step with
 * x kept, 16 without; conjugate gradient 8 for its products and 36 for its updates. f64 twice that.
 * Launch: 256 threads, 64-bit indices.
 *   step_one      steps: step_packs.hpp
 *   diagonal      16 threads (f32; 32 for f64) for a chunk of 4,096 columns, 16 bytes of each stream at a time; every thread
 *                 makes the words of its signs itself, a block of the generator for 128 (ChaCha20: 512) columns
 *   products      the same without signs
 *   combine_*     sums of chunks: chunks.hpp
 *   scaled, conjugate   grid-stride over packs of 16 bytes; rows that are not aligned to that element by element
 * Determinism: element by element, sums on the tree of a row, so the bits are the CPU's and depend on no launch shape.
 * Emulated: all.
 */
#include "curvature_checks.hpp"

#include "chunks.hpp"
#include "generators.hpp"
#include "step_packs.hpp"

namespace kith {

namespace {

constexpr int kPerMultiprocessor = 8;

/* ---- steps ---------------------------------------------------------------------------------------------------------- */

struct AdaHessian {
  static constexpr int kStates = 2;
  static constexpr bool kLikeGradient = true;
  template <class T>
  static KITH_DEVICE T next(const Numbers<T>& k, T x, T g, T h, T& m, T& v) {
    m = fused(k.b1, m, k.c1 * g);
    v = fused(k.b2, v, k.c2 * (h * h));
    return x - quotient(k.a * m, fused(root(v), k.q, k.epsilon));
  }
};

// What both forms of Sophia share.
template <class T>
KITH_DEVICE T sophia(const Numbers<T>& k, T x, T g, T divisor, T& m) {
  m = fused(k.b1, m, k.c1 * g);
  T u = quotient(m, divisor);
  u = u < T(-1) ? T(-1) : u;
  u = u > T(1) ? T(1) : u;
  return fused(-k.a, u, x);
}

struct SophiaG {
  static constexpr int kStates = 1;
  static constexpr bool kLikeGradient = false;
  template <class T>
  static KITH_DEVICE T next(const Numbers<T>& k, T x, T g, T h, T& m, T&) {
    const T scaled = k.k * h;
    return sophia(k, x, g, scaled > k.epsilon || scaled != scaled ? scaled : k.epsilon, m);
  }
};

struct SophiaH {
  static constexpr int kStates = 1;
  static constexpr bool kLikeGradient = false;
  template <class T>
  static KITH_DEVICE T next(const Numbers<T>& k, T x, T g, T h, T& m, T&) {
    return sophia(k, x, g, fused(k.k, h <= T(0) ? T(0) : h, k.epsilon), m);
  }
};

template <class T>
void launch_rule(Entry& entry, int32_t rule, const StepJob<T>& job) {
  switch (rule) {
    case KITH_ADAHESSIAN:
      launch_one<T, AdaHessian>(entry, job);
      break;
    case KITH_SOPHIA_G:
      launch_one<T, SophiaG>(entry, job);
      break;
    default:
      launch_one<T, SophiaH>(entry, job);
  }
}

/* ---- chunks of rows ------------------------------------------------------------------------------------------------- */

// The two sums of each row.
struct TwoRows {
  const double* sums; /* first all chunks of all rows of one, then of the other */
  int64_t rows;
  int64_t total; /* chunks of a row */
  double* out;
  int64_t stride;
  double empty;

  KITH_DEVICE const double* values(int64_t item, int64_t* n) const {
    *n = total;
    return sums + item * total;
  }
  KITH_DEVICE void store(int64_t item, double value) const { out[item / rows * stride + item % rows] = value; }
};

// Signs without a probe: all 1.
struct Ones {
  static constexpr int kWords = 4;
  static KITH_DEVICE void block(const NoiseKey&, int64_t, uint32_t (&out)[kWords]) {
    for (int i = 0; i < kWords; i++) out[i] = 0;
  }
};

struct Diagonal {
  const NoiseKey* keys;
  const unsigned char* hz; /* strides in elements */
  unsigned char* d;
  const unsigned char* x;
  const unsigned char* x_before;
  const unsigned char* g;
  const unsigned char* g_before;
  int64_t hz_stride;
  int64_t d_stride;
  int64_t x_stride;
  int64_t x_before_stride;
  int64_t g_stride;
  int64_t g_before_stride;
  int64_t rows;
  int64_t cols;
  int64_t total; /* chunks of a row */
  double beta;
  double rest;
  double alpha;
  double* sums; /* as in TwoRows */
};

KITH_DEVICE float flipped(float v, uint32_t bit) { return __uint_as_float(__float_as_uint(v) ^ bit << 31); }
KITH_DEVICE double flipped(double v, uint32_t bit) {
  return __longlong_as_double(__double_as_longlong(v) ^ static_cast<int64_t>(static_cast<uint64_t>(bit) << 63));
}

// The elements [0, n) of a pack; n is E where all are there, which `whole` says with the alignment.
template <class T, int E, class S>
KITH_DEVICE void take(const S* p, int64_t n, bool whole, T (&out)[E]) {
  if (whole) {
    const Pack<S, E> pack = load_pack<E>(p);
    KITH_UNROLL
    for (int i = 0; i < E; i++) out[i] = widen<T>(pack.v[i]);
  } else {
    KITH_UNROLL
    for (int i = 0; i < E; i++) out[i] = i < n ? widen<T>(p[i]) : T(0);
  }
}

template <class T, int E>
KITH_DEVICE void put(T* p, int64_t n, bool whole, const T (&in)[E]) {
  if (whole) {
    Pack<T, E> pack;
    KITH_UNROLL
    for (int i = 0; i < E; i++) pack.v[i] = in[i];
    store_pack<E>(p, pack);
  } else {
    KITH_UNROLL
    for (int i = 0; i < E; i++) {
      if (i < n) p[i] = in[i];
    }
  }
}

template <class S>
KITH_DEVICE const S* row_of(const unsigned char* data, int64_t row, int64_t stride) {
  return reinterpret_cast<const S*>(data) + row * stride;
}

template <class Generator, class T, class S, bool kNorms>
KITH_KERNEL(kThreads)
void diagonal(Diagonal task) {
  constexpr int E = kEach<T>;
  constexpr int G = kGroup<T>;
  const int place = static_cast<int>(threadIdx.x) % G;
  const int64_t groups = static_cast<int64_t>(gridDim.x) * (kThreads / G);
  const int64_t items = task.rows * task.total;
  const int64_t rounds = (items + groups - 1) / groups; /* the same for every thread of a warp */
  int64_t item = static_cast<int64_t>(blockIdx.x) * (kThreads / G) + static_cast<int>(threadIdx.x) / G;
  const T beta = static_cast<T>(task.beta), rest = static_cast<T>(task.rest), alpha = static_cast<T>(task.alpha);
  for (int64_t round = 0; round < rounds; round++, item += groups) {
    T first[E], second[E];
    KITH_UNROLL
    for (int i = 0; i < E; i++) first[i] = second[i] = T(0);
    if (item < items) {
      const int64_t row = item / task.total;
      const int64_t begin = item % task.total * kChunk;
      const int64_t end = task.cols - begin < kChunk ? task.cols : begin + kChunk;
      const S* const hz = row_of<S>(task.hz, row, task.hz_stride);
      T* const d = const_cast<T*>(row_of<T>(task.d, row, task.d_stride));
      const T* const x = row_of<T>(task.x, row, task.x_stride);
      const T* const x_before = row_of<T>(task.x_before, row, task.x_before_stride);
      const T* const g = row_of<T>(task.g, row, task.g_stride);
      const T* const g_before = row_of<T>(task.g_before, row, task.g_before_stride);
      bool even = aligned(hz, static_cast<int64_t>(sizeof(S)) * E) && aligned(d, 16);
      if (kNorms) even = even && aligned(x, 16) && aligned(x_before, 16) && aligned(g, 16) && aligned(g_before, 16);
      const NoiseKey key = task.keys == nullptr ? NoiseKey{} : task.keys[row];
      uint32_t words[Generator::kWords] = {};
      for (int64_t at = begin; at < end; at += kTreeLanes) {
        constexpr int64_t kBlock = 32 * Generator::kWords;
        if ((at - begin) % kBlock == 0) Generator::block(key, at / kBlock, words);
        const int64_t c = at + place * E;
        if (c >= end) continue;
        const int64_t n = end - c;
        const bool whole = even && n >= E;
        const int64_t wanted = c / 32 % Generator::kWords;
        uint32_t word = 0;
        KITH_UNROLL
        for (int i = 0; i < Generator::kWords; i++) word = i == wanted ? words[i] : word;
        T product[E], average[E];
        take<T, E>(hz + c, n, whole, product);
        take<T, E>(d + c, n, whole, average);
        KITH_UNROLL
        for (int i = 0; i < E; i++) {
          average[i] = fused(beta, average[i], rest * flipped(product[i], word >> ((c + i) % 32) & 1u));
        }
        put<T, E>(d + c, n, whole, average);
        if constexpr (kNorms) {
          T now[E], then[E];
          take<T, E>(x + c, n, whole, now);
          take<T, E>(x_before + c, n, whole, then);
          KITH_UNROLL
          for (int i = 0; i < E; i++) {
            if (i >= n) continue;
            const T step = now[i] - then[i];
            first[i] = fused(greatest(magnitude(average[i]), alpha) * step, step, first[i]);
          }
          take<T, E>(g + c, n, whole, now);
          take<T, E>(g_before + c, n, whole, then);
          KITH_UNROLL
          for (int i = 0; i < E; i++) {
            if (i >= n) continue;
            const T change = now[i] - then[i];
            second[i] = fused(quotient(change, greatest(magnitude(average[i]), alpha)), change, second[i]);
          }
        }
      }
    }
    if constexpr (kNorms) {
      const T one = fold<Adding>(first);
      const T other = fold<Adding>(second);
      if (item < items && place == 0) {
        task.sums[item] = static_cast<double>(one);
        task.sums[items + item] = static_cast<double>(other);
      }
    }
  }
}

struct Products {
  const unsigned char* r;
  const unsigned char* w;
  int64_t r_stride;
  int64_t w_stride;
  int64_t rows;
  int64_t cols;
  int64_t total;
  double* sums;
};

template <class T>
KITH_KERNEL(kThreads)
void products(Products task) {
  constexpr int E = kEach<T>;
  constexpr int G = kGroup<T>;
  const int place = static_cast<int>(threadIdx.x) % G;
  const int64_t groups = static_cast<int64_t>(gridDim.x) * (kThreads / G);
  const int64_t items = task.rows * task.total;
  const int64_t rounds = (items + groups - 1) / groups;
  int64_t item = static_cast<int64_t>(blockIdx.x) * (kThreads / G) + static_cast<int>(threadIdx.x) / G;
  for (int64_t round = 0; round < rounds; round++, item += groups) {
    T first[E], second[E];
    KITH_UNROLL
    for (int i = 0; i < E; i++) first[i] = second[i] = T(0);
    if (item < items) {
      const int64_t row = item / task.total;
      const int64_t begin = item % task.total * kChunk;
      const int64_t end = task.cols - begin < kChunk ? task.cols : begin + kChunk;
      const T* const r = row_of<T>(task.r, row, task.r_stride);
      const T* const w = row_of<T>(task.w, row, task.w_stride);
      const bool even = aligned(r, 16) && aligned(w, 16);
      for (int64_t c = begin + place * E; c < end; c += kTreeLanes) {
        const bool whole = even && end - c >= E;
        T a[E], b[E];
        take<T, E>(r + c, end - c, whole, a);
        take<T, E>(w + c, end - c, whole, b);
        KITH_UNROLL
        for (int i = 0; i < E; i++) {
          if (i >= end - c) continue;
          first[i] = fused(a[i], a[i], first[i]);
          second[i] = fused(a[i], b[i], second[i]);
        }
      }
    }
    const T one = fold<Adding>(first);
    const T other = fold<Adding>(second);
    if (item < items && place == 0) {
      task.sums[item] = static_cast<double>(one);
      task.sums[items + item] = static_cast<double>(other);
    }
  }
}

template <class T>
unsigned chunk_blocks(int64_t items) {
  return at_most(cut_into(items, kThreads / kGroup<T>));
}

void combine_rows(Entry& entry, const double* sums, int64_t rows, int64_t total, const Matrix& out) {
  if (!entry.ok()) return;
  combine<Adding>(entry, TwoRows{sums, rows, total, reinterpret_cast<double*>(out.data), out.stride, 0.0}, 2 * rows,
                  total);
}

/* ---- element by element --------------------------------------------------------------------------------------------- */

struct Scaled {
  const double* eta;
  const unsigned char* d;
  const unsigned char* g;
  unsigned char* x;
  unsigned char* x_before; /* NULL: not kept */
  int64_t d_stride;
  int64_t g_stride;
  int64_t x_stride;
  int64_t x_before_stride;
  int64_t rows;
  int64_t cols;
  double alpha;
  int32_t floor; /* bit 0: add alpha, bit 1: d holds squares */
  int32_t reserved;
};

template <class T>
KITH_KERNEL(kThreads)
void scaled(Scaled task) {
  constexpr int W = kWidth<T>;
  const int64_t across = (task.cols + W - 1) / W;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const T alpha = static_cast<T>(task.alpha);
  for (int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; item < across * task.rows;
       item += step) {
    const int64_t row = item / across, c = item % across * W, n = task.cols - c;
    const T* const d = row_of<T>(task.d, row, task.d_stride) + c;
    const T* const g = row_of<T>(task.g, row, task.g_stride) + c;
    T* const x = const_cast<T*>(row_of<T>(task.x, row, task.x_stride)) + c;
    T* const kept =
        task.x_before == nullptr ? nullptr : const_cast<T*>(row_of<T>(task.x_before, row, task.x_before_stride)) + c;
    const bool whole = n >= W && aligned(d, 16) && aligned(g, 16) && aligned(x, 16) && aligned(kept, 16);
    const T eta = static_cast<T>(task.eta[row]);
    T scale[W], gradient[W], value[W];
    take<T, W>(d, n, whole, scale);
    take<T, W>(g, n, whole, gradient);
    take<T, W>(x, n, whole, value);
    if (kept != nullptr) put<T, W>(kept, n, whole, value);
    KITH_UNROLL
    for (int i = 0; i < W; i++) {
      T size = magnitude(scale[i]);
      if ((task.floor & 2) != 0) size = root(size);
      value[i] = value[i] - quotient(eta * gradient[i], (task.floor & 1) != 0 ? size + alpha : greatest(size, alpha));
    }
    put<T, W>(x, n, whole, value);
  }
}

struct Conjugate {
  const double* alpha;
  const double* beta;
  unsigned char* r;
  const unsigned char* w;
  unsigned char* p;
  unsigned char* s;
  unsigned char* x;
  int64_t r_stride;
  int64_t w_stride;
  int64_t p_stride;
  int64_t s_stride;
  int64_t x_stride;
  int64_t rows;
  int64_t cols;
};

template <class T>
KITH_KERNEL(kThreads)
void conjugate(Conjugate task) {
  constexpr int W = kWidth<T>;
  const int64_t across = (task.cols + W - 1) / W;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; item < across * task.rows;
       item += step) {
    const int64_t row = item / across, c = item % across * W, n = task.cols - c;
    if (task.alpha[row] == 0) continue;
    const T alpha = static_cast<T>(task.alpha[row]), beta = static_cast<T>(task.beta[row]);
    T* const r = const_cast<T*>(row_of<T>(task.r, row, task.r_stride)) + c;
    const T* const w = row_of<T>(task.w, row, task.w_stride) + c;
    T* const p = const_cast<T*>(row_of<T>(task.p, row, task.p_stride)) + c;
    T* const s = const_cast<T*>(row_of<T>(task.s, row, task.s_stride)) + c;
    T* const x = const_cast<T*>(row_of<T>(task.x, row, task.x_stride)) + c;
    const bool whole = n >= W && aligned(r, 16) && aligned(w, 16) && aligned(p, 16) && aligned(s, 16) && aligned(x, 16);
    T residual[W], product[W], direction[W], image[W], solution[W];
    take<T, W>(r, n, whole, residual);
    take<T, W>(w, n, whole, product);
    take<T, W>(p, n, whole, direction);
    take<T, W>(s, n, whole, image);
    take<T, W>(x, n, whole, solution);
    KITH_UNROLL
    for (int i = 0; i < W; i++) {
      direction[i] = fused(beta, direction[i], residual[i]);
      image[i] = fused(beta, image[i], product[i]);
      solution[i] = fused(alpha, direction[i], solution[i]);
      residual[i] = fused(-alpha, image[i], residual[i]);
    }
    put<T, W>(p, n, whole, direction);
    put<T, W>(s, n, whole, image);
    put<T, W>(x, n, whole, solution);
    put<T, W>(r, n, whole, residual);
  }
}

/* ---- launch --------------------------------------------------------------------------------------------------------- */

template <class T>
unsigned pack_blocks(Entry& entry, const Matrix& m) {
  return entry.grid(cut_into(cut_into(m.cols, kWidth<T>) * m.rows, kThreads), kPerMultiprocessor);
}

Diagonal task_of(const DiagonalOperands& o, double beta, double alpha) {
  Diagonal task = {};
  task.hz = o.hz.data;
  task.d = o.d.data;
  task.x = o.x.data;
  task.x_before = o.x_before.data;
  task.g = o.g.data;
  task.g_before = o.g_before.data;
  task.hz_stride = o.hz.stride;
  task.d_stride = o.d.stride;
  task.x_stride = o.x.stride;
  task.x_before_stride = o.x_before.stride;
  task.g_stride = o.g.stride;
  task.g_before_stride = o.g_before.stride;
  task.rows = o.d.rows;
  task.cols = o.d.cols;
  task.total = cut_into(o.d.cols, kChunk);
  task.beta = beta;
  task.rest = 1 - beta;
  task.alpha = alpha;
  return task;
}

template <class Generator, class T>
void launch_average(Entry& entry, const Diagonal& task, int32_t hz_dtype) {
  const auto launch = [&](void (*kernel)(Diagonal)) {
    entry.launched(KITH_LAUNCH(kernel, chunk_blocks<T>(task.rows * task.total), kThreads, 0, entry.stream(), task));
  };
  if (hz_dtype == 0) return launch(diagonal<Generator, T, T, false>);
  return launch(hz_dtype == 1 ? diagonal<Generator, T, bf16, false> : diagonal<Generator, T, f16, false>);
}

template <class Generator, class T>
void launch_statistics(Entry& entry, const Diagonal& task) {
  if (task.total == 0) return;
  entry.launched(KITH_LAUNCH((diagonal<Generator, T, T, true>), chunk_blocks<T>(task.rows * task.total), kThreads, 0,
                             entry.stream(), task));
}

int64_t key_room(const kith_field* field) { return field == nullptr ? 256 : rounded_up(key_words(*field) * 4) + 256; }

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_curvature_step(kith_queue* queue, const kith_step* step, double scale, const kith_matrix* x,
                                const kith_matrix* g, const kith_matrix* h, const kith_matrix* s1,
                                const kith_matrix* s2, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_curvature_step");
  StepOperands operands = {};
  if (!check_curvature_step(entry, step, scale, x, g, h, s1, s2, &operands)) return entry.status();
  if (operands.x.rows == 0 || operands.x.cols == 0) return entry.finish();
  const auto numbers = [&](int64_t k) { return curvature_numbers(*step, scale, k); };
  const auto start = [&](const auto& job) { launch_rule(entry, step->rule, job); };
  return operands.x.dtype == KITH_F64 ? apply_one<double>(entry, *step, operands, numbers, start)
                                      : apply_one<float>(entry, *step, operands, numbers, start);
}

kith_status kith_hutchinson(kith_queue* queue, const kith_field* field, double beta, const kith_matrix* hz,
                            const kith_matrix* d, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_hutchinson");
  DiagonalOperands operands = {};
  if (!check_hutchinson(entry, field, beta, hz, d, &operands)) return entry.status();
  const bool secret = field != nullptr && field->generator == KITH_CHACHA;
  if (secret && !entry.not_capturing("a probe of secrets")) return entry.status();
  if (operands.d.rows == 0 || operands.d.cols == 0) return entry.finish();
  Diagonal task = task_of(operands, beta, 0);
  const bool wide = operands.d.dtype == KITH_F64;
  if (field == nullptr) {
    wide ? launch_average<Ones, double>(entry, task, operands.hz_dtype)
         : launch_average<Ones, float>(entry, task, operands.hz_dtype);
    return entry.finish();
  }
  void* const scratch = entry.scratch(key_room(field));
  if (scratch == nullptr) return entry.status();
  task.keys = take_keys(entry, *field, scratch);
  if (!entry.ok()) return entry.status();
  if (secret) {
    wide ? launch_average<ChaCha, double>(entry, task, operands.hz_dtype)
         : launch_average<ChaCha, float>(entry, task, operands.hz_dtype);
  } else {
    wide ? launch_average<Philox, double>(entry, task, operands.hz_dtype)
         : launch_average<Philox, float>(entry, task, operands.hz_dtype);
  }
  drop_keys(entry, *field, scratch);
  return entry.finish();
}

kith_status kith_oasis_statistics(kith_queue* queue, const kith_field* field, double beta, double alpha,
                                  const kith_matrix* hz, const kith_matrix* d, const kith_matrix* x,
                                  const kith_matrix* x_before, const kith_matrix* g, const kith_matrix* g_before,
                                  const kith_matrix* norms, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_oasis_statistics");
  DiagonalOperands operands = {};
  if (!check_statistics(entry, field, beta, alpha, hz, d, x, x_before, g, g_before, norms, &operands)) {
    return entry.status();
  }
  const bool secret = field != nullptr && field->generator == KITH_CHACHA;
  if (secret && !entry.not_capturing("a probe of secrets")) return entry.status();
  if (operands.d.rows == 0) return entry.finish();
  Diagonal task = task_of(operands, beta, alpha);
  const int64_t keys = key_room(field);
  unsigned char* const scratch = static_cast<unsigned char*>(entry.scratch(keys + 16 * task.rows * task.total));
  if (scratch == nullptr) return entry.status();
  task.sums = reinterpret_cast<double*>(scratch + keys);
  const bool wide = operands.d.dtype == KITH_F64;
  if (field == nullptr) {
    wide ? launch_statistics<Ones, double>(entry, task) : launch_statistics<Ones, float>(entry, task);
  } else {
    task.keys = take_keys(entry, *field, scratch);
    if (!entry.ok()) return entry.status();
    if (secret) {
      wide ? launch_statistics<ChaCha, double>(entry, task) : launch_statistics<ChaCha, float>(entry, task);
    } else {
      wide ? launch_statistics<Philox, double>(entry, task) : launch_statistics<Philox, float>(entry, task);
    }
    drop_keys(entry, *field, scratch);
  }
  combine_rows(entry, task.sums, task.rows, task.total, operands.norms);
  return entry.finish();
}

kith_status kith_oasis_step(kith_queue* queue, double alpha, int32_t floor, const kith_matrix* eta,
                            const kith_matrix* d, const kith_matrix* g, const kith_matrix* x,
                            const kith_matrix* x_before, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_oasis_step");
  ScaledOperands o = {};
  if (!check_scaled(entry, alpha, floor, eta, d, g, x, x_before, &o)) return entry.status();
  if (o.x.rows == 0 || o.x.cols == 0) return entry.finish();
  const Scaled task = {reinterpret_cast<const double*>(o.eta.data),
                       o.d.data,
                       o.g.data,
                       o.x.data,
                       o.x_before.data,
                       o.d.stride,
                       o.g.stride,
                       o.x.stride,
                       o.x_before.stride,
                       o.x.rows,
                       o.x.cols,
                       alpha,
                       floor,
                       0};
  if (o.x.dtype == KITH_F64) {
    entry.launched(KITH_LAUNCH((scaled<double>), pack_blocks<double>(entry, o.x), kThreads, 0, entry.stream(), task));
  } else {
    entry.launched(KITH_LAUNCH((scaled<float>), pack_blocks<float>(entry, o.x), kThreads, 0, entry.stream(), task));
  }
  return entry.finish();
}

kith_status kith_dots(kith_queue* queue, const kith_matrix* r, const kith_matrix* w, const kith_matrix* out,
                      kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_dots");
  Matrix mr, mw, mout;
  if (!check_dots(entry, r, w, out, &mr, &mw, &mout)) return entry.status();
  if (mr.rows == 0) return entry.finish();
  const int64_t total = cut_into(mr.cols, kChunk);
  double* const sums = static_cast<double*>(entry.scratch(16 * mr.rows * total + 256));
  if (sums == nullptr) return entry.status();
  const Products task = {mr.data, mw.data, mr.stride, mw.stride, mr.rows, mr.cols, total, sums};
  if (total > 0 && mr.dtype == KITH_F64) {
    entry.launched(
        KITH_LAUNCH((products<double>), chunk_blocks<double>(mr.rows * total), kThreads, 0, entry.stream(), task));
  } else if (total > 0) {
    entry.launched(
        KITH_LAUNCH((products<float>), chunk_blocks<float>(mr.rows * total), kThreads, 0, entry.stream(), task));
  }
  combine_rows(entry, sums, mr.rows, total, mout);
  return entry.finish();
}

kith_status kith_cg_update(kith_queue* queue, const kith_matrix* alpha, const kith_matrix* beta, const kith_matrix* r,
                           const kith_matrix* w, const kith_matrix* p, const kith_matrix* s, const kith_matrix* x,
                           kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_cg_update");
  ConjugateOperands o = {};
  if (!check_conjugate(entry, alpha, beta, r, w, p, s, x, &o)) return entry.status();
  if (o.x.rows == 0 || o.x.cols == 0) return entry.finish();
  const Conjugate task = {reinterpret_cast<const double*>(o.alpha.data),
                          reinterpret_cast<const double*>(o.beta.data),
                          o.r.data,
                          o.w.data,
                          o.p.data,
                          o.s.data,
                          o.x.data,
                          o.r.stride,
                          o.w.stride,
                          o.p.stride,
                          o.s.stride,
                          o.x.stride,
                          o.x.rows,
                          o.x.cols};
  if (o.x.dtype == KITH_F64) {
    entry.launched(
        KITH_LAUNCH((conjugate<double>), pack_blocks<double>(entry, o.x), kThreads, 0, entry.stream(), task));
  } else {
    entry.launched(KITH_LAUNCH((conjugate<float>), pack_blocks<float>(entry, o.x), kThreads, 0, entry.stream(), task));
  }
  return entry.finish();
}

}  // extern "C"
