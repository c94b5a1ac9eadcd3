// The forward and both gradients are products of matrices, one of which may be read transposed.
// With few images every weight is used a few times only, and reading it takes the time: weights are
// read once, in long runs.
#include "dense/dense.h"

#include <omp.h>

#include <algorithm>
#include <vector>

#include "base/arithmetic.h"
#include "base/huge_pages.h"
#include "base/scratch.h"
#include "product/kernels.h"

namespace deeprect {
namespace {

// The rows of the left matrix, and the floats of packed panels, that a thread takes at a time. The
// panels stay in the second-level cache. kRows was chosen on 2026-11-26, so that a product's rows
// stay together; against steps side by side, which were no faster, and slower for eight images.
constexpr int64_t kRows = 512, kPackedFloats = int64_t{3} << 14;
// Larger results bypass the caches, where they would replace everything else. Chosen on 2026-11-26,
// as kStreamingBytes of prelu/cpu.cc.
constexpr int64_t kStreamingFloats = int64_t{4} << 20;

// A copy of a matrix, row by row. A product reads several rows at a time.
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
  // The part from an element on.
  Matrix from(int64_t row, int64_t column) const {
    return {copy_.data() + row * stride_ + column, stride_, 1};
  }

 private:
  int64_t stride_;
  Scratch copy_;
};

// How much of the depth is packed at a time. With many rows a panel stays in the first-level cache
// while they use it. With few rows reading b takes the time, and longer runs are faster. Chosen on
// 2026-11-26 against oneDNN's fully-connected layers, which take 1.02 to 1.84 of the time forward
// (docs/performance.md, "Single layers").
int64_t step_for(int64_t rows, const Matrix& b) {
  if (rows > product_kernels().rows) return 128;
  return b.column == 1 ? 16 : 1024;
}

// Return whether c goes past the caches, which takes whole, aligned vectors; if so, ask for huge
// pages for it.
bool streams(int64_t rows, int64_t columns, float* c) {
  if (rows * columns < kStreamingFloats || columns % product_kernels().lanes != 0 ||
      reinterpret_cast<uintptr_t>(c) % 64 != 0) {
    return false;
  }
  prefer_huge_pages(c, rows * columns * sizeof(float));
  return true;
}

// How a product is divided: a thread takes `group` panels of the right matrix and `height` rows of
// the left at a time, and packs `step` of the depth at a time.
struct Plan {
  int threads;
  int64_t step, panels, group, height;
  int64_t packed_floats, product_floats;  // of a panel

