// Forward and both gradients are products of matrices, one of which may be read transposed. With
// few images every weight is used a few times only, and what counts is to read it once, in long
// runs.
#include "dense/dense.h"

#include <omp.h>

#include <algorithm>
#include <vector>

#include "base/huge_pages.h"
#include "base/scratch.h"
#include "product/kernels.h"
#include "simd/isa.h"

namespace deeprect {
namespace {

// Rows of the left matrix and floats of packed panels that stay in the second-level cache.
constexpr int64_t kRows = 512, kPackedFloats = int64_t{3} << 14;
// Larger results would drive everything else out of the caches.
constexpr int64_t kStreamingFloats = int64_t{4} << 20;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

const ProductKernels& kernels() {
  static const ProductKernels& chosen = for_this_isa<ProductKernels>(DEEPRECT_EACH_ISA(product));
  return chosen;
}

// Element (i, k) is data[i * row + k * column].
struct Matrix {
  const float* data;
  int64_t row, column;
};

// A copy of a matrix by rows, which a product takes together.
class Rows {
 public:
  Rows(const Matrix& m, int64_t rows, int64_t columns)
      : stride_(odd_stride(columns)), copy_(rows * stride_) {
    constexpr int64_t kSquare = 64;
    float* const to = copy_.data();
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t i0 = 0; i0 < rows; i0 += kSquare) {
      for (int64_t k0 = 0; k0 < columns; k0 += kSquare) {
        for (int64_t i = i0; i < std::min(rows, i0 + kSquare); ++i) {
          for (int64_t k = k0; k < std::min(columns, k0 + kSquare); ++k) {
            to[i * stride_ + k] = m.data[i * m.row + k * m.column];
          }
        }
      }
    }
  }
  const float* at(int64_t row, int64_t column) const {
    return copy_.data() + row * stride_ + column;
  }
  int64_t stride() const { return stride_; }

 private:
  int64_t stride_;
  Scratch copy_;
};

// How much of the depth is packed at a time. With many rows a panel stays in the first-level cache
// while they use it; with few the time goes into reading b, in runs as long as may be.
int64_t step_for(int64_t rows, const Matrix& b) {
  if (rows > kernels().rows) return 128;
  return b.column == 1 ? 16 : 1024;
}

// Whether c goes past the caches, which takes whole, aligned vectors; it then gets huge pages.
bool streams(int64_t rows, int64_t columns, float* c) {
  if (rows * columns < kStreamingFloats || columns % kernels().lanes != 0 ||
      reinterpret_cast<uintptr_t>(c) % 64 != 0) {
    return false;
  }
  prefer_huge_pages(c, rows * columns * sizeof(float));
  return true;
}

// c = a * b + bias, of rows x depth and depth x columns.
void multiply(int64_t rows, int64_t columns, int64_t depth, const Matrix& a, const Matrix& b,
              const float* bias, float* c) {
  const ProductKernels& k = kernels();
  const Rows left(a, rows, depth);
  const int threads = omp_get_max_threads();
  const int64_t step = step_for(rows, b);
  const int64_t panels = ceil_div(columns, k.block);
  const int64_t group =
      std::clamp<int64_t>(ceil_div(panels, 2 * threads), 1, kPackedFloats / (step * k.block));
  const bool streaming = streams(rows, columns, c);
  // As many rows at a time as leaves work for all threads.
  const int64_t parts = ceil_div(2 * threads, ceil_div(panels, group));
  const int64_t height = std::clamp<int64_t>(ceil_div(rows, parts), k.rows, kRows);
  const int64_t packed_floats = step * k.block;
  const int64_t product_floats = std::min(rows, height) * k.block;
  const Scratch own(threads * group * (packed_floats + product_floats));

#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(threads)
  for (int64_t first = 0; first < panels; first += group) {
    for (int64_t row = 0; row < rows; row += height) {
      float* const packed =
          own.data() + omp_get_thread_num() * group * (packed_floats + product_floats);
      float* const product = packed + group * packed_floats;
      const int64_t count = std::min(height, rows - row);
      const int64_t last = std::min(panels, first + group);
      for (int64_t at = 0; at < depth; at += step) {
        const int64_t taken = std::min(step, depth - at);
        const int64_t column = first * k.block, width = std::min(columns, last * k.block) - column;
        k.pack(b.data + at * b.row + column * b.column, b.row, b.column, taken, width, packed,
               packed_floats);
        for (int64_t p = 0; p < last - first; ++p) {
          k.multiply(count, width - p * k.block, taken, left.at(row, at), 1, left.stride(),
                     packed + p * packed_floats, product + p * product_floats, at > 0);
        }
      }
      for (int64_t p = first; p < last; ++p) {
        const int64_t column = p * k.block;
        k.unpack(product + (p - first) * product_floats, count,
                 std::min<int64_t>(k.block, columns - column), bias ? bias + column : nullptr,
                 streaming, c + row * columns + column, columns);
      }
    }
  }
}

}  // namespace

void dense_forward(const Dense& d, const float* x, const float* weight, const float* bias,
                   float* y) {
  if (d.rows == 0) return;
  if (d.rows <= kFewRows) {
    constexpr int64_t kColumns = 16;
#pragma omp parallel for schedule(dynamic)
    for (int64_t o = 0; o < d.outputs; o += kColumns) {
      kernels().dot(d.rows, std::min(kColumns, d.outputs - o), d.inputs, x, d.inputs,
                    weight + o * d.inputs, d.inputs, bias + o, y + o, d.outputs);
    }
    return;
  }
  multiply(d.rows, d.outputs, d.inputs, {x, d.inputs, 1}, {weight, 1, d.inputs}, bias, y);
}

void dense_backward(const Dense& d, const float* dy, const float* x, const float* weight, float* dx,
                    float* dweight, float* dbias) {
  if (d.rows == 0) {  // nothing would be added up
    std::fill_n(dweight, d.outputs * d.inputs, 0.0f);
    std::fill_n(dbias, d.outputs, 0.0f);
    return;
  }
  if (d.rows <= kFewAdded) {
    // Columns whose sums, or whose part of x, stay in the first-level cache.
    constexpr int64_t kColumns = 1024, kOutputs = 16;
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < d.inputs; i += kColumns) {
      kernels().few_rows(d.rows, std::min(kColumns, d.inputs - i), d.outputs, dy, 1, d.outputs,
                         weight + i, d.inputs, dx + i, d.inputs);
    }
    const bool streaming = streams(d.outputs, d.inputs, dweight);
#pragma omp parallel for schedule(dynamic)
    for (int64_t o = 0; o < d.outputs; o += kOutputs) {
      for (int64_t i = 0; i < d.inputs; i += kColumns) {
        kernels().few_terms(std::min(kOutputs, d.outputs - o), std::min(kColumns, d.inputs - i),
                            d.rows, dy + o, d.outputs, 1, x + i, d.inputs, streaming,
                            dweight + o * d.inputs + i, d.inputs);
      }
    }
  } else {
    multiply(d.rows, d.inputs, d.outputs, {dy, d.outputs, 1}, {weight, d.inputs, 1}, nullptr, dx);
    multiply(d.outputs, d.inputs, d.rows, {dy, 1, d.outputs}, {x, d.inputs, 1}, nullptr, dweight);
  }
  std::vector<double> sums(d.outputs);
  for (int64_t n = 0; n < d.rows; ++n) {
    for (int64_t o = 0; o < d.outputs; ++o) sums[o] += dy[n * d.outputs + o];
  }
  std::copy(sums.begin(), sums.end(), dbias);
}

}  // namespace deeprect
