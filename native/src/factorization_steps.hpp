/*
 * The steps of the factorizations, once for all libraries: factorization.cpp includes this file in the namespace of a tier,
 * factorization.cu in its own. Who includes it has defined
 *   KITH_STEP       what a function here is declared with; KITH_STEP_BOTH: one that the host calls too
 *   KITH_STEP_BODY  the attribute of a lambda
 * and brings a policy P that says how the work is shared out:
 *   S, M                                   a number and a comparison of numbers: double and bool; where several matrices of
 *                                          one shape are worked together, vectors with a lane for each matrix
 *   State                                  FactorState, with S and M for what differs by matrix
 *   V, load, store, set                    numbers of neighbouring columns: a vector, or the S of one
 *   columns(from, to, f)                   f(Count<U>, j): columns j to j + U widths; may begin below `from`
 *   elements(rows, from, to, f)            f(i, Count<U>, j) likewise, for each of these rows
 *   rows(rows, from, to, r, f)             f(r(i), Count<U>, j) likewise, but for rows with r(i).idle
 *   triangle(first, n, f)                  f(i, j) for rows i and columns j >= i of [first, n), the columns of V
 *   cells(rows, cols, f)                   f(i, j)
 *   items(n, f), one(f)                    f(i) for each i < n; f() once
 *   barrier()                              what was written before is seen after
 *   put, settle                            moving columns in a round of Jacobi's method
 *   fma, root (of S and of V), bits, number; folded(sums): of lanes 8, 4, 2, 1
 *   kAlone                                 whether there is one matrix
 *   every(M), some(M)                      whether it holds for all matrices, for any
 *   apart(M)                               for one matrix: whether it holds; for several: false, and those for which it holds
 *                                          are left as they are, for who calls to work one by one
 *   each(task, f)                          f(task, l) for every matrix that is not left; of(S, l), of(M, l): what it has
 *   get(task, i, j)                        element (i, j) of task.in
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

/* A matrix of a task: &FactorTask::in, and so on. */
typedef FactorMatrix FactorTask::*Which;

