/* Checks of the family product, the same in every library. */
#ifndef KITH_PRODUCT_CHECKS_HPP
#define KITH_PRODUCT_CHECKS_HPP

#include "arguments.hpp"
#include "product.hpp"

namespace kith {

// A kith_batch that was checked: `data` is element (0, 0) of matrix 0.
struct View {
  unsigned char* data;
  int64_t rows;
  int64_t cols;
  int64_t row_stride;
  int64_t batch_stride;
  int64_t extent; /* elements from the first to behind the last */
  int32_t dtype;

  int64_t size() const { return dtype == KITH_F64 ? 8 : 4; }
  unsigned char* at(int64_t batch, int64_t row, int64_t column) const {
    return data + (batch * batch_stride + row * row_stride + column) * size();
  }
};

/* Rules of batches that other families share. A batch that is written has no matrix inside another one. */
bool check_batches(Arguments& entry, int64_t batches);
bool view(Arguments& entry, const char* name, const kith_batch* batch, int64_t batches, bool written, View* out);
bool shaped(Arguments& entry, const char* name, const View& v, int32_t dtype, int64_t rows, int64_t cols);
bool same(const View& a, const View& b);
bool disjoint(Arguments& entry, const char* a_name, const View& a, const char* b_name, const View& b);

bool check_multiply(Arguments& entry, int64_t batches, const kith_batch* a, int32_t transpose_a, const kith_batch* b,
                    int32_t transpose_b, const kith_batch* c, View* a_view, View* b_view, View* c_view);
/* d_view keeps its data NULL where d is NULL. */
bool check_multiply_symmetric(Arguments& entry, int64_t batches, const kith_batch* a, int32_t transpose_a,
                              const kith_batch* d, const kith_batch* c, View* a_view, View* d_view, View* c_view);
bool check_bias_activate(Arguments& entry, int64_t batches, const kith_batch* h, const kith_batch* bias,
                         int32_t activation, View* h_view, View* bias_view);
/* h_view keeps its data NULL for the identity. */
bool check_bias_backward(Arguments& entry, int64_t batches, const kith_batch* h, const kith_batch* d,
                         const kith_batch* bias_gradient, int32_t activation, View* h_view, View* d_view,
                         View* gradient_view);

struct SoftmaxOperands {
  View z;
  View gradient; /* data NULL: not wanted */
  Matrix labels;
  Matrix loss;    /* data NULL: not wanted */
  Matrix correct; /* likewise */
};

/* All but the values of the labels. */
bool check_softmax(Arguments& entry, int64_t batches, const kith_batch* logits, const kith_matrix* labels,
                   const kith_batch* gradient, const kith_matrix* loss, const kith_matrix* correct,
                   SoftmaxOperands* operands);
bool check_softmax_curvature(Arguments& entry, int64_t batches, const kith_batch* logits, const kith_batch* u, View* z,
                             View* u_view);
/* For a label that names no class. */
kith_status fail_label(Arguments& entry, int64_t batch, int64_t row, int32_t label, int64_t classes);

}  // namespace kith

#endif
