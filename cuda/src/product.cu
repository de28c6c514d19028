/*
 * Dense products, and the passes of a model.
 *
 *   multiply       c_b = alpha op(a_b) op(b_b) + beta c_b. Tiles of c of 128 x 128 and 32 x 128 (f32), 64 x 64 or 32 x 32, 256
 *                  threads each, with 64, 16 or 4 sums a thread in registers; slices of 16 inner indices go through shared memory,
 *                  the next one already on its way. 64 flop a byte of shared memory at 128 x 128. Each element is one chain of
 *                  fma over 256 ascending inner indices at a time, which are then added to c: the same bits for every tile, and
 *                  those of the CPU's plain kernel on tiers with fma. Strides and transposes of any kind; batches share one
 *                  launch. cuBLAS, where it was loaded, takes the product instead; its bits are its own.
 *   symmetric      c_b = alpha op(a_b) op(a_b)' + beta d_b + gamma I: the same kernel on the square tiles on and below the
 *                  diagonal, about half the work; each element is written twice, (i, j) and (j, i). Never cuBLAS, whose
 *                  symmetric product takes one matrix at a time.
 *   bias_activate  8 B/element (f32), in place; packs of 16 bytes, grid-stride
 *   bias_backward  RELU 12 B/element, identity 4; one thread a column, rows in ascending order, eight loads in flight
 *   softmax        4 B/element read three times (twice from the caches), 4 written twice where a gradient is wanted; 16
 *                  threads a row: lane c mod 16, folded 8, 4, 2, 1 as on the CPU; the losses of a batch are added by one
 *                  thread in ascending order. A label out of range gives NaN in its loss and is reported at the next wait.
 *
 *   softmax_curvature  8 B/element read three times (twice from the caches), 4 written, in place; 16 threads a row and the
 *                  sums of softmax; exponentials are made twice instead of stored
 *
 * exp and log are made of IEEE additions, products and divisions, without fma: the CPU's bits.
 * Registers (sm_90): multiply 168 at 128 x 128, 123 at 32 x 128, 103 at 64 x 64, 80 at 32 x 32 (f64 128, 126), symmetric
 * 213, 128 and 101 (f64 170, 126); softmax
 * 48 and 53, bias 38, backward 48 and 56.
 * Emulated: all but cuBLAS.
 */
#include <dlfcn.h>
#include <pthread.h>

#include <cstdlib>
#include <cstring>

#include "convert.hpp"
#include "host.hpp"
#include "launch.hpp"
#include "product_checks.hpp"

