// Matrix products of packed panels, and the packing and unpacking of panels. The convolutions and
// the dense layers use them.
#ifndef DEEPRECT_PRODUCT_KERNELS_H_
#define DEEPRECT_PRODUCT_KERNELS_H_

#include <cstdint>

#include "simd/isa.h"

namespace deeprect {

// The extents of a product: `rows` x `depth` by `depth` x `columns`.
struct ProductSize {
  int64_t rows, columns, depth;
};

// A matrix whose element (i, k) is data[i * row + k * column].
struct Matrix {
  const float* data;
  int64_t row, column;
};

// A result matrix, row by row; rows are `stride` floats apart.
struct Result {
  float* data;
  int64_t stride;
};

// The right matrix of a product lies in panels of at most `block` columns. A row of a panel holds
// as many whole vectors as its columns fill; there are no gaps between rows.
struct ProductKernels {
  int lanes;  // floats of a vector
  int block;  // columns of a panel
  int rows;   // rows of the left matrix that a product takes at a time
  // c[i][block] (+)= sum over k of left(i, k) * right[k][row], for all vectors of a panel of
  // `columns` columns.
  void (*multiply)(ProductSize, Matrix left, const float* right, float* c, bool accumulate);
  // Write the `depth` x `columns` part of b into panels, `right.stride` apart, as right[k][row].
  // b.row or b.column is 1. Columns from `columns` on are zero. What lies ahead in b is prefetched.
  void (*pack)(Matrix b, int64_t depth, int64_t columns, Result right);
  // c(i, j) = product[i][block] + bias[j]; without bias if that is null, and past the caches if
  // `streaming`.
  void (*unpack)(const float* product, int64_t rows, int64_t columns, const float* bias,
                 bool streaming, Result c);
  // c(i, j) = the dot product of row i of `left` and row j of `right`, plus bias[j]. For at most
  // kFewRows rows on the left, for which packing `right` costs more than it saves.
  void (*dot)(ProductSize, Matrix left, Matrix right, const float* bias, Result c);
  // c(i, j) = sum over k of left(i, k) * right(k, j), for at most kFewAdded rows.
  void (*few_rows)(ProductSize, Matrix left, Matrix right, Result c);
  // The same for a depth of at most kFewAdded; past the caches if `streaming`.
  void (*few_terms)(ProductSize, Matrix left, Matrix right, bool streaming, Result c);
};

// Chosen on 2026-11-26 with the kernels: below these numbers a pass takes the time of reading or
// writing the weights (docs/performance.md).
constexpr int64_t kFewRows = 2, kFewAdded = 6;

DEEPRECT_KERNELS(ProductKernels, product_kernels)

}  // namespace deeprect

#endif  // DEEPRECT_PRODUCT_KERNELS_H_
