// product: batches cut into panels, a BLAS loaded at run time, the passes of a model.
#include <dlfcn.h>
#include <pthread.h>

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "core.hpp"
#include "dispatch.hpp"
#include "product_checks.hpp"

namespace kith {

KITH_FAMILY(ProductKernels, product)

namespace {

int64_t cut_into(int64_t n, int64_t size) { return (n + size - 1) / size; }
int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* ---- BLAS --------------------------------------------------------------------------------------------------------- */

// The C interface of a BLAS with 32-bit integers; orders and transposes are enums there.
constexpr int kRowMajor = 101;
constexpr int kPlain = 111;
constexpr int kTransposed = 112;
using Sgemm = void (*)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha, const float* a,
                       int lda, const float* b, int ldb, float beta, float* c, int ldc);
using Dgemm = void (*)(int order, int transpose_a, int transpose_b, int m, int n, int k, double alpha, const double* a,
                       int lda, const double* b, int ldb, double beta, double* c, int ldc);

struct Blas {
  Blas* next;
  Sgemm sgemm;
  Dgemm dgemm;
  char path[1];
};

// A library stays loaded once it was: another thread may be inside it.
pthread_mutex_t blas_mutex = PTHREAD_MUTEX_INITIALIZER;
Blas* blas_loaded = nullptr;  /* guarded by blas_mutex */
Blas* blas_present = nullptr; /* __atomic; NULL: the plain kernel */

template <class F>
F symbol(void* library, const char* name) {
  return reinterpret_cast<F>(dlsym(library, name));
}

// Under blas_mutex. NULL and a status when path holds no BLAS.
Blas* open_blas(const char* path, kith_status* status, kith_call* call) {
  for (Blas* blas = blas_loaded; blas != nullptr; blas = blas->next) {
    if (std::strcmp(blas->path, path) == 0) return blas;
  }
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    *status = fail(call, KITH_NOT_FOUND,
                   "kith_product_use_blas: %.512s does not load (%.1024s); give the path of an OpenBLAS", path,
                   reason == nullptr ? "no reason given" : reason);
    return nullptr;
  }
  const Sgemm sgemm = symbol<Sgemm>(library, "cblas_sgemm");
  const Dgemm dgemm = symbol<Dgemm>(library, "cblas_dgemm");
  if (sgemm == nullptr || dgemm == nullptr) {
    dlclose(library);
    *status = fail(call, KITH_NOT_FOUND, "kith_product_use_blas: %.512s lacks %s; give the path of an OpenBLAS", path,
                   sgemm == nullptr ? "cblas_sgemm" : "cblas_dgemm");
    return nullptr;
  }
  const auto configuration = symbol<const char* (*)()>(library, "openblas_get_config");
  if (configuration != nullptr && std::strstr(configuration(), "USE64BITINT") != nullptr) {
    dlclose(library);
    *status = fail(call, KITH_NOT_FOUND,
                   "kith_product_use_blas: %.512s takes 64-bit integers; give an OpenBLAS with 32-bit ones", path);
    return nullptr;
  }
  const auto set_threads = symbol<void (*)(int)>(library, "openblas_set_num_threads");
  if (set_threads != nullptr) set_threads(1);
  const size_t length = std::strlen(path);
  Blas* blas = static_cast<Blas*>(std::malloc(sizeof(Blas) + length));
  if (blas == nullptr) {
    *status = fail(call, KITH_OUT_OF_MEMORY, "kith_product_use_blas: no memory for the path");
    return nullptr;
  }
  *blas = Blas{blas_loaded, sgemm, dgemm, {}};
  std::memcpy(blas->path, path, length + 1);
  blas_loaded = blas;
  return blas;
}

/* ---- multiply ------------------------------------------------------------------------------------------------------ */

struct MultiplyContext {
  View a;
  View b;
  View c;
  bool transpose_a;
  bool transpose_b;
  int64_t k;
  int64_t k_begin; /* of the present slab */
  int64_t k_count;
  int64_t panels_down;
  int64_t panels_across;
  double alpha;
  double beta;      /* of the present slab */
  const Blas* blas; /* NULL: the plain kernel */
  unsigned char* workspace;
  int64_t workspace_bytes; /* per worker */
};