namespace kith {

namespace {

constexpr int kThreads = 256;
constexpr int kPerMultiprocessor = 8;

int64_t cut_into(int64_t n, int64_t size) { return (n + size - 1) / size; }

/* ---- multiply ------------------------------------------------------------------------------------------------------ */

constexpr int kDepth = 16;       // inner indices in shared memory
constexpr int64_t kSlice = 256;  // inner indices that are summed before c is touched

// op(a)(i, p) at a[batch * a_batch + i * a_row + p * a_column], op(b)(p, j) likewise.
template <class T>
struct MultiplyJob {
  const T* a;
  const T* b;
  T* c;
  int64_t a_batch, a_row, a_column;
  int64_t b_batch, b_row, b_column;
  int64_t c_batch, c_row;
  int64_t m, n, k;
  int64_t tiles_down, tiles_across, tiles;
  T alpha;
  T beta;
  int32_t reads;  // c is read: beta is not 0; symmetric: d or gamma is given
  // Symmetric: what the product is added to, d NULL for none.
  const T* d;
  int64_t d_batch, d_row;
  T gamma;
};

template <class T>
KITH_DEVICE bool aligned16(const T* p) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

// Four indices along i by four along p at from[i * i_step + p * p_step], +0 beyond the counts.
template <class T>
KITH_DEVICE void load_square(const T* from, int64_t i_step, int64_t p_step, int64_t i_count, int64_t p_count,
                             Pack<T, 4> (&to)[4]) {
  if (i_count >= 4 && p_count >= 4 && p_step == 1 && aligned16(from) && i_step * sizeof(T) % 16 == 0) {
    for (int i = 0; i < 4; i++) {
      const Pack<T, 4> row = load_pack<4>(from + i * i_step);
      for (int p = 0; p < 4; p++) to[p].v[i] = row.v[p];
    }
  } else if (i_count >= 4 && p_count >= 4 && i_step == 1 && aligned16(from) && p_step * sizeof(T) % 16 == 0) {
    for (int p = 0; p < 4; p++) to[p] = load_pack<4>(from + p * p_step);
  } else {
    for (int p = 0; p < 4; p++) {
      for (int i = 0; i < 4; i++) to[p].v[i] = i < i_count && p < p_count ? from[i * i_step + p * p_step] : T(0);
    }
  }
}

// The square's row p goes to `place` + p * width elements into the tile.
template <class Part, class Tile, class T>
KITH_DEVICE void put_square(Tile tile, const Pack<T, 4> (&square)[4], int place, int width) {
  constexpr int kGroup = static_cast<int>(sizeof(Part) / sizeof(T));
  for (int p = 0; p < 4; p++) {
    for (int g = 0; g < 4; g += kGroup) {
      Part part;
      for (int e = 0; e < kGroup; e++) part.v[e] = square[p].v[g + e];
      tile[(place + p * width + g) / kGroup] = part;
    }
  }
}

// Tiles of M x N: 16 x 16 threads with M / 16 rows and N / 16 columns each, in groups of up to four. Symmetric: the tiles
// on and below the diagonal, row by row.
template <class T, int M, int N, bool symmetric>
KITH_KERNEL(kThreads)
void multiply(MultiplyJob<T> job) {
  constexpr int kDown = M / 16, kAcross = N / 16;
  constexpr int kDownGroup = kDown < 4 ? kDown : 4, kAcrossGroup = kAcross < 4 ? kAcross : 4;
  using Square = Pack<T, 4>[4];
  using Rows = Pack<T, kDownGroup>;
  using Columns = Pack<T, kAcrossGroup>;
  // Element (p, i) of a: member i % kDownGroup of (p * M + i) / kDownGroup.
  KITH_SHARED(Rows, a_tile, kDepth * M / kDownGroup);
  KITH_SHARED(Columns, b_tile, kDepth * N / kAcrossGroup);
  const int thread = static_cast<int>(threadIdx.x);
  const int row = thread / 16, column = thread % 16;
  for (int64_t tile = blockIdx.x; tile < job.tiles; tile += gridDim.x) {
    const int64_t per_batch = symmetric ? job.tiles_down * (job.tiles_down + 1) / 2 : job.tiles_down * job.tiles_across;
    const int64_t batch = tile / per_batch;
    const int64_t in_batch = tile - batch * per_batch;
    int64_t tile_row, tile_column;
    if constexpr (symmetric) {
      tile_row = 0;
      tile_column = in_batch;
      while (tile_column > tile_row) tile_column -= ++tile_row;
    } else {
      tile_row = in_batch / job.tiles_across;
      tile_column = in_batch % job.tiles_across;
    }
    const int64_t first_row = tile_row * M;
    const int64_t first_column = tile_column * N;
    const T* const a = job.a + batch * job.a_batch + first_row * job.a_row;
    const T* const b = job.b + batch * job.b_batch + first_column * job.b_column;
    T* const c = job.c + batch * job.c_batch;

    // Of 256 threads the first half (or less) brings a, the rest b; each its own square of 4 x 4.
    constexpr int kHalf = kThreads / 2;
    static_assert(M * (kDepth / 16) <= kHalf && N * (kDepth / 16) <= kHalf);
    const bool brings_b = thread >= kHalf;
    const int square = brings_b ? thread - kHalf : thread;
    const int width = (brings_b ? N : M) / 4;
    const bool brings = square < width * (kDepth / 4);
    const int square_i = square % width * 4, square_p = square / width * 4;
    const T* const source = brings_b ? b : a;
    const int64_t i_step = brings_b ? job.b_column : job.a_row;
    const int64_t p_step = brings_b ? job.b_row : job.a_column;
    const int64_t i_count = (brings_b ? job.n - first_column : job.m - first_row) - square_i;
    Square next;
    if (brings) {
      load_square<T>(source + square_i * i_step + square_p * p_step, i_step, p_step, i_count, job.k - square_p, next);
    }

    int64_t done = 0;
    do {
      T sums[kDown][kAcross];
      for (int i = 0; i < kDown; i++) {
        for (int j = 0; j < kAcross; j++) sums[i][j] = T(0);
      }
      const int64_t slice_end = job.k - done < kSlice ? job.k : done + kSlice;
      for (int64_t p0 = done; p0 < slice_end; p0 += kDepth) {
        __syncthreads();
        if (brings && brings_b) put_square<Columns>(b_tile, next, square_p * N + square_i, N);
        if (brings && !brings_b) put_square<Rows>(a_tile, next, square_p * M + square_i, M);
        __syncthreads();
        const int64_t following = p0 + kDepth;
        if (brings && following < job.k) {
          load_square<T>(source + square_i * i_step + (following + square_p) * p_step, i_step, p_step, i_count,
                         job.k - following - square_p, next);
        }
        const int depth = slice_end - p0 < kDepth ? static_cast<int>(slice_end - p0) : kDepth;
        for (int p = 0; p < depth; p++) {
          T x[kDown], y[kAcross];
          for (int i = 0; i < kDown; i += kDownGroup) {
            const Rows part = a_tile[(p * M + i * 16) / kDownGroup + row];
            for (int e = 0; e < kDownGroup; e++) x[i + e] = part.v[e];
          }
          for (int j = 0; j < kAcross; j += kAcrossGroup) {
            const Columns part = b_tile[(p * N + j * 16) / kAcrossGroup + column];
            for (int e = 0; e < kAcrossGroup; e++) y[j + e] = part.v[e];
          }
          for (int i = 0; i < kDown; i++) {
            for (int j = 0; j < kAcross; j++) sums[i][j] = fused(x[i], y[j], sums[i][j]);
          }
        }
      }
      const T beta = done == 0 ? job.beta : T(1);
      const bool reads = done > 0 || job.reads != 0;
      for (int i = 0; i < kDown; i++) {
        const int64_t r = first_row + i / kDownGroup * 16 * kDownGroup + row * kDownGroup + i % kDownGroup;
        for (int j = 0; j < kAcross; j++) {
          const int64_t q =
              first_column + j / kAcrossGroup * 16 * kAcrossGroup + column * kAcrossGroup + j % kAcrossGroup;
          if (r >= job.m || q >= job.n) continue;
          const T product = job.alpha * sums[i][j];
          T* const to = c + r * job.c_row + q;
          if constexpr (symmetric) {
            if (q > r) continue;
            T value = product;
            if (done > 0) {
              value = *to + product;
            } else if (reads) {
              T start = job.d == nullptr ? T(0) : job.beta * job.d[batch * job.d_batch + r * job.d_row + q];
              if (q == r) start = start + job.gamma;
              value = start + product;
            }
            *to = value;
            if (slice_end >= job.k) c[q * job.c_row + r] = value;
          } else {
            *to = reads ? fused(beta, *to, product) : product;
          }
        }
      }
      done = slice_end;
    } while (done < job.k);
  }
}

// False where the tile would be too large: fewer tiles than multiprocessors, or half as much again beyond the edges.
template <class T, int M, int N>
bool suits(const Entry& entry, const MultiplyJob<T>& job, int64_t batches) {
  const int64_t down = cut_into(job.m, M), across = cut_into(job.n, N);
  return batches * down * across >= entry.multiprocessors() && down * M * across * N <= job.m * job.n / 2 * 3;
}

template <class T, int M, int N>
bool launch_multiply(Entry& entry, MultiplyJob<T>& job, int64_t batches) {
  job.tiles_down = cut_into(job.m, M);
  job.tiles_across = cut_into(job.n, N);
  job.tiles = batches * job.tiles_down * job.tiles_across;
  const unsigned blocks = entry.grid(job.tiles, 1 << 20);
  return entry.launched(KITH_LAUNCH((multiply<T, M, N, false>), blocks, kThreads, 0, entry.stream(), job));
}

template <class T>
bool multiply_plain(Entry& entry, int64_t batches, double alpha, const View& a, bool transpose_a, const View& b,
                    bool transpose_b, double beta, const View& c) {
  MultiplyJob<T> job = {};
  job.a = reinterpret_cast<const T*>(a.data);
  job.b = reinterpret_cast<const T*>(b.data);
  job.c = reinterpret_cast<T*>(c.data);
  job.a_batch = a.batch_stride;
  job.a_row = transpose_a ? 1 : a.row_stride;
  job.a_column = transpose_a ? a.row_stride : 1;
  job.b_batch = b.batch_stride;
  job.b_row = transpose_b ? 1 : b.row_stride;
  job.b_column = transpose_b ? b.row_stride : 1;
  job.c_batch = c.batch_stride;
  job.c_row = c.row_stride;
  job.m = c.rows;
  job.n = c.cols;
  job.k = transpose_a ? a.rows : a.cols;
  job.alpha = static_cast<T>(alpha);
  job.beta = static_cast<T>(beta);
  job.reads = beta != 0 ? 1 : 0;
  // The bits do not depend on the choice.
  if constexpr (sizeof(T) == 4) {
    if (suits<T, 128, 128>(entry, job, batches)) return launch_multiply<T, 128, 128>(entry, job, batches);
    if (suits<T, 32, 128>(entry, job, batches)) return launch_multiply<T, 32, 128>(entry, job, batches);
  }
  if (suits<T, 64, 64>(entry, job, batches)) return launch_multiply<T, 64, 64>(entry, job, batches);
  return launch_multiply<T, 32, 32>(entry, job, batches);
}

template <class T, int N>
bool launch_symmetric(Entry& entry, MultiplyJob<T>& job, int64_t batches) {
  job.tiles_down = cut_into(job.m, N);
  job.tiles_across = job.tiles_down;
  job.tiles = batches * job.tiles_down * (job.tiles_down + 1) / 2;
  const unsigned blocks = entry.grid(job.tiles, 1 << 20);
  return entry.launched(KITH_LAUNCH((multiply<T, N, N, true>), blocks, kThreads, 0, entry.stream(), job));
}

template <class T>
bool multiply_symmetric(Entry& entry, int64_t batches, double alpha, const View& a, bool transpose_a, double beta,
                        const View& d, double gamma, const View& c) {
  MultiplyJob<T> job = {};
  job.a = reinterpret_cast<const T*>(a.data);
  job.b = job.a;
  job.c = reinterpret_cast<T*>(c.data);
  job.d = reinterpret_cast<const T*>(d.data);
  job.a_batch = a.batch_stride;
  job.a_row = transpose_a ? 1 : a.row_stride;
  job.a_column = transpose_a ? a.row_stride : 1;
  job.b_batch = job.a_batch;
  job.b_row = job.a_column;
  job.b_column = job.a_row;
  job.c_batch = c.batch_stride;
  job.c_row = c.row_stride;
  job.d_batch = d.batch_stride;
  job.d_row = d.row_stride;
  job.m = c.rows;
  job.n = c.rows;
  job.k = transpose_a ? a.rows : a.cols;
  job.alpha = static_cast<T>(alpha);
  job.beta = static_cast<T>(beta);
  job.gamma = static_cast<T>(gamma);
  job.reads = d.data != nullptr || gamma != 0 ? 1 : 0;
  // The bits do not depend on the choice.
  if constexpr (sizeof(T) == 4) {
    if (suits<T, 128, 128>(entry, job, batches)) return launch_symmetric<T, 128>(entry, job, batches);
  }
  if (suits<T, 64, 64>(entry, job, batches)) return launch_symmetric<T, 64>(entry, job, batches);
  return launch_symmetric<T, 32>(entry, job, batches);
}

/* ---- cuBLAS -------------------------------------------------------------------------------------------------------- */

// Of cublas_v2.h: statuses and operations are enums, 0 is success and no transposition, 1 a transposition.
using Create = int (*)(void** handle);
using Destroy = int (*)(void* handle);
using SetStream = int (*)(void* handle, cudaStream_t stream);
using Sgemm = int (*)(void* handle, int transpose_a, int transpose_b, int m, int n, int k, const float* alpha,
                      const float* a, int lda, long long stride_a, const float* b, int ldb, long long stride_b,
                      const float* beta, float* c, int ldc, long long stride_c, int count);
using Dgemm = int (*)(void* handle, int transpose_a, int transpose_b, int m, int n, int k, const double* alpha,
                      const double* a, int lda, long long stride_a, const double* b, int ldb, long long stride_b,
                      const double* beta, double* c, int ldc, long long stride_c, int count);

}  // namespace

struct Blas {
  Blas* next;
  Create create;
  Destroy destroy;
  SetStream set_stream;
  Sgemm sgemm;
  Dgemm dgemm;
  char path[1];
};

void drop_blas(CudaQueue* queue) {
  if (queue->blas_handle != nullptr) queue->blas->destroy(queue->blas_handle);
  queue->blas_handle = nullptr;
  queue->blas = nullptr;
}

namespace {

// A library stays loaded once it was: queues hold handles of it.
pthread_mutex_t blas_mutex = PTHREAD_MUTEX_INITIALIZER;
Blas* blas_present = nullptr; /* __atomic; NULL: the plain kernel */

#if defined(KITH_EMULATED)
Blas* open_blas(const char* path, kith_status* status, kith_call* call) {
  *status =
      fail(call, KITH_NOT_FOUND,
           "kith_product_use_blas: %.512s cannot be used where kernels are emulated; the plain kernel answers", path);
  return nullptr;
}
#else
Blas* blas_loaded = nullptr; /* guarded by blas_mutex */

template <class F>
F symbol(void* library, const char* name, const char** missing) {
  void* const found = dlsym(library, name);
  if (found == nullptr && *missing == nullptr) *missing = name;
  return reinterpret_cast<F>(found);
}

// Under blas_mutex. NULL and a status when path holds no cuBLAS.
Blas* open_blas(const char* path, kith_status* status, kith_call* call) {
  for (Blas* blas = blas_loaded; blas != nullptr; blas = blas->next) {
    if (std::strcmp(blas->path, path) == 0) return blas;
  }
  void* const library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    *status = fail(call, KITH_NOT_FOUND,
                   "kith_product_use_blas: %.512s does not load (%.1024s); give the path of libcublas.so.12 or .13",
                   path, reason == nullptr ? "no reason given" : reason);
    return nullptr;
  }
  const char* missing = nullptr;
  const Create create = symbol<Create>(library, "cublasCreate_v2", &missing);
  const Destroy destroy = symbol<Destroy>(library, "cublasDestroy_v2", &missing);
  const SetStream set_stream = symbol<SetStream>(library, "cublasSetStream_v2", &missing);
  const Sgemm sgemm = symbol<Sgemm>(library, "cublasSgemmStridedBatched", &missing);
  const Dgemm dgemm = symbol<Dgemm>(library, "cublasDgemmStridedBatched", &missing);
  if (missing != nullptr) {
    dlclose(library);
    *status = fail(call, KITH_NOT_FOUND,
                   "kith_product_use_blas: %.512s lacks %s; give the path of libcublas.so.12 or .13", path, missing);
    return nullptr;
  }
  const size_t length = std::strlen(path);
  Blas* const blas = static_cast<Blas*>(std::malloc(sizeof(Blas) + length));
  if (blas == nullptr) {
    *status = fail(call, KITH_OUT_OF_MEMORY, "kith_product_use_blas: no memory for the path");
    return nullptr;
  }
  *blas = Blas{blas_loaded, create, destroy, set_stream, sgemm, dgemm, {}};
  std::memcpy(blas->path, path, length + 1);
  blas_loaded = blas;
  return blas;
}
#endif

bool succeeded(Entry& entry, const char* function, int status) {
  if (status == 0) return true;
  entry.fail(KITH_DEVICE_FAILED, "%s of cuBLAS failed with status %d; go on without it by kith_product_use_blas(NULL)",
             function, status);
  return false;
}

// A queue has its own handle: one handle on several streams would share its workspace.
bool handle_of(Entry& entry, Blas* blas) {
  CudaQueue* const queue = entry.queue();
  if (queue->blas == blas) return true;
  drop_blas(queue);
  void* handle = nullptr;
  if (!succeeded(entry, "cublasCreate", blas->create(&handle))) return false;
  queue->blas = blas;
  queue->blas_handle = handle;
  return succeeded(entry, "cublasSetStream", blas->set_stream(handle, queue->stream));
}

// Row-major products are column-major products of the transposes: c' = op(b)' op(a)'.
bool multiply_blas(Entry& entry, Blas* blas, int64_t batches, double alpha, const View& a, bool transpose_a,
                   const View& b, bool transpose_b, double beta, const View& c) {
  if (!handle_of(entry, blas)) return false;
  void* const handle = entry.queue()->blas_handle;
  const int m = static_cast<int>(c.rows), n = static_cast<int>(c.cols);
  const int k = static_cast<int>(transpose_a ? a.rows : a.cols);
  const int lda = static_cast<int>(a.row_stride), ldb = static_cast<int>(b.row_stride);
  const int ldc = static_cast<int>(c.row_stride), count = static_cast<int>(batches);
  int status;
  if (c.dtype == KITH_F64) {
    status = blas->dgemm(handle, transpose_b ? 1 : 0, transpose_a ? 1 : 0, n, m, k, &alpha,
                         reinterpret_cast<const double*>(b.data), ldb, b.batch_stride,
                         reinterpret_cast<const double*>(a.data), lda, a.batch_stride, &beta,
                         reinterpret_cast<double*>(c.data), ldc, c.batch_stride, count);
  } else {
    const float alpha32 = static_cast<float>(alpha), beta32 = static_cast<float>(beta);
    status =
        blas->sgemm(handle, transpose_b ? 1 : 0, transpose_a ? 1 : 0, n, m, k, &alpha32,
                    reinterpret_cast<const float*>(b.data), ldb, b.batch_stride, reinterpret_cast<const float*>(a.data),
                    lda, a.batch_stride, &beta32, reinterpret_cast<float*>(c.data), ldc, c.batch_stride, count);
  }
  return succeeded(entry, "GemmStridedBatched", status);
}

/* ---- bias and activation ------------------------------------------------------------------------------------------- */

template <class T>
struct BiasJob {
  T* h;
  const T* bias;
  int64_t batches, rows, cols;
  int64_t h_batch, h_row;
  int64_t bias_batch;
  int32_t relu;
};

template <class T>
KITH_DEVICE T activated(T h, T bias, bool relu) {
  const T z = h + bias;
  // NaN is kept, -0 becomes +0.
  return !relu || z > T(0) || z != z ? z : T(0);
}

template <class T>
KITH_KERNEL(kThreads)
void bias_activate(BiasJob<T> job) {
  constexpr int W = 16 / static_cast<int>(sizeof(T));
  const int64_t per_row = (job.cols + W - 1) / W + 1;
  const int64_t items = job.batches * job.rows * per_row;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const bool relu = job.relu != 0;
  for (int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; item < items; item += step) {
    const int64_t row = item / per_row;
    const int64_t index = item - row * per_row;
    const int64_t batch = row / job.rows;
    T* const h = job.h + batch * job.h_batch + (row - batch * job.rows) * job.h_row;
    const T* const bias = job.bias + batch * job.bias_batch;
    // Item 0 is what comes before the first aligned pack of the row.
    const int64_t head = head_of(h, job.cols);
    const int64_t begin = index == 0 ? 0 : head + (index - 1) * W;
    int64_t end = index == 0 ? head : begin + W;
    if (end > job.cols) end = job.cols;
    if (end - begin == W) {
      Pack<T, W> values = load_pack<W>(h + begin);
      for (int e = 0; e < W; e++) values.v[e] = activated(values.v[e], bias[begin + e], relu);
      store_pack<W>(h + begin, values);
    } else {
      for (int64_t c = begin; c < end; c++) h[c] = activated(h[c], bias[c], relu);
    }
  }
}

template <class T>
bool launch_bias(Entry& entry, int64_t batches, const View& h, const View& bias, bool relu) {
  constexpr int W = 16 / static_cast<int>(sizeof(T));
  const BiasJob<T> job = {reinterpret_cast<T*>(h.data),
                          reinterpret_cast<const T*>(bias.data),
                          batches,
                          h.rows,
                          h.cols,
                          h.batch_stride,
                          h.row_stride,
                          bias.batch_stride,
                          relu ? 1 : 0};
  const int64_t items = batches * h.rows * ((h.cols + W - 1) / W + 1);
  const unsigned blocks = entry.grid(cut_into(items, kThreads), kPerMultiprocessor);
  return entry.launched(KITH_LAUNCH((bias_activate<T>), blocks, kThreads, 0, entry.stream(), job));
}

constexpr int kColumnThreads = 64;
constexpr int kAhead = 8;

template <class T>
struct BackwardJob {
  T* d;
  const T* h;  // NULL: identity
  T* gradient;
  int64_t batches, rows, cols;
  int64_t d_batch, d_row;
  int64_t h_batch, h_row;
  int64_t gradient_batch;
};

template <class T>
KITH_KERNEL(kColumnThreads)
void bias_backward(BackwardJob<T> job) {
  const int64_t items = job.batches * job.cols;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; item < items; item += step) {
    const int64_t batch = item / job.cols;
    const int64_t column = item - batch * job.cols;
    T* const d = job.d + batch * job.d_batch + column;
    const T* const h = job.h == nullptr ? nullptr : job.h + batch * job.h_batch + column;
    T sum = 0;
    for (int64_t r0 = 0; r0 < job.rows; r0 += kAhead) {
      T x[kAhead];
      for (int i = 0; i < kAhead; i++) {
        const int64_t r = r0 + i;
        if (r >= job.rows) continue;
        x[i] = d[r * job.d_row];
        if (h != nullptr) x[i] = h[r * job.h_row] > T(0) ? x[i] : T(0);
      }
      for (int i = 0; i < kAhead; i++) {
        const int64_t r = r0 + i;
        if (r >= job.rows) continue;
        if (h != nullptr) d[r * job.d_row] = x[i];
        sum = sum + x[i];
      }
    }
    job.gradient[batch * job.gradient_batch + column] = sum;
  }
}

