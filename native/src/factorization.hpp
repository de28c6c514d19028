/* What factorization_api.cpp (once), factorization.cpp (per tier) and cuda/src/factorization.cu agree on. */
#ifndef KITH_FACTORIZATION_HPP
#define KITH_FACTORIZATION_HPP

#include <cstdint>

namespace kith {

/* The rule of kith.h: no side that a square problem has is longer. */
inline constexpr int64_t kFactorSide = 1024;
inline constexpr int64_t kMostSweeps = 30;

/* One matrix where it lies; data NULL: absent. */
struct FactorMatrix {
  unsigned char* data;
  int64_t stride; /* elements */
};

enum FactorOperation : int32_t {
  kEigen = 0,
  kQr = 1,
  kPolar = 2,
  kTangent = 3,
  kCholesky = 4,
  kSolve = 5,
  kUpdate = 6
};
inline constexpr int kFactorOperations = 7;

/* One matrix of a batch and what is made of it. */
struct FactorTask {
  int32_t operation;
  int32_t f64;
  int64_t rows;
  int64_t cols;
  int64_t width; /* columns of b, rows of v */
  int32_t downdate;
  FactorMatrix in;     /* a, y, x, l */
  FactorMatrix out;    /* vectors, q, x, out, l */
  FactorMatrix second; /* values, r; z, b, v, which are read */
  int32_t* count;      /* sweeps, rank, failed; NULL: not wanted */
  double* figure;      /* distance; likewise */
};

/* Where the work on a matrix stands: zero before it begins. */
struct FactorState {
  int64_t stage;
  int64_t k; /* column, or round */
  int64_t sweep;
  double scale; /* a power of two that was taken out */
  double bound;
  bool not_finite;
  bool left;
  bool finished; /* of the caller */
};

struct FactorizationKernels {
  /* Works on until about `work` fused operations are done; true when all is. */
  bool (*advance[kFactorOperations])(const FactorTask& task, FactorState& state, double* workspace, int64_t work);
  /* Works on whole matrices that differ in where they lie. */
  void (*whole)(const FactorTask* tasks, int64_t count, double* workspace);
  /* Doubles that a matrix needs, and that `whole` does. */
  int64_t (*workspace)(const FactorTask& task);
  int64_t (*whole_workspace)(const FactorTask& task);
};

}  // namespace kith

#endif
