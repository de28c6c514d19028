/* Checks of the family step and its coefficients, the same in every library. */
#ifndef KITH_STEP_CHECKS_HPP
#define KITH_STEP_CHECKS_HPP

#include "arguments.hpp"
#include "step.hpp"

namespace kith {

/* The checked operands of a step; data is NULL where one is not given. */
struct StepOperands {
  Matrix x;
  Matrix g;
  Matrix h; /* curvature, of the rules of Sophia and AdaHessian */
  Matrix s1;
  Matrix s2;
  Matrix copy;
  Matrix flags;
  Matrix row_scale;
  int64_t group_count; /* at least 1 */
  int states;
  int gradient; /* 0: the dtype of x; 1: bf16; 2: f16 */
};

bool check_step(Arguments& entry, const kith_step* step, const kith_matrix* x, const kith_matrix* g,
                const kith_matrix* s1, const kith_matrix* s2, StepOperands* operands);
/* What any step has, whatever its rule; h NULL: none. operands->states is set, h checked for its shape. */
bool check_step_operands(Arguments& entry, const kith_step& step, const kith_matrix* x, const kith_matrix* g,
                         const kith_matrix* h, const kith_matrix* s1, const kith_matrix* s2, StepOperands* operands);

/* For kith_apply_steps: fills x, g, s1 and s2 of sets[0 .. count), and of `common` the rest (x and g for their dtypes).
   `order` is room for 4 * count entries. */
struct StepWindow {
  int64_t begin; /* address, or a place in the period of rows */
  int64_t end;
  int64_t set;
  int32_t which; /* 0: x, 1: s1, 2: s2, 3: g */
};
bool check_steps(Arguments& entry, const kith_step* step, int64_t count, const kith_matrix* x, const kith_matrix* g,
                 const kith_matrix* s1, const kith_matrix* s2, StepOperands* common, StepOperands* sets,
                 StepWindow* order);
/* What must hold before there is room for sets. */
bool check_step_count(Arguments& entry, const kith_step* step, int64_t count, const kith_matrix* x,
                      const kith_matrix* g);

/* The numbers of group k (0 without groups). */
StepNumbers step_numbers(const kith_step& step, int64_t k);

}  // namespace kith

#endif