template <class T>
bool launch_backward(Entry& entry, int64_t batches, const View& h, const View& d, const View& gradient) {
  const BackwardJob<T> job = {reinterpret_cast<T*>(d.data),
                              reinterpret_cast<const T*>(h.data),
                              reinterpret_cast<T*>(gradient.data),
                              batches,
                              d.rows,
                              d.cols,
                              d.batch_stride,
                              d.row_stride,
                              h.batch_stride,
                              h.row_stride,
                              gradient.batch_stride};
  const unsigned blocks = entry.grid(cut_into(batches * d.cols, kColumnThreads), 32);
  return entry.launched(KITH_LAUNCH((bias_backward<T>), blocks, kColumnThreads, 0, entry.stream(), job));
}

/* ---- exponential and logarithm ------------------------------------------------------------------------------------- */

// Constants and orders of native/src/product.cpp, where they are explained.
template <class T>
struct Exponential;
template <>
struct Exponential<float> {
  static constexpr float kLeast = -104.0f;
  static constexpr float kGreatest = 89.0f;
  static constexpr float kShift = 0x1.8p23f;
  static constexpr float kPerLog2 = 0x1.715476p0f;
  static constexpr float kLog2High = 0x1.63p-1f;
  static constexpr float kLog2Low = -0x1.bd0106p-13f;
  static constexpr int kTerms = 7;
  static KITH_DEVICE float power_of_two(float k) { return __uint_as_float((__float_as_uint(k + kShift) + 127u) << 23); }
};
template <>
struct Exponential<double> {
  static constexpr double kLeast = -746.0;
  static constexpr double kGreatest = 710.0;
  static constexpr double kShift = 0x1.8p52;
  static constexpr double kPerLog2 = 0x1.71547652b82fep0;
  static constexpr double kLog2High = 0x1.62e42feep-1;
  static constexpr double kLog2Low = 0x1.a39ef35793c76p-33;
  static constexpr int kTerms = 13;
  static KITH_DEVICE double power_of_two(double k) {
    const unsigned long long bits = static_cast<unsigned long long>(__double_as_longlong(k + kShift));
    return __longlong_as_double(static_cast<long long>((bits + 1023ull) << 52));
  }
};

