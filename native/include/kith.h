/*
 * kith.h - the C ABI of Kith.
 *
 * One header, several libraries: libkith.so (CPU) implements it, and so does every other backend. It is the only
 * header that Java sees; java/kernels binds it by hand and ci/check-abi compares the two in every run.
 *
 * Rules that hold for every function
 *  - It returns a kith_status. Nothing throws, prints, aborts or calls back. The text of an error goes to call->error.
 *  - It is asynchronous by contract: its arguments may be in use until the queue has passed them. kith_queue_sync and
 *    events are the only waits. The CPU library may finish before it returns. Descriptors (kith_matrix,
 *    kith_expression, kith_step, ...) and what they and the arguments list in host memory (groups, bounds, programs,
 *    arrays of matrices) are read before the call returns; only the memory of matrices stays in use.
 *  - Long work is cut: when call->budget_ns is spent the function stops at a block border, stores where it stopped in
 *    call->cursor and returns KITH_AGAIN; the same call with the same arguments continues. Results do not depend on
 *    where the cuts fall. A call starts with call->cursor == 0; on KITH_OK the cursor is 0 again. When budget_ns <= 0
 *    the work is never cut.
 *  - It computes the same bits at any thread count. Element-wise, integer and tree-reduction results are the same on
 *    every instruction-set tier and on every device.
 *  - Lengths are int64_t. A matrix is rows x cols elements, element (r, c) at data[r * stride + c].
 *  - A library that lacks an operation or a dtype returns KITH_UNSUPPORTED. It never pretends.
 *
 * Arithmetic. "compute type" is f32 for f32, bf16 and f16 and f64 for f64. A coefficient given as double is rounded to
 * the compute type once. fma(a, b, c) is one rounding. Conversion to a narrower type rounds to nearest even; a NaN
 * stays a quiet NaN.
 */
#ifndef KITH_H
#define KITH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define KITH_API __attribute__((visibility("default")))
#else
#define KITH_API
#endif

/* Additive within a major version; a library and a jar of different majors refuse each other. */
#define KITH_ABI_MAJOR 1
#define KITH_ABI_MINOR 2

typedef enum kith_status {
  KITH_OK = 0,
  KITH_AGAIN = 1,       /* budget spent: call again with the same arguments */
  KITH_INVALID = 2,     /* an argument is wrong */
  KITH_UNSUPPORTED = 3, /* this library has no such operation or dtype */
  KITH_OUT_OF_MEMORY = 4,
  KITH_TIMEOUT = 5,       /* kith_queue_sync: the deadline passed, wait again */
  KITH_CAPACITY = 6,      /* an output does not fit the space given for it */
  KITH_NOT_FOUND = 7,     /* no such device, no such BLAS */
  KITH_DEVICE_FAILED = 8, /* the device or its driver reported an error */
  KITH_INTERNAL = 9,
  KITH_BUSY = 10 /* operations are running that this call may not meet; try between them */
} kith_status;

typedef enum kith_dtype { KITH_F32 = 0, KITH_F64 = 1, KITH_BF16 = 2, KITH_F16 = 3, KITH_I32 = 4 } kith_dtype;

typedef struct kith_device kith_device;   /* opaque; devices live as long as the library */
typedef struct kith_queue kith_queue;     /* an ordered stream of work; used by one thread at a time */
typedef struct kith_event kith_event;     /* a point in a queue */
typedef struct kith_memory kith_memory;   /* one allocation, or foreign memory that was wrapped */
typedef struct kith_weights kith_weights; /* a mixing matrix on a device */
typedef struct kith_graph kith_graph;     /* work that was recorded and can be repeated */

/* Owned by the caller, one per thread that calls; passed to every function. */
typedef struct kith_call {
  int64_t cursor;         /* see "Long work is cut" */
  int64_t budget_ns;      /* <= 0: no budget */
  char* error;            /* receives a zero-terminated text when the status is not KITH_OK; may be NULL */
  int64_t error_capacity; /* bytes at error */
} kith_call;

/* A window on memory. data() = address of the memory + offset bytes. */
typedef struct kith_matrix {
  kith_memory* memory;
  int64_t offset; /* bytes from the start of the memory to element (0, 0) */
  int64_t rows;
  int64_t cols;
  int64_t stride; /* elements from one row to the next, >= cols (any value when rows <= 1) */
  int32_t dtype;  /* kith_dtype */
  int32_t reserved;
} kith_matrix;

/* ---- library ------------------------------------------------------------------------------------------------- */

/* (major << 16) | minor of the header the library was built from. */
KITH_API int32_t kith_abi_version(void);
/* One line: backend name, version, compiler. Static storage. */
KITH_API const char* kith_build_info(void);
/* "cpu", "cuda" or "emulated" (CUDA's kernels, run on the CPU). Static storage. */
KITH_API const char* kith_backend(void);
/* Instruction-set tier in use: "scalar", "v2", "v3", "v4" on a CPU; "sm_90" and the like (of device 0, or "none") for
   CUDA; "emulated".
   KITH_MAX_ISA in the environment caps it; an unknown value is an error of kith_device_open. Static storage. */
KITH_API const char* kith_cpu_tier(void);
/* Selects a tier ("scalar", "v2", "v3", "v4"); for tests. KITH_UNSUPPORTED where the CPU or the library lacks it.
   No queue may be working. */
KITH_API kith_status kith_select_tier(const char* tier, kith_call* call);

/* ---- devices, queues, events --------------------------------------------------------------------------------- */

/* 0 where the library finds no device or no driver; kith_device_open says why. */
KITH_API kith_status kith_device_count(int32_t* count, kith_call* call);
/* Opens device `ordinal`. threads: size of the CPU pool, the caller included; <= 0 takes KITH_THREADS from the
   environment, else the number of available processors. Opening an open device returns the same handle (and
   KITH_INVALID if threads > 0 differs from its pool). CUDA has no pool and passes over threads. */
KITH_API kith_status kith_device_open(int32_t ordinal, int32_t threads, kith_device** device, kith_call* call);
/* A human-readable name, truncated to capacity bytes including the zero. */
KITH_API kith_status kith_device_name(kith_device* device, char* name, int64_t capacity, kith_call* call);
/* total_bytes of the device, live_bytes and live_allocations made through this library. Any pointer may be NULL. */
KITH_API kith_status kith_device_memory(kith_device* device, int64_t* total_bytes, int64_t* live_bytes,
                                        int64_t* live_allocations, kith_call* call);
KITH_API kith_status kith_device_threads(kith_device* device, int32_t* threads, kith_call* call);
/* Changes the size of the CPU pool (1 to 1024); for tests and for local ranks. No queue may be working. CUDA: 1 thread,
   and KITH_UNSUPPORTED for another number. */
KITH_API kith_status kith_device_set_threads(kith_device* device, int32_t threads, kith_call* call);

KITH_API kith_status kith_queue_create(kith_device* device, kith_queue** queue, kith_call* call);
/* Waits for the queue's work. */
KITH_API kith_status kith_queue_destroy(kith_queue* queue, kith_call* call);
/* Waits until all work of the queue is done, at most timeout_ns: KITH_TIMEOUT when it passed. Reports errors of
   earlier asynchronous work. */
KITH_API kith_status kith_queue_sync(kith_queue* queue, int64_t timeout_ns, kith_call* call);
KITH_API kith_status kith_event_create(kith_device* device, kith_event** event, kith_call* call);
KITH_API kith_status kith_event_destroy(kith_event* event, kith_call* call);
/* Marks the present end of the queue. */
KITH_API kith_status kith_event_record(kith_event* event, kith_queue* queue, kith_call* call);
/* Later work of the queue starts only after the event. An event never recorded is passed at once. */
KITH_API kith_status kith_event_wait(kith_event* event, kith_queue* queue, kith_call* call);
/* *done = 1 when the event has been passed. */
KITH_API kith_status kith_event_query(kith_event* event, int32_t* done, kith_call* call);

