// Checks of the family reduction.
#include "reduction_checks.hpp"

#include <cstring>

namespace kith {

namespace {

bool floating(Arguments& entry, const char* name, const Matrix& m) {
  if (is_floating(m.dtype)) return true;
  entry.fail(KITH_UNSUPPORTED, "%s is %s; reductions take f32, f64, bf16 and f16", name, dtype_name(m.dtype));
  return false;
}

// True when program[at ..] is a balanced sum of `rows` rows, all of x or all of remote; lists them.
bool balanced_sum(const int32_t* program, int64_t length, int64_t at, int64_t rows, int64_t x_rows, int32_t* found) {
  if (length - at < 2 * rows - 1) return false;
  if (rows == 1) {
    *found = program[at];
    return program[at] >= 0;
  }
  const int64_t half = rows / 2;
  return balanced_sum(program, length, at, half, x_rows, found) &&
         balanced_sum(program, length, at + 2 * half - 1, half, x_rows, found + half) &&
         program[at + 2 * rows - 2] == -1 && (found[0] < x_rows) == (found[half] < x_rows);
}

// *depth receives the greatest number of values on the stack.
kith_status check_program(Arguments& entry, const int32_t* program, int64_t length, int64_t rows, int64_t results,
                          int64_t* depth) {
  if (length < 0 || (length > 0 && program == nullptr)) {
    return entry.fail(KITH_INVALID, "the program is %s with %lld entries; give its address and length",
                      program == nullptr ? "NULL" : "given", static_cast<long long>(length));
  }
  int64_t height = 0;
  *depth = 0;
  for (int64_t at = 0; at < length; at++) {
    if (program[at] < -1 || program[at] >= rows) {
      return entry.fail(KITH_INVALID, "program[%lld] is %d; use -1 or a row number below %lld",
                        static_cast<long long>(at), program[at], static_cast<long long>(rows));
    }
    if (program[at] == -1 && height < 2) {
      return entry.fail(KITH_INVALID, "program[%lld] adds with %lld values on the stack; push two first",
                        static_cast<long long>(at), static_cast<long long>(height));
    }
    height += program[at] == -1 ? -1 : 1;
    if (height > *depth) *depth = height;
  }
  if (height != results) {
    return entry.fail(KITH_INVALID, "the program leaves %lld values and %lld are wanted",
                      static_cast<long long>(height), static_cast<long long>(results));
  }
  return KITH_OK;
}

}  // namespace

bool check_bounds(Arguments& entry, const int64_t* bounds, int64_t segments) {
  if (bounds != nullptr && segments >= 0) return true;
  entry.fail(KITH_INVALID, "bounds is %s with %lld segments; give segments + 1 bounds",
             bounds == nullptr ? "NULL" : "given", static_cast<long long>(segments));
  return false;
}

bool check_reduce(Arguments& entry, int32_t reduction, const kith_matrix* a, const kith_matrix* b,
                  const int64_t* bounds, int64_t segments, const kith_matrix* out, ReduceOperands* operands) {
  *operands = ReduceOperands{};
  Matrix &ma = operands->a, &mb = operands->b;
  if (reduction < KITH_REDUCE_SUM || reduction > KITH_REDUCE_NONFINITE) {
    entry.fail(KITH_INVALID, "the reduction is %d; use one of kith_reduction", reduction);
    return false;
  }
  operands->binary = reduction == KITH_REDUCE_DOT || reduction == KITH_REDUCE_DISTANCE;
  if (!entry.matrix("a", a, &ma) || !floating(entry, "a", ma)) return false;
  if (operands->binary != (b != nullptr)) {
    entry.fail(KITH_INVALID,
               operands->binary ? "b is NULL; dot and distance need it" : "b is given; only dot and distance take it");
    return false;
  }
  if (operands->binary) {
    if (!entry.matrix("b", b, ma.dtype, -1, ma.cols, &mb)) return false;
    if (mb.rows != ma.rows && mb.rows != 1) {
      entry.fail(KITH_INVALID, "b has %lld rows and a has %lld; give as many, or one row for all",
                 static_cast<long long>(mb.rows), static_cast<long long>(ma.rows));
      return false;
    }
  }
  if (bounds == nullptr) {
    if (!entry.matrix("out", out, KITH_F64, 1, ma.rows, &operands->out)) return false;
  } else {
    for (int64_t s = 0; s <= segments; s++) {
      if (bounds[s] < (s == 0 ? 0 : bounds[s - 1]) || bounds[s] > ma.cols) {
        entry.fail(KITH_INVALID, "bounds[%lld] is %lld; bounds must ascend within the %lld columns of a",
                   static_cast<long long>(s), static_cast<long long>(bounds[s]), static_cast<long long>(ma.cols));
        return false;
      }
    }
    if (!entry.matrix("out", out, KITH_F64, ma.rows, segments, &operands->out)) return false;
  }
  return entry.disjoint("out", operands->out, "a", ma, false) &&
         (!operands->binary || entry.disjoint("out", operands->out, "b", mb, false));
}

bool check_gram(Arguments& entry, const kith_matrix* a, const kith_matrix* b, const kith_matrix* out,
                GramOperands* operands) {
  *operands = GramOperands{};
  Matrix &ma = operands->a, &mb = operands->b;
  if (!entry.matrix("a", a, &ma) || !floating(entry, "a", ma)) return false;
  mb = ma;
  if (b != nullptr && !entry.matrix("b", b, ma.dtype, -1, ma.cols, &mb)) return false;
  return entry.matrix("out", out, KITH_F64, ma.rows, mb.rows, &operands->out) &&
         entry.disjoint("out", operands->out, "a", ma, false) && entry.disjoint("out", operands->out, "b", mb, false);
}

bool check_nodes(Arguments& entry, const kith_matrix* x, const kith_matrix* remote, const int32_t* program,
                 int64_t program_length, const kith_matrix* out, const kith_matrix* distances,
                 NodesOperands* operands) {
  *operands = NodesOperands{};
  Matrix &mx = operands->x, &mremote = operands->remote, &mout = operands->out, &mdistances = operands->distances;
  if (!entry.matrix("x", x, &mx) || !floating(entry, "x", mx)) return false;
  if (remote != nullptr) {
    if (!entry.matrix("remote", remote, -1, -1, mx.cols, &mremote)) return false;
    if (mremote.dtype != mx.dtype && mremote.dtype != compute_dtype(mx.dtype)) {
      entry.fail(KITH_INVALID, "remote is %s and x is %s; give it the dtype of x or its compute type",
                 dtype_name(mremote.dtype), dtype_name(mx.dtype));
      return false;
    }
  }
  if (out == nullptr && distances == nullptr) {
    entry.fail(KITH_INVALID, "out and distances are both NULL; give one");
    return false;
  }
  if (out != nullptr) {
    if (!entry.matrix("out", out, -1, -1, mx.cols, &mout) || !floating(entry, "out", mout)) return false;
    if (compute_dtype(mout.dtype) != compute_dtype(mx.dtype)) {
      entry.fail(KITH_INVALID, "out is %s and x is %s; their compute types differ", dtype_name(mout.dtype),
                 dtype_name(mx.dtype));
      return false;
    }
    if (!entry.disjoint("out", mout, "x", mx, false)) return false;
    if (remote != nullptr && !entry.disjoint("out", mout, "remote", mremote, false)) return false;
  }
  if (distances != nullptr) {
    if (!entry.matrix("distances", distances, KITH_F64, 1, mx.rows, &mdistances)) return false;
    if (out != nullptr && mout.rows != 1) {
      entry.fail(KITH_INVALID, "out has %lld rows; distances go to one result", static_cast<long long>(mout.rows));
      return false;
    }
    if (!entry.disjoint("distances", mdistances, "x", mx, false)) return false;
    if (remote != nullptr && !entry.disjoint("distances", mdistances, "remote", mremote, false)) return false;
    if (out != nullptr && !entry.disjoint("distances", mdistances, "out", mout, false)) return false;
  }
  operands->results = out != nullptr ? mout.rows : 1;
  if (mx.rows > INT32_MAX - mremote.rows) {
    entry.fail(KITH_INVALID, "x and remote have more rows than a program can name");
    return false;
  }
  return check_program(entry, program, program_length, mx.rows + mremote.rows, operands->results, &operands->depth) ==
         KITH_OK;
}

int64_t translate(const int32_t* program, int64_t length, int64_t x_rows, NodeOperation* operations) {
  int64_t count = 0, height = 0;
  for (int64_t at = 0; at < length;) {
    NodeOperation& operation = operations[count++];
    std::memset(&operation, 0, sizeof(operation));
    if (program[at] < 0) {
      operation.kind = kNodeAdd;
      height--;
      at++;
      continue;
    }
    if (balanced_sum(program, length, at, 8, x_rows, operation.rows)) {
      operation.kind = kNodeSum8;
      at += 15;
    } else if (balanced_sum(program, length, at, 4, x_rows, operation.rows)) {
      operation.kind = kNodeSum4;
      at += 7;
    } else if (balanced_sum(program, length, at, 2, x_rows, operation.rows)) {
      operation.kind = kNodeSum2;
      at += 3;
    } else {
      operation.rows[0] = program[at++];
      if (height > 0 && at < length && program[at] == -1) {
        operation.kind = kNodeAddRow;
        at++;
        continue;
      }
      operation.kind = kNodePush;
    }
    height++;
  }
  return count;
}

}  // namespace kith