template <class T>
constexpr T inverse_factorial(int n) {
  T product = 1;
  for (int i = 2; i <= n; i++) product *= static_cast<T>(i);
  return 1 / product;
}

template <class T, int n>
inline constexpr T kInverseFactorial = inverse_factorial<T>(n);

// The Taylor series from term n down to term 2.
template <class T, int n>
KITH_DEVICE T series_from(T series, T r) {
  if constexpr (n >= 2) {
    return series_from<T, n - 1>(series * r + kInverseFactorial<T, n>, r);
  } else {
    return series;
  }
}

template <class T>
KITH_DEVICE T exponential(T x) {
  using E = Exponential<T>;
  x = x < E::kLeast ? E::kLeast : x;
  x = x > E::kGreatest ? E::kGreatest : x;
  const T k = (x * E::kPerLog2 + E::kShift) - E::kShift;
  const T r = (x - k * E::kLog2High) - k * E::kLog2Low;
  const T series = series_from<T, E::kTerms - 1>(kInverseFactorial<T, E::kTerms>, r);
  const T value = (r + (r * r) * series) + T(1);
  const T half = (k * T(0.5) + E::kShift) - E::kShift;
  return (value * E::power_of_two(half)) * E::power_of_two(k - half);
}

KITH_DEVICE double not_a_number() { return __longlong_as_double(0x7ff8000000000000ll); }