/* A foreign cudaStream_t of the device's primary context as a queue; the caller keeps the stream until the queue is
   destroyed. KITH_UNSUPPORTED on the CPU. */
KITH_API kith_status kith_queue_wrap(kith_device* device, void* stream, kith_queue** queue, kith_call* call);
/* The cudaStream_t of a queue. KITH_UNSUPPORTED on the CPU. */
KITH_API kith_status kith_queue_stream(kith_queue* queue, void** stream, kith_call* call);

/*
 * Graphs: a step that repeats is enqueued at once. Between begin and end the queue's calls are recorded, not run; each
 * launch runs them all with the same arguments (coefficients too) on the same memory, which the graph keeps from being
 * freed. Allocation, upload, download, waits and events cannot be recorded: KITH_INVALID. Begin waits for the queue's
 * work, release for the graph's. A graph may be launched on any queue of its device, by one thread at a time.
 * KITH_UNSUPPORTED on the CPU.
 */
KITH_API kith_status kith_graph_begin(kith_queue* queue, kith_call* call);
KITH_API kith_status kith_graph_end(kith_queue* queue, kith_graph** graph, kith_call* call);
KITH_API kith_status kith_graph_launch(kith_graph* graph, kith_queue* queue, kith_call* call);
KITH_API kith_status kith_graph_release(kith_graph* graph, kith_call* call);

/* ---- family memory ------------------------------------------------------------------------------------------- */

/* Zero-filled, 64-byte aligned; on huge pages above 2 MiB where the system grants them. */
KITH_API kith_status kith_memory_allocate(kith_queue* queue, int64_t bytes, kith_memory** memory, kith_call* call);
/* Foreign memory; the caller keeps it alive until kith_memory_release and all work that uses it are done. */
KITH_API kith_status kith_memory_wrap(kith_device* device, void* address, int64_t bytes, kith_memory** memory,
                                      kith_call* call);
/* From any thread. The memory goes back when every queue that used it has passed that work. */
KITH_API kith_status kith_memory_release(kith_memory* memory, kith_call* call);
/* Address on the device; host-addressable (*host = 1) on the CPU. */
KITH_API kith_status kith_memory_address(kith_memory* memory, void** address, int32_t* host, kith_call* call);

/* Every element of m becomes value (rounded to the dtype; I32: truncated, must fit). */
KITH_API kith_status kith_fill(kith_queue* queue, const kith_matrix* m, double value, kith_call* call);
/* to(r, c) = from(r, c) converted to the dtype of `to`. Same shape; no partial overlap; equal windows allowed when the
   dtypes are equal. */
KITH_API kith_status kith_convert(kith_queue* queue, const kith_matrix* from, const kith_matrix* to, kith_call* call);
/* Host to device and back: rows of cols elements of the matrix's dtype, host row stride in elements. */
KITH_API kith_status kith_upload(kith_queue* queue, const void* host, int64_t host_stride, const kith_matrix* to,
                                 kith_call* call);
KITH_API kith_status kith_download(kith_queue* queue, const kith_matrix* from, void* host, int64_t host_stride,
                                   kith_call* call);
/* to(r, :) = from(index(0, r), :); index is I32, 1 x to.rows; an index outside [0, from.rows) is KITH_INVALID (on an
   asynchronous device at the next wait). from and to have one dtype. */
KITH_API kith_status kith_gather_rows(kith_queue* queue, const kith_matrix* from, const kith_matrix* index,
                                      const kith_matrix* to, kith_call* call);

/* ---- random rows ---------------------------------------------------------------------------------------------- */

/*
 * Random rows z_k, made where they are summed and never stored: docs/randomness.md. Element c of a row is a function of
 * (generator, key, stream, node, round, distribution, c) alone: the same bits on every tier, at any number of threads,
 * however work is cut, and on every device.
 */
typedef enum kith_generator {
  KITH_PHILOX = 0, /* Philox4x32-10 of a public seed; protects nothing */
  KITH_CHACHA = 1  /* ChaCha20 (RFC 8439) of a secret of 32 bytes */
} kith_generator;

typedef enum kith_distribution {
  KITH_WORDS = 0,      /* 32 uniform bits */
  KITH_UNIFORM = 1,    /* in (0, 1), f32 */
  KITH_RADEMACHER = 2, /* 1 or -1 */
  KITH_NORMAL = 3,     /* mean 0, variance 1, f32, |z| < 6.34 */
  KITH_LAPLACE = 4     /* scale 1, so variance 2, f32, |z| < 22.2 */
} kith_distribution;

/* One random row. */
typedef struct kith_source {
  int64_t seed;       /* of PHILOX; any: its 64 bits */
  const void* secret; /* of CHACHA: 32 bytes, read before the call returns; NULL for PHILOX */
  int64_t round;      /* 0 to 2^40 - 1 */
  int64_t node;       /* 0 to 2^31 - 1; the number of a node, an edge or a group */
} kith_source;

typedef struct kith_field {
  int32_t generator;    /* kith_generator */
  int32_t distribution; /* kith_distribution */
  int32_t stream;       /* tag, 1 to 255 */
  int32_t reserved;
  int64_t count; /* rows z_0 to z_(count - 1) */
  const kith_source* sources;
} kith_field;

/* ---- family mixing ------------------------------------------------------------------------------------------- */

#define KITH_MAX_TERMS 4

/* coefficient * matrix, or, with row_coefficients (f64, 1 x rows of the matrix), coefficient * row_coefficients(0, r)
   (product in f64, then rounded to the compute type) times row r. */
typedef struct kith_term {
  const kith_matrix* matrix;
  const kith_matrix* row_coefficients; /* NULL: none */
  double coefficient;
} kith_term;

/* Random rows n_k that are added to the inner sums and stored nowhere; formulas below. */
typedef struct kith_noise_term {
  const kith_weights*
      factor;              /* a row for each inner row, a column for each source, no output_rows; NULL: the identity */
  const kith_field* field; /* not of KITH_WORDS */
  double scale;            /* finite */
} kith_noise_term;

/*
 * y(i, :) = sum_j w_ij m(j, :) + sum_k b_k u_k(i, :),   m(j, :) = round_to_message_dtype(sum_k c_k z_k(j, :) + noise).
 *
 * y is of any floating dtype. Terms and messages may be narrower, never wider, than its compute type: beside a y of
 * bf16 or f16 they may be f32. Exactly, in that compute type:
 *   t = c_0 * z_0;  t = fma(c_k, z_k, t) for k = 1, 2, ...;  then noise:
 *   factor NULL, so that the field has a source for each inner row: t = fma(scale rounded to the compute type, n_j, t);
 *   else t = fma(f_jk, n_k, t) over the entries of row j of the factor in stored order, f_jk = scale * factor_jk in f64,
 *   rounded to the compute type once: the bits of kith_noise with add = 1;
 *   m = t rounded to message_dtype and widened again;
 *   a = w_i,j0 * m_j0;  a = fma(w_ij, m_j, a) over the further entries of row i in the order they are stored;
 *   a = fma(b_k, u_k(i), a) for k = 0, 1, ...;  y(i) = a rounded once to the dtype of y.
 * A row of W without entries gives a = 0. inner_count may be 0, then W must be NULL: with noise m has the rows of y and t
 * is what kith_noise with add = 0 gives; without it a = +0 and the outer sum is a = b_0 * u_0, fma from k = 1. W == NULL with inner terms means the identity: a = m(i) (weight exactly 1).
 *
 * Column j of W names row j of the inner terms when j < inner rows, else row j - inner rows of `halo`: messages
 * received from other processes, already in message_dtype.
 * y may share memory with the same window of an outer term. y may share memory with the same window of an inner term
 * only when W is NULL, or is pairwise (kith_weights_pairwise) and there is no halo. Other overlap is KITH_INVALID.
 * Of noise, sources are drawn only where an inner row that W refers to needs them, each once for a tile of columns; what is
 * said of secrets at kith_noise holds here too.
 */
