/*
 * reduction: sums of rows and segments, and Gram matrices, on the tree of kith.h; sums over nodes are in nodes.cu.
 *
 * Bytes per element (f32): reduce_rows and reduce_segments 4 B, 8 B with b. gram: 4 B where all rows fit one tile (16, or
 * 32 where blocks may take 144 KiB of shared memory; 8 for f64), otherwise each row once per tile of the other side,
 * through the second-level cache.
 * Determinism: lane l of a chunk of 4096 belongs to one thread, which adds its elements in ascending order; lanes fold
 * by shuffles in the order of the tree; chunk sums are combined pairwise in f64. Nothing depends on launch shapes, no
 * sum is made by atomics, and the bits are those of the CPU library. Minimum, maximum and counts have no rounding.
 * Emulated: all of it; the Gram tile of 32 rows, which takes 144 KiB of shared memory, from sm_80 on.
 *
 * Launch shapes
 *   chunks         256 threads; 64 * sizeof(element) / 16 threads a chunk, 16 bytes of neighbouring lanes each, eight loads
 *                  in flight (four with b). Groups take (row, chunk) in turn.
 *   combine        a warp, or 16 warps above 1024 chunks, per result: 8 sums a thread, then shuffles; longer rows pass by
 *                  pass, the passes' sums held as in a binary counter.
 *   gram           a block per chunk and pair of tiles of rows; a warp per 8 x 8 pairs of rows (4 x 4 in f64), a lane of the
 *                  tree per thread, 64 accumulators in registers, rows staged 2 or 4 steps of 64 columns at a time with the
 *                  next ones on their way. Lanes 0 to 31 first, then 32 to 63. 40 KiB of shared memory with tiles of 16.
 */
#include <cstdlib>

#include "chunks.hpp"