  Plan(const ProductSize& size, const Matrix& b) : threads(omp_get_max_threads()) {
    const ProductKernels& k = product_kernels();
    step = step_for(size.rows, b);
    panels = ceil_div(size.columns, k.block);
    group = std::clamp<int64_t>(ceil_div(panels, 2 * threads), 1, kPackedFloats / (step * k.block));
    // As many rows at a time as leave work for all threads.
    const int64_t parts = ceil_div(2 * threads, ceil_div(panels, group));
    height = std::clamp<int64_t>(ceil_div(size.rows, parts), k.rows, kRows);
    packed_floats = step * k.block;
    product_floats = std::min(size.rows, height) * k.block;
  }
  // The scratch memory of a thread.
  int64_t own_floats() const { return group * (packed_floats + product_floats); }
};

// c = a * b + bias.
void multiply(const ProductSize& size, const Matrix& a, const Matrix& b, const float* bias,
              float* c) {
  const ProductKernels& k = product_kernels();
  const Plan plan(size, b);
  const Rows left(a, size.rows, size.depth);
  const bool streaming = streams(size.rows, size.columns, c);
  const Scratch own(plan.threads * plan.own_floats());

#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(plan.threads)
  for (int64_t first = 0; first < plan.panels; first += plan.group) {
    for (int64_t row = 0; row < size.rows; row += plan.height) {
      float* const packed = own.data() + omp_get_thread_num() * plan.own_floats();
      float* const product = packed + plan.group * plan.packed_floats;
      const int64_t rows = std::min(plan.height, size.rows - row);
      const int64_t last = std::min(plan.panels, first + plan.group);
      const int64_t column = first * k.block;
      const int64_t width = std::min(size.columns, last * k.block) - column;
      for (int64_t at = 0; at < size.depth; at += plan.step) {
        const int64_t depth = std::min(plan.step, size.depth - at);
        k.pack({b.data + at * b.row + column * b.column, b.row, b.column}, depth, width,
               {packed, plan.packed_floats});
        for (int64_t p = 0; p < last - first; ++p) {
          k.multiply({rows, width - p * k.block, depth}, left.from(row, at),
                     packed + p * plan.packed_floats, product + p * plan.product_floats, at > 0);
        }
      }
      for (int64_t p = 0; p < last - first; ++p) {
        const int64_t done = p * k.block;
        k.unpack(product + p * plan.product_floats, rows, std::min<int64_t>(k.block, width - done),
                 bias ? bias + column + done : nullptr, streaming,
                 {c + row * size.columns + column + done, size.columns});
      }
    }
  }
}

// Both matrix gradients for few rows, without packing.
void few_rows_backward(const Dense& d, const float* dy, const DenseGradients& gradients) {
  // The columns whose sums, or whose part of x, stay in the first-level cache.
  constexpr int64_t kColumns = 1024, kOutputs = 16;
  const ProductKernels& k = product_kernels();
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < d.inputs; i += kColumns) {
    k.few_rows({d.rows, std::min(kColumns, d.inputs - i), d.outputs}, {dy, d.outputs, 1},
               {d.weight + i, d.inputs, 1}, {gradients.dx + i, d.inputs});
  }
  const bool streaming = streams(d.outputs, d.inputs, gradients.dweight);
#pragma omp parallel for schedule(dynamic)
  for (int64_t o = 0; o < d.outputs; o += kOutputs) {
    for (int64_t i = 0; i < d.inputs; i += kColumns) {
      k.few_terms({std::min(kOutputs, d.outputs - o), std::min(kColumns, d.inputs - i), d.rows},
                  {dy + o, 1, d.outputs}, {d.x + i, d.inputs, 1}, streaming,
                  {gradients.dweight + o * d.inputs + i, d.inputs});
    }
  }
}

}  // namespace

void dense_forward(const Dense& d, const float* bias, float* y) {
  if (d.rows == 0) return;
  if (d.rows <= kFewRows) {
    constexpr int64_t kColumns = 16;
#pragma omp parallel for schedule(dynamic)
    for (int64_t o = 0; o < d.outputs; o += kColumns) {
      product_kernels().dot({d.rows, std::min(kColumns, d.outputs - o), d.inputs},
                            {d.x, d.inputs, 1}, {d.weight + o * d.inputs, d.inputs, 1}, bias + o,
                            {y + o, d.outputs});
    }
    return;
  }
  multiply({d.rows, d.outputs, d.inputs}, {d.x, d.inputs, 1}, {d.weight, 1, d.inputs}, bias, y);
}

void dense_backward(const Dense& d, const float* dy, const DenseGradients& gradients) {
  if (d.rows == 0) {  // the sums are empty
    std::fill_n(gradients.dweight, d.outputs * d.inputs, 0.0f);
    std::fill_n(gradients.dbias, d.outputs, 0.0f);
    return;
  }
  if (d.rows <= kFewAdded) {
    few_rows_backward(d, dy, gradients);
  } else {
    multiply({d.rows, d.inputs, d.outputs}, {dy, d.outputs, 1}, {d.weight, d.inputs, 1}, nullptr,
             gradients.dx);
    multiply({d.outputs, d.inputs, d.rows}, {dy, 1, d.outputs}, {d.x, d.inputs, 1}, nullptr,
             gradients.dweight);
  }
  std::vector<double> sums(d.outputs);
  for (int64_t n = 0; n < d.rows; ++n) {
    for (int64_t o = 0; o < d.outputs; ++o) sums[o] += dy[n * d.outputs + o];
  }
  std::copy(sums.begin(), sums.end(), gradients.dbias);
}

}  // namespace deeprect