typedef struct kith_expression {
  int32_t inner_count;
  int32_t outer_count;
  int32_t message_dtype;
  int32_t reserved;
  kith_term inner[KITH_MAX_TERMS];
  kith_term outer[KITH_MAX_TERMS];
  const kith_matrix* halo;      /* NULL: none */
  const kith_noise_term* noise; /* NULL: none */
} kith_expression;

/* Sparse W: `rows` rows; row r has the entries row_offsets[r] .. row_offsets[r + 1] - 1 of columns (each in [0, cols))
   and values, and writes row output_rows[r] of y (NULL: row r; entries distinct). Everything is copied. */
KITH_API kith_status kith_weights_sparse(kith_queue* queue, int64_t rows, int64_t cols, const int64_t* row_offsets,
                                         const int32_t* columns, const double* values, const int32_t* output_rows,
                                         kith_weights** weights, kith_call* call);
/* Dense W, row-major rows x cols, both at most 4096; zeros take part in the sum. */
KITH_API kith_status kith_weights_dense(kith_queue* queue, int64_t rows, int64_t cols, const double* values,
                                        kith_weights** weights, kith_call* call);
/* *pairwise = 1 when W is square, sparse, without output_rows and every row touches only {i, p(i)} with p(p(i)) = i. */
KITH_API kith_status kith_weights_pairwise(kith_weights* weights, int32_t* pairwise, kith_call* call);
KITH_API kith_status kith_weights_release(kith_weights* weights, kith_call* call);

/* flags (I32, 1 x max(rows of y, inner rows), or NULL): the kernel ORs in 1 at j when m(j, :) of an inner row that W
   refers to is not finite, and 2 at i when row i of y, where it was written, is not finite (rounding to a 16-bit
   dtype may overflow). It never clears. */
KITH_API kith_status kith_mix(kith_queue* queue, const kith_weights* weights, const kith_expression* expression,
                              const kith_matrix* y, const kith_matrix* flags, kith_call* call);

/* ---- family reduction ---------------------------------------------------------------------------------------- */

/*
 * The tree of a row, part of this ABI. Chunks of 4096 elements; inside a chunk lane l (0..63) takes the elements with
 * index = l (mod 64) in ascending order, starting at +0 in the compute type, one operation per element; then lanes fold
 * l += l + s for s = 32, 16, 8, 4, 2, 1; the chunk result is widened to f64; chunk results are combined pairwise,
 * neighbours first, an odd last one moving up unchanged, until one is left. An empty row gives +0.
 * Sum: lane = lane + x. Products: lane = fma(x, y, lane). Min, max: no arithmetic; NaN wins; -0 < +0; an empty row
 * gives +inf and -inf. KITH_REDUCE_NONFINITE counts elements that are NaN or infinite.
 */
typedef enum kith_reduction {
  KITH_REDUCE_SUM = 0,
  KITH_REDUCE_ABS_SUM = 1,
  KITH_REDUCE_SQUARES = 2,  /* sum of squares */
  KITH_REDUCE_DOT = 3,      /* needs b */
  KITH_REDUCE_DISTANCE = 4, /* sum of fma(d, d, lane), d = a - b rounded to the compute type; needs b */
  KITH_REDUCE_MIN = 5,
  KITH_REDUCE_MAX = 6,
  KITH_REDUCE_MAX_ABS = 7,
  KITH_REDUCE_NONFINITE = 8
} kith_reduction;

/* out(0, r) = reduction of row r of a (with row r of b; b of one row serves every row). out is f64, 1 x a.rows. */
KITH_API kith_status kith_reduce_rows(kith_queue* queue, int32_t reduction, const kith_matrix* a, const kith_matrix* b,
                                      const kith_matrix* out, kith_call* call);
/* The same for `segments` windows of columns [bounds[s], bounds[s + 1]) of every row (bounds ascending, host memory,
   segments + 1 entries); out is f64, a.rows x segments. Trees start anew in each segment. */
KITH_API kith_status kith_reduce_segments(kith_queue* queue, int32_t reduction, const kith_matrix* a,
                                          const kith_matrix* b, const int64_t* bounds, int64_t segments,
                                          const kith_matrix* out, kith_call* call);
/* out(i, j) = dot of rows i of a and j of b on the tree of a row. b NULL means a, and the result is symmetric.
   out is f64. */
KITH_API kith_status kith_gram(kith_queue* queue, const kith_matrix* a, const kith_matrix* b, const kith_matrix* out,
                               kith_call* call);

/*
 * Sums over nodes, element by element along columns, in the compute type, on a tree given as a postfix program:
 * p >= 0 pushes row p of x (p < x.rows) or row p - x.rows of remote; -1 replaces the two topmost values a (below) and b
 * by a + b. What is left on the stack, bottom first, are the `out` rows, each divided by divisor (one division; none
 * when divisor is 1). Programs must not underflow, and leave as many values as out has rows (1 when out is NULL).
 * distances (f64, 1 x x.rows, or NULL): with exactly one result v, distances(0, r) = KITH_REDUCE_DISTANCE of row r of x
 * to v, with v as stored or, when out is NULL, as it would be stored in the dtype of x. At least one of out and
 * distances is given. remote (NULL: none) has the dtype of x or its compute type. The program is copied.
 */
KITH_API kith_status kith_reduce_nodes(kith_queue* queue, const kith_matrix* x, const kith_matrix* remote,
                                       const int32_t* program, int64_t program_length, double divisor,
                                       const kith_matrix* out, const kith_matrix* distances, kith_call* call);

/* ---- family step --------------------------------------------------------------------------------------------- */

typedef enum kith_rule {
  KITH_SGD = 0,
  KITH_HEAVY_BALL = 1,
  KITH_NESTEROV = 2,
  KITH_ADAGRAD = 3,
  KITH_ADADELTA = 4,
  KITH_RMSPROP = 5,
  KITH_ADAM = 6,
  KITH_ADAMAX = 7,
  KITH_NADAM = 8,
  KITH_YOGI = 9
} kith_rule;

/* Columns [begin, end) take step size * step_scale and their own weight decay. */
typedef struct kith_group {
  int64_t begin;
  int64_t end;
  double step_scale;
  double weight_decay; /* added to the one of kith_step */
} kith_group;

/*
 * One step of a rule on every element; x, s1 and s2 are f32 or f64 of one dtype; g is that dtype, bf16 or f16.
 * In the compute type, with all coefficients rounded to it once (c1 = 1 - b1 and c2 = 1 - b2 are formed in f64 first):
 *   g  = row_scale(r, group) * g                       when row_scale is given (f64, x.rows x max(1, groups))
 *   g  = fma(decay, x, g)                              when decay != 0 and not decoupled     (L2 form)
 *   x' = x * (1 - eta * decay)                         when decay != 0 and decoupled         (the factor formed in f64)
 *   then the rule, t = step counted from 1, a' denoting the new state:
 *   SGD         x' = fma(-eta, g, x)
 *   HEAVY_BALL  v' = fma(b1, v, eta * g)               x' = x - v'
 *   NESTEROV    v' = fma(b1, v, eta * g)               x' = x - fma(b1, v', eta * g)        (gradient taken at x)
 *   ADAGRAD     G' = fma(g, g, G)                      x' = x - (eta * g) / sqrt(G' + eps)
 *   ADADELTA    E' = fma(b1, E, c1 * (g * g));  d = (sqrt(D + eps) / sqrt(E' + eps)) * g;
 *               D' = fma(b1, D, c1 * (d * d))
 *               x' = fma(-eta, d, x)                   (s1 = E, s2 = D; eta = 1 in the paper)
 *   RMSPROP     E' = fma(b1, E, c1 * (g * g))          x' = x - (eta * g) / (sqrt(E') + eps)
 *   ADAM        m' = fma(b1, m, c1 * g);  v' = fma(b2, v, c2 * (g * g))
 *               x' = x - (a * m') / fma(sqrt(v'), q, eps)    a = eta / (1 - b1^t), q = 1 / sqrt(1 - b2^t), both in f64
 *   ADAMAX      m' as Adam;  u' = max(b2 * u, |g|)           x' = x - (a * m') / (u' + eps)
 *   NADAM       m', v' as Adam                               x' = x - fma(n1, m', n2 * g) / fma(sqrt(v'), q, eps)
 *               n1 = eta * b1 / (1 - b1^t), n2 = eta * (1 - b1) / (1 - b1^t)
 *   YOGI        m' as Adam;  h = g * g;  v' = fma(-c2 * sign(v - h), h, v), sign(0) = 0;  then as Adam
 * copy (bf16 or f16, or NULL) receives x' rounded, in the same pass. flags as in kith_mix: 1 where row r of g is not
 * finite, 2 where row r of x' is not.
 * The caller gives the coefficients that depend on t: bias1 = 1 - b1^t and bias2 = 1 - b2^t.
 */
