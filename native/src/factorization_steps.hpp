/*
 * The steps of the factorizations, once for all libraries: factorization.cpp includes this file in the namespace of a tier,
 * factorization.cu in its own. Who includes it has defined
 *   KITH_STEP       what a function here is declared with; KITH_STEP_BOTH: one that the host calls too
 *   KITH_STEP_BODY  the attribute of a lambda
 * and brings a policy P that says how the work on a matrix is shared out:
 *   V, load, store, set                    numbers of neighbouring columns: a vector, or on CUDA the one of a thread
 *   columns(from, to, f)                   f(Count<U>, j): columns j to j + U widths; may begin below `from`
 *   elements(rows, from, to, f)            f(i, Count<U>, j) likewise, for each of these rows
 *   triangle(first, n, f)                  f(i, j) for rows i and columns j >= i of [first, n), the columns of V
 *   cells(rows, cols, f)                   f(i, j)
 *   items(n, f), one(f)                    f(i) for each i < n; f() once
 *   barrier()                              what was written before is seen after
 *   put, settle                            moving columns in a round of Jacobi's method
 *   fma, root (of doubles and of V), bits, number; folded(sums): of lanes 8, 4, 2, 1
 * All is f64. An element is always formed by the same operations in the same order, whatever the policy: what is summed
 * over rows is four chains of fma, by row mod 4, so the bits are the same however many columns are worked at a time.
 */

/* ---- shapes ---------------------------------------------------------------------------------------------------------- */

template <int U>
struct Count {
  static constexpr int n = U;
};

constexpr int64_t kPad = 8; /* doubles: rows begin at multiples, and are zero up to the next */

KITH_STEP_BOTH int64_t padded(int64_t n) { return (n + kPad - 1) / kPad * kPad; }

/* ---- into and out of the workspace ----------------------------------------------------------------------------------- */

KITH_STEP double element(const FactorTask& task, const FactorMatrix& m, int64_t i, int64_t j) {
  return task.f64 != 0 ? reinterpret_cast<const double*>(m.data)[i * m.stride + j]
                       : static_cast<double>(reinterpret_cast<const float*>(m.data)[i * m.stride + j]);
}

KITH_STEP void put_element(const FactorTask& task, const FactorMatrix& m, int64_t i, int64_t j, double value) {
  if (task.f64 != 0) {
    reinterpret_cast<double*>(m.data)[i * m.stride + j] = value;
  } else {
    reinterpret_cast<float*>(m.data)[i * m.stride + j] = static_cast<float>(value);
  }
}

/* A whole matrix, with zeros up to the pitch; and back. */
template <class P>
KITH_STEP void load_window(const P& p, const FactorTask& task, const FactorMatrix& from, int64_t rows, int64_t cols,
                           double* to, int64_t pitch) {
  if (task.f64 != 0) {
    const double* const data = reinterpret_cast<const double*>(from.data);
    p.cells(rows, cols, [&](int64_t i, int64_t j) KITH_STEP_BODY { to[i * pitch + j] = data[i * from.stride + j]; });
  } else {
    const float* const data = reinterpret_cast<const float*>(from.data);
    p.cells(rows, cols, [&](int64_t i, int64_t j) KITH_STEP_BODY {
      to[i * pitch + j] = static_cast<double>(data[i * from.stride + j]);
    });
  }
  p.cells(rows, pitch - cols, [&](int64_t i, int64_t j) KITH_STEP_BODY { to[i * pitch + cols + j] = 0.0; });
  p.barrier();
}

template <class P>
KITH_STEP void store_window(const P& p, const FactorTask& task, const FactorMatrix& to, int64_t rows, int64_t cols,
                            const double* from, int64_t pitch) {
  if (task.f64 != 0) {
    double* const data = reinterpret_cast<double*>(to.data);
    p.cells(rows, cols, [&](int64_t i, int64_t j) KITH_STEP_BODY { data[i * to.stride + j] = from[i * pitch + j]; });
  } else {
    float* const data = reinterpret_cast<float*>(to.data);
    p.cells(rows, cols, [&](int64_t i, int64_t j) KITH_STEP_BODY {
      data[i * to.stride + j] = static_cast<float>(from[i * pitch + j]);
    });
  }
  p.barrier();
}

constexpr int64_t kInfinityBits = 0x7ff0000000000000;
constexpr double kUlp = 0x1p-52;

/* Takes the power of two of its largest element out of a matrix: squares then neither overflow nor vanish together. temp:
   rows. */
template <class P>
KITH_STEP void take_scale(const P& p, FactorState& state, double* a, int64_t rows, int64_t pitch, double* temp) {
  using V = typename P::V;
  p.items(rows, [&](int64_t i) KITH_STEP_BODY {
    int64_t most = 0;
    for (int64_t j = 0; j < pitch; j++) {
      const int64_t bits = p.bits(a[i * pitch + j]) & 0x7fffffffffffffff;
      most = bits > most ? bits : most;
    }
    temp[i] = p.number(most);
  });
  p.barrier();
  int64_t most = 0;
  for (int64_t i = 0; i < rows; i++) {
    const int64_t bits = p.bits(temp[i]);
    most = bits > most ? bits : most;
  }
  state.not_finite = most >= kInfinityBits ? 1 : 0;
  /* 2^e with e at most 1022, so that its inverse is a normal number too. */
  int64_t exponent = most >> 52;
  exponent = exponent < 1 ? 1 : exponent > 2045 ? 2045 : exponent;
  state.scale = most == 0 || state.not_finite != 0 ? 1.0 : p.number(exponent << 52);
  const double inverse = 1.0 / state.scale;
  p.barrier();
  p.elements(rows, 0, pitch, [&](int64_t i, auto, int64_t j) KITH_STEP_BODY {
    const V scaled = p.load(a + i * pitch + j) * p.set(inverse);
    p.store(a + i * pitch + j, scaled);
  });
  p.barrier();
}

/* ---- Householder's reflections --------------------------------------------------------------------------------------- */

/*
 * Of an m x n matrix a: reflection k has v_k = (0, ..., 0, 1, v(k + 1), ..., v(m - 1)) and H_k = I - tau_k v_k v_k^T. Row k
 * of `v` holds v_k, `heads` holds tau_k, and r_kk at n + k.
 */