namespace kith {

namespace {

/* ---- rows and segments ------------------------------------------------------------------------------------------------ */

template <class Op>
void launch_chunks(Entry& entry, int32_t dtype, const Chunks& task, const SegmentTarget& target, int64_t most) {
  if (task.total > 0) {
    switch (dtype) {
      case KITH_F64:
        launch_chunks<Op, double>(entry, task);
        break;
      case KITH_BF16:
        launch_chunks<Op, bf16>(entry, task);
        break;
      case KITH_F16:
        launch_chunks<Op, f16>(entry, task);
        break;
      default:
        launch_chunks<Op, float>(entry, task);
    }
  }
  if (entry.ok()) combine<Op>(entry, target, task.rows * task.segments, most);
}

kith_status reduce(Entry& entry, int32_t reduction, const kith_matrix* a, const kith_matrix* b, const int64_t* bounds,
                   int64_t segments, const kith_matrix* out) {
  ReduceOperands operands;
  if (!check_reduce(entry, reduction, a, b, bounds, segments, out, &operands)) return entry.status();
  const Matrix& ma = operands.a;
  if (ma.rows == 0 || segments == 0) return entry.finish();
  Chunks task = {};
  SegmentTarget target = {};
  task.a = ma.data;
  task.a_pitch = ma.stride * ma.element_bytes();
  task.b = operands.b.data;
  task.b_pitch = operands.b.rows == 1 ? 0 : operands.b.stride * operands.b.element_bytes();
  task.rows = ma.rows;
  task.cols = ma.cols;
  task.segments = segments;
  task.total = cut_into(ma.cols, kChunk);
  target.pitch = 1;
  int64_t most = task.total;
  if (bounds != nullptr) {
    int64_t* lists = static_cast<int64_t*>(std::malloc(static_cast<size_t>(2 * (segments + 1)) * sizeof(int64_t)));
    if (lists == nullptr) {
      return entry.fail(KITH_OUT_OF_MEMORY, "no memory for %lld bounds", static_cast<long long>(segments + 1));
    }
    task.total = 0;
    most = 0;
    for (int64_t s = 0; s <= segments; s++) {
      lists[s] = bounds[s];
      lists[segments + 1 + s] = task.total;
      const int64_t chunks = s < segments ? cut_into(bounds[s + 1] - bounds[s], kChunk) : 0;
      task.total += chunks;
      if (chunks > most) most = chunks;
    }
    task.bounds = entry.upload(lists, 2 * (segments + 1));
    std::free(lists);
    if (task.bounds == nullptr) return entry.status();
    task.starts = task.bounds + segments + 1;
    target.pitch = operands.out.stride;
  }
  task.sums = static_cast<double*>(entry.scratch(rounded_up(task.rows * task.total * 8 + 8)));
  if (task.sums == nullptr) return entry.status();
  target.sums = task.sums;
  target.starts = task.starts;
  target.segments = segments;
  target.total = task.total;
  target.out = reinterpret_cast<double*>(operands.out.data);
  target.empty = reduction == KITH_REDUCE_MIN ? HUGE_VAL : reduction == KITH_REDUCE_MAX ? -HUGE_VAL : 0.0;
  switch (reduction) {
    case KITH_REDUCE_SUM:
      launch_chunks<Sum>(entry, ma.dtype, task, target, most);
      break;
    case KITH_REDUCE_ABS_SUM:
      launch_chunks<AbsoluteSum>(entry, ma.dtype, task, target, most);
      break;
    case KITH_REDUCE_SQUARES:
      launch_chunks<Squares>(entry, ma.dtype, task, target, most);
      break;
    case KITH_REDUCE_DOT:
      launch_chunks<Dot>(entry, ma.dtype, task, target, most);
      break;
    case KITH_REDUCE_DISTANCE:
      launch_chunks<Distance>(entry, ma.dtype, task, target, most);
      break;
    case KITH_REDUCE_MIN:
      launch_chunks<Least>(entry, ma.dtype, task, target, most);
      break;
    case KITH_REDUCE_MAX:
      launch_chunks<Greatest>(entry, ma.dtype, task, target, most);
      break;
    case KITH_REDUCE_MAX_ABS:
      launch_chunks<GreatestAbsolute>(entry, ma.dtype, task, target, most);
      break;
    default:
      launch_chunks<Nonfinite>(entry, ma.dtype, task, target, most);
  }
  return entry.finish();
}

/* ---- Gram matrices ---------------------------------------------------------------------------------------------------- */

struct Gram {
  const unsigned char* a;
  const unsigned char* b;
  int64_t a_pitch; /* bytes */
  int64_t b_pitch;
  int64_t a_rows;
  int64_t b_rows;
  int64_t cols;
  int64_t chunks;
  int64_t blocks;
  int64_t pair_count;
  const TilePair* pairs;
  bool symmetric;
  double* sums;
};

/* Exchanges halves: after it v[0 .. N / 2) are sums over lanes S apart, the first half of the pairs where the lane's bit S
   is clear, the second where it is set. */
template <class T, int N, int S>
KITH_DEVICE void fold_pairs(T* v, int lane) {
  if constexpr (N > 1) {
    const bool upper = (lane & S) != 0;
    KITH_UNROLL
    for (int i = 0; i < N / 2; i++) {
      const T given = __shfl_xor_sync(kAll, upper ? v[i] : v[i + N / 2], S);
      v[i] = (upper ? v[i + N / 2] : v[i]) + given;
    }
  } else {
    v[0] = v[0] + __shfl_xor_sync(kAll, v[0], S);
  }
  if constexpr (S > 1) fold_pairs<T, (N > 1 ? N / 2 : 1), S / 2>(v, lane);
}

/* Rows of a tile, and of the pairs of a warp. */
template <class S, int kTile, int kSub>
struct GramShape {
  using T = Compute<S>;
  static constexpr int kSubs = kTile / kSub;
  static constexpr int kBlock = kSubs * kSubs * kWarp;
  static constexpr int kRowSteps = 4 * kTile; /* 4 steps of one tile of rows, or 2 of two */
  static constexpr int kStaged = kRowSteps * kWarp;
  static constexpr int kLoads = kStaged / kBlock;
  static constexpr int kPairs = kSub * kSub;
  static constexpr int64_t kShared = (kStaged + kPairs * kBlock) * static_cast<int64_t>(sizeof(T));
};

/* The bound is above what is launched: four blocks of small tiles fit a multiprocessor. */
template <class S, int kTile, int kSub>
KITH_KERNEL(512)
void gram_chunks(Gram task) {
  using Shape = GramShape<S, kTile, kSub>;
  using T = Compute<S>;
  KITH_DYNAMIC_SHARED(T, shared); /* what is staged, then the sums of lanes 0 to 31 */
  const int self = static_cast<int>(threadIdx.x);
  const int lane = self % kWarp;
  const int warp = self / kWarp;
  const int sub_i = warp / Shape::kSubs * kSub;
  const int sub_j = warp % Shape::kSubs * kSub;
  for (int64_t block = blockIdx.x; block < task.blocks; block += gridDim.x) {
    const int64_t chunk = block / task.pair_count;
    const TilePair pair = task.pairs[block % task.pair_count];
    const bool diagonal = task.symmetric && pair.i == pair.j;
    const int rows = diagonal ? kTile : 2 * kTile; /* staged */
    const int steps = Shape::kRowSteps / rows;
    const int64_t a_row = static_cast<int64_t>(pair.i) * kTile, b_row = static_cast<int64_t>(pair.j) * kTile;
    const int64_t begin = chunk * kChunk;
    const int n = static_cast<int>(task.cols - begin < kChunk ? task.cols - begin : kChunk);
    const bool wanted = a_row + sub_i < task.a_rows && b_row + sub_j < task.b_rows && (!diagonal || sub_i <= sub_j);
    T sum[Shape::kPairs];
    for (int pass = 0; pass < 2; pass++) {
      KITH_UNROLL
      for (int p = 0; p < Shape::kPairs; p++) sum[p] = T(0);
      const int first = pass * kWarp + lane; /* this lane's element of the first step */
      S next[Shape::kLoads];
      const auto load = [&](int step_base) {
        KITH_UNROLL
        for (int l = 0; l < Shape::kLoads; l++) {
          const int row_step = l * (Shape::kBlock / kWarp) + warp;
          const int row = row_step % rows;
          const int at = (step_base + row_step / rows) * kTreeLanes + first;
          const bool of_a = row < kTile;
          int64_t from = of_a ? a_row + row : b_row + row - kTile;
          const int64_t last = (of_a ? task.a_rows : task.b_rows) - 1;
          if (from > last) from = last;
          const unsigned char* base = of_a ? task.a + from * task.a_pitch : task.b + from * task.b_pitch;
          next[l] = at < n ? reinterpret_cast<const S*>(base)[begin + at] : S{};
        }
      };
      load(0);
      for (int step_base = 0; step_base * kTreeLanes + pass * kWarp < n; step_base += steps) {
        __syncthreads(); /* the last steps have been read */
        KITH_UNROLL
        for (int l = 0; l < Shape::kLoads; l++) shared[l * Shape::kBlock + self] = widen<T>(next[l]);
        __syncthreads();
        load(step_base + steps);
        if (!wanted) continue;
        const int b_place = (diagonal ? 0 : kTile) + sub_j;
        for (int s = 0; s < steps; s++) {
          if ((step_base + s) * kTreeLanes + first >= n) break;
          T x[kSub], y[kSub];
          KITH_UNROLL
          for (int i = 0; i < kSub; i++) x[i] = shared[(s * rows + sub_i + i) * kWarp + lane];
          KITH_UNROLL
          for (int j = 0; j < kSub; j++) y[j] = shared[(s * rows + b_place + j) * kWarp + lane];
          KITH_UNROLL
          for (int i = 0; i < kSub; i++) {
            KITH_UNROLL
            for (int j = 0; j < kSub; j++) sum[i * kSub + j] = fused(x[i], y[j], sum[i * kSub + j]);
          }
        }
      }
      if (pass == 0) {
        KITH_UNROLL
        for (int p = 0; p < Shape::kPairs; p++) shared[Shape::kStaged + p * Shape::kBlock + self] = sum[p];
      }
    }
    KITH_UNROLL
    for (int p = 0; p < Shape::kPairs; p++) sum[p] = shared[Shape::kStaged + p * Shape::kBlock + self] + sum[p];
    fold_pairs<T, Shape::kPairs, kWarp / 2>(sum, lane);
    /* 64 pairs: two stay in each lane; 16 pairs: every second lane has one. */
    constexpr int kLeft = Shape::kPairs > kWarp ? Shape::kPairs / kWarp : 1;
    constexpr int kSpread = kWarp * kLeft / Shape::kPairs;
    if (wanted && lane % kSpread == 0) {
      KITH_UNROLL
      for (int l = 0; l < kLeft; l++) {
        const int p = lane / kSpread * kLeft + l;
        const int64_t slot = (block % task.pair_count * kTile + sub_i + p / kSub) * kTile + sub_j + p % kSub;
        task.sums[slot * task.chunks + chunk] = static_cast<double>(sum[l]);
      }
    }
    __syncthreads(); /* before the next block's first sums of lanes */
  }
}

/* Bytes of chunk sums that wait for their combination. */
constexpr int64_t kGramBytes = 256 << 20;

template <class S, int kTile, int kSub>
void gram(Entry& entry, const GramOperands& operands, bool symmetric) {
  using Shape = GramShape<S, kTile, kSub>;
  const Matrix &a = operands.a, &b = operands.b;
  const int64_t a_tiles = cut_into(a.rows, kTile), b_tiles = cut_into(b.rows, kTile);
  const int64_t all = symmetric ? a_tiles * (a_tiles + 1) / 2 : a_tiles * b_tiles;
  Gram task = {};
  task.a = a.data;
  task.b = b.data;
  task.a_pitch = a.stride * a.element_bytes();
  task.b_pitch = b.stride * b.element_bytes();
  task.a_rows = a.rows;
  task.b_rows = b.rows;
  task.cols = a.cols;
  task.chunks = cut_into(a.cols, kChunk);
  task.symmetric = symmetric;
  const int64_t pair_bytes = kTile * kTile * (task.chunks > 0 ? task.chunks : 1) * 8;
  int64_t round = kGramBytes / pair_bytes;
  if (round < 1) round = 1;
  if (round > all) round = all;
  TilePair* pairs = static_cast<TilePair*>(std::malloc(static_cast<size_t>(all) * sizeof(TilePair)));
  if (pairs == nullptr) {
    entry.fail(KITH_OUT_OF_MEMORY, "no memory for %lld pairs of tiles", static_cast<long long>(all));
    return;
  }
  TilePair at = {0, 0};
  for (int64_t p = 0; p < all; p++) {
    pairs[p] = at;
    if (++at.j == b_tiles) {
      at.i++;
      at.j = symmetric ? at.i : 0;
    }
  }
  const TilePair* uploaded = entry.upload(pairs, all);
  std::free(pairs);
  if (uploaded == nullptr) return;
  task.sums = static_cast<double*>(entry.scratch(rounded_up(round * pair_bytes)));
  if (task.sums == nullptr) return;
  if (Shape::kShared > kPlainShared) {
    const void* kernel = reinterpret_cast<const void*>(&gram_chunks<S, kTile, kSub>);
    if (!entry.done("asking for shared memory",
                    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         static_cast<int>(Shape::kShared)))) {
      return;
    }
  }
  GramTarget target = {};
  target.sums = task.sums;
  target.chunks = task.chunks;
  target.tile = kTile;
  target.a_rows = a.rows;
  target.b_rows = b.rows;
  target.out = reinterpret_cast<double*>(operands.out.data);
  target.pitch = operands.out.stride;
  target.symmetric = symmetric;
  for (int64_t first = 0; first < all && entry.ok(); first += round) {
    task.pair_count = all - first < round ? all - first : round;
    task.pairs = uploaded + first;
    task.blocks = task.chunks * task.pair_count;
    target.pairs = task.pairs;
    if (task.blocks > 0 &&
        !entry.launched(KITH_LAUNCH((gram_chunks<S, kTile, kSub>), at_most(task.blocks), Shape::kBlock,
                                    static_cast<size_t>(Shape::kShared), entry.stream(), task))) {
      return;
    }
    combine<Adding>(entry, target, task.pair_count * kTile * kTile, task.chunks);
  }
}

/* Tiles of 32 rows where they save reading and the device has the shared memory. */
template <class S>
void gram_narrow(Entry& entry, const GramOperands& operands, bool symmetric) {
  int most = 0;
  if (operands.a.rows > 16 || operands.b.rows > 16) {
    if (!entry.done("asking for shared memory",
                    cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, entry.device()->ordinal))) {
      return;
    }
  }
  if (most >= GramShape<S, 32, 8>::kShared) {
    gram<S, 32, 8>(entry, operands, symmetric);
  } else {
    gram<S, 16, 8>(entry, operands, symmetric);
  }
}

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_reduce_rows(kith_queue* queue, int32_t reduction, const kith_matrix* a, const kith_matrix* b,
                             const kith_matrix* out, kith_call* call) {
  kith::Entry entry(queue, call, "kith_reduce_rows");
  if (!entry.ok()) return entry.status();
  return kith::reduce(entry, reduction, a, b, nullptr, 1, out);
}