// For x >= 1; NaN otherwise.
KITH_DEVICE double logarithm(double x) {
  if (!(x >= 1)) return not_a_number();
  const unsigned long long bits = static_cast<unsigned long long>(__double_as_longlong(x));
  const unsigned long long carried = bits + (0x3ff0000000000000ull - 0x3fe6a09e667f3bcdull);
  const int64_t k = static_cast<int64_t>(carried >> 52) - 1023;
  const double f = __longlong_as_double(static_cast<long long>(bits - (static_cast<unsigned long long>(k) << 52))) - 1;
  const double t = f / (2 + f);
  const double t2 = t * t;
  double series = 0;
  for (int n = 23; n >= 3; n -= 2) series = series * t2 + 2.0 / n;
  const double rest = series * t2;
  const double half = 0.5 * f * f;
  const double e = static_cast<double>(k);
  return e * Exponential<double>::kLog2High - ((half - (t * (half + rest) + e * Exponential<double>::kLog2Low)) - f);
}

/* ---- softmax with cross-entropy ------------------------------------------------------------------------------------ */

constexpr int kLanes = 16;
constexpr unsigned kWarp = 0xffffffffu;

template <class T>
struct SoftmaxJob {
  const T* z;
  T* gradient;  // NULL: not wanted
  const int32_t* labels;
  double* row_loss;
  int32_t* correct;  // NULL: not wanted
  int64_t batches, rows, cols;
  int64_t z_batch, z_row;
  int64_t gradient_batch, gradient_row;
  int64_t label_stride;
  FaultTicket faults;
};