typedef struct kith_step {
  int32_t rule;
  int32_t decoupled;
  double step_size; /* eta */
  double beta1;     /* b1: momentum, decay of E */
  double beta2;     /* b2 */
  double epsilon;
  double weight_decay;
  double bias1;
  double bias2;
  const kith_group* groups; /* ascending, disjoint, covering all columns; NULL with group_count 0: one group */
  int64_t group_count;
  const kith_matrix* row_scale; /* NULL: none */
  const kith_matrix* copy;      /* NULL: none */
  const kith_matrix* flags;     /* NULL: none */
} kith_step;

/* s1 and s2 are NULL where the rule has no such state: SGD none; HEAVY_BALL, NESTEROV, ADAGRAD, RMSPROP one. */
KITH_API kith_status kith_apply_step(kith_queue* queue, const kith_step* step, const kith_matrix* x,
                                     const kith_matrix* g, const kith_matrix* s1, const kith_matrix* s2,
                                     kith_call* call);
/* The same step on `count` sets of matrices of any shapes, in one launch: x, g, s1 and s2 are arrays of count matrices
   (s1 and s2 NULL as above), all x of one dtype and all g of one. The step has no groups, row_scale or copy. Its flags
   (I32, 1 x count, or NULL) take the bits of all rows of set k at k. The same bits as count calls. */
KITH_API kith_status kith_apply_steps(kith_queue* queue, const kith_step* step, int64_t count, const kith_matrix* x,
                                      const kith_matrix* g, const kith_matrix* s1, const kith_matrix* s2,
                                      kith_call* call);

/* ---- family product ------------------------------------------------------------------------------------------ */

/* A batch of matrices inside a kith_matrix: matrix b has element (r, c) at
   first element + b * batch_stride + r * row_stride + c. Bounds are checked against the memory. */
typedef struct kith_batch {
  const kith_matrix* base; /* gives memory, offset and dtype (f32 or f64); its shape is not used */
  int64_t offset;          /* elements from the base's element (0, 0) */
  int64_t rows;
  int64_t cols;
  int64_t row_stride;
  int64_t batch_stride;
} kith_batch;

typedef enum kith_activation { KITH_IDENTITY = 0, KITH_RELU = 1 } kith_activation;

/* Loads an OpenBLAS-compatible library (cblas_sgemm, cblas_dgemm) from path for kith_multiply and sets it to one
   thread; for CUDA cuBLAS 12 or 13 (KITH_NOT_FOUND where kernels are emulated). NULL goes back to the plain kernel. The
   first success for a path lasts until the next call. */
KITH_API kith_status kith_product_use_blas(const char* path, kith_call* call);
/* The path in use, or "" when the plain kernel answers. */
KITH_API kith_status kith_product_blas(char* path, int64_t capacity, kith_call* call);

/* c_b = alpha op(a_b) op(b_b) + beta c_b for b in [0, batches), op = transpose where the flag is 1. beta = 0 never
   reads c. c overlaps neither a nor b. Batches run in parallel, each on one thread; one large product is cut into
   panels of fixed size. Bits do not depend on threads; across CPU models and BLAS builds they are not promised. */
KITH_API kith_status kith_multiply(kith_queue* queue, int64_t batches, double alpha, const kith_batch* a,
                                   int32_t transpose_a, const kith_batch* b, int32_t transpose_b, double beta,
                                   const kith_batch* c, kith_call* call);
/*
 * c_b = alpha op(a_b) op(a_b)' + beta d_b + gamma I for b in [0, batches), op = transpose where the flag is 1, in about half
 * the work of kith_multiply: for i >= j
 *   t = beta * d(i, j), or +0 where d is NULL; t = t + gamma where i == j; no t where d is NULL and gamma is 0
 *   c(i, j) = t + alpha * (sum over p of op(a)(i, p) op(a)(j, p)), and c(j, i) the same bits
 * d is symmetric: only its elements with i >= j are read. It may be the same window as c, or overlap a; c overlaps a not,
 * nor d elsewhere. Bits as in kith_multiply; on CUDA the library's own kernel computes it, with cuBLAS too.
 */
KITH_API kith_status kith_multiply_symmetric(kith_queue* queue, int64_t batches, double alpha, const kith_batch* a,
                                             int32_t transpose_a, double beta, const kith_batch* d, double gamma,
                                             const kith_batch* c, kith_call* call);
/* h_b(r, c) = act(h_b(r, c) + bias_b(0, c)), in place. relu(z) = z > 0 ? z : +0, and NaN stays NaN. */
KITH_API kith_status kith_bias_activate(kith_queue* queue, int64_t batches, const kith_batch* h, const kith_batch* bias,
                                        int32_t activation, kith_call* call);
/* Backward of the above. d_b(r, c) = h_b(r, c) > 0 ? d_b(r, c) : 0 for RELU (h is the activated output; unused and may
   be NULL for IDENTITY), and bias_gradient_b(0, c) = sum over r in ascending order of d_b(r, c), in the compute
   type. */
KITH_API kith_status kith_bias_activate_backward(kith_queue* queue, int64_t batches, const kith_batch* h,
                                                 const kith_batch* d, const kith_batch* bias_gradient,
                                                 int32_t activation, kith_call* call);
/*
 * Softmax with cross-entropy over the rows of logits; labels is I32, batches x rows (row b holds the labels of batch
 * b), each in [0, logits.cols) (on an asynchronous device another one is KITH_INVALID at the next wait).
 *   loss(0, b) = (1 / rows) sum_r (log sum_c exp(z_rc - max_c z_rc) + max_c z_rc - z_r,label), in f64 in ascending r; the
 *     exponentials and their sum over c in the compute type; 0 without rows
 *   correct(0, b) = number of rows whose label is the lowest index of the largest logit (NaN is never the largest)
 *   gradient_b(r, c) = (softmax(z)_rc - [c == label]) / rows, may be the same window as logits; NULL: not computed
 * loss (f64) and correct (I32), both 1 x batches, may be NULL. exp and log are the library's own, made of IEEE
 * operations, so that results are the same on every tier.
 */
KITH_API kith_status kith_softmax_cross_entropy(kith_queue* queue, int64_t batches, const kith_batch* logits,
                                                const kith_matrix* labels, const kith_batch* gradient,
                                                const kith_matrix* loss, const kith_matrix* correct, kith_call* call);
/*
 * The curvature of the mean cross-entropy by the logits, applied to directions in place: with p = softmax(z)_r,
 *   u_b(r, c) = ((e_c / S) * (u_rc - T / S)) / rows     e_c = exp(z_rc - max_c z_rc), S = sum_c e_c, T = sum_c e_c * u_rc
 * which is (diag(p) - p p^T) u_r / rows. Both sums in the compute type in 16 lanes (column c in lane c mod 16) that fold
 * 8, 4, 2, 1; exp as above. u is of the dtype of logits and shares no memory with it.
 */
KITH_API kith_status kith_softmax_curvature(kith_queue* queue, int64_t batches, const kith_batch* logits,
                                            const kith_batch* u, kith_call* call);

/* ---- family sparsify ----------------------------------------------------------------------------------------- */