kith_status kith_reduce_segments(kith_queue* queue, int32_t reduction, const kith_matrix* a, const kith_matrix* b,
                                 const int64_t* bounds, int64_t segments, const kith_matrix* out, kith_call* call) {
  kith::Entry entry(queue, call, "kith_reduce_segments");
  if (!entry.ok() || !kith::check_bounds(entry, bounds, segments)) return entry.status();
  return kith::reduce(entry, reduction, a, b, bounds, segments, out);
}

kith_status kith_gram(kith_queue* queue, const kith_matrix* a, const kith_matrix* b, const kith_matrix* out,
                      kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_gram");
  GramOperands operands;
  if (!entry.ok() || !check_gram(entry, a, b, out, &operands)) return entry.status();
  if (operands.a.rows == 0 || operands.b.rows == 0) return entry.finish();
  const bool symmetric = b == nullptr;
  switch (operands.a.dtype) {
    case KITH_F64:
      gram<double, 8, 4>(entry, operands, symmetric);
      break;
    case KITH_BF16:
      gram_narrow<bf16>(entry, operands, symmetric);
      break;
    case KITH_F16:
      gram_narrow<f16>(entry, operands, symmetric);
      break;
    default:
      gram_narrow<float>(entry, operands, symmetric);
  }
  return entry.finish();
}

}  // extern "C"
