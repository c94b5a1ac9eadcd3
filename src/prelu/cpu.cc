#include "prelu/cpu.h"

#include <omp.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "base/huge_pages.h"
#include "prelu/kernels.h"

namespace deeprect {
namespace {

// A thread is worth waking for this many elements, about ten microseconds of memory traffic.
constexpr int64_t kElementsPerThread = 1 << 15;
constexpr int64_t kBoxElements = 1 << 14;
// Terms that one partial sum stands for at least, so that the sums stay small beside the data; and
// boxes along the outer axis at most, so that adding the partial sums up takes no time.
constexpr int64_t kTermsPerPartial = 64;
constexpr int64_t kOuterBoxes = 256;
// Results of so many bytes will not be found in a cache by whoever reads them.
constexpr int64_t kStreamingBytes = 1 << 24;
// Runs shorter than two vectors are slow one by one, and so are rows of few channels: see Slopes.
constexpr int64_t kShortInner = 16;
constexpr int64_t kShortRow = 128;

const KernelTable& choose_kernels() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                        __builtin_cpu_supports("f16c");
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") &&
                          __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  const KernelTable* const tables[] = {has_avx512 ? &avx512::kernels : nullptr,
                                       has_avx2 ? &avx2::kernels : nullptr, &baseline::kernels};
#else
  const KernelTable* const tables[] = {&baseline::kernels};
#endif
  const char* wanted = std::getenv("DEEPRECT_ISA");
  for (const KernelTable* table : tables) {
    if (table && (!wanted || std::string(wanted) == table->isa)) return *table;
  }
  throw std::runtime_error("DEEPRECT_ISA=" + std::string(wanted) +
                           ": this processor or build has no such instruction set; unset it, or "
                           "set baseline, avx2 or avx512");
}

const KernelTable& kernel_table() {
  static const KernelTable& table = choose_kernels();
  return table;
}

const PReLUKernels<float>& kernels_for(const float*) { return kernel_table().f32; }
const PReLUKernels<double>& kernels_for(const double*) { return kernel_table().f64; }
const PReLUKernels<Half>& kernels_for(const Half*) { return kernel_table().f16; }

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// A division of the tensor into boxes that depends on its extents only, never on the threads.
struct Grid {
  Extents e;
  int64_t bn, bc, bi;  // a box's edges
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
  // Each channel has one partial sum in each of these.
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

// The slopes in the type that the kernels compute in, and the tensor as the kernels see it. A short
// inner axis is merged into the channels, and short rows into longer ones, each slope repeated;
// what is left of the outer axis then, less than a row, is the tail.
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

const char* cpu_isa() { return kernel_table().isa; }

void prelu_forward_cpu(const Extents& extents, DType data_type, const void* x_data,
                       DType alpha_type, const void* alpha, void* y_data) {
  if (extents.size() == 0) return;
  with_dtype(data_type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    const T* x = static_cast<const T*>(x_data);
    T* y = static_cast<T*>(y_data);
    const Slopes<T> slopes(extents, alpha_type, alpha);
    const Math<T>* a = slopes.values.data();
    const Grid grid(slopes.extents);
    const bool streaming = extents.size() * int64_t(sizeof(T)) >= kStreamingBytes;
    if (streaming) prefer_huge_pages(y, extents.size() * sizeof(T));
    const auto forward = kernels_for(tag).forward;
    grid.for_each_box([&](int64_t i) { forward(grid.e, grid.box(i), streaming, x, a, y); });
    if (const int64_t tail = slopes.tail) {
      const int64_t at = grid.e.size();
      forward({1, tail, 1}, {0, 1, 0, tail, 0, 1}, false, x + at, a, y + at);
    }
  });
}

void prelu_backward_cpu(const Extents& extents, DType data_type, const void* dy_data,
                        const void* x_data, DType alpha_type, const void* alpha, void* dx_data,
                        void* grad_alpha) {
  std::vector<CompensatedSum<double>> sums(extents.channels);
  if (extents.size() != 0) {
    with_dtype(data_type, [&](auto* tag) {
      using T = std::remove_pointer_t<decltype(tag)>;
      const T *dy = static_cast<const T*>(dy_data), *x = static_cast<const T*>(x_data);
      T* dx = static_cast<T*>(dx_data);
      const Slopes<T> slopes(extents, alpha_type, alpha);
      const Math<T>* a = slopes.values.data();
      const Grid grid(slopes.extents);
      const bool streaming = extents.size() * int64_t(sizeof(T)) >= kStreamingBytes;
      if (streaming) prefer_huge_pages(dx, extents.size() * sizeof(T));
      const auto backward = kernels_for(tag).backward;
      const int64_t columns = grid.e.channels;
      std::vector<CompensatedSum<double>> partial(grid.partials() * columns + slopes.tail);
      grid.for_each_box([&](int64_t i) {
        backward(grid.e, grid.box(i), streaming, dy, x, a, dx,
                 partial.data() + grid.partial_of(i) * columns);
      });
      if (const int64_t tail = slopes.tail) {
        const int64_t at = grid.e.size();
        backward({1, tail, 1}, {0, 1, 0, tail, 0, 1}, false, dy + at, x + at, a, dx + at,
                 partial.data() + grid.partials() * columns);
      }
      // A whole number of times over the channels, each repeated along the merged inner axis.
      for (size_t p = 0; p < partial.size();) {
        for (auto& sum : sums) {
          for (int64_t i = 0; i < slopes.inner; ++i) sum.add(partial[p++]);
        }
      }
    });
  }
  with_dtype(alpha_type, [&](auto* tag) {
    auto* out = static_cast<decltype(tag)>(grad_alpha);
    for (const auto& sum : sums) store_as(out++, value(sum));
  });
}

}  // namespace deeprect