/*
 * Messages. A compressed row is a payload of 32-bit words: a row of an I32 matrix `messages` with one row per node and at
 * least as many columns as the payload has words (further columns are left alone). The words, little-endian, are what is
 * sent. Their number depends on the shape and the numbers of the call, never on the data. f32 values are stored as their
 * bits, any NaN as 0x7fc00000.
 *
 * What is compressed: v = x, or x - minus when `minus` is given, then v = residual + v when `residual` is given; one f32
 * operation each. x, minus and residual are f32 of one shape. The residual becomes v - decode(message): where an element
 * is not sent v, where it is one f32 subtraction. flags (I32, 1 x x.rows, or NULL): the kernel ORs in 1 at r when
 * row r of v has a NaN or an infinity. It never clears. messages, residual and flags overlap nothing else.
 *
 * Order of elements: by the bits of |v|, all NaN alike above infinity, ties to the lowest column.
 */

/*
 * Public random numbers, docs/randomness.md: row r is node first_node + r of (seed, round), element c of it takes
 * word c, form 0, of the stream with this tag, or the f32 uniform u of that word. `uniforms` (f32, the shape of x, or
 * NULL) takes the place of the generator; only kith_quantize takes it.
 */
typedef struct kith_draw {
  int64_t seed;       /* any: its 64 bits */
  int64_t round;      /* 0 to 2^40 - 1 */
  int64_t first_node; /* first_node + rows <= 2^31 */
  int32_t stream;     /* tag, 1 to 255 */
  int32_t reserved;
  const kith_matrix* uniforms; /* NULL: none */
} kith_draw;

/* How the words of a sparse message are laid out. Columns ascend. */
typedef enum kith_sparse_form {
  KITH_SPARSE_TOP = 0,  /* entries columns, then entries values */
  KITH_SPARSE_AT = 1,   /* entries values; the columns are known to both sides */
  KITH_SPARSE_ABOVE = 2 /* a count, then entries columns, then entries values; behind the count all are 0 */
} kith_sparse_form;

/* The k largest elements of every block of `block` columns (0: the whole row); a last block that is shorter sends
   min(k, its columns). 0 <= k <= block. A message of form TOP with the entries of all blocks one after the other. */
KITH_API kith_status kith_select_top(kith_queue* queue, const kith_matrix* x, const kith_matrix* minus,
                                     const kith_matrix* residual, int64_t k, int64_t block, const kith_matrix* messages,
                                     const kith_matrix* flags, kith_call* call);
/* The elements at `indices` (I32, 1 or x.rows rows; each row ascends strictly in [0, x.cols)), each sent as
   s * v with s = scale rounded to f32. A message of form AT with indices.cols entries. An index that does not fit is
   KITH_INVALID before anything is written (on an asynchronous device at the next wait, and the element is passed over).
   Elements at no index are read only where residual or flags are given. */
KITH_API kith_status kith_select_at(kith_queue* queue, const kith_matrix* x, const kith_matrix* minus,
                                    const kith_matrix* residual, const kith_matrix* indices, double scale,
                                    const kith_matrix* messages, const kith_matrix* flags, kith_call* call);
/* The elements of row r with |v| >= thresholds(0, r) (f64, 1 x x.rows; compared exactly, a NaN threshold takes NaN
   only) and NaN, from the lowest column up, at most `capacity` of them (0 <= capacity <= x.cols). A message of form ABOVE
   with `capacity` entries. Where more elements qualify, flags receives 4 by OR too. */
KITH_API kith_status kith_select_above(kith_queue* queue, const kith_matrix* x, const kith_matrix* minus,
                                       const kith_matrix* residual, const kith_matrix* thresholds, int64_t capacity,
                                       const kith_matrix* messages, const kith_matrix* flags, kith_call* call);
/*
 * thresholds(0, r) (f64, 1 x x.rows) = max(t, 2^-149), t the k-th largest |v(r, c)| of a sample of `samples` columns, in
 * the order above: NaN when that element is. 1 <= k <= samples <= min(x.cols, 2^20). Sample i is one column of the i-th of
 * `samples` equal parts of the row,
 *   c_i = a_i + floor(w_i (a_{i+1} - a_i) / 2^32),   a_i = floor(i x.cols / samples),   w_i = word i of `draw`
 * without `uniforms`; with samples = x.cols every column is in it and t is the k-th largest of the row. As a threshold of
 * kith_select_above it lets about k x.cols / samples elements through, and no zeros. The residual is read, not written.
 */
KITH_API kith_status kith_sample_thresholds(kith_queue* queue, const kith_matrix* x, const kith_matrix* minus,
                                            const kith_matrix* residual, const kith_draw* draw, int64_t k,
                                            int64_t samples, const kith_matrix* thresholds, kith_call* call);
/*
 * y(i, c) = a: a starts at y(i, c) (add = 1) or +0 (add = 0); a = fma(w_ij, value, a) over the entries of row i of W in
 * the order they are stored, for those whose message j has an entry at c. W is sparse, y is f32. W NULL is the
 * identity: a = a + value with message i, and no halo. Column j of W names row j of `messages`, or row j - messages.rows
 * of `halo`; a row of y that W does not write is left alone.
 * Form AT: `indices` (I32) has one row for all messages or one for each; the halo takes `halo_indices` in the same way or,
 * when that is NULL, the one row of `indices`. Other forms: both NULL.
 * Every message that W names, and every row of indices, is checked first: a column outside of [0, y.cols) or not above
 * the one before it, or a count outside of [0, entries], is KITH_INVALID with row, position and value, and y is
 * unchanged. On an asynchronous device the next wait says so, and what does not fit was passed over.
 */
KITH_API kith_status kith_sparse_accumulate(kith_queue* queue, const kith_weights* weights, int32_t form,
                                            int64_t entries, const kith_matrix* indices,
                                            const kith_matrix* halo_indices, const kith_matrix* messages,
                                            const kith_matrix* halo, int32_t add, const kith_matrix* y,
                                            kith_call* call);
/* Checks a payload in host memory, whatever its bytes: KITH_INVALID unless it has the number of words of its form,
   columns that ascend strictly in [0, cols), a count in [0, entries] and zeros behind the count. No queue, no device. */
KITH_API kith_status kith_sparse_check(int32_t form, const int32_t* words, int64_t word_count, int64_t cols,
                                       int64_t entries, kith_call* call);

/* ---- family quantize ----------------------------------------------------------------------------------------- */

/*
 * Every element of v becomes a code of few bits. A message is a row of 32-bit words (a row of an I32 matrix): first the
 * scales of all blocks as the bits of f32, the two of ONE_BIT and AFFINE side by side, then the codes, least significant
 * bits first, padded with zero bits to whole words. The words are the wire format (little-endian). Their number depends
 * on the code and the columns alone: kith_code_words. `scales`, `bits` and Q of a code:
 *   QSGD         1  2, 4, 8     Q = levels, 1 to 2^(bits - 1) - 1 (TernGrad: levels 1, bits 2, the maximum norm)
 *   ABSMAX       1  4, 8        Q = 2^(bits - 1) - 1
 *   AFFINE       2  8
 *   ONE_BIT      2  1
 *   SCALED_SIGN  1  1
 *   SIGN         0  1
 *   NATURAL      0  9           all signs (1 bit, 1: negative) in whole words, then all exponents (8 bits)
 *   BF16         0  16
 *   E4M3, E5M2   0  8
 * Codes without scales have block 0. Others cut a row into blocks of `block` columns, the last maybe shorter; block 0 is
 * the whole row.
 */
typedef enum kith_code_kind {
  KITH_CODE_QSGD = 0,
  KITH_CODE_NATURAL = 1,
  KITH_CODE_SIGN = 2,
  KITH_CODE_SCALED_SIGN = 3,
  KITH_CODE_ONE_BIT = 4,
  KITH_CODE_ABSMAX = 5,
  KITH_CODE_AFFINE = 6,
  KITH_CODE_BF16 = 7,
  KITH_CODE_E4M3 = 8,
  KITH_CODE_E5M2 = 9
} kith_code_kind;

