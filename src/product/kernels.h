// The kernels of matrix products: of packed panels, and to pack and unpack them. product/kernels.cc
// is compiled once for each instruction set; every build fills a table.
#ifndef DEEPRECT_PRODUCT_KERNELS_H_
#define DEEPRECT_PRODUCT_KERNELS_H_

#include <cstdint>

namespace deeprect {

// At least so many floats, an odd number of cache lines apart: what is taken in turn at that stride
// falls into different sets of the cache, where a power of two would share a few of them.
constexpr int64_t odd_stride(int64_t floats) { return ((floats + 15) / 16 | 1) * 16; }

// The right matrix of a product lies in panels of at most `block` columns. A panel's rows are as
// many whole vectors as its columns fill, without gaps.
struct ProductKernels {
  const char* isa;
  int lanes;  // floats of a vector
  int block;  // columns of a panel
  int rows;   // of the left matrix that a product takes together
  // c[i][block] (+)= sum over k of left[k * left_k + i * left_i] * right[k][row], for all vectors
  // of a panel of `width` columns.
  void (*multiply)(int64_t rows, int64_t width, int64_t depth, const float* left, int64_t left_k,
                   int64_t left_i, const float* right, float* c, bool accumulate);
  // Panels of b, `panel_stride` apart: right[k][row] from b[k * k_stride + column * column_stride],
  // one stride being 1; columns from `width` on are zero. What lies ahead in b is prefetched.
  void (*pack)(const float* b, int64_t k_stride, int64_t column_stride, int64_t depth,
               int64_t width, float* right, int64_t panel_stride);
  // c[i * c_stride + column] = product[i][block] + bias[column]; without bias if that is null, and
  // past the caches if `streaming`.
  void (*unpack)(const float* product, int64_t rows, int64_t width, const float* bias,
                 bool streaming, float* c, int64_t c_stride);
  // c[i * c_stride + j] = the dot product of row i of `left` and row j of `right`, plus bias[j]:
  // for so few rows on the left, at most kFewRows, that packing `right` would not pay.
  void (*dot)(int64_t rows, int64_t columns, int64_t depth, const float* left, int64_t left_stride,
              const float* right, int64_t right_stride, const float* bias, float* c,
              int64_t c_stride);
  // c[i * c_stride + j] = sum over k of left[k * left_k + i * left_i] * right[k * right_stride +
  // j], for so few rows i, at most kFewAdded, that packing `right` would not pay.
  void (*few_rows)(int64_t rows, int64_t columns, int64_t depth, const float* left, int64_t left_k,
                   int64_t left_i, const float* right, int64_t right_stride, float* c,
                   int64_t c_stride);
  // The same for a depth of at most kFewAdded; past the caches if `streaming`.
  void (*few_terms)(int64_t rows, int64_t columns, int64_t depth, const float* left, int64_t left_k,
                    int64_t left_i, const float* right, int64_t right_stride, bool streaming,
                    float* c, int64_t c_stride);
};

constexpr int64_t kFewRows = 2, kFewAdded = 6;

namespace baseline {
extern const ProductKernels product;
}
#if defined(__x86_64__)
namespace avx2 {
extern const ProductKernels product;
}
namespace avx512 {
extern const ProductKernels product;
}
#endif

}  // namespace deeprect

#endif  // DEEPRECT_PRODUCT_KERNELS_H_
