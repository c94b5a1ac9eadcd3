#include "prelu/cpu.h"

#include <omp.h>

#include <algorithm>
#include <type_traits>
#include <vector>

#include "base/arithmetic.h"
#include "base/huge_pages.h"
#include "prelu/kernels.h"

namespace deeprect {
namespace {

// Add a thread for this many elements: about ten microseconds of memory traffic, against the time
// to wake the thread. The constants here were chosen on 2026-11-23 against the copies of
// benchmarks/prelu.py (docs/operator.md).
constexpr int64_t kElementsPerThread = 1 << 15;
// Elements of a box: 64 KiB of float32.
constexpr int64_t kBoxElements = 1 << 14;
// The least number of terms in a partial sum, so that the partial sums are small beside the data.
constexpr int64_t kTermsPerPartial = 64;
// The most boxes along the outer axis, so that adding up the partial sums takes little time.
constexpr int64_t kOuterBoxes = 256;
// Larger results bypass the caches: they would not stay there until they are read. A forward pass
// then takes 0.7 to 0.93 of the time of a copy of the same size (docs/operator.md, "Measured").
constexpr int64_t kStreamingBytes = 1 << 24;
// Merge inner axes shorter than two vectors into the channels, and rows shorter than kShortRow into
// longer rows: see Slopes. One by one they are slow.
constexpr int64_t kShortInner = 16;
constexpr int64_t kShortRow = 128;

// The division of a tensor into boxes. It depends on the extents only, not on the threads.
struct Grid {
  Extents e;
  int64_t bn, bc, bi;  // the extents of a box
  int64_t n_boxes, c_boxes, i_boxes;

  explicit Grid(const Extents& extents) : e(extents) {
    bi = std::min(e.inner, kBoxElements);
    bc = std::min<int64_t>(e.channels, e.inner == 1 ? kColumns : kRuns);
    bc = std::min(bc, std::max<int64_t>(1, kBoxElements / bi));
    bn = std::max(
        {kBoxElements / (bi * bc), ceil_div(kTermsPerPartial, bi), ceil_div(e.outer, kOuterBoxes)});
    bn = std::min(e.outer, bn);
    n_boxes = ceil_div(e.outer, bn);
    c_boxes = ceil_div(e.channels, bc);
    i_boxes = ceil_div(e.inner, bi);
  }
  int64_t boxes() const { return n_boxes * c_boxes * i_boxes; }
  // The number of partial sums of a channel.
  int64_t partials() const { return n_boxes * i_boxes; }
  int64_t partial_of(int64_t box) const {
    return box / (c_boxes * i_boxes) * i_boxes + box % i_boxes;
  }
  Box box(int64_t index) const {
    const int64_t i = index % i_boxes * bi;
    const int64_t c = index / i_boxes % c_boxes * bc;
    const int64_t n = index / (i_boxes * c_boxes) * bn;
    return {n, std::min(n + bn, e.outer), c, std::min(c + bc, e.channels),
            i, std::min(i + bi, e.inner)};
  }
  template <typename F>
  void for_each_box(F&& f) const {
    const int64_t count = boxes();
    const int64_t useful = std::min(count, ceil_div(e.size(), kElementsPerThread));
    const int threads = int(std::min<int64_t>(useful, omp_get_max_threads()));
    if (threads <= 1) {
      for (int64_t i = 0; i < count; ++i) f(i);
      return;
    }
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < count; ++i) f(i);
  }
};

float to_math(Half v) { return half_to_float(v); }
float to_math(float v) { return v; }
double to_math(double v) { return v; }

// The slopes in the type of the kernels' arithmetic, and the extents that the kernels get. A short
// inner axis is merged into the channels, and short rows are merged into longer rows; every slope
// is then repeated. `tail` is the number of elements that do not fill a longer row.
template <typename T>
struct Slopes {
  Extents extents;
  int64_t tail = 0;
  int64_t inner = 1;
  std::vector<Math<T>> values;