typedef enum kith_norm { KITH_NORM_TWO = 0, KITH_NORM_MAX = 1 } kith_norm;

typedef struct kith_code {
  int32_t kind;       /* kith_code_kind */
  int32_t bits;       /* of a code, see the table */
  int32_t levels;     /* of QSGD; else 0 */
  int32_t norm;       /* kith_norm of QSGD; else 0 */
  int32_t stochastic; /* 1: rounds at random; always 1 for QSGD and NATURAL, 0 or 1 for ABSMAX, BF16, E4M3, E5M2 */
  int32_t reserved;
  int64_t block;
} kith_code;

/* *words of a message of `cols` columns. */
KITH_API kith_status kith_code_words(const kith_code* code, int64_t cols, int64_t* words, kith_call* call);

/*
 * messages(r, 0 .. words - 1) = C(v(r, :)) and residual(r, :) = v - decode(C(v)), for v = x; x - minus; residual + x;
 * residual + (x - minus), as minus and residual (both NULL or f32 of the shape of x) are given; every sum, difference
 * and product here is one f32 operation. x is f32. messages is I32 with the rows of x and at least `words` columns;
 * those beyond stay as they are. draw may be NULL where the code does not round at random. All matrices are apart, but
 * x may be minus.
 * Rounding. "u < f" rounds up to the neighbour away from the one named, with f exact unless said otherwise.
 *   QSGD         scale = N / Q, N = the maximum of |v| or f32(sqrt(KITH_REDUCE_SQUARES)) over the block;
 *                a = |v| / scale (f32), l = floor(a) (+ 1 if u < a - l), at most Q; code = l with the sign of v, two's
 *                complement; decode = scale * code
 *   ABSMAX       scale = max |v| / Q; code = the integer nearest to the exact quotient v / scale, the even one of two; or
 *                a = v / scale (f32), floor(a) (+ 1 if u < a - floor(a)); kept within -Q and Q; two's complement;
 *                decode = scale * code
 *   AFFINE       scales lo = min v and hi = max v; code = trunc(((v - lo) / (hi - lo)) * 255), in f32, operation by
 *                operation; 0 where hi = lo; decode = lo + (code / 255) * (hi - lo)
 *   ONE_BIT      bit 1 iff v >= 0 (so for -0); scales m1, m0 = the means of v over the elements of bit 1 and of bit 0:
 *                KITH_REDUCE_SUM of the block with the others as +0, in f64 divided by their number, rounded to f32; +0
 *                where there are none; decode = m1 or m0
 *   SCALED_SIGN  bit as above; scale = KITH_REDUCE_ABS_SUM of the block, in f64 divided by its size, rounded to f32;
 *                decode = scale or -scale
 *   SIGN         bit as above; decode = 1 or -1
 *   NATURAL      sign and exponent field of v; + 1 if u < mantissa field * 2^-23, at most 254; a subnormal gives 0;
 *                decode = the power of two, +0 or -0
 *   BF16         to nearest even (overflow gives infinity), or truncated, + 1 ulp if u < (lower 16 bits) * 2^-16
 *   E4M3         bias 7, no infinity, largest 448; E5M2: bias 15, largest 57344. To nearest even, or to the neighbour
 *                towards zero, + 1 ulp if u < the rest in ulps; above the largest: the largest
 * A scale of 0 (a block of zeros, or too small for f32) of QSGD and ABSMAX gives codes 0. Not finite: a block where a
 * scale or what the largest code (Q, 255) decodes to is not finite sends scales 0x7fc00000 and codes 0, which decodes to
 * NaN. In codes without scales a NaN is sent as 0x7fc0 (BF16), 0x7f (E4M3, E5M2), exponent 255 with sign 0 (NATURAL) and
 * bit 0 (SIGN); an infinity stays one in BF16 and E5M2, is 0x7f with its sign in E4M3 and exponent 255, which decodes to
 * NaN, in NATURAL.
 * flags (I32, 1 x rows, or NULL): ORs in 1 at r when v(r, :) or what its message decodes to is not finite.
 */
KITH_API kith_status kith_quantize(kith_queue* queue, const kith_code* code, const kith_draw* draw,
                                   const kith_matrix* x, const kith_matrix* minus, const kith_matrix* residual,
                                   const kith_matrix* messages, const kith_matrix* flags, kith_call* call);
/*
 * y(i) = a: a starts at y(i) (add = 1) or +0 (add = 0), then a = fma(w_ij, decode(m_j), a) over row i of W in the stored
 * order of its entries. Column j of W names row j of `messages`, or row j - messages.rows of `halo` (I32, the columns of
 * a message at least). weights NULL: the identity, a = a + decode(m_i). y is f32. W is sparse; a dense one is
 * KITH_UNSUPPORTED. Any words are a message: codes beyond Q decode as they stand.
 */
KITH_API kith_status kith_quantize_accumulate(kith_queue* queue, const kith_weights* weights, const kith_code* code,
                                              const kith_matrix* messages, const kith_matrix* halo, int32_t add,
                                              const kith_matrix* y, kith_call* call);
/* Bit c of the one row of out (I32, SIGN's packing, padded with zero bits) is 1 iff twice the number of rows of messages
   whose bit c is 1 is at least their number. */
KITH_API kith_status kith_sign_majority(kith_queue* queue, const kith_matrix* messages, int64_t cols,
                                        const kith_matrix* out, kith_call* call);
/* KITH_INVALID, with the place, unless the `count` 32-bit words in host memory can come from kith_quantize: their number,
   padding, scales (not negative, ordered, finite, or NaN with codes 0) and codes (within -Q and Q). Any bytes are safe. */
KITH_API kith_status kith_code_check(const kith_code* code, int64_t cols, const void* words, int64_t count,
                                     kith_call* call);

/* ---- family lowrank ------------------------------------------------------------------------------------------ */

/*
 * Tensors inside a row, as matrices: V_t(i, j) = v(offset + i cols + j), rows x cols row-major, is approximated by
 * P_t Q_t^T of `rank` columns, 1 <= rank <= min(KITH_MAX_RANK, rows, cols). Tensors ascend and do not overlap; columns of a row that
 * belong to none are neither read nor written.
 * Factors are f32 matrices, a row per node, or one row that is common to all of them. They hold the transposed factors
 * one after another: element (i, k) of P_t stands at column sum_{s < t} rank_s rows_s + k rows_t + i of p, element (j, k)
 * of Q_t at column sum_{s < t} rank_s cols_s + k cols_t + j of q. p and q have at least as many columns as the factors
 * need; those beyond are left alone.
 * v = x;  x - minus;  residual + x;  residual + (x - minus), as minus and residual (both NULL or of the shape of x) are
 * given: one f32 operation each. All matrices are f32; x of another dtype is KITH_UNSUPPORTED. A call takes all tensors
 * of all rows.
 */
#define KITH_MAX_RANK 64

typedef struct kith_shape {
  int64_t offset; /* column of element (0, 0) in a row */
  int64_t rows;
  int64_t cols;
  int64_t rank;
} kith_shape;

/*
 * P_t = V_t Q_t, row r of p from row r of x and of q (or its one row). The sum over j stands on the tree of a row with 16
 * lanes in place of 64: chunks of 4096 columns j; lane l takes the j = l (mod 16), lane = fma(v, q, lane) in f32 from +0;
 * lanes fold 8, 4, 2, 1; chunk results are widened to f64, combined pairwise, and the last is rounded to f32.
 * flags (I32, 1 x x.rows, or NULL): ORs in 1 at r when an element of v(r, :) in a tensor is NaN or infinite.
 */
KITH_API kith_status kith_lowrank_left(kith_queue* queue, const kith_shape* shapes, int64_t count, const kith_matrix* x,
                                       const kith_matrix* minus, const kith_matrix* residual, const kith_matrix* q,
                                       const kith_matrix* p, const kith_matrix* flags, kith_call* call);