// The present slab of the panel of m x n at (i, j).
void multiply_panel(const MultiplyContext& context, int64_t batch, int64_t i, int64_t j, int64_t m_count,
                    int64_t n_count, int32_t worker) {
  const int64_t p = context.k_begin;
  MultiplyTask task = {};
  task.m = m_count;
  task.n = n_count;
  task.k = context.k_count;
  task.a = context.transpose_a ? context.a.at(batch, p, i) : context.a.at(batch, i, p);
  task.b = context.transpose_b ? context.b.at(batch, j, p) : context.b.at(batch, p, j);
  task.c = context.c.at(batch, i, j);
  task.alpha = context.alpha;
  task.beta = context.beta;
  const bool f64 = context.c.dtype == KITH_F64;
  if (context.blas == nullptr) {
    task.a_row = context.transpose_a ? 1 : context.a.row_stride;
    task.a_column = context.transpose_a ? context.a.row_stride : 1;
    task.b_row = context.transpose_b ? 1 : context.b.row_stride;
    task.b_column = context.transpose_b ? context.b.row_stride : 1;
    task.c_row = context.c.row_stride;
    product().multiply[f64 ? 1 : 0](task, context.workspace + worker * context.workspace_bytes);
    return;
  }
  const int transpose_a = context.transpose_a ? kTransposed : kPlain;
  const int transpose_b = context.transpose_b ? kTransposed : kPlain;
  const int m = static_cast<int>(task.m), n = static_cast<int>(task.n), k = static_cast<int>(task.k);
  const int lda = static_cast<int>(context.a.row_stride), ldb = static_cast<int>(context.b.row_stride);
  const int ldc = static_cast<int>(context.c.row_stride);
  if (f64) {
    context.blas->dgemm(kRowMajor, transpose_a, transpose_b, m, n, k, task.alpha, static_cast<const double*>(task.a),
                        lda, static_cast<const double*>(task.b), ldb, task.beta, static_cast<double*>(task.c), ldc);
  } else {
    context.blas->sgemm(kRowMajor, transpose_a, transpose_b, m, n, k, static_cast<float>(task.alpha),
                        static_cast<const float*>(task.a), lda, static_cast<const float*>(task.b), ldb,
                        static_cast<float>(task.beta), static_cast<float*>(task.c), ldc);
  }
}

void multiply_body(void* pointer, int64_t block, int32_t worker) {
  const MultiplyContext& context = *static_cast<const MultiplyContext*>(pointer);
  const int64_t panels = context.panels_down * context.panels_across;
  const int64_t i = block % panels / context.panels_across * kPanelRows;
  const int64_t j = block % panels % context.panels_across * kPanelColumns;
  multiply_panel(context, block / panels, i, j, least(context.c.rows - i, kPanelRows),
                 least(context.c.cols - j, kPanelColumns), worker);
}

// The BLAS, or where there is none for this product the plain kernel with its workspace; false where that lacks memory.
bool prepare(Entry& entry, MultiplyContext* context) {
  context->blas = __atomic_load_n(&blas_present, __ATOMIC_ACQUIRE);
  const bool representable =
      context->a.row_stride <= INT32_MAX && context->b.row_stride <= INT32_MAX && context->c.row_stride <= INT32_MAX;
  if (context->k == 0 || !representable) context->blas = nullptr;
  if (context->blas != nullptr) return true;
  context->workspace_bytes = product().multiply_scratch();
  context->workspace = static_cast<unsigned char*>(entry.scratch(entry.workers() * context->workspace_bytes));
  return context->workspace != nullptr;
}

// Work in terms of bytes: a core multiplies about eight pairs in the time it moves one byte.
int64_t work_of(int64_t batches, double elements, int64_t k) {
  const double work = static_cast<double>(batches) * elements * (static_cast<double>(k) / 8 + 4);
  return work < 1e15 ? static_cast<int64_t>(work) : static_cast<int64_t>(1e15);
}

/* ---- symmetric product --------------------------------------------------------------------------------------------- */