struct Reflections {
  double* a;
  double* v;
  double* heads;
  int64_t m;
  int64_t n;
  int64_t pitch;   /* of a */
  int64_t v_pitch; /* of v */
};

KITH_STEP_BOTH int64_t reflections_size(int64_t m, int64_t n) {
  return m * padded(n) + n * padded(m) + 2 * padded(n) + kPad;
}

/* Columns [from, to) of a become H_k a. */
template <class P>
KITH_STEP void reflect(const P& p, const Reflections& h, int64_t k, int64_t from, int64_t to) {
  using V = typename P::V;
  const double* const v = h.v + k * h.v_pitch;
  const double tau = h.heads[k];
  p.columns(from, to, [&](auto count, int64_t j) KITH_STEP_BODY {
    constexpr int U = decltype(count)::n;
    V sum[4][U];
    for (int l = 0; l < 4; l++) {
      for (int u = 0; u < U; u++) sum[l][u] = p.set(0.0);
    }
    double* const column = h.a + j;
    int64_t i = k + 1;
    for (; i + 3 < h.m; i += 4) {
      for (int l = 0; l < 4; l++) {
        const V x = p.set(v[i + l]);
        for (int u = 0; u < U; u++) {
          sum[l][u] = p.fma(x, p.load(column + (i + l) * h.pitch + u * P::kWidth), sum[l][u]);
        }
      }
    }
    for (int l = 0; l < 3; l++) {
      if (i + l >= h.m) break;
      const V x = p.set(v[i + l]);
      for (int u = 0; u < U; u++) {
        sum[l][u] = p.fma(x, p.load(column + (i + l) * h.pitch + u * P::kWidth), sum[l][u]);
      }
    }
    V w[U];
    for (int u = 0; u < U; u++) {
      double* const at = column + k * h.pitch + u * P::kWidth;
      const V top = p.load(at);
      w[u] = p.set(tau) * (top + ((sum[0][u] + sum[2][u]) + (sum[1][u] + sum[3][u])));
      p.store(at, top - w[u]);
    }
    for (i = k + 1; i < h.m; i++) {
      const V x = p.set(-v[i]);
      for (int u = 0; u < U; u++) {
        double* const at = column + i * h.pitch + u * P::kWidth;
        p.store(at, p.fma(x, w[u], p.load(at)));
      }
    }
  });
}

/* Makes reflection k from column k, which then is (0, ..., 0, r_kk, 0, ...). */
template <class P>
KITH_STEP void make_reflection(const P& p, const Reflections& h, int64_t k) {
  double* const v = h.v + k * h.v_pitch;
  double* const divisor = h.heads + 2 * padded(h.n);
  p.one([&]() KITH_STEP_BODY {
    double sum[4] = {0.0, 0.0, 0.0, 0.0};
    const double* const column = h.a + k;
    int64_t i = k + 1;
    for (; i + 3 < h.m; i += 4) {
      for (int l = 0; l < 4; l++) {
        const double x = column[(i + l) * h.pitch];
        sum[l] = p.fma(x, x, sum[l]);
      }
    }
    for (int l = 0; l < 3; l++) {
      if (i + l >= h.m) break;
      const double x = column[(i + l) * h.pitch];
      sum[l] = p.fma(x, x, sum[l]);
    }
    const double below = (sum[0] + sum[2]) + (sum[1] + sum[3]);
    const double alpha = column[k * h.pitch];
    double tau = 0.0, r = alpha, by = 1.0;
    if (below > 0.0) {
      const double norm = p.root(p.fma(alpha, alpha, below));
      r = alpha < 0.0 ? norm : -norm;
      tau = (r - alpha) / r;
      by = 1.0 / (alpha - r);
    }
    h.heads[k] = tau;
    h.heads[padded(h.n) + k] = r;
    divisor[0] = by;
  });
  p.barrier();
  const double by = divisor[0];
  const bool trivial = h.heads[k] == 0.0;
  p.items(h.m - k - 1,
          [&](int64_t i) KITH_STEP_BODY { v[k + 1 + i] = trivial ? 0.0 : h.a[(k + 1 + i) * h.pitch + k] * by; });
  p.barrier();
}

/* Reflections that are made before the columns behind them, P::kStrip at a time, take them: these stay in the cache. */
constexpr int64_t kPanel = 32;

/* Continues a = H_0 ... H_(n-1) R at column state.k; true when R stands in a above the diagonal and in heads. */
template <class P>
KITH_STEP bool reduce(const P& p, const Reflections& h, FactorState& state, int64_t& work) {
  while (state.k < h.n) {
    const int64_t begin = state.k;
    const int64_t end = begin + kPanel < h.n ? begin + kPanel : h.n;
    for (int64_t k = begin; k < end; k++) {
      make_reflection(p, h, k);
      reflect(p, h, k, k + 1, end);
      p.barrier();
    }
    for (int64_t j = end; j < h.n; j += P::kStrip) {
      const int64_t to = j + P::kStrip < h.n ? j + P::kStrip : h.n;
      for (int64_t k = begin; k < end; k++) reflect(p, h, k, j, to);
    }
    p.barrier();
    state.k = end;
    work -= 2 * (end - begin) * (h.m - begin) * (h.n - begin);
    if (work <= 0 && end < h.n) return false;
  }
  return true;
}

/* Continues a = H_0 ... H_(n-1) a with the panel that ends at column state.k; true when state.k is 0. */
template <class P>
KITH_STEP bool expand(const P& p, const Reflections& h, FactorState& state, int64_t& work) {
  while (state.k > 0) {
    const int64_t end = state.k;
    const int64_t begin = (end - 1) / kPanel * kPanel;
    for (int64_t j = 0; j < h.n; j += P::kStrip) {
      const int64_t to = j + P::kStrip < h.n ? j + P::kStrip : h.n;
      for (int64_t k = end - 1; k >= begin; k--) reflect(p, h, k, j, to);
    }
    p.barrier();
    state.k = begin;
    work -= 2 * (end - begin) * (h.m - begin) * h.n;
    if (work <= 0 && begin > 0) return false;
  }
  return true;
}