  Slopes(const Extents& e, DType type, const void* alpha) : extents(e) {
    if (e.inner < kShortInner) {
      inner = e.inner;
      const int64_t row = e.channels * e.inner;
      const int64_t rows = std::min(e.outer, ceil_div(kShortRow, row));
      extents = {e.outer / rows, rows * row, 1};
      tail = e.outer % rows * row;
    }
    values.reserve(extents.channels);
    with_dtype(type, [&](auto* tag) {
      const auto* a = static_cast<decltype(tag)>(const_cast<void*>(alpha));
      for (int64_t c = 0; c < e.channels; ++c) {
        values.insert(values.end(), inner, static_cast<Math<T>>(to_math(a[c])));
      }
    });
    for (size_t period = values.size(); int64_t(values.size()) < extents.channels;) {
      values.push_back(values[values.size() - period]);
    }
  }
};

void store_as(Half* p, double v) { *p = float_to_half(static_cast<float>(v)); }
template <typename U>
void store_as(U* p, double v) {
  *p = static_cast<U>(v);
}

}  // namespace

void prelu_forward_cpu(const PReLUForward& pass) {
  const int64_t size = pass.extents.size();
  if (size == 0) return;
  with_dtype(pass.data_type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    const T* x = static_cast<const T*>(pass.x);
    T* y = static_cast<T*>(pass.y);
    const Slopes<T> slopes(pass.extents, pass.alpha_type, pass.alpha);
    const Math<T>* a = slopes.values.data();
    const Grid grid(slopes.extents);
    const bool streaming = size * int64_t(sizeof(T)) >= kStreamingBytes;
    if (streaming) prefer_huge_pages(y, size * sizeof(T));
    const auto forward = prelu_kernels().of(tag).forward;
    grid.for_each_box([&](int64_t i) { forward(grid.e, grid.box(i), streaming, {x, a, y}); });
    if (const int64_t tail = slopes.tail) {
      const int64_t at = grid.e.size();
      forward({1, tail, 1}, {0, 1, 0, tail, 0, 1}, false, {x + at, a, y + at});
    }
  });
}

void prelu_backward_cpu(const PReLUBackward& pass) {
  const int64_t size = pass.extents.size();
  std::vector<CompensatedSum<double>> sums(pass.extents.channels);
  if (size != 0) {
    with_dtype(pass.data_type, [&](auto* tag) {
      using T = std::remove_pointer_t<decltype(tag)>;
      const T *dy = static_cast<const T*>(pass.dy), *x = static_cast<const T*>(pass.x);
      T* dx = static_cast<T*>(pass.dx);
      const Slopes<T> slopes(pass.extents, pass.alpha_type, pass.alpha);
      const Math<T>* a = slopes.values.data();
      const Grid grid(slopes.extents);
      const bool streaming = size * int64_t(sizeof(T)) >= kStreamingBytes;
      if (streaming) prefer_huge_pages(dx, size * sizeof(T));
      const auto backward = prelu_kernels().of(tag).backward;
      const int64_t columns = grid.e.channels;
      std::vector<CompensatedSum<double>> partial(grid.partials() * columns + slopes.tail);
      grid.for_each_box([&](int64_t i) {
        backward(grid.e, grid.box(i), streaming,
                 {dy, x, a, dx, partial.data() + grid.partial_of(i) * columns});
      });
      if (const int64_t tail = slopes.tail) {
        const int64_t at = grid.e.size();
        backward({1, tail, 1}, {0, 1, 0, tail, 0, 1}, false,
                 {dy + at, x + at, a, dx + at, partial.data() + grid.partials() * columns});
      }
      // The partial sums run over the channels a whole number of times. Along a merged inner axis,
      // every channel has one for each place.
      for (size_t p = 0; p < partial.size();) {
        for (auto& sum : sums) {
          for (int64_t i = 0; i < slopes.inner; ++i) sum.add(partial[p++]);
        }
      }
    });
  }
  with_dtype(pass.alpha_type, [&](auto* tag) {
    auto* out = static_cast<decltype(tag)>(pass.grad_alpha);
    for (const auto& sum : sums) store_as(out++, value(sum));
  });
}

}  // namespace deeprect