/*
 * Q_t = V_t^T P_t, row r of q from row r of x and of p (or its one row). The sum over i: chunks of 256 rows i, in each a =
 * fma(v, p, a) in f32 from +0 in ascending order; chunk results are widened to f64, combined pairwise (neighbours first, an
 * odd last one moving up unchanged), and the last is rounded to f32.
 */
KITH_API kith_status kith_lowrank_right(kith_queue* queue, const kith_shape* shapes, int64_t count,
                                        const kith_matrix* x, const kith_matrix* minus, const kith_matrix* residual,
                                        const kith_matrix* p, const kith_matrix* q, kith_call* call);
/*
 * Makes the columns of every P_t (right = 0, factors laid out as p) or Q_t (right = 1, as q) orthonormal, in place:
 * classical Gram-Schmidt, twice. With <a, b> the sum of a b in f64 (the product is exact there) on the tree of a row with
 * chunks of 1024 and 32 lanes that fold 16, 8, 4, 2, 1, column k becomes, in this order:
 *   s = <v, v>;  v = f32(v / sqrt(s))                             division in f64
 *   twice, when k > 0:  c_i = f32(<p_i, v>) for i < k;  v = f32(v - c_0 p_0 - c_1 p_1 - ...), in f64 from the left
 *   n = <v, v>;  v = f32(v / sqrt(n))
 * A column that the others span (s = 0, or n <= 2^-40) becomes the unit vector e_j that they span least instead: j has the
 * smallest sum of p_i(j)^2 over i < k, in f64 from +0 in ascending i, and the lowest index among equals; then again from
 * "twice" on, and its n is taken as it is. So finite factors give orthonormal columns, whatever their rank. From the first
 * column whose s is NaN or infinite on all are NaN.
 */
KITH_API kith_status kith_lowrank_orthonormalise(kith_queue* queue, const kith_shape* shapes, int64_t count,
                                                 int32_t right, const kith_matrix* factors, kith_call* call);
/*
 * out = v - D in the columns of the tensors, one f32 subtraction, with D_t(i, j) = d: d = P(i, 0) Q(j, 0), then d =
 * fma(P(i, k), Q(j, k), d) in f32 for k = 1, 2, ... out has the shape of x, and may be the same window as x, minus or
 * residual.
 */
KITH_API kith_status kith_lowrank_residual(kith_queue* queue, const kith_shape* shapes, int64_t count,
                                           const kith_matrix* x, const kith_matrix* minus, const kith_matrix* residual,
                                           const kith_matrix* p, const kith_matrix* q, const kith_matrix* out,
                                           kith_call* call);
/*
 * y(i) = a in the columns of the tensors: a starts at y(i) (add = 1) or +0 (add = 0), then a = fma(w_ij, D_j, a) in f32 over
 * row i of W in the stored order of its entries, with D_j as above; weights NULL: the identity, a = a + D_i. The reconstructions
 * are never stored.
 * Column j of W names row j of the factors when j < the rows of p or of q, whichever is larger, else row j - that number
 * of halo_p and halo_q: factors received from other processes. A factor of one row without a halo serves every column.
 * Without weights there is no halo. y is f32; W is sparse, a dense one is KITH_UNSUPPORTED.
 */
KITH_API kith_status kith_lowrank_accumulate(kith_queue* queue, const kith_weights* weights, const kith_shape* shapes,
                                             int64_t count, const kith_matrix* p, const kith_matrix* q,
                                             const kith_matrix* halo_p, const kith_matrix* halo_q, int32_t add,
                                             const kith_matrix* y, kith_call* call);

/* ---- family noise -------------------------------------------------------------------------------------------- */

/*
 * Random rows z_k (above), drawn and summed. y is f32 or f64, other dtypes are KITH_UNSUPPORTED; z is f32 and widened.
 * scale is finite.
 * weights NULL: count is the number of rows of y, and with s = scale rounded to the compute type
 *   y(r) = s * z_r (add = 0) or fma(s, z_r, y(r)) (add = 1).
 * Else W has `count` columns, sparse or dense, and with c_ik = scale * w_ik in f64, rounded to the compute type once,
 *   a = y(i) (add = 1) or +0 (add = 0), then a = fma(c_ik, z_k, a) over the entries of row i of W in stored order; y(i) = a.
 * So an edge whose column holds w and -w gives two rows that differ in the sign bit alone. Every row z_k is generated once
 * in a call, however many rows of y it enters. y has at most 2^42 columns.
 * KITH_WORDS: y is I32, weights NULL, scale 1 and add 0: y(r, c) = word c of row r.
 * A library keeps no copy of a secret beyond the call, on CUDA beyond its work on the queue. A graph repeats public
 * numbers; KITH_CHACHA cannot be recorded (KITH_INVALID), since a repetition would give the same noise again.
 */
KITH_API kith_status kith_noise(kith_queue* queue, const kith_weights* weights, const kith_field* field, double scale,
                                int32_t add, const kith_matrix* y, kith_call* call);

/* ---- family curvature ---------------------------------------------------------------------------------------- */

/* Rows are nodes, or systems of equations: no operation looks across them. */
typedef enum kith_curvature_rule { KITH_ADAHESSIAN = 0, KITH_SOPHIA_G = 1, KITH_SOPHIA_H = 2 } kith_curvature_rule;

/*
 * One step of a rule that scales by curvature h, in one pass. step is that of kith_apply_step, field by field, but for
 * its rule, which is a kith_curvature_rule; x, g, states, decay, groups, row_scale, copy and flags are as there, and
 * flags say 1 where row r of g or of h is not finite. row_scale is a factor on g alone. With m' = fma(b1, m, c1 * g)
 * and a = eta / bias1:
 *   ADAHESSIAN  v' = fma(b2, v, c2 * (h * h))          x' = x - (a * m') / fma(sqrt(v'), q, eps)    q = 1 / sqrt(bias2)
 *               h = Hz of a Rademacher z (its sign does not matter), of the dtype of g; s1 = m, s2 = v
 *   SOPHIA_G    u = clip(m' / max(k * h, eps))         x' = fma(-a, u, x)
 *   SOPHIA_H    u = clip(m' / fma(k, relu(h), eps))    x' = fma(-a, u, x)
 *               h is the estimate, read only, of the dtype of x; s1 = m, s2 NULL. clip(t) = t < -1 ? -1 : t > 1 ? 1 : t;
 *               relu(h) = h > 0 ? h : +0; in these and in max NaN stays NaN
 * scale is k: rho * batch size for SOPHIA_G, gamma for SOPHIA_H; 0 and not used by ADAHESSIAN.
 */
KITH_API kith_status kith_curvature_step(kith_queue* queue, const kith_step* step, double scale, const kith_matrix* x,
                                         const kith_matrix* g, const kith_matrix* h, const kith_matrix* s1,
                                         const kith_matrix* s2, kith_call* call);

/*
 * The moving average of an estimate of the diagonal of a Hessian H from a product Hz, z the rows of the field:
 *   d' = fma(beta, d, c * (z_r * hz))                  c = 1 - beta, formed in f64
 * field is KITH_RADEMACHER with as many sources as d has rows, and z is not stored but made again, or NULL: z = 1.
 * d is f32 or f64; hz is the dtype of d, bf16 or f16. beta is finite.
 */
KITH_API kith_status kith_hutchinson(kith_queue* queue, const kith_field* field, double beta, const kith_matrix* hz,
                                     const kith_matrix* d, kith_call* call);

/*
 * OASIS: kith_hutchinson (hz of the dtype of d), and the two norms of the step size, in one pass. With
 * D = max(|d'|, alpha), NaN stays NaN:
 *   norms(0, r) = sum of fma(D * s, s, lane), s = x - x_before
 *   norms(1, r) = sum of fma(y / D, y, lane), y = g - g_before
 * on the tree of a row. All are f32 or f64 of one dtype; norms is f64, 2 x rows. alpha is positive and finite.
 */