KITH_STEP Reflections reflections(const FactorTask& task, double* workspace) {
  Reflections h = {};
  h.m = task.rows;
  h.n = task.cols;
  h.pitch = padded(h.n);
  h.v_pitch = padded(h.m);
  h.a = workspace;
  h.v = h.a + h.m * h.pitch;
  h.heads = h.v + h.n * h.v_pitch;
  return h;
}

/* Reads a and takes its scale out. */
template <class P>
KITH_STEP void load_reflections(const P& p, const FactorTask& task, FactorState& state, const Reflections& h) {
  load_window(p, task, task.in, h.m, h.n, h.a, h.pitch);
  take_scale(p, state, h.a, h.m, h.pitch, h.v);
}

template <class P>
KITH_STEP void store_all(const P& p, const FactorTask& task, const FactorMatrix& to, int64_t rows, int64_t cols,
                         double value) {
  if (to.data == nullptr) return;
  p.cells(rows, cols, [&](int64_t i, int64_t j) KITH_STEP_BODY { put_element(task, to, i, j, value); });
}

constexpr double kNoNumber = static_cast<double>(NAN);

/* ---- QR -------------------------------------------------------------------------------------------------------------- */

KITH_STEP_BOTH int64_t qr_size(const FactorTask& task) { return reflections_size(task.rows, task.cols); }

template <class P>
KITH_STEP bool qr(const P& p, const FactorTask& task, FactorState& state, double* workspace, int64_t work) {
  const Reflections h = reflections(task, workspace);
  const double* const diagonal = h.heads + padded(h.n);
  if (state.stage == 0) {
    load_reflections(p, task, state, h);
    if (state.not_finite != 0) {
      store_all(p, task, task.out, h.m, h.n, kNoNumber);
      store_all(p, task, task.second, h.n, h.n, kNoNumber);
      return true;
    }
    state.stage = 1;
  }
  if (state.stage == 1) {
    if (!reduce(p, h, state, work)) return false;
    if (task.second.data != nullptr) {
      p.cells(h.n, h.n, [&](int64_t i, int64_t j) KITH_STEP_BODY {
        const double r = j == i ? diagonal[i] : h.a[i * h.pitch + j];
        put_element(task, task.second, i, j, j < i ? 0.0 : (diagonal[i] < 0.0 ? -r : r) * state.scale);
      });
      p.barrier();
    }
    // Q starts as the columns of the identity, with the signs that make the diagonal of R positive.
    p.cells(h.m, h.pitch, [&](int64_t i, int64_t j) KITH_STEP_BODY {
      h.a[i * h.pitch + j] = i != j || j >= h.n ? 0.0 : diagonal[j] < 0.0 ? -1.0 : 1.0;
    });
    p.barrier();
    state.stage = 2;
    state.k = h.n;
    if (work <= 0) return false;
  }
  if (!expand(p, h, state, work)) return false;
  store_window(p, task, task.out, h.m, h.n, h.a, h.pitch);
  return true;
}

/* ---- rounds of Jacobi's method --------------------------------------------------------------------------------------- */

/*
 * n indices, one more that counts for nothing when n is odd, are paired as in a round-robin tournament: h = half(n) pairs of
 * places (k above, k below); after a round the index above 0 stays and the others move along the circle above 1, ...,
 * above h - 1, below h - 1, ..., below 0. 2 h - 1 rounds are a sweep, which meets every pair once and ends as it began.
 */
KITH_STEP_BOTH int64_t half(int64_t n) { return (n + 1) / 2; }

/* The index at place k above (below 0) or below (below 1) in a round. */
KITH_STEP int64_t paired(int64_t h, int64_t round, int64_t below, int64_t k) {
  if (below == 0 && k == 0) return 0;
  const int64_t now = below == 0 ? k - 1 : 2 * h - 2 - k;
  const int64_t before = now < round ? now - round + 2 * h - 1 : now - round;
  return before < h - 1 ? before + 1 : 2 * h - 2 - before + h;
}

/* c and s of the rotation that zeroes g in [[a, g], [g, b]]: p' = c p - s q, q' = s p + c q. Returns t = s / c. */
template <class P>
KITH_STEP double rotation(const P& p, double a, double g, double b, double* c, double* s) {
  const double d = b - a;
  const double twice = g + g;
  const double root = p.root(p.fma(d, d, twice * twice));
  const double divisor = d < 0.0 ? d - root : d + root;
  const double t = divisor == 0.0 ? 0.0 : twice / divisor;
  *c = 1.0 / p.root(p.fma(t, t, 1.0));
  *s = t * *c;
  return t;
}

/* ---- eigen ----------------------------------------------------------------------------------------------------------- */

struct Eigen {
  double* from; /* 2 h rows of `pitch`; columns above at 0, below at `below` */
  double* to;
  double* vectors; /* 2 h rows of v_pitch: a row is an eigenvector */
  double* c;       /* h, zero up to `below` */
  double* s;
  double* temp; /* 2 h */
  int64_t n;
  int64_t h;
  int64_t below;
  int64_t pitch;
  int64_t v_pitch;
};

/* A vector that is stored one column on does not reach `below`. */
KITH_STEP_BOTH int64_t below_at(int64_t n) { return padded(half(n)) + kPad; }

KITH_STEP_BOTH int64_t eigen_size(const FactorTask& task) {
  const int64_t n = task.cols, rows = 2 * half(n);
  return 2 * rows * 2 * below_at(n) + rows * padded(n) + 2 * below_at(n) + padded(rows);
}

/* After `done` rounds. */
KITH_STEP Eigen eigen_of(const FactorTask& task, double* workspace, int64_t done) {
  Eigen e = {};
  e.n = task.cols;
  e.h = half(e.n);
  e.below = below_at(e.n);
  e.pitch = 2 * e.below;
  e.v_pitch = padded(e.n);
  const int64_t size = 2 * e.h * e.pitch;
  e.from = workspace + done % 2 * size;
  e.to = workspace + (1 - done % 2) * size;
  e.vectors = workspace + 2 * size;
  e.c = e.vectors + 2 * e.h * e.v_pitch;
  e.s = e.c + e.below;
  e.temp = e.s + e.below;
  return e;
}

/* Where index i stands before and after a sweep. */
KITH_STEP int64_t column_of(const Eigen& e, int64_t i) { return i < e.h ? i : e.below + i - e.h; }