struct SymmetricContext {
  MultiplyContext multiply; /* b is a, transposed the other way; panels_down by panels_down panels */
  View d;                   /* data NULL: none */
  double beta;
  double gamma;
  bool last; /* slab */
};

// What the product is added to: beta d + gamma I on and below the diagonal of c, +0 above it in the panel.
template <class T>
void start_panel(const SymmetricContext& context, int64_t batch, int64_t row, int64_t column, int64_t m, int64_t n) {
  const T beta = static_cast<T>(context.beta), gamma = static_cast<T>(context.gamma);
  for (int64_t i = row; i < row + m; i++) {
    T* const to = reinterpret_cast<T*>(context.multiply.c.at(batch, i, column));
    const int64_t below = least(i - column + 1, n);
    if (context.d.data == nullptr) {
      for (int64_t j = 0; j < below; j++) to[j] = T(0);
    } else {
      const T* const from = reinterpret_cast<const T*>(context.d.at(batch, i, column));
      for (int64_t j = 0; j < below; j++) to[j] = beta * from[j];
    }
    if (i - column < n) to[i - column] = to[i - column] + gamma;
    for (int64_t j = below; j < n; j++) to[j] = T(0);
  }
}

template <class T>
void mirror_panel(const View& c, int64_t batch, int64_t row, int64_t column, int64_t m, int64_t n) {
  constexpr int64_t kSquare = 16;
  for (int64_t i0 = row; i0 < row + m; i0 += kSquare) {
    for (int64_t j0 = column; j0 < column + n; j0 += kSquare) {
      for (int64_t j = j0; j < least(j0 + kSquare, column + n); j++) {
        for (int64_t i = i0 > j ? i0 : j + 1; i < least(i0 + kSquare, row + m); i++) {
          *reinterpret_cast<T*>(c.at(batch, j, i)) = *reinterpret_cast<const T*>(c.at(batch, i, j));
        }
      }
    }
  }
}

void symmetric_body(void* pointer, int64_t block, int32_t worker) {
  const SymmetricContext& context = *static_cast<const SymmetricContext*>(pointer);
  const MultiplyContext& multiply = context.multiply;
  const int64_t panels = multiply.panels_down * (multiply.panels_down + 1) / 2;
  const int64_t batch = block / panels;
  int64_t down = 0, across = block % panels;
  while (across > down) across -= ++down;
  const int64_t i = down * kSymmetricPanel, j = across * kSymmetricPanel;
  const int64_t m = least(multiply.c.rows - i, kSymmetricPanel), n = least(multiply.c.rows - j, kSymmetricPanel);
  const bool f64 = multiply.c.dtype == KITH_F64;
  if (multiply.k_begin == 0 && multiply.beta != 0) {
    f64 ? start_panel<double>(context, batch, i, j, m, n) : start_panel<float>(context, batch, i, j, m, n);
  }
  multiply_panel(multiply, batch, i, j, m, n, worker);
  if (context.last) {
    f64 ? mirror_panel<double>(multiply.c, batch, i, j, m, n) : mirror_panel<float>(multiply.c, batch, i, j, m, n);
  }
}

/* ---- bias and activation ------------------------------------------------------------------------------------------- */

// Elements in a block of an elementwise pass.
constexpr int64_t kPassElements = 16384;
// Rows whose gradients one block adds before others have their turn.
constexpr int64_t kBackwardRows = 4096;

struct BiasContext {
  View h; /* rows 0 in a backward pass of the identity */
  View d;
  View bias;
  bool relu;
  int64_t rows;    /* per block */
  int64_t columns; /* per block */
  int64_t down;    /* blocks in a matrix */
  int64_t across;
  int64_t first_row; /* backward: of the present slab */
};

void activate_body(void* pointer, int64_t block, int32_t) {
  const BiasContext& context = *static_cast<const BiasContext*>(pointer);
  const int64_t in_matrix = block % (context.down * context.across);
  const int64_t batch = block / (context.down * context.across);
  const int64_t column = in_matrix % context.across * context.columns;
  const int64_t n = least(context.h.cols - column, context.columns);
  const int64_t first = in_matrix / context.across * context.rows;
  const int64_t end = least(first + context.rows, context.h.rows);
  for (int64_t r = first; r < end; r++) {
    product().bias_activate[context.h.dtype == KITH_F64 ? 1 : 0](context.h.at(batch, r, column),
                                                                 context.bias.at(batch, 0, column), n, context.relu);
  }
}