template <class T>
KITH_KERNEL(kThreads)
void softmax(SoftmaxJob<T> job) {
  const int64_t all = job.batches * job.rows;
  const int64_t step = static_cast<int64_t>(gridDim.x) * (kThreads / kLanes);
  const int lane = static_cast<int>(threadIdx.x % kLanes);
  // Half-warps without a row go along for the shuffles.
  const int64_t rounds = (all + step - 1) / step;
  int64_t at = static_cast<int64_t>(blockIdx.x) * (kThreads / kLanes) + threadIdx.x / kLanes;
  for (int64_t round = 0; round < rounds; round++, at += step) {
    const bool present = at < all;
    const int64_t batch = present ? at / job.rows : 0;
    const int64_t row = present ? at - batch * job.rows : 0;
    const int64_t cols = present ? job.cols : 0;
    const T* const z = job.z + batch * job.z_batch + row * job.z_row;
    const int32_t label = present ? job.labels[batch * job.label_stride + row] : 0;
    const bool valid = label >= 0 && label < job.cols;
    // Before anything is written: the gradient may take the place of the logits.
    T own = static_cast<T>(not_a_number());
    if (present && valid) own = z[label];
    if (present && !valid && lane == 0) report(job.faults, at, label);

    // The largest, and the lowest index where it is; NaN is passed over.
    T top = -static_cast<T>(__longlong_as_double(0x7ff0000000000000ll));
    long long first = 0x7fffffffffffffffll;
    for (int64_t c = lane; c < cols; c += kLanes) {
      const T x = z[c];
      if (x > top || (x == top && c < first)) {
        top = x;
        first = c;
      }
    }
    for (int s = kLanes / 2; s >= 1; s /= 2) {
      const T other = __shfl_xor_sync(kWarp, top, s);
      const long long index = __shfl_xor_sync(kWarp, first, s);
      if (other > top || (other == top && index < first)) {
        top = other;
        first = index;
      }
    }

    T* const gradient =
        job.gradient == nullptr ? nullptr : job.gradient + batch * job.gradient_batch + row * job.gradient_row;
    T sum = 0;
    for (int64_t c = lane; c < cols; c += kLanes) {
      const T e = exponential<T>(z[c] - top);
      sum = sum + e;
      if (gradient != nullptr) gradient[c] = e;
    }
    for (int s = kLanes / 2; s >= 1; s /= 2) {
      const T other = __shfl_down_sync(kWarp, sum, static_cast<unsigned>(s), kLanes);
      sum = sum + other;
    }
    sum = __shfl_sync(kWarp, sum, 0, kLanes);

    if (present && lane == 0) {
      job.row_loss[at] = logarithm(static_cast<double>(sum)) + (static_cast<double>(top) - static_cast<double>(own));
      if (job.correct != nullptr && valid && first == label) atomicAdd(job.correct + batch, 1);
    }
    if (gradient == nullptr) continue;
    const T count = static_cast<T>(job.rows);
    for (int64_t c = lane; c < cols; c += kLanes) {
      const T share = quotient(gradient[c], sum);
      gradient[c] = quotient(valid && c == label ? share - T(1) : share, count);
    }
  }
}

template <class T>
struct SoftmaxCurvatureJob {
  const T* z;
  T* u;
  int64_t batches, rows, cols;
  int64_t z_batch, z_row;
  int64_t u_batch, u_row;
};