/* The sum of a_ij^2 over j < i, doubled, and of the diagonal when wanted: a chain a row, rows in ascending order. */
template <class P>
KITH_STEP double square_norm(const P& p, const Eigen& e, bool diagonal) {
  p.items(e.n, [&](int64_t i) KITH_STEP_BODY {
    const double* const row = e.from + i * e.pitch;
    double sum = 0.0;
    for (int64_t j = 0; j < i; j++) {
      const double x = row[column_of(e, j)];
      sum = p.fma(x, x, sum);
    }
    sum = sum + sum;
    if (diagonal) sum = p.fma(row[column_of(e, i)], row[column_of(e, i)], sum);
    e.temp[i] = sum;
  });
  p.barrier();
  double sum = 0.0;
  for (int64_t i = 0; i < e.n; i++) sum = sum + e.temp[i];
  p.barrier();
  return sum;
}

/* One round: rotates all its pairs, rows and then columns, and moves the columns on. Rows stay where they are. */
template <class P>
KITH_STEP void eigen_round(const P& p, const Eigen& e, int64_t round) {
  using V = typename P::V;
  const int64_t h = e.h;
  p.items(h, [&](int64_t k) KITH_STEP_BODY {
    const double* const top = e.from + paired(h, round, 0, k) * e.pitch;
    const double* const bottom = e.from + paired(h, round, 1, k) * e.pitch;
    const double g = top[e.below + k];
    const double t = rotation(p, top[k], g, bottom[e.below + k], e.c + k, e.s + k);
    e.temp[k] = p.fma(-t, g, top[k]);
    e.temp[h + k] = p.fma(t, g, bottom[e.below + k]);
  });
  p.barrier();
  p.elements(h, 0, h, [&](int64_t i, auto count, int64_t k) KITH_STEP_BODY {
    constexpr int U = decltype(count)::n;
    const int64_t upper = paired(h, round, 0, i), lower = paired(h, round, 1, i);
    const double* const top = e.from + upper * e.pitch + k;
    const double* const bottom = e.from + lower * e.pitch + k;
    const V ci = p.set(e.c[i]), si = p.set(e.s[i]);
    for (int u = 0; u < U; u++) {
      const int64_t at = u * P::kWidth;
      const V ck = p.load(e.c + k + at), sk = p.load(e.s + k + at);
      const V tt = p.load(top + at), tb = p.load(top + e.below + at);
      const V bt = p.load(bottom + at), bb = p.load(bottom + e.below + at);
      const V tt1 = p.fma(ci, tt, -(si * bt)), tb1 = p.fma(ci, tb, -(si * bb));
      const V bt1 = p.fma(si, tt, ci * bt), bb1 = p.fma(si, tb, ci * bb);
      p.put(e.to + upper * e.pitch, h, e.below, k + at, p.fma(ck, tt1, -(sk * tb1)), p.fma(sk, tt1, ck * tb1));
      p.put(e.to + lower * e.pitch, h, e.below, k + at, p.fma(ck, bt1, -(sk * bb1)), p.fma(sk, bt1, ck * bb1));
    }
  });
  p.elements(h, 0, e.n, [&](int64_t i, auto count, int64_t j) KITH_STEP_BODY {
    constexpr int U = decltype(count)::n;
    double* const x = e.vectors + paired(h, round, 0, i) * e.v_pitch + j;
    double* const y = e.vectors + paired(h, round, 1, i) * e.v_pitch + j;
    const V c = p.set(e.c[i]), s = p.set(e.s[i]);
    for (int u = 0; u < U; u++) {
      const int64_t at = u * P::kWidth;
      const V a = p.load(x + at), b = p.load(y + at);
      p.store(x + at, p.fma(c, a, -(s * b)));
      p.store(y + at, p.fma(s, a, c * b));
    }
  });
  p.barrier();
  // The rotated pairs themselves; a round moves column k above to k + 1, below to k - 1.
  p.items(h, [&](int64_t k) KITH_STEP_BODY {
    double* const top = e.to + paired(h, round, 0, k) * e.pitch;
    double* const bottom = e.to + paired(h, round, 1, k) * e.pitch;
    p.settle(top, h, e.below);
    p.settle(bottom, h, e.below);
    const int64_t above = k == 0 ? 0 : k < h - 1 ? k + 1 : e.below + h - 1;
    const int64_t beneath = k > 0 ? e.below + k - 1 : h > 1 ? 1 : e.below;
    top[above] = e.temp[k];
    top[beneath] = 0.0;
    bottom[above] = 0.0;
    bottom[beneath] = e.temp[h + k];
  });
  p.barrier();
}

template <class P>
KITH_STEP bool eigen(const P& p, const FactorTask& task, FactorState& state, double* workspace, int64_t work) {
  Eigen e = eigen_of(task, workspace, 0);
  const int64_t rounds = 2 * e.h - 1;
  if (state.stage == 0) {
    p.cells(2 * e.h, e.pitch, [&](int64_t i, int64_t c) KITH_STEP_BODY {
      const int64_t place = c < e.below ? c : c - e.below;
      const int64_t j = c < e.below ? c : e.h + place;
      const bool inside = place < e.h && i < e.n && j < e.n;
      e.from[i * e.pitch + c] = inside ? j <= i ? element(task, task.in, i, j) : element(task, task.in, j, i) : 0.0;
    });
    p.cells(2 * e.h, e.v_pitch,
            [&](int64_t i, int64_t j) KITH_STEP_BODY { e.vectors[i * e.v_pitch + j] = i == j && i < e.n ? 1.0 : 0.0; });
    p.cells(2, e.below, [&](int64_t i, int64_t k) KITH_STEP_BODY { e.c[i * e.below + k] = 0.0; });
    p.barrier();
    take_scale(p, state, e.from, 2 * e.h, e.pitch, e.temp);
    if (state.not_finite != 0) {
      store_all(p, task, task.out, e.n, e.n, kNoNumber);
      store_all(p, task, task.second, 1, e.n, kNoNumber);
      p.one([&]() KITH_STEP_BODY {
        if (task.count != nullptr) task.count[0] = -1;
      });
      return true;
    }
    state.bound = square_norm(p, e, true) * (kUlp * kUlp);
    state.stage = 1;
  }
  for (;; state.sweep++) {
    e = eigen_of(task, workspace, state.sweep * rounds);
    if (state.k == 0) {
      state.converged = square_norm(p, e, false) <= state.bound ? 1 : 0;
      if (state.converged != 0 || state.sweep == kMostSweeps) break;
    }
    while (state.k < rounds) {
      if (work <= 0) return false;
      eigen_round(p, eigen_of(task, workspace, state.sweep * rounds + state.k), state.k);
      state.k++;
      work -= 12 * e.h * e.h;
    }
    state.k = 0;
  }
  p.items(e.n, [&](int64_t i) KITH_STEP_BODY { e.temp[i] = e.from[i * e.pitch + column_of(e, i)]; });
  p.barrier();
  p.items(e.n, [&](int64_t i) KITH_STEP_BODY {
    const double value = e.temp[i];
    int64_t place = 0;
    for (int64_t j = 0; j < e.n; j++) place += e.temp[j] < value || (e.temp[j] == value && j < i) ? 1 : 0;
    put_element(task, task.second, 0, place, value * state.scale);
    if (task.out.data != nullptr) {
      for (int64_t r = 0; r < e.n; r++) put_element(task, task.out, r, place, e.vectors[i * e.v_pitch + r]);
    }
  });
  p.one([&]() KITH_STEP_BODY {
    if (task.count != nullptr) task.count[0] = state.converged != 0 ? static_cast<int32_t>(state.sweep) : -1;
  });
  p.barrier();
  return true;
}