void backward_body(void* pointer, int64_t block, int32_t) {
  const BiasContext& context = *static_cast<const BiasContext*>(pointer);
  const int64_t batch = block / context.across;
  const int64_t column = block % context.across * kBiasColumns;
  BiasTask task = {};
  task.rows = least(context.d.rows - context.first_row, kBackwardRows);
  task.columns = least(context.d.cols - column, kBiasColumns);
  task.d = context.d.at(batch, context.first_row, column);
  task.d_pitch = context.d.row_stride;
  if (context.relu) {
    task.h = context.h.at(batch, context.first_row, column);
    task.h_pitch = context.h.row_stride;
  }
  task.gradient = context.bias.at(batch, 0, column);
  task.fresh = context.first_row == 0;
  product().bias_backward[context.d.dtype == KITH_F64 ? 1 : 0](task);
}

/* ---- softmax ------------------------------------------------------------------------------------------------------- */

constexpr int64_t kSoftmaxElements = 4096;

struct SoftmaxContext {
  SoftmaxOperands operands;
  int64_t batches;
  int64_t rows; /* per block */
  int64_t down; /* blocks in a matrix */
  double* row_loss;
  int32_t* block_correct;
};

void softmax_body(void* pointer, int64_t block, int32_t) {
  const SoftmaxContext& context = *static_cast<const SoftmaxContext*>(pointer);
  const int64_t batch = block / context.down;
  const int64_t first = block % context.down * context.rows;
  SoftmaxTask task = {};
  task.rows = least(context.operands.z.rows - first, context.rows);
  task.columns = context.operands.z.cols;
  task.z = context.operands.z.at(batch, first, 0);
  task.z_pitch = context.operands.z.row_stride;
  if (context.operands.gradient.data != nullptr) {
    task.gradient = context.operands.gradient.at(batch, first, 0);
    task.gradient_pitch = context.operands.gradient.row_stride;
  }
  task.labels = reinterpret_cast<const int32_t*>(context.operands.labels.row(batch)) + first;
  task.loss = context.row_loss + batch * context.operands.z.rows + first;
  task.all_rows = context.operands.z.rows;
  context.block_correct[block] = product().softmax[context.operands.z.dtype == KITH_F64 ? 1 : 0](task);
}

struct CurvatureContext {
  View z;
  View u;
  int64_t rows; /* per block */
  int64_t down; /* blocks in a matrix */
};

void curvature_body(void* pointer, int64_t block, int32_t) {
  const CurvatureContext& context = *static_cast<const CurvatureContext*>(pointer);
  const int64_t batch = block / context.down;
  const int64_t first = block % context.down * context.rows;
  SoftmaxCurvatureTask task = {};
  task.rows = least(context.z.rows - first, context.rows);
  task.columns = context.z.cols;
  task.z = context.z.at(batch, first, 0);
  task.z_pitch = context.z.row_stride;
  task.u = context.u.at(batch, first, 0);
  task.u_pitch = context.u.row_stride;
  task.all_rows = context.z.rows;
  product().softmax_curvature[context.z.dtype == KITH_F64 ? 1 : 0](task);
}