template <class T>
KITH_KERNEL(kThreads)
void softmax_curvature(SoftmaxCurvatureJob<T> job) {
  const int64_t all = job.batches * job.rows;
  const int64_t step = static_cast<int64_t>(gridDim.x) * (kThreads / kLanes);
  const int lane = static_cast<int>(threadIdx.x % kLanes);
  // Half-warps without a row go along for the shuffles.
  const int64_t rounds = (all + step - 1) / step;
  int64_t at = static_cast<int64_t>(blockIdx.x) * (kThreads / kLanes) + threadIdx.x / kLanes;
  for (int64_t round = 0; round < rounds; round++, at += step) {
    const bool present = at < all;
    const int64_t batch = present ? at / job.rows : 0;
    const int64_t row = present ? at - batch * job.rows : 0;
    const int64_t cols = present ? job.cols : 0;
    const T* const z = job.z + batch * job.z_batch + row * job.z_row;
    T* const u = job.u + batch * job.u_batch + row * job.u_row;

    T top = -static_cast<T>(__longlong_as_double(0x7ff0000000000000ll));
    for (int64_t c = lane; c < cols; c += kLanes) top = z[c] > top ? z[c] : top;
    for (int s = kLanes / 2; s >= 1; s /= 2) {
      const T other = __shfl_xor_sync(kWarp, top, s);
      top = other > top ? other : top;
    }

    T sum = 0, weighted = 0;
    for (int64_t c = lane; c < cols; c += kLanes) {
      const T e = exponential<T>(z[c] - top);
      sum = sum + e;
      weighted = weighted + e * u[c];
    }
    for (int s = kLanes / 2; s >= 1; s /= 2) {
      const T other = __shfl_down_sync(kWarp, sum, static_cast<unsigned>(s), kLanes);
      const T also = __shfl_down_sync(kWarp, weighted, static_cast<unsigned>(s), kLanes);
      sum = sum + other;
      weighted = weighted + also;
    }
    sum = __shfl_sync(kWarp, sum, 0, kLanes);
    weighted = __shfl_sync(kWarp, weighted, 0, kLanes);

    const T mean = quotient(weighted, sum);
    const T count = static_cast<T>(job.rows);
    for (int64_t c = lane; c < cols; c += kLanes) {
      const T share = quotient(exponential<T>(z[c] - top), sum);
      u[c] = quotient(share * (u[c] - mean), count);
    }
  }
}

template <class T>
bool launch_curvature(Entry& entry, int64_t batches, const View& z, const View& u) {
  const SoftmaxCurvatureJob<T> job = {reinterpret_cast<const T*>(z.data),
                                      reinterpret_cast<T*>(u.data),
                                      batches,
                                      z.rows,
                                      z.cols,
                                      z.batch_stride,
                                      z.row_stride,
                                      u.batch_stride,
                                      u.row_stride};
  const unsigned blocks = entry.grid(cut_into(batches * z.rows, kThreads / kLanes), kPerMultiprocessor);
  return entry.launched(KITH_LAUNCH((softmax_curvature<T>), blocks, kThreads, 0, entry.stream(), job));
}

// One block a batch: losses come in 256 at a time and are added by the first thread, in order.
KITH_KERNEL(kThreads) void mean_loss(const double* row_loss, double* loss, int64_t batches, int64_t rows) {
  KITH_SHARED(double, part, kThreads);
  for (int64_t batch = blockIdx.x; batch < batches; batch += gridDim.x) {
    double sum = 0;
    for (int64_t r0 = 0; r0 < rows; r0 += kThreads) {
      const int64_t r = r0 + threadIdx.x;
      if (r < rows) part[threadIdx.x] = row_loss[batch * rows + r];
      __syncthreads();
      const int count = rows - r0 < kThreads ? static_cast<int>(rows - r0) : kThreads;
      for (int i = 0; i < count && threadIdx.x == 0; i++) sum = sum + part[i];
      __syncthreads();
    }
    // The mean over no rows is given as 0.
    if (threadIdx.x == 0) loss[batch] = rows == 0 ? 0.0 : sum / static_cast<double>(rows);
  }
}

template <class T>
bool launch_softmax(Entry& entry, int64_t batches, const SoftmaxOperands& o, double* row_loss,
                    const FaultTicket& faults) {
  SoftmaxJob<T> job = {};
  job.z = reinterpret_cast<const T*>(o.z.data);
  job.gradient = reinterpret_cast<T*>(o.gradient.data);
  job.labels = reinterpret_cast<const int32_t*>(o.labels.data);
  job.row_loss = row_loss;
  job.correct = reinterpret_cast<int32_t*>(o.correct.data);
  job.batches = batches;
  job.rows = o.z.rows;
  job.cols = o.z.cols;
  job.z_batch = o.z.batch_stride;
  job.z_row = o.z.row_stride;
  job.gradient_batch = o.gradient.batch_stride;
  job.gradient_row = o.gradient.row_stride;
  job.label_stride = o.labels.stride;
  job.faults = faults;
  const unsigned blocks = entry.grid(cut_into(batches * o.z.rows, kThreads / kLanes), kPerMultiprocessor);
  return entry.launched(KITH_LAUNCH((softmax<T>), blocks, kThreads, 0, entry.stream(), job));
}

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_product_use_blas(const char* path, kith_call* call) {
  using namespace kith;
  kith_status status = KITH_OK;
  pthread_mutex_lock(&blas_mutex);
  Blas* const blas = path == nullptr ? nullptr : open_blas(path, &status, call);
  if (status == KITH_OK) __atomic_store_n(&blas_present, blas, __ATOMIC_RELEASE);
  pthread_mutex_unlock(&blas_mutex);
  return status;
}

kith_status kith_product_blas(char* path, int64_t capacity, kith_call* call) {
  using namespace kith;
  const Blas* blas = __atomic_load_n(&blas_present, __ATOMIC_ACQUIRE);
  const char* present = blas == nullptr ? "" : blas->path;
  const int64_t needed = static_cast<int64_t>(std::strlen(present)) + 1;
  if (path == nullptr || capacity < needed) {
    return fail(call, KITH_CAPACITY, "kith_product_blas: path has %lld bytes and %lld are needed",
                static_cast<long long>(path == nullptr ? 0 : capacity), static_cast<long long>(needed));
  }
  std::memcpy(path, present, static_cast<size_t>(needed));
  return KITH_OK;
}