/* ---- polar ----------------------------------------------------------------------------------------------------------- */

/* What the rows of R^T, and their rotations, need beside the reflections. */
struct Polar {
  double* rows;    /* n x pitch: columns of R V, then w_0, w_1, ... */
  double* turns;   /* n x pitch: rows of V^T */
  double* c;       /* h */
  double* s;       /* h */
  double* turned;  /* h: whether a pair was rotated in this sweep */
  double* a;       /* h: squared lengths of a pair's columns, and their product */
  double* b;       /* h */
  double* g;       /* h */
  double* squares; /* n: squared lengths, fresh when a sweep begins */
  double* lengths; /* n */
  int64_t n;
  int64_t h;
  int64_t pitch;
};

KITH_STEP_BOTH int64_t polar_size(const FactorTask& task) {
  const int64_t n = task.cols;
  return padded(reflections_size(task.rows, n)) + 2 * n * padded(n) + 6 * padded(half(n)) + 2 * padded(n);
}

KITH_STEP Polar polar_of(const FactorTask& task, double* workspace) {
  Polar q = {};
  q.n = task.cols;
  q.h = half(q.n);
  q.pitch = padded(q.n);
  q.rows = workspace + padded(reflections_size(task.rows, q.n));
  q.turns = q.rows + q.n * q.pitch;
  q.c = q.turns + q.n * q.pitch;
  q.s = q.c + padded(q.h);
  q.turned = q.s + padded(q.h);
  q.a = q.turned + padded(q.h);
  q.b = q.a + padded(q.h);
  q.g = q.b + padded(q.h);
  q.squares = q.g + padded(q.h);
  q.lengths = q.squares + padded(q.n);
  return q;
}

/* The sum of x y over padded rows: lane l takes the columns that are l mod 8; lanes fold 4, 2, 1. */
template <class P>
KITH_STEP double dot(const P& p, const double* x, const double* y, int64_t pitch) {
  using V = typename P::V;
  constexpr int kVectors = static_cast<int>(kPad) / P::kWidth;
  V sum[kVectors];
  for (int l = 0; l < kVectors; l++) sum[l] = p.set(0.0);
  for (int64_t j = 0; j < pitch; j += kPad) {
    for (int l = 0; l < kVectors; l++) {
      sum[l] = p.fma(p.load(x + j + l * P::kWidth), p.load(y + j + l * P::kWidth), sum[l]);
    }
  }
  return p.folded(sum);
}

/* Columns whose product is at most this times their lengths count as orthogonal. */
constexpr double kOrthogonal = 0x1p-50;

template <class P>
KITH_STEP void polar_round(const P& p, const Polar& q, int64_t round) {
  using V = typename P::V;
  p.items(q.h, [&](int64_t k) KITH_STEP_BODY {
    const int64_t i = paired(q.h, round, 0, k), j = paired(q.h, round, 1, k);
    const bool both = i < q.n && j < q.n;
    q.a[k] = both ? q.squares[i] : 0.0;
    q.b[k] = both ? q.squares[j] : 0.0;
    q.g[k] = both ? dot(p, q.rows + i * q.pitch, q.rows + j * q.pitch, q.pitch) : 0.0;
  });
  p.barrier();
  p.columns(0, q.h, [&](auto count, int64_t first) KITH_STEP_BODY {
    for (int u = 0; u < decltype(count)::n; u++) {
      const int64_t k = first + u * P::kWidth;
      const V a = p.load(q.a + k), b = p.load(q.b + k), g = p.load(q.g + k);
      const auto apart = g * g > p.set(kOrthogonal * kOrthogonal) * (a * b);
      const V d = b - a, twice = g + g;
      const V root = p.root(p.fma(d, d, twice * twice));
      const V divisor = d < p.set(0.0) ? d - root : d + root;
      // Where nothing is to be done the quotient is not used, and may be anything.
      const V t = apart ? twice / divisor : p.set(0.0);
      const V c = p.set(1.0) / p.root(p.fma(t, t, p.set(1.0)));
      p.store(q.c + k, c);
      p.store(q.s + k, t * c);
      p.store(q.a + k, p.fma(-t, g, a));
      p.store(q.b + k, p.fma(t, g, b));
      p.store(q.turned + k, apart ? p.set(1.0) : p.load(q.turned + k));
    }
  });
  p.barrier();
  p.items(q.h, [&](int64_t k) KITH_STEP_BODY {
    const int64_t i = paired(q.h, round, 0, k), j = paired(q.h, round, 1, k);
    if (i >= q.n || j >= q.n) return;
    q.squares[i] = q.a[k] > 0.0 ? q.a[k] : 0.0;
    q.squares[j] = q.b[k] > 0.0 ? q.b[k] : 0.0;
  });
  p.elements(q.h, 0, q.n, [&](int64_t k, auto, int64_t column) KITH_STEP_BODY {
    if (q.s[k] == 0.0) return;
    const int64_t i = paired(q.h, round, 0, k) * q.pitch + column, j = paired(q.h, round, 1, k) * q.pitch + column;
    const V c = p.set(q.c[k]), s = p.set(q.s[k]);
    const V x = p.load(q.rows + i), y = p.load(q.rows + j), u = p.load(q.turns + i), v = p.load(q.turns + j);
    p.store(q.rows + i, p.fma(c, x, -(s * y)));
    p.store(q.rows + j, p.fma(s, x, c * y));
    p.store(q.turns + i, p.fma(c, u, -(s * v)));
    p.store(q.turns + j, p.fma(s, u, c * v));
  });
  p.barrier();
}