void finish_softmax(void* pointer, int64_t batch, int32_t) {
  const SoftmaxContext& context = *static_cast<const SoftmaxContext*>(pointer);
  if (context.operands.loss.data != nullptr) {
    double sum = 0;
    for (int64_t r = 0; r < context.operands.z.rows; r++) sum += context.row_loss[batch * context.operands.z.rows + r];
    // The mean over no rows is given as 0.
    const double mean = context.operands.z.rows == 0 ? 0.0 : sum / static_cast<double>(context.operands.z.rows);
    reinterpret_cast<double*>(context.operands.loss.data)[batch] = std::isnan(mean) ? __builtin_nan("") : mean;
  }
  if (context.operands.correct.data != nullptr) {
    int32_t count = 0;
    for (int64_t b = 0; b < context.down; b++) count += context.block_correct[batch * context.down + b];
    reinterpret_cast<int32_t*>(context.operands.correct.data)[batch] = count;
  }
}

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_product_use_blas(const char* path, kith_call* call) {
  using namespace kith;
  kith_status status = KITH_OK;
  if (!begin_exclusive()) {
    return fail(call, KITH_BUSY, "kith_product_use_blas: operations are running; change the library between them");
  }
  pthread_mutex_lock(&blas_mutex);
  Blas* blas = path == nullptr ? nullptr : open_blas(path, &status, call);
  if (status == KITH_OK) __atomic_store_n(&blas_present, blas, __ATOMIC_RELEASE);
  pthread_mutex_unlock(&blas_mutex);
  end_exclusive();
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
  MultiplyContext context = {};
  if (!check_multiply(entry, batches, a, transpose_a, b, transpose_b, c, &context.a, &context.b, &context.c)) {
    return entry.status();
  }
  context.transpose_a = transpose_a != 0;
  context.transpose_b = transpose_b != 0;
  const int64_t m = context.c.rows, n = context.c.cols;
  const int64_t k = context.transpose_a ? context.a.rows : context.a.cols;
  if (batches == 0 || m == 0 || n == 0) return entry.finish();

  context.k = k;
  context.alpha = alpha;
  context.panels_down = cut_into(m, kPanelRows);
  context.panels_across = cut_into(n, kPanelColumns);
  if (!prepare(entry, &context)) return entry.status();
  const int64_t blocks = batches * context.panels_down * context.panels_across;
  int64_t done = 0;
  do {
    context.k_begin = done;
    context.k_count = least(k - done, kSlab);
    context.beta = done == 0 ? beta : 1.0;
    const int64_t bytes = work_of(batches, static_cast<double>(m) * static_cast<double>(n), context.k_count);
    if (entry.phase(blocks, bytes, multiply_body, &context) != KITH_OK) return entry.status();
    done += context.k_count;
  } while (done < k);
  return entry.finish();
}

kith_status kith_multiply_symmetric(kith_queue* queue, int64_t batches, double alpha, const kith_batch* a,
                                    int32_t transpose_a, double beta, const kith_batch* d, double gamma,
                                    const kith_batch* c, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_multiply_symmetric");
  SymmetricContext context = {};
  MultiplyContext& multiply = context.multiply;
  if (!check_multiply_symmetric(entry, batches, a, transpose_a, d, c, &multiply.a, &context.d, &multiply.c)) {
    return entry.status();
  }
  const int64_t n = multiply.c.rows;
  if (batches == 0 || n == 0) return entry.finish();

  multiply.b = multiply.a;
  multiply.transpose_a = transpose_a != 0;
  multiply.transpose_b = transpose_a == 0;
  multiply.k = multiply.transpose_a ? multiply.a.rows : multiply.a.cols;
  multiply.alpha = alpha;
  multiply.panels_down = cut_into(n, kSymmetricPanel);
  context.beta = beta;
  context.gamma = gamma;
  if (!prepare(entry, &multiply)) return entry.status();
  const bool adds = d != nullptr || gamma != 0;
  const int64_t blocks = batches * multiply.panels_down * (multiply.panels_down + 1) / 2;
  int64_t done = 0;
  do {
    multiply.k_begin = done;
    multiply.k_count = least(multiply.k - done, kSlab);
    multiply.beta = done > 0 || adds ? 1.0 : 0.0;
    done += multiply.k_count;
    context.last = done >= multiply.k;
    const double elements = static_cast<double>(n) * (static_cast<double>(n) + kSymmetricPanel) / 2;
    if (entry.phase(blocks, work_of(batches, elements, multiply.k_count), symmetric_body, &context) != KITH_OK) {
      return entry.status();
    }
  } while (!context.last);
  return entry.finish();
}