kith_status kith_multiply(kith_queue* queue, int64_t batches, double alpha, const kith_batch* a, int32_t transpose_a,
                          const kith_batch* b, int32_t transpose_b, double beta, const kith_batch* c, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_multiply");
  View va = {}, vb = {}, vc = {};
  if (!check_multiply(entry, batches, a, transpose_a, b, transpose_b, c, &va, &vb, &vc)) return entry.status();
  if (batches == 0 || vc.rows == 0 || vc.cols == 0) return entry.finish();
  const bool ta = transpose_a != 0, tb = transpose_b != 0;
  Blas* const blas = __atomic_load_n(&blas_present, __ATOMIC_ACQUIRE);
  const int64_t k = ta ? va.rows : va.cols;
  const bool representable = va.row_stride <= INT32_MAX && vb.row_stride <= INT32_MAX && vc.row_stride <= INT32_MAX &&
                             vc.rows <= INT32_MAX && vc.cols <= INT32_MAX && k <= INT32_MAX && batches <= INT32_MAX;
  if (blas != nullptr && representable && k > 0) {
    multiply_blas(entry, blas, batches, alpha, va, ta, vb, tb, beta, vc);
  } else if (vc.dtype == KITH_F64) {
    multiply_plain<double>(entry, batches, alpha, va, ta, vb, tb, beta, vc);
  } else {
    multiply_plain<float>(entry, batches, alpha, va, ta, vb, tb, beta, vc);
  }
  return entry.finish();
}

kith_status kith_multiply_symmetric(kith_queue* queue, int64_t batches, double alpha, const kith_batch* a,
                                    int32_t transpose_a, double beta, const kith_batch* d, double gamma,
                                    const kith_batch* c, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_multiply_symmetric");
  View va = {}, vd = {}, vc = {};
  if (!check_multiply_symmetric(entry, batches, a, transpose_a, d, c, &va, &vd, &vc)) return entry.status();
  if (batches == 0 || vc.rows == 0) return entry.finish();
  if (vc.dtype == KITH_F64) {
    multiply_symmetric<double>(entry, batches, alpha, va, transpose_a != 0, beta, vd, gamma, vc);
  } else {
    multiply_symmetric<float>(entry, batches, alpha, va, transpose_a != 0, beta, vd, gamma, vc);
  }
  return entry.finish();
}

kith_status kith_bias_activate(kith_queue* queue, int64_t batches, const kith_batch* h, const kith_batch* bias,
                               int32_t activation, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_bias_activate");
  View vh = {}, vb = {};
  if (!check_bias_activate(entry, batches, h, bias, activation, &vh, &vb)) return entry.status();
  if (vh.extent == 0) return entry.finish();
  const bool relu = activation == KITH_RELU;
  if (vh.dtype == KITH_F64) {
    launch_bias<double>(entry, batches, vh, vb, relu);
  } else {
    launch_bias<float>(entry, batches, vh, vb, relu);
  }
  return entry.finish();
}

kith_status kith_bias_activate_backward(kith_queue* queue, int64_t batches, const kith_batch* h, const kith_batch* d,
                                        const kith_batch* bias_gradient, int32_t activation, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_bias_activate_backward");
  View vh = {}, vd = {}, vg = {};
  if (!check_bias_backward(entry, batches, h, d, bias_gradient, activation, &vh, &vd, &vg)) return entry.status();
  if (batches == 0 || vd.cols == 0) return entry.finish();
  if (vd.dtype == KITH_F64) {
    launch_backward<double>(entry, batches, vh, vd, vg);
  } else {
    launch_backward<float>(entry, batches, vh, vd, vg);
  }
  return entry.finish();
}

kith_status kith_softmax_cross_entropy(kith_queue* queue, int64_t batches, const kith_batch* logits,
                                       const kith_matrix* labels, const kith_batch* gradient, const kith_matrix* loss,
                                       const kith_matrix* correct, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_softmax_cross_entropy");
  SoftmaxOperands operands = {};
  if (!check_softmax(entry, batches, logits, labels, gradient, loss, correct, &operands)) return entry.status();
  if (batches == 0) return entry.finish();
  if (operands.correct.data != nullptr) {
    entry.done("the clearing of counts",
               cudaMemsetAsync(operands.correct.data, 0, static_cast<size_t>(4 * batches), entry.stream()));
  }
  const int64_t rows = operands.z.rows;
  double* const row_loss = static_cast<double*>(entry.scratch(batches * rows * 8));
  const FaultTicket faults = entry.faults(FaultKind::kLabel, operands.z.cols, rows);
  if (!entry.ok()) return entry.status();
  if (rows > 0 && operands.z.dtype == KITH_F64) {
    launch_softmax<double>(entry, batches, operands, row_loss, faults);
  } else if (rows > 0) {
    launch_softmax<float>(entry, batches, operands, row_loss, faults);
  }
  if (entry.ok() && operands.loss.data != nullptr) {
    entry.launched(KITH_LAUNCH(mean_loss, entry.grid(batches, kPerMultiprocessor), kThreads, 0, entry.stream(),
                               row_loss, reinterpret_cast<double*>(operands.loss.data), batches, rows));
  }
  return entry.finish();
}

kith_status kith_softmax_curvature(kith_queue* queue, int64_t batches, const kith_batch* logits, const kith_batch* u,
                                   kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_softmax_curvature");
  View vz = {}, vu = {};
  if (!check_softmax_curvature(entry, batches, logits, u, &vz, &vu)) return entry.status();
  if (vu.extent == 0) return entry.finish();
  if (vu.dtype == KITH_F64) {
    launch_curvature<double>(entry, batches, vz, vu);
  } else {
    launch_curvature<float>(entry, batches, vz, vu);
  }
  return entry.finish();
}

}  // extern "C"