/* Row j becomes a unit vector across the rows 0 to j - 1 and those that are longer than the limit. */
template <class P>
KITH_STEP void complete_row(const P& p, const Polar& q, int64_t j, double limit) {
  double* const w = q.rows + j * q.pitch;
  int64_t best = 0;
  double least = 2.0;
  for (int64_t c = 0; c < q.n; c++) {
    double spanned = 0.0;
    for (int64_t l = 0; l < q.n; l++) {
      if (l != j && (l < j || q.lengths[l] > limit)) {
        spanned = p.fma(q.rows[l * q.pitch + c], q.rows[l * q.pitch + c], spanned);
      }
    }
    if (spanned < least) {
      least = spanned;
      best = c;
    }
  }
  for (int64_t c = 0; c < q.pitch; c++) w[c] = c == best ? 1.0 : 0.0;
  for (int time = 0; time < 2; time++) {
    for (int64_t l = 0; l < q.n; l++) {
      if (l == j || (l > j && !(q.lengths[l] > limit))) continue;
      const double* const other = q.rows + l * q.pitch;
      const double share = dot(p, other, w, q.pitch);
      for (int64_t c = 0; c < q.n; c++) w[c] = p.fma(-share, other[c], w[c]);
    }
  }
  const double length = p.root(dot(p, w, w, q.pitch));
  for (int64_t c = 0; c < q.n; c++) w[c] = w[c] / length;
}

template <class P>
KITH_STEP bool polar(const P& p, const FactorTask& task, FactorState& state, double* workspace, int64_t work) {
  using V = typename P::V;
  const Reflections h = reflections(task, workspace);
  const Polar q = polar_of(task, workspace);
  const int64_t rounds = 2 * q.h - 1;
  if (state.stage == 0) {
    load_reflections(p, task, state, h);
    if (state.not_finite != 0) {
      store_all(p, task, task.out, h.m, h.n, kNoNumber);
      p.one([&]() KITH_STEP_BODY {
        if (task.count != nullptr) task.count[0] = -1;
        if (task.figure != nullptr) task.figure[0] = kNoNumber;
      });
      return true;
    }
    state.stage = 1;
  }
  if (state.stage == 1) {
    if (!reduce(p, h, state, work)) return false;
    p.cells(q.n, q.pitch, [&](int64_t j, int64_t i) KITH_STEP_BODY {
      q.rows[j * q.pitch + i] = i > j ? 0.0 : i == j ? h.heads[padded(h.n) + i] : h.a[i * h.pitch + j];
      q.turns[j * q.pitch + i] = i == j ? 1.0 : 0.0;
    });
    p.items(padded(q.h), [&](int64_t k) KITH_STEP_BODY {
      q.turned[k] = 0.0;
      q.a[k] = 0.0;
      q.b[k] = 0.0;
      q.g[k] = 0.0;
    });
    p.barrier();
    state.stage = 2;
    state.k = 0;
  }
  if (state.stage == 2) {
    while (state.sweep < kMostSweeps) {
      if (state.k == 0) {
        p.items(q.n, [&](int64_t j) KITH_STEP_BODY {
          q.squares[j] = dot(p, q.rows + j * q.pitch, q.rows + j * q.pitch, q.pitch);
        });
        p.barrier();
      }
      while (state.k < rounds) {
        if (work <= 0) return false;
        polar_round(p, q, state.k);
        state.k++;
        work -= 7 * q.h * q.n;
      }
      state.k = 0;
      state.sweep++;
      double turned = 0.0;
      for (int64_t k = 0; k < q.h; k++) turned = turned + q.turned[k];
      p.barrier();
      if (turned == 0.0) break;
      p.items(q.h, [&](int64_t k) KITH_STEP_BODY { q.turned[k] = 0.0; });
      p.barrier();
    }
    p.items(q.n, [&](int64_t j) KITH_STEP_BODY {
      const double* const row = q.rows + j * q.pitch;
      q.lengths[j] = p.root(dot(p, row, row, q.pitch));
    });
    p.barrier();
    double most = 0.0, square = 0.0;
    for (int64_t j = 0; j < q.n; j++) most = q.lengths[j] > most ? q.lengths[j] : most;
    const double limit = static_cast<double>(h.m) * kUlp * most;
    int32_t rank = 0;
    for (int64_t j = 0; j < q.n; j++) {
      const double away = p.fma(q.lengths[j], state.scale, -1.0);
      square = p.fma(away, away, square);
      rank += q.lengths[j] > limit ? 1 : 0;
    }
    p.elements(q.n, 0, q.n, [&](int64_t j, auto, int64_t i) KITH_STEP_BODY {
      double* const at = q.rows + j * q.pitch + i;
      if (q.lengths[j] > limit) p.store(at, p.load(at) / p.set(q.lengths[j]));
    });
    p.barrier();
    p.one([&]() KITH_STEP_BODY {
      for (int64_t j = 0; j < q.n; j++) {
        if (!(q.lengths[j] > limit)) complete_row(p, q, j, limit);
      }
      if (task.count != nullptr) task.count[0] = rank;
      if (task.figure != nullptr) task.figure[0] = p.root(square);
    });
    p.barrier();
    if (task.out.data == nullptr) return true;
    p.elements(q.n, 0, q.n, [&](int64_t i, auto, int64_t column) KITH_STEP_BODY {
      V sum = p.set(0.0);
      for (int64_t j = 0; j < q.n; j++) {
        sum = p.fma(p.set(q.rows[j * q.pitch + i]), p.load(q.turns + j * q.pitch + column), sum);
      }
      p.store(h.a + i * h.pitch + column, sum);
    });
    p.cells(h.m - h.n, h.pitch, [&](int64_t i, int64_t j) KITH_STEP_BODY { h.a[(h.n + i) * h.pitch + j] = 0.0; });
    p.barrier();
    state.stage = 3;
    state.k = h.n;
    if (work <= 0) return false;
  }
  if (!expand(p, h, state, work)) return false;
  store_window(p, task, task.out, h.m, h.n, h.a, h.pitch);
  return true;
}

