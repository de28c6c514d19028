/* Checks of the family quantize, the same in every library. */
#ifndef KITH_QUANTIZE_CHECKS_HPP
#define KITH_QUANTIZE_CHECKS_HPP

#include "arguments.hpp"
#include "quantize.hpp"

namespace kith {

struct QuantizeOperands {
  QuantizeCode code;
  Matrix x;
  Matrix minus;
  Matrix residual;
  Matrix messages;
  Matrix uniforms;
  Matrix flags;
  uint32_t key0 = 0;
  uint32_t key1 = 0;
  int64_t round = 0;
  int64_t first_node = 0;
  int32_t stream = 0;
};

struct QuantizeSumOperands {
  QuantizeCode code;
  Matrix messages;
  Matrix halo;
  Matrix y;
};

/* The code for rows of `cols` columns. */
kith_status check_code(kith_call* call, const char* operation, const kith_code* code, int64_t cols, QuantizeCode* out);
bool check_quantize(Arguments& entry, const kith_code* code, const kith_draw* draw, const kith_matrix* x,
                    const kith_matrix* minus, const kith_matrix* residual, const kith_matrix* messages,
                    const kith_matrix* flags, QuantizeOperands* operands);
bool check_quantize_accumulate(Arguments& entry, const kith_weights* weights, const kith_code* code,
                               const kith_matrix* messages, const kith_matrix* halo, int32_t add, const kith_matrix* y,
                               QuantizeSumOperands* operands);
bool check_majority(Arguments& entry, const kith_matrix* messages, int64_t cols, const kith_matrix* out, Matrix* from,
                    Matrix* to);

}  // namespace kith

#endif
