/* Checks of the family reduction, and the translation of programs, the same in every library. */
#ifndef KITH_REDUCTION_CHECKS_HPP
#define KITH_REDUCTION_CHECKS_HPP

#include "arguments.hpp"
#include "reduction.hpp"

namespace kith {

struct ReduceOperands {
  Matrix a;
  Matrix b;
  Matrix out;
  bool binary; /* the reduction takes b */
};

bool check_bounds(Arguments& entry, const int64_t* bounds, int64_t segments);
/* bounds NULL: whole rows, and out is 1 x a.rows. */
bool check_reduce(Arguments& entry, int32_t reduction, const kith_matrix* a, const kith_matrix* b,
                  const int64_t* bounds, int64_t segments, const kith_matrix* out, ReduceOperands* operands);

struct GramOperands {
  Matrix a;
  Matrix b; /* a where none was given */
  Matrix out;
};

bool check_gram(Arguments& entry, const kith_matrix* a, const kith_matrix* b, const kith_matrix* out,
                GramOperands* operands);

struct NodesOperands {
  Matrix x;
  Matrix remote;
  Matrix out;
  Matrix distances;
  int64_t results;
  int64_t depth; /* the greatest number of values on the stack */
};

bool check_nodes(Arguments& entry, const kith_matrix* x, const kith_matrix* remote, const int32_t* program,
                 int64_t program_length, const kith_matrix* out, const kith_matrix* distances, NodesOperands* operands);

/* Translates a checked postfix program; operations has room for `length`. Returns how many. No stack grows by it. */
int64_t translate(const int32_t* program, int64_t length, int64_t x_rows, NodeOperation* operations);

}  // namespace kith

#endif