/* ---- tangent --------------------------------------------------------------------------------------------------------- */

constexpr int64_t kRowsAtOnce = 1024;
constexpr int64_t kSumsAtOnce = 8;

KITH_STEP_BOTH int64_t tangent_size(const FactorTask& task) {
  return 2 * task.rows * padded(task.cols) + 2 * task.cols * padded(task.cols);
}

template <class P>
KITH_STEP bool tangent(const P& p, const FactorTask& task, FactorState& state, double* workspace, int64_t work) {
  using V = typename P::V;
  const int64_t m = task.rows, n = task.cols, pitch = padded(n);
  double* const x = workspace;
  double* const z = x + m * pitch;
  double* const product = z + m * pitch;
  double* const even = product + n * pitch;
  if (state.stage == 0) {
    load_window(p, task, task.in, m, n, x, pitch);
    load_window(p, task, task.second, m, n, z, pitch);
    state.stage = 1;
  }
  if (state.stage == 1) {
    while (state.k < n) {
      if (work <= 0) return false;
      const int64_t first = state.k, count = n - first < kSumsAtOnce ? n - first : kSumsAtOnce;
      p.elements(count, 0, n, [&](int64_t a, auto, int64_t b) KITH_STEP_BODY {
        V sum[4];
        for (int l = 0; l < 4; l++) sum[l] = p.set(0.0);
        int64_t i = 0;
        for (; i + 3 < m; i += 4) {
          for (int l = 0; l < 4; l++) {
            sum[l] = p.fma(p.set(x[(i + l) * pitch + first + a]), p.load(z + (i + l) * pitch + b), sum[l]);
          }
        }
        for (int l = 0; l < 3; l++) {
          if (i + l >= m) break;
          sum[l] = p.fma(p.set(x[(i + l) * pitch + first + a]), p.load(z + (i + l) * pitch + b), sum[l]);
        }
        p.store(product + (first + a) * pitch + b, (sum[0] + sum[2]) + (sum[1] + sum[3]));
      });
      state.k = first + count;
      work -= count * m * n;
    }
    p.barrier();
    p.cells(n, n, [&](int64_t a, int64_t b) KITH_STEP_BODY {
      even[a * pitch + b] = 0.5 * (product[a * pitch + b] + product[b * pitch + a]);
    });
    p.cells(n, pitch - n, [&](int64_t a, int64_t b) KITH_STEP_BODY { even[a * pitch + n + b] = 0.0; });
    p.barrier();
    state.stage = 2;
    state.k = 0;
  }
  while (state.k < m) {
    if (work <= 0) return false;
    const int64_t first = state.k, count = m - first < kRowsAtOnce ? m - first : kRowsAtOnce;
    p.elements(count, 0, n, [&](int64_t i, auto, int64_t b) KITH_STEP_BODY {
      double* const at = z + (first + i) * pitch + b;
      const double* const row = x + (first + i) * pitch;
      V sum = p.load(at);
      for (int64_t a = 0; a < n; a++) sum = p.fma(p.set(-row[a]), p.load(even + a * pitch + b), sum);
      p.store(at, sum);
    });
    state.k = first + count;
    work -= count * n * n;
  }
  p.barrier();
  store_window(p, task, task.out, m, n, z, pitch);
  return true;
}

/* ---- Cholesky -------------------------------------------------------------------------------------------------------- */

/* L^T stands in u, so that columns of a row follow each other; below its diagonal is nothing that is read. */
KITH_STEP_BOTH int64_t cholesky_size(const FactorTask& task) { return task.cols * padded(task.cols); }

template <class P>
KITH_STEP void load_transposed(const P& p, const FactorTask& task, double* u, int64_t n) {
  const int64_t pitch = padded(n);
  p.cells(n, pitch, [&](int64_t i, int64_t j) KITH_STEP_BODY {
    u[i * pitch + j] = j < i || j >= n ? 0.0 : element(task, task.in, j, i);
  });
  p.barrier();
}

template <class P>
KITH_STEP void store_transposed(const P& p, const FactorTask& task, const double* u, int64_t n) {
  const int64_t pitch = padded(n);
  p.cells(n, n, [&](int64_t i, int64_t j) KITH_STEP_BODY {
    put_element(task, task.out, i, j, j > i ? 0.0 : u[j * pitch + i]);
  });
  p.barrier();
}

template <class P>
KITH_STEP void say(const P& p, const FactorTask& task, int64_t count) {
  p.one([&]() KITH_STEP_BODY {
    if (task.count != nullptr) task.count[0] = static_cast<int32_t>(count);
  });
}

/* A positive finite number. */
KITH_STEP bool proper(double x) { return x > 0.0 && x - x == 0.0; }