KITH_API kith_status kith_oasis_statistics(kith_queue* queue, const kith_field* field, double beta, double alpha,
                                           const kith_matrix* hz, const kith_matrix* d, const kith_matrix* x,
                                           const kith_matrix* x_before, const kith_matrix* g,
                                           const kith_matrix* g_before, const kith_matrix* norms, kith_call* call);

/*
 * A gradient step scaled by a diagonal: x_before = x (unless x_before is NULL), then
 *   x' = x - (eta_r * g) / D                           D = max(s, alpha) (floor 0, 2) or s + alpha (floor 1, 3)
 * with s = |d| (floor 0, 1) or sqrt(|d|) (floor 2, 3), where d holds squares.
 * eta is f64, 1 x rows. All others are f32 or f64 of one dtype. NaN in d stays NaN. alpha is positive and finite.
 */
KITH_API kith_status kith_oasis_step(kith_queue* queue, double alpha, int32_t floor, const kith_matrix* eta,
                                     const kith_matrix* d, const kith_matrix* g, const kith_matrix* x,
                                     const kith_matrix* x_before, kith_call* call);

/* out(0, k) = r_k . r_k and out(1, k) = r_k . w_k on the tree of a row, in one pass; out is f64, 2 x rows. r and w are f32
   or f64 of one dtype. */
KITH_API kith_status kith_dots(kith_queue* queue, const kith_matrix* r, const kith_matrix* w, const kith_matrix* out,
                               kith_call* call);

/*
 * The updates of conjugate gradient with one reduction (A. Chronopoulos, C. W. Gear, J. Comput. Appl. Math. 25, 1989):
 *   p' = fma(beta_k, p, r)      s' = fma(beta_k, s, w)      x' = fma(alpha_k, p', x)      r' = fma(-alpha_k, s', r)
 * in rows k whose alpha_k is not 0; the others are not touched. alpha and beta are f64, 1 x rows; all others are f32 or f64
 * of one dtype.
 */
KITH_API kith_status kith_cg_update(kith_queue* queue, const kith_matrix* alpha, const kith_matrix* beta,
                                    const kith_matrix* r, const kith_matrix* w, const kith_matrix* p,
                                    const kith_matrix* s, const kith_matrix* x, kith_call* call);

/* ---- family factorization ------------------------------------------------------------------------------------ */

/*
 * Batches of matrices as in the family product, each by itself, f32 or f64. All arithmetic is f64, whatever the dtype: a
 * matrix is widened, for eigenvalues, QR and polar factors multiplied by the power of two that brings its largest element
 * into [1, 2), and results are rounded once. Every element is formed by one order of operations, so that bits do not depend on tier, threads, device or the size
 * of the batch. A result may be the window that it is made from. No matrix has more than 1,024 columns. A matrix with a NaN
 * or an infinity gives NaN in all its results where nothing else is said.
 */

/*
 * Eigenvalues of symmetric a_b (n x n; only elements (r, c), c <= r, are read), ascending, in values_b (1 x n), and in
 * column k of vectors_b (n x n, or NULL) the eigenvector of value k; equal values in the order of the rows they came from.
 * Jacobi's method in parallel order: sweeps of rotations of every pair, until the norm of what lies beside the diagonal is
 * at most 2^-52 times the norm of a_b, at most 30. Then |a v - lambda v| is of the order n 2^-52 |a|, and vectors are
 * orthonormal to the order n 2^-52.
 * sweeps (I32, 1 x batches, or NULL): how many; -1 where 30 did not reach it, or a_b is not finite.
 */
KITH_API kith_status kith_eigen(kith_queue* queue, int64_t batches, const kith_batch* a, const kith_batch* values,
                                const kith_batch* vectors, const kith_matrix* sweeps, kith_call* call);

/*
 * a_b = q_b r_b by Householder's reflections: a_b and q_b m x n with m >= n, q_b with orthonormal columns, r_b (n x n, or
 * NULL) upper triangular, zero below, with no negative element on its diagonal. Where columns depend on each other, q_b is
 * orthonormal all the same, and r_b has a zero, or what rounding left of it, on its diagonal.
 */
KITH_API kith_status kith_qr(kith_queue* queue, int64_t batches, const kith_batch* a, const kith_batch* q,
                             const kith_batch* r, kith_call* call);

/*
 * The polar factor: x_b = u v^T of the thin singular value decomposition y_b = u s v^T, the matrix with orthonormal columns
 * that is nearest to y_b (m x n, m >= n): y (y^T y)^-1/2 without forming y^T y. Householder's reflections to R, then
 * one-sided Jacobi on R until the columns of R v are orthogonal to 2^-50 of their lengths (at most 30 sweeps), so that
 * |x^T x - 1| is of the order n 2^-50 at any condition of y. Singular values up to m 2^-52 of the largest count as 0; their
 * columns of u are any that complete the basis, as every nearest matrix has them: zero gives orthonormal columns too.
 * x may be NULL. distance (f64, 1 x batches, or NULL): |y_b - x_b| = sqrt(sum (s_k - 1)^2), Frobenius.
 * rank (I32, 1 x batches, or NULL): singular values that do not count as 0; -1 where y_b is not finite.
 */
KITH_API kith_status kith_polar(kith_queue* queue, int64_t batches, const kith_batch* y, const kith_batch* x,
                                const kith_matrix* distance, const kith_matrix* rank, kith_call* call);

/*
 * out_b = z_b - x_b (x_b^T z_b + z_b^T x_b) / 2, all m x n with m >= n: at a point x with orthonormal columns the orthogonal
 * projection of z on the tangent space of the Stiefel manifold. Nothing is scaled; NaN and infinities pass through.
 */
KITH_API kith_status kith_tangent(kith_queue* queue, int64_t batches, const kith_batch* x, const kith_batch* z,
                                  const kith_batch* out, kith_call* call);

/*
 * a_b = l_b l_b^T, n x n, l_b lower triangular with positive diagonal and zeros above; of a_b elements (r, c), c <= r, are
 * read. failed (I32, 1 x batches, or NULL): 0; or k + 1 where pivot k is not positive and finite, and all of l_b is NaN.
 */
KITH_API kith_status kith_cholesky(kith_queue* queue, int64_t batches, const kith_batch* a, const kith_batch* l,
                                   const kith_matrix* failed, kith_call* call);
/* l_b l_b^T x_b = b_b, with as many columns as b_b has; of l_b elements (r, c), c <= r, are read. */
KITH_API kith_status kith_cholesky_solve(kith_queue* queue, int64_t batches, const kith_batch* l, const kith_batch* b,
                                         const kith_batch* x, kith_call* call);
/*
 * l_b l_b^T becomes l_b l_b^T + sum_i v_i v_i^T (downdate = 0) or - sum_i v_i v_i^T (1), v_i row i of v_b (m x n), one after
 * another: by rotations, n^2 operations for each, downdates in the mixed hyperbolic form. failed (I32, 1 x batches, or NULL):
 * 0; or i + 1 where v_i would leave a matrix that is not positive definite, or is not finite: l_b is then as it was.
 */
KITH_API kith_status kith_cholesky_update(kith_queue* queue, int64_t batches, int32_t downdate, const kith_batch* l,
                                          const kith_batch* v, const kith_matrix* failed, kith_call* call);

/* ---- what the benchmarks compare with ------------------------------------------------------------------------ */

/*
 * The roof of a kernel: a loop with the same streams and one addition per element, on the same pool, blocks and store
 * kind. reads: sources[0..read_count); writes: targets[0..write_count), all of one shape and one dtype per stream; a
 * target that is also a source (same window) is read, incremented and written in place. nontemporal: 1 uses streaming
 * stores. A call without targets only reads; sink (f64, 1 x 1) then receives a value that depends on every element.
 */
KITH_API kith_status kith_twin(kith_queue* queue, const kith_matrix* const* sources, int32_t read_count,
                               const kith_matrix* const* targets, int32_t write_count, int32_t nontemporal,
                               const kith_matrix* sink, kith_call* call);

#ifdef __cplusplus
}
#endif

#endif /* KITH_H */