kith_status kith_bias_activate(kith_queue* queue, int64_t batches, const kith_batch* h, const kith_batch* bias,
                               int32_t activation, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_bias_activate");
  BiasContext context = {};
  if (!check_bias_activate(entry, batches, h, bias, activation, &context.h, &context.bias)) return entry.status();
  if (context.h.extent == 0) return entry.finish();
  context.relu = activation == KITH_RELU;
  context.columns = least(context.h.cols, kPassElements);
  context.rows = kPassElements / context.columns;
  context.across = cut_into(context.h.cols, context.columns);
  context.down = cut_into(context.h.rows, context.rows);
  const int64_t bytes = 2 * batches * context.h.rows * context.h.cols * context.h.size();
  return entry.run(batches * context.down * context.across, bytes, activate_body, &context);
}

kith_status kith_bias_activate_backward(kith_queue* queue, int64_t batches, const kith_batch* h, const kith_batch* d,
                                        const kith_batch* bias_gradient, int32_t activation, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_bias_activate_backward");
  BiasContext context = {};
  if (!check_bias_backward(entry, batches, h, d, bias_gradient, activation, &context.h, &context.d, &context.bias)) {
    return entry.status();
  }
  context.relu = activation == KITH_RELU;
  context.across = cut_into(context.d.cols, kBiasColumns);
  const int64_t blocks = batches * context.across;
  do {
    const int64_t rows = least(context.d.rows - context.first_row, kBackwardRows);
    const int64_t bytes = (context.relu ? 3 : 1) * batches * rows * context.d.cols * context.d.size();
    if (entry.phase(blocks, bytes, backward_body, &context) != KITH_OK) return entry.status();
    context.first_row += kBackwardRows;
  } while (context.first_row < context.d.rows);
  return entry.finish();
}

kith_status kith_softmax_cross_entropy(kith_queue* queue, int64_t batches, const kith_batch* logits,
                                       const kith_matrix* labels, const kith_batch* gradient, const kith_matrix* loss,
                                       const kith_matrix* correct, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_softmax_cross_entropy");
  SoftmaxContext context = {};
  if (!check_softmax(entry, batches, logits, labels, gradient, loss, correct, &context.operands)) {
    return entry.status();
  }
  const View& z = context.operands.z;
  if (z.rows == 0 && loss == nullptr && correct == nullptr) return entry.finish();
  const Matrix& given = context.operands.labels;
  for (int64_t b = 0; b < given.rows; b++) {
    const int32_t* row = reinterpret_cast<const int32_t*>(given.row(b));
    for (int64_t r = 0; r < given.cols; r++) {
      if (row[r] < 0 || row[r] >= z.cols) return fail_label(entry, b, r, row[r], z.cols);
    }
  }

  context.batches = batches;
  context.rows = z.cols < kSoftmaxElements ? kSoftmaxElements / (z.cols > 0 ? z.cols : 1) : 1;
  context.down = cut_into(z.rows, context.rows);
  const int64_t loss_bytes = batches * z.rows * 8;
  unsigned char* scratch = static_cast<unsigned char*>(entry.scratch(loss_bytes + batches * context.down * 4));
  if (scratch == nullptr) return entry.status();
  context.row_loss = reinterpret_cast<double*>(scratch);
  context.block_correct = reinterpret_cast<int32_t*>(scratch + loss_bytes);
  // An exponential costs about what eight elements of a stream do.
  const int64_t bytes = 8 * batches * z.rows * z.cols * z.size();
  if (entry.phase(batches * context.down, bytes, softmax_body, &context) != KITH_OK) return entry.status();
  if (entry.phase(batches, loss_bytes, finish_softmax, &context) != KITH_OK) return entry.status();
  return entry.finish();
}

kith_status kith_softmax_curvature(kith_queue* queue, int64_t batches, const kith_batch* logits, const kith_batch* u,
                                   kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_softmax_curvature");
  CurvatureContext context = {};
  if (!check_softmax_curvature(entry, batches, logits, u, &context.z, &context.u)) return entry.status();
  const View& z = context.z;
  if (z.rows == 0 || z.cols == 0) return entry.finish();
  context.rows = z.cols < kSoftmaxElements ? kSoftmaxElements / z.cols : 1;
  context.down = cut_into(z.rows, context.rows);
  // Two exponentials an element.
  const int64_t bytes = 16 * batches * z.rows * z.cols * z.size();
  if (entry.phase(batches * context.down, bytes, curvature_body, &context) != KITH_OK) return entry.status();
  return entry.finish();
}

}  // extern "C"