template <class P>
KITH_STEP bool cholesky(const P& p, const FactorTask& task, FactorState& state, double* u, int64_t work) {
  using V = typename P::V;
  const int64_t n = task.cols, pitch = padded(n);
  if (state.stage == 0) {
    load_transposed(p, task, u, n);
    state.stage = 1;
  }
  while (state.k < n) {
    if (work <= 0) return false;
    const int64_t begin = state.k, end = begin + kPanel < n ? begin + kPanel : n;
    for (int64_t k = begin; k < end; k++) {
      double* const row = u + k * pitch;
      const double pivot = row[k];
      if (!proper(pivot)) {
        store_all(p, task, task.out, n, n, kNoNumber);
        say(p, task, k + 1);
        return true;
      }
      const double root = p.root(pivot);
      p.barrier();
      p.columns(k, n, [&](auto count, int64_t j) KITH_STEP_BODY {
        for (int v = 0; v < decltype(count)::n; v++) {
          double* const at = row + j + v * P::kWidth;
          p.store(at, p.load(at) / p.set(root));
        }
      });
      p.barrier();
      p.one([&]() KITH_STEP_BODY { row[k] = root; });
      p.elements(end - k - 1, k + 1, n, [&](int64_t i, auto, int64_t j) KITH_STEP_BODY {
        double* const at = u + (k + 1 + i) * pitch + j;
        p.store(at, p.fma(p.set(-row[k + 1 + i]), p.load(row + j), p.load(at)));
      });
      p.barrier();
    }
    p.triangle(end, n, [&](int64_t i, int64_t j) KITH_STEP_BODY {
      double* const at = u + i * pitch + j;
      V sum = p.load(at);
      for (int64_t k = begin; k < end; k++) {
        sum = p.fma(p.set(-u[k * pitch + i]), p.load(u + k * pitch + j), sum);
      }
      p.store(at, sum);
    });
    p.barrier();
    state.k = end;
    work -= (end - begin) * (n - begin) * (n - begin);
  }
  store_transposed(p, task, u, n);
  say(p, task, 0);
  return true;
}

KITH_STEP_BOTH int64_t solve_size(const FactorTask& task) {
  return task.cols * padded(task.cols) + task.cols * padded(task.width);
}

template <class P>
KITH_STEP bool solve(const P& p, const FactorTask& task, FactorState& state, double* u, int64_t work) {
  using V = typename P::V;
  const int64_t n = task.cols, pitch = padded(n), across = padded(task.width);
  double* const b = u + n * pitch;
  if (state.stage == 0) {
    load_transposed(p, task, u, n);
    load_window(p, task, task.second, n, task.width, b, across);
    state.stage = 1;
  }
  while (state.k < task.width) {
    if (work <= 0) return false;
    const int64_t end = state.k + P::kStrip < task.width ? state.k + P::kStrip : task.width;
    p.columns(state.k, end, [&](auto count, int64_t j) KITH_STEP_BODY {
      constexpr int U = decltype(count)::n;
      double* const column = b + j;
      for (int64_t k = 0; k < n; k++) {
        V y[U];
        for (int v = 0; v < U; v++) {
          double* const at = column + k * across + v * P::kWidth;
          y[v] = p.load(at) / p.set(u[k * pitch + k]);
          p.store(at, y[v]);
        }
        for (int64_t i = k + 1; i < n; i++) {
          const V l = p.set(-u[k * pitch + i]);
          for (int v = 0; v < U; v++) {
            double* const at = column + i * across + v * P::kWidth;
            p.store(at, p.fma(l, y[v], p.load(at)));
          }
        }
      }
      for (int64_t k = n - 1; k >= 0; k--) {
        V y[U];
        for (int v = 0; v < U; v++) {
          double* const at = column + k * across + v * P::kWidth;
          y[v] = p.load(at) / p.set(u[k * pitch + k]);
          p.store(at, y[v]);
        }
        for (int64_t i = 0; i < k; i++) {
          const V l = p.set(-u[i * pitch + k]);
          for (int v = 0; v < U; v++) {
            double* const at = column + i * across + v * P::kWidth;
            p.store(at, p.fma(l, y[v], p.load(at)));
          }
        }
      }
    });
    work -= n * n * (end - state.k);
    state.k = end;
  }
  p.barrier();
  store_window(p, task, task.out, n, task.width, b, across);
  return true;
}

KITH_STEP_BOTH int64_t update_size(const FactorTask& task) {
  return (task.cols + task.width) * padded(task.cols) + kPad;
}

template <class P>
KITH_STEP bool update(const P& p, const FactorTask& task, FactorState& state, double* u, int64_t work) {
  using V = typename P::V;
  const int64_t n = task.cols, pitch = padded(n);
  double* const vectors = u + n * pitch;
  double* const numbers = vectors + task.width * pitch;
  if (state.stage == 0) {
    load_transposed(p, task, u, n);
    load_window(p, task, task.second, task.width, n, vectors, pitch);
    state.stage = 1;
  }
  while (state.k < task.width) {
    if (work <= 0) return false;
    double* const x = vectors + state.k * pitch;
    for (int64_t k = 0; k < n; k++) {
      double* const row = u + k * pitch;
      p.one([&]() KITH_STEP_BODY {
        const double a = row[k], b = x[k];
        const double square = task.downdate != 0 ? (a - b) * (a + b) : p.fma(b, b, a * a);
        const double r = p.root(square > 0.0 ? square : 0.0);
        numbers[0] = r;
        numbers[1] = task.downdate != 0 ? r / a : a / r;
        numbers[2] = task.downdate != 0 ? b / a : b / r;
      });
      p.barrier();
      const double r = numbers[0], c = numbers[1], s = numbers[2];
      if (!proper(r) || !proper(c) || !(s - s == 0.0)) {
        say(p, task, state.k + 1);
        return true;
      }
      p.columns(k + 1, n, [&](auto count, int64_t j) KITH_STEP_BODY {
        for (int v = 0; v < decltype(count)::n; v++) {
          double* const above = row + j + v * P::kWidth;
          double* const below = x + j + v * P::kWidth;
          const V a = p.load(above), b = p.load(below);
          const V next = task.downdate != 0 ? p.fma(p.set(-s), b, a) / p.set(c) : p.fma(p.set(c), a, p.set(s) * b);
          p.store(above, next);
          p.store(below, p.fma(p.set(c), b, -(p.set(s) * (task.downdate != 0 ? next : a))));
        }
      });
      p.barrier();
      p.one([&]() KITH_STEP_BODY { row[k] = r; });
    }
    p.barrier();
    state.k++;
    work -= 2 * n * n;
  }
  store_transposed(p, task, u, n);
  say(p, task, 0);
  return true;
}

/* ---- all ------------------------------------------------------------------------------------------------------------- */

KITH_STEP_BOTH int64_t workspace_size(const FactorTask& task) {
  switch (task.operation) {
    case kEigen:
      return eigen_size(task);
    case kQr:
      return qr_size(task);
    case kPolar:
      return polar_size(task);
    case kTangent:
      return tangent_size(task);
    case kCholesky:
      return cholesky_size(task);
    case kSolve:
      return solve_size(task);
    default:
      return update_size(task);
  }
}