/* A whole matrix, with zeros up to the pitch; and back. */
template <class P>
KITH_STEP void load_window(const P& p, const FactorTask& task, Which which, int64_t rows, int64_t cols, double* to,
                           int64_t pitch) {
  const FactorMatrix& from = task.*which;
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
KITH_STEP void store_window(const P& p, const FactorTask& task, Which which, int64_t rows, int64_t cols,
                            const double* from, int64_t pitch) {
  const FactorMatrix& to = task.*which;
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
KITH_STEP void take_scale(const P& p, typename P::State& state, typename P::S* a, int64_t rows, int64_t pitch,
                          typename P::S* temp) {
  using S = typename P::S;
  using V = typename P::V;
  using I = decltype(p.bits(S{}));
  p.items(rows, [&](int64_t i) KITH_STEP_BODY {
    I most = {};
    for (int64_t j = 0; j < pitch; j++) {
      const I bits = p.bits(a[i * pitch + j]) & 0x7fffffffffffffff;
      most = bits > most ? bits : most;
    }
    temp[i] = p.number(most);
  });
  p.barrier();
  I most = {};
  for (int64_t i = 0; i < rows; i++) {
    const I bits = p.bits(temp[i]);
    most = bits > most ? bits : most;
  }
  state.not_finite = most >= kInfinityBits;
  /* 2^e with e at most 1022, so that its inverse is a normal number too. */
  I exponent = most >> 52;
  const I least = I{} + 1, largest = I{} + 2045;
  exponent = exponent < least ? least : exponent > largest ? largest : exponent;
  const S one = p.number(I{} + 0x3ff0000000000000);
  const S power = p.number(exponent << 52);
  state.scale = most == 0 ? one : most >= kInfinityBits ? one : power;
  const S inverse = one / state.scale;
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
template <class S>
struct Reflections {
  S* a;
  S* v;
  S* heads;
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
KITH_STEP void reflect(const P& p, const Reflections<typename P::S>& h, int64_t k, int64_t from, int64_t to) {
  using S = typename P::S;
  using V = typename P::V;
  const S* const v = h.v + k * h.v_pitch;
  const S tau = h.heads[k];
  p.columns(from, to, [&](auto count, int64_t j) KITH_STEP_BODY {
    constexpr int U = decltype(count)::n;
    V sum[4][U];
    for (int l = 0; l < 4; l++) {
      for (int u = 0; u < U; u++) sum[l][u] = p.set(0.0);
    }
    S* const column = h.a + j;
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
      S* const at = column + k * h.pitch + u * P::kWidth;
      const V top = p.load(at);
      w[u] = p.set(tau) * (top + ((sum[0][u] + sum[2][u]) + (sum[1][u] + sum[3][u])));
      p.store(at, top - w[u]);
    }
    for (i = k + 1; i < h.m; i++) {
      const V x = p.set(-v[i]);
      for (int u = 0; u < U; u++) {
        S* const at = column + i * h.pitch + u * P::kWidth;
        p.store(at, p.fma(x, w[u], p.load(at)));
      }
    }
  });
}

/* Makes reflection k from column k, which then is (0, ..., 0, r_kk, 0, ...). */
template <class P>
KITH_STEP void make_reflection(const P& p, const Reflections<typename P::S>& h, int64_t k) {
  using S = typename P::S;
  S* const v = h.v + k * h.v_pitch;
  S* const divisor = h.heads + 2 * padded(h.n);
  p.one([&]() KITH_STEP_BODY {
    S sum[4] = {};
    const S* const column = h.a + k;
    int64_t i = k + 1;
    for (; i + 3 < h.m; i += 4) {
      for (int l = 0; l < 4; l++) {
        const S x = column[(i + l) * h.pitch];
        sum[l] = p.fma(x, x, sum[l]);
      }
    }
    for (int l = 0; l < 3; l++) {
      if (i + l >= h.m) break;
      const S x = column[(i + l) * h.pitch];
      sum[l] = p.fma(x, x, sum[l]);
    }
    const S below = (sum[0] + sum[2]) + (sum[1] + sum[3]);
    const S alpha = column[k * h.pitch];
    const S norm = p.root(p.fma(alpha, alpha, below));
    const S head = alpha < 0.0 ? norm : -norm;
    /* Where nothing is below, the quotients are not used and may be anything. */
    const auto some = below > 0.0;
    h.heads[k] = some ? (head - alpha) / head : 0.0;
    h.heads[padded(h.n) + k] = some ? head : alpha;
    divisor[0] = some ? 1.0 / (alpha - head) : 1.0;
  });
  p.barrier();
  const S by = divisor[0];
  const auto trivial = h.heads[k] == 0.0;
  p.items(h.m - k - 1,
          [&](int64_t i) KITH_STEP_BODY { v[k + 1 + i] = trivial ? 0.0 : h.a[(k + 1 + i) * h.pitch + k] * by; });
  p.barrier();
}

/* Reflections that are made before the columns behind them, P::kStrip at a time, take them: these stay in the cache. */
constexpr int64_t kPanel = 32;

/* Continues a = H_0 ... H_(n-1) R at column state.k; true when R stands in a above the diagonal and in heads. */
template <class P>
KITH_STEP bool reduce(const P& p, const Reflections<typename P::S>& h, typename P::State& state, int64_t& work) {
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
KITH_STEP bool expand(const P& p, const Reflections<typename P::S>& h, typename P::State& state, int64_t& work) {
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

template <class S>
KITH_STEP Reflections<S> reflections(const FactorTask& task, S* workspace) {
  Reflections<S> h = {};
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
KITH_STEP void load_reflections(const P& p, const FactorTask& task, typename P::State& state,
                                const Reflections<typename P::S>& h) {
  load_window(p, task, &FactorTask::in, h.m, h.n, h.a, h.pitch);
  take_scale(p, state, h.a, h.m, h.pitch, h.v);
}

template <class P>
KITH_STEP void store_all(const P& p, const FactorTask& task, const FactorMatrix& to, int64_t rows, int64_t cols,
                         double value) {
  if (to.data == nullptr) return;
  p.cells(rows, cols, [&](int64_t i, int64_t j) KITH_STEP_BODY { put_element(task, to, i, j, value); });
}

constexpr double kNoNumber = static_cast<double>(NAN);

/* A number of every matrix that has one. */
template <class P>
KITH_STEP void tell_count(const P& p, const FactorTask& task, int32_t count) {
  p.one([&]() KITH_STEP_BODY {
    p.each(task, [&](const FactorTask& t, int) KITH_STEP_BODY {
      if (t.count != nullptr) t.count[0] = count;
    });
  });
}

/* ---- QR -------------------------------------------------------------------------------------------------------------- */

KITH_STEP_BOTH int64_t qr_size(const FactorTask& task) { return reflections_size(task.rows, task.cols); }

template <class P>
KITH_STEP bool qr(const P& p, const FactorTask& task, typename P::State& state, typename P::S* workspace,
                  int64_t work) {
  using S = typename P::S;
  const Reflections<S> h = reflections(task, workspace);
  const S* const diagonal = h.heads + padded(h.n);
  if (state.stage == 0) {
    load_reflections(p, task, state, h);
    if (p.apart(state.not_finite)) {
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
        const S r = j == i ? diagonal[i] : h.a[i * h.pitch + j];
        const S upper = (diagonal[i] < 0.0 ? -r : r) * state.scale;
        p.each(task, [&](const FactorTask& t, int l)
                         KITH_STEP_BODY { put_element(t, t.second, i, j, j < i ? 0.0 : p.of(upper, l)); });
      });
      p.barrier();
    }
    // Q starts as the columns of the identity, with the signs that make the diagonal of R positive.
    p.cells(h.m, h.pitch, [&](int64_t i, int64_t j) KITH_STEP_BODY {
      const S one = S{} + 1.0, none = S{};
      h.a[i * h.pitch + j] = i != j || j >= h.n ? none : diagonal[j] < 0.0 ? -one : one;
    });
    p.barrier();
    state.stage = 2;
    state.k = h.n;
    if (work <= 0) return false;
  }
  if (!expand(p, h, state, work)) return false;
  store_window(p, task, &FactorTask::out, h.m, h.n, h.a, h.pitch);
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
KITH_STEP typename P::S rotation(const P& p, typename P::S a, typename P::S g, typename P::S b, typename P::S* c,
                                 typename P::S* s) {
  using S = typename P::S;
  const S d = b - a;
  const S twice = g + g;
  const S root = p.root(p.fma(d, d, twice * twice));
  const S divisor = d < 0.0 ? d - root : d + root;
  const S t = divisor == 0.0 ? 0.0 : twice / divisor;
  *c = 1.0 / p.root(p.fma(t, t, S{} + 1.0));
  *s = t * *c;
  return t;
}

/* A rotation of the rows at i and j of a round; idle where it changes nothing. */
template <class V>
struct Turn {
  int64_t i;
  int64_t j;
  V c;
  V s;
  bool idle;
};

/* ---- eigen ----------------------------------------------------------------------------------------------------------- */

template <class S>
struct Eigen {
  S* from; /* 2 h rows of `pitch`; columns above at 0, below at `below` */
  S* to;
  S* vectors; /* 2 h rows of v_pitch: a row is an eigenvector */
  S* c;       /* h, zero up to `below` */
  S* s;
  S* temp; /* 2 h */
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
template <class S>
KITH_STEP Eigen<S> eigen_of(const FactorTask& task, S* workspace, int64_t done) {
  Eigen<S> e = {};
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
template <class S>
KITH_STEP int64_t column_of(const Eigen<S>& e, int64_t i) {
  return i < e.h ? i : e.below + i - e.h;
}

/* The sum of a_ij^2 over j < i, doubled, and of the diagonal when wanted: a chain a row, rows in ascending order. */
template <class P>
KITH_STEP typename P::S square_norm(const P& p, const Eigen<typename P::S>& e, bool diagonal) {
  using S = typename P::S;
  p.items(e.n, [&](int64_t i) KITH_STEP_BODY {
    const S* const row = e.from + i * e.pitch;
    S sum = {};
    for (int64_t j = 0; j < i; j++) {
      const S x = row[column_of(e, j)];
      sum = p.fma(x, x, sum);
    }
    sum = sum + sum;
    if (diagonal) sum = p.fma(row[column_of(e, i)], row[column_of(e, i)], sum);
    e.temp[i] = sum;
  });
  p.barrier();
  S sum = {};
  for (int64_t i = 0; i < e.n; i++) sum = sum + e.temp[i];
  p.barrier();
  return sum;
}

/* One round: rotates all its pairs, rows and then columns, and moves the columns on. Rows stay where they are. */
template <class P>
KITH_STEP void eigen_round(const P& p, const Eigen<typename P::S>& e, int64_t round) {
  using S = typename P::S;
  using V = typename P::V;
  const int64_t h = e.h;
  p.items(h, [&](int64_t k) KITH_STEP_BODY {
    const S* const top = e.from + paired(h, round, 0, k) * e.pitch;
    const S* const bottom = e.from + paired(h, round, 1, k) * e.pitch;
    const S g = top[e.below + k];
    const S t = rotation(p, top[k], g, bottom[e.below + k], e.c + k, e.s + k);
    e.temp[k] = p.fma(-t, g, top[k]);
    e.temp[h + k] = p.fma(t, g, bottom[e.below + k]);
  });
  p.barrier();
  p.rows(
      h, 0, h,
      [&](int64_t i) KITH_STEP_BODY {
        return Turn<V>{paired(h, round, 0, i), paired(h, round, 1, i), p.set(e.c[i]), p.set(e.s[i]), false};
      },
      [&](const Turn<V>& turn, auto count, int64_t k) KITH_STEP_BODY {
        constexpr int U = decltype(count)::n;
        const S* const top = e.from + turn.i * e.pitch + k;
        const S* const bottom = e.from + turn.j * e.pitch + k;
        const V ci = turn.c, si = turn.s;
        for (int u = 0; u < U; u++) {
          const int64_t at = u * P::kWidth;
          const V ck = p.load(e.c + k + at), sk = p.load(e.s + k + at);
          const V tt = p.load(top + at), tb = p.load(top + e.below + at);
          const V bt = p.load(bottom + at), bb = p.load(bottom + e.below + at);
          const V tt1 = p.fma(ci, tt, -(si * bt)), tb1 = p.fma(ci, tb, -(si * bb));
          const V bt1 = p.fma(si, tt, ci * bt), bb1 = p.fma(si, tb, ci * bb);
          p.put(e.to + turn.i * e.pitch, h, e.below, k + at, p.fma(ck, tt1, -(sk * tb1)), p.fma(sk, tt1, ck * tb1));
          p.put(e.to + turn.j * e.pitch, h, e.below, k + at, p.fma(ck, bt1, -(sk * bb1)), p.fma(sk, bt1, ck * bb1));
        }
      });
  p.rows(
      h, 0, e.n,
      [&](int64_t i) KITH_STEP_BODY {
        return Turn<V>{paired(h, round, 0, i) * e.v_pitch, paired(h, round, 1, i) * e.v_pitch, p.set(e.c[i]),
                       p.set(e.s[i]), false};
      },
      [&](const Turn<V>& turn, auto count, int64_t j) KITH_STEP_BODY {
        constexpr int U = decltype(count)::n;
        S* const x = e.vectors + turn.i + j;
        S* const y = e.vectors + turn.j + j;
        const V c = turn.c, s = turn.s;
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
    S* const top = e.to + paired(h, round, 0, k) * e.pitch;
    S* const bottom = e.to + paired(h, round, 1, k) * e.pitch;
    p.settle(top, h, e.below);
    p.settle(bottom, h, e.below);
    const int64_t above = k == 0 ? 0 : k < h - 1 ? k + 1 : e.below + h - 1;
    const int64_t beneath = k > 0 ? e.below + k - 1 : h > 1 ? 1 : e.below;
    top[above] = e.temp[k];
    top[beneath] = S{};
    bottom[above] = S{};
    bottom[beneath] = e.temp[h + k];
  });
  p.barrier();
}

/* The values in ascending order, and their vectors, of the matrices for which `which` holds. */
template <class P>
KITH_STEP void store_eigen(const P& p, const FactorTask& task, const Eigen<typename P::S>& e, typename P::S scale,
                           typename P::M which, int32_t sweeps) {
  p.items(e.n, [&](int64_t i) KITH_STEP_BODY { e.temp[i] = e.from[i * e.pitch + column_of(e, i)]; });
  p.barrier();
  p.items(e.n, [&](int64_t i) KITH_STEP_BODY {
    p.each(task, [&](const FactorTask& t, int l) KITH_STEP_BODY {
      if (p.of(which, l) == 0) return;
      const double value = p.of(e.temp[i], l);
      int64_t place = 0;
      for (int64_t j = 0; j < e.n; j++) {
        const double other = p.of(e.temp[j], l);
        place += other < value || (other == value && j < i) ? 1 : 0;
      }
      put_element(t, t.second, 0, place, value * p.of(scale, l));
      if (t.out.data != nullptr) {
        for (int64_t r = 0; r < e.n; r++) put_element(t, t.out, r, place, p.of(e.vectors[i * e.v_pitch + r], l));
      }
      if (i == 0 && t.count != nullptr) t.count[0] = sweeps;
    });
  });
  p.barrier();
}

template <class P>
KITH_STEP bool eigen(const P& p, const FactorTask& task, typename P::State& state, typename P::S* workspace,
                     int64_t work) {
  using S = typename P::S;
  Eigen<S> e = eigen_of(task, workspace, 0);
  const int64_t rounds = 2 * e.h - 1;
  if (state.stage == 0) {
    p.cells(2 * e.h, e.pitch, [&](int64_t i, int64_t c) KITH_STEP_BODY {
      const int64_t place = c < e.below ? c : c - e.below;
      const int64_t j = c < e.below ? c : e.h + place;
      const bool inside = place < e.h && i < e.n && j < e.n;
      e.from[i * e.pitch + c] = inside ? p.get(task, j <= i ? i : j, j <= i ? j : i) : S{};
    });
    p.cells(2 * e.h, e.v_pitch, [&](int64_t i, int64_t j) KITH_STEP_BODY {
      e.vectors[i * e.v_pitch + j] = S{} + (i == j && i < e.n ? 1.0 : 0.0);
    });
    p.cells(2, e.below, [&](int64_t i, int64_t k) KITH_STEP_BODY { e.c[i * e.below + k] = S{}; });
    p.barrier();
    take_scale(p, state, e.from, 2 * e.h, e.pitch, e.temp);
    if (p.apart(state.not_finite)) {
      store_all(p, task, task.out, e.n, e.n, kNoNumber);
      store_all(p, task, task.second, 1, e.n, kNoNumber);
      tell_count(p, task, -1);
      return true;
    }
    state.bound = square_norm(p, e, true) * (kUlp * kUlp);
    state.left = state.bound == state.bound;
    state.stage = 1;
  }
  for (;; state.sweep++) {
    e = eigen_of(task, workspace, state.sweep * rounds);
    if (state.k == 0) {
      // Several matrices end each in its own sweep.
      const auto now = state.left && square_norm(p, e, false) <= state.bound;
      if (p.some(now)) store_eigen(p, task, e, state.scale, now, static_cast<int32_t>(state.sweep));
      state.left = state.left && !now;
      if (!p.some(state.left)) return true;
      if (state.sweep == kMostSweeps) break;
    }
    while (state.k < rounds) {
      if (work <= 0) return false;
      eigen_round(p, eigen_of(task, workspace, state.sweep * rounds + state.k), state.k);
      state.k++;
      work -= 12 * e.h * e.h;
    }
    state.k = 0;
  }
  store_eigen(p, task, e, state.scale, state.left, -1);
  return true;
}

/* ---- polar ----------------------------------------------------------------------------------------------------------- */

/* What the rows of R^T, and their rotations, need beside the reflections. */
template <class S>
struct Polar {
  S* rows;    /* n x pitch: columns of R V, then w_0, w_1, ... */
  S* turns;   /* n x pitch: rows of V^T */
  S* c;       /* h */
  S* s;       /* h */
  S* turned;  /* h: whether a pair asks for a sweep more */
  S* a;       /* h: squared lengths of a pair's columns, and their product */
  S* b;       /* h */
  S* g;       /* h */
  S* squares; /* n: squared lengths, fresh when a sweep begins */
  S* lengths; /* n */
  int64_t n;
  int64_t h;
  int64_t pitch;
};

KITH_STEP_BOTH int64_t polar_size(const FactorTask& task) {
  const int64_t n = task.cols;
  return padded(reflections_size(task.rows, n)) + 2 * n * padded(n) + 6 * padded(half(n)) + 2 * padded(n);
}

template <class S>
KITH_STEP Polar<S> polar_of(const FactorTask& task, S* workspace) {
  Polar<S> q = {};
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
KITH_STEP typename P::S dot(const P& p, const typename P::S* x, const typename P::S* y, int64_t pitch) {
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
/* A sweep whose cosines and tangents are at most this is the last: it leaves cosines of n squares of it. */
constexpr double kLast = 0x1p-30;

/* Of the matrices that are left: the others stay as they are, whatever their neighbours need. */
template <class P>
KITH_STEP void polar_round(const P& p, const Polar<typename P::S>& q, typename P::M left, int64_t round) {
  using S = typename P::S;
  using V = typename P::V;
  p.items(q.h, [&](int64_t k) KITH_STEP_BODY {
    const int64_t i = paired(q.h, round, 0, k), j = paired(q.h, round, 1, k);
    const bool both = i < q.n && j < q.n;
    q.a[k] = both ? q.squares[i] : S{};
    q.b[k] = both ? q.squares[j] : S{};
    q.g[k] = both ? dot(p, q.rows + i * q.pitch, q.rows + j * q.pitch, q.pitch) : S{};
  });
  p.barrier();
  p.columns(0, q.h, [&](auto count, int64_t first) KITH_STEP_BODY {
    for (int u = 0; u < decltype(count)::n; u++) {
      const int64_t k = first + u * P::kWidth;
      const V a = p.load(q.a + k), b = p.load(q.b + k), g = p.load(q.g + k);
      const V both = a * b;
      const auto apart = left && g * g > p.set(kOrthogonal * kOrthogonal) * both;
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
      const auto far = apart && (g * g > p.set(kLast * kLast) * both || t * t > p.set(kLast * kLast));
      p.store(q.turned + k, far ? p.set(1.0) : p.load(q.turned + k));
    }
  });
  p.barrier();
  p.items(q.h, [&](int64_t k) KITH_STEP_BODY {
    const int64_t i = paired(q.h, round, 0, k), j = paired(q.h, round, 1, k);
    if (i >= q.n || j >= q.n) return;
    q.squares[i] = q.a[k] > 0.0 ? q.a[k] : 0.0;
    q.squares[j] = q.b[k] > 0.0 ? q.b[k] : 0.0;
  });
  // A pair that is not turned where another matrix's is keeps its numbers, but for the signs of zeros, which no sum sees.
  p.rows(
      q.h, 0, q.n,
      [&](int64_t k) KITH_STEP_BODY {
        return Turn<V>{paired(q.h, round, 0, k) * q.pitch, paired(q.h, round, 1, k) * q.pitch, p.set(q.c[k]),
                       p.set(q.s[k]), p.every(q.s[k] == 0.0)};
      },
      [&](const Turn<V>& turn, auto count, int64_t column) KITH_STEP_BODY {
        constexpr int U = decltype(count)::n;
        const V c = turn.c, s = turn.s;
        for (int w = 0; w < U; w++) {
          const int64_t i = turn.i + column + w * P::kWidth, j = turn.j + column + w * P::kWidth;
          const V x = p.load(q.rows + i), y = p.load(q.rows + j), u = p.load(q.turns + i), v = p.load(q.turns + j);
          p.store(q.rows + i, p.fma(c, x, -(s * y)));
          p.store(q.rows + j, p.fma(s, x, c * y));
          p.store(q.turns + i, p.fma(c, u, -(s * v)));
          p.store(q.turns + j, p.fma(s, u, c * v));
        }
      });
  p.barrier();
}

/* Row j becomes a unit vector across the rows 0 to j - 1 and those that are longer than the limit. */
template <class P>
KITH_STEP void complete_row(const P& p, const Polar<typename P::S>& q, int64_t j, double limit) {
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

/* Unit vectors: rows that are longer than the limit by their length, the others made up. */
template <class P>
KITH_STEP void complete(const P& p, const Polar<double>& q, double limit) {
  p.elements(q.n, 0, q.n, [&](int64_t j, auto, int64_t i) KITH_STEP_BODY {
    double* const at = q.rows + j * q.pitch + i;
    if (q.lengths[j] > limit) p.store(at, p.load(at) / p.set(q.lengths[j]));
  });
  p.barrier();
  p.one([&]() KITH_STEP_BODY {
    for (int64_t j = 0; j < q.n; j++) {
      if (!(q.lengths[j] > limit)) complete_row(p, q, j, limit);
    }
  });
}

template <class P>
KITH_STEP bool polar(const P& p, const FactorTask& task, typename P::State& state, typename P::S* workspace,
                     int64_t work) {
  using S = typename P::S;
  using V = typename P::V;
  const Reflections<S> h = reflections(task, workspace);
  const Polar<S> q = polar_of(task, workspace);
  const int64_t rounds = 2 * q.h - 1;
  if (state.stage == 0) {
    load_reflections(p, task, state, h);
    if (p.apart(state.not_finite)) {
      store_all(p, task, task.out, h.m, h.n, kNoNumber);
      tell_count(p, task, -1);
      p.one([&]() KITH_STEP_BODY {
        if (task.figure != nullptr) task.figure[0] = kNoNumber;
      });
      return true;
    }
    state.stage = 1;
  }
  if (state.stage == 1) {
    if (!reduce(p, h, state, work)) return false;
    state.left = state.scale > 0.0;
    p.cells(q.n, q.pitch, [&](int64_t j, int64_t i) KITH_STEP_BODY {
      q.rows[j * q.pitch + i] = i > j ? S{} : i == j ? h.heads[padded(h.n) + i] : h.a[i * h.pitch + j];
      q.turns[j * q.pitch + i] = S{} + (i == j ? 1.0 : 0.0);
    });
    p.items(padded(q.h), [&](int64_t k) KITH_STEP_BODY {
      q.turned[k] = S{};
      q.a[k] = S{};
      q.b[k] = S{};
      q.g[k] = S{};
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
        polar_round(p, q, state.left, state.k);
        state.k++;
        work -= 7 * q.h * q.n;
      }
      state.k = 0;
      state.sweep++;
      S turned = {};
      for (int64_t k = 0; k < q.h; k++) turned = turned + q.turned[k];
      p.barrier();
      state.left = state.left && turned > 0.0;
      if (!p.some(state.left)) break;
      p.items(q.h, [&](int64_t k) KITH_STEP_BODY { q.turned[k] = S{}; });
      p.barrier();
    }
    p.items(q.n, [&](int64_t j) KITH_STEP_BODY {
      const S* const row = q.rows + j * q.pitch;
      q.lengths[j] = p.root(dot(p, row, row, q.pitch));
    });
    p.barrier();
    S most = {}, square = {};
    for (int64_t j = 0; j < q.n; j++) most = q.lengths[j] > most ? q.lengths[j] : most;
    const S limit = static_cast<double>(h.m) * kUlp * most;
    S rank = {};
    for (int64_t j = 0; j < q.n; j++) {
      const S away = p.fma(q.lengths[j], state.scale, S{} - 1.0);
      square = p.fma(away, away, square);
      rank = rank + (q.lengths[j] > limit ? S{} + 1.0 : S{});
    }
    const S distance = p.root(square);
    if (p.apart(rank < static_cast<double>(q.n))) {
      if constexpr (P::kAlone) complete(p, q, limit);
    } else {
      p.elements(q.n, 0, q.n, [&](int64_t j, auto, int64_t i) KITH_STEP_BODY {
        S* const at = q.rows + j * q.pitch + i;
        p.store(at, p.load(at) / p.set(q.lengths[j]));
      });
    }
    p.one([&]() KITH_STEP_BODY {
      p.each(task, [&](const FactorTask& t, int l) KITH_STEP_BODY {
        if (t.count != nullptr) t.count[0] = static_cast<int32_t>(p.of(rank, l));
        if (t.figure != nullptr) t.figure[0] = p.of(distance, l);
      });
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
    p.cells(h.m - h.n, h.pitch, [&](int64_t i, int64_t j) KITH_STEP_BODY { h.a[(h.n + i) * h.pitch + j] = S{}; });
    p.barrier();
    state.stage = 3;
    state.k = h.n;
    if (work <= 0) return false;
  }
  if (!expand(p, h, state, work)) return false;
  store_window(p, task, &FactorTask::out, h.m, h.n, h.a, h.pitch);
  return true;
}

/* ---- tangent --------------------------------------------------------------------------------------------------------- */

constexpr int64_t kRowsAtOnce = 1024;
constexpr int64_t kSumsAtOnce = 8;

KITH_STEP_BOTH int64_t tangent_size(const FactorTask& task) {
  return 2 * task.rows * padded(task.cols) + 2 * task.cols * padded(task.cols);
}

template <class P>
KITH_STEP bool tangent(const P& p, const FactorTask& task, typename P::State& state, typename P::S* workspace,
                       int64_t work) {
  using S = typename P::S;
  using V = typename P::V;
  const int64_t m = task.rows, n = task.cols, pitch = padded(n);
  S* const x = workspace;
  S* const z = x + m * pitch;
  S* const product = z + m * pitch;
  S* const even = product + n * pitch;
  if (state.stage == 0) {
    load_window(p, task, &FactorTask::in, m, n, x, pitch);
    load_window(p, task, &FactorTask::second, m, n, z, pitch);
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
    p.cells(n, pitch - n, [&](int64_t a, int64_t b) KITH_STEP_BODY { even[a * pitch + n + b] = S{}; });
    p.barrier();
    state.stage = 2;
    state.k = 0;
  }
  while (state.k < m) {
    if (work <= 0) return false;
    const int64_t first = state.k, count = m - first < kRowsAtOnce ? m - first : kRowsAtOnce;
    p.elements(count, 0, n, [&](int64_t i, auto, int64_t b) KITH_STEP_BODY {
      S* const at = z + (first + i) * pitch + b;
      const S* const row = x + (first + i) * pitch;
      V sum = p.load(at);
      for (int64_t a = 0; a < n; a++) sum = p.fma(p.set(-row[a]), p.load(even + a * pitch + b), sum);
      p.store(at, sum);
    });
    state.k = first + count;
    work -= count * n * n;
  }
  p.barrier();
  store_window(p, task, &FactorTask::out, m, n, z, pitch);
  return true;
}

/* ---- Cholesky -------------------------------------------------------------------------------------------------------- */

/* L^T stands in u, so that columns of a row follow each other; below its diagonal is nothing that is read. */
KITH_STEP_BOTH int64_t cholesky_size(const FactorTask& task) { return task.cols * padded(task.cols); }

template <class P>
KITH_STEP void load_transposed(const P& p, const FactorTask& task, typename P::S* u, int64_t n) {
  using S = typename P::S;
  const int64_t pitch = padded(n);
  p.cells(n, pitch,
          [&](int64_t i, int64_t j) KITH_STEP_BODY { u[i * pitch + j] = j < i || j >= n ? S{} : p.get(task, j, i); });
  p.barrier();
}

template <class P>
KITH_STEP void store_transposed(const P& p, const FactorTask& task, const typename P::S* u, int64_t n) {
  const int64_t pitch = padded(n);
  p.cells(n, n, [&](int64_t i, int64_t j) KITH_STEP_BODY {
    p.each(task, [&](const FactorTask& t, int l)
                     KITH_STEP_BODY { put_element(t, t.out, i, j, j > i ? 0.0 : p.of(u[j * pitch + i], l)); });
  });
  p.barrier();
}

/* A positive finite number. */
template <class S>
KITH_STEP auto proper(S x) {
  return x > 0.0 && x - x == 0.0;
}

template <class P>
KITH_STEP bool cholesky(const P& p, const FactorTask& task, typename P::State& state, typename P::S* u, int64_t work) {
  using S = typename P::S;
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
      S* const row = u + k * pitch;
      const S pivot = row[k];
      if (p.apart(!proper(pivot))) {
        store_all(p, task, task.out, n, n, kNoNumber);
        tell_count(p, task, static_cast<int32_t>(k + 1));
        return true;
      }
      const S root = p.root(pivot);
      p.barrier();
      p.columns(k, n, [&](auto count, int64_t j) KITH_STEP_BODY {
        for (int v = 0; v < decltype(count)::n; v++) {
          S* const at = row + j + v * P::kWidth;
          p.store(at, p.load(at) / p.set(root));
        }
      });
      p.barrier();
      p.one([&]() KITH_STEP_BODY { row[k] = root; });
      p.elements(end - k - 1, k + 1, n, [&](int64_t i, auto, int64_t j) KITH_STEP_BODY {
        S* const at = u + (k + 1 + i) * pitch + j;
        p.store(at, p.fma(p.set(-row[k + 1 + i]), p.load(row + j), p.load(at)));
      });
      p.barrier();
    }
    p.triangle(end, n, [&](int64_t i, int64_t j) KITH_STEP_BODY {
      S* const at = u + i * pitch + j;
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
  tell_count(p, task, 0);
  return true;
}

KITH_STEP_BOTH int64_t solve_size(const FactorTask& task) {
  return task.cols * padded(task.cols) + task.cols * padded(task.width);
}

template <class P>
KITH_STEP bool solve(const P& p, const FactorTask& task, typename P::State& state, typename P::S* u, int64_t work) {
  using S = typename P::S;
  using V = typename P::V;
  const int64_t n = task.cols, pitch = padded(n), across = padded(task.width);
  S* const b = u + n * pitch;
  if (state.stage == 0) {
    load_transposed(p, task, u, n);
    load_window(p, task, &FactorTask::second, n, task.width, b, across);
    state.stage = 1;
  }
  while (state.k < task.width) {
    if (work <= 0) return false;
    const int64_t end = state.k + P::kStrip < task.width ? state.k + P::kStrip : task.width;
    p.columns(state.k, end, [&](auto count, int64_t j) KITH_STEP_BODY {
      constexpr int U = decltype(count)::n;
      S* const column = b + j;
      for (int64_t k = 0; k < n; k++) {
        V y[U];
        for (int v = 0; v < U; v++) {
          S* const at = column + k * across + v * P::kWidth;
          y[v] = p.load(at) / p.set(u[k * pitch + k]);
          p.store(at, y[v]);
        }
        for (int64_t i = k + 1; i < n; i++) {
          const V l = p.set(-u[k * pitch + i]);
          for (int v = 0; v < U; v++) {
            S* const at = column + i * across + v * P::kWidth;
            p.store(at, p.fma(l, y[v], p.load(at)));
          }
        }
      }
      for (int64_t k = n - 1; k >= 0; k--) {
        V y[U];
        for (int v = 0; v < U; v++) {
          S* const at = column + k * across + v * P::kWidth;
          y[v] = p.load(at) / p.set(u[k * pitch + k]);
          p.store(at, y[v]);
        }
        for (int64_t i = 0; i < k; i++) {
          const V l = p.set(-u[i * pitch + k]);
          for (int v = 0; v < U; v++) {
            S* const at = column + i * across + v * P::kWidth;
            p.store(at, p.fma(l, y[v], p.load(at)));
          }
        }
      }
    });
    work -= n * n * (end - state.k);
    state.k = end;
  }
  p.barrier();
  store_window(p, task, &FactorTask::out, n, task.width, b, across);
  return true;
}

KITH_STEP_BOTH int64_t update_size(const FactorTask& task) {
  return (task.cols + task.width) * padded(task.cols) + kPad;
}

template <class P>
KITH_STEP bool update(const P& p, const FactorTask& task, typename P::State& state, typename P::S* u, int64_t work) {
  using S = typename P::S;
  using V = typename P::V;
  const int64_t n = task.cols, pitch = padded(n);
  S* const vectors = u + n * pitch;
  S* const numbers = vectors + task.width * pitch;
  if (state.stage == 0) {
    load_transposed(p, task, u, n);
    load_window(p, task, &FactorTask::second, task.width, n, vectors, pitch);
    state.stage = 1;
  }
  while (state.k < task.width) {
    if (work <= 0) return false;
    S* const x = vectors + state.k * pitch;
    for (int64_t k = 0; k < n; k++) {
      S* const row = u + k * pitch;
      p.one([&]() KITH_STEP_BODY {
        const S a = row[k], b = x[k];
        const S square = task.downdate != 0 ? (a - b) * (a + b) : p.fma(b, b, a * a);
        const S r = p.root(square > 0.0 ? square : 0.0);
        numbers[0] = r;
        numbers[1] = task.downdate != 0 ? r / a : a / r;
        numbers[2] = task.downdate != 0 ? b / a : b / r;
      });
      p.barrier();
      const S r = numbers[0], c = numbers[1], s = numbers[2];
      if (p.apart(!(proper(r) && proper(c) && s - s == 0.0))) {
        tell_count(p, task, static_cast<int32_t>(state.k + 1));
        return true;
      }
      p.columns(k + 1, n, [&](auto count, int64_t j) KITH_STEP_BODY {
        for (int v = 0; v < decltype(count)::n; v++) {
          S* const above = row + j + v * P::kWidth;
          S* const below = x + j + v * P::kWidth;
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
  tell_count(p, task, 0);
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
