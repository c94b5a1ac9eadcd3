#include "prelu_cpu.h"

#include <omp.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "prelu_kernels.h"

namespace deeprect {
namespace {

// A thread is worth waking for this many elements, about ten microseconds of memory traffic.
constexpr int64_t kElementsPerThread = 1 << 15;
constexpr int64_t kBoxElements = 1 << 14;
// Terms that one partial sum must stand for, so that the partial sums stay small beside the data.
constexpr int64_t kTermsPerPartial = 64;
// Runs shorter than a vector are slow one by one: see Expanded.
constexpr int64_t kShortInner = 16;

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
    bn = std::min(e.outer, ceil_div(kTermsPerPartial, bi));
    bc = std::min(e.channels, std::max<int64_t>(1, kBoxElements / (bi * bn)));
    bn = std::min(e.outer, std::max(bn, kBoxElements / (bi * bc)));
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

// The slopes in the type that the kernels compute in. Where the inner axis is shorter than a
// vector, it is merged into the channels, each slope repeated: rows are then long enough.
template <typename T>
struct Slopes {
  Extents extents;
  int64_t repeat;
  std::vector<Math<T>> values;

  Slopes(const Extents& e, DType type, const void* alpha)
      : extents(e), repeat(e.inner < kShortInner ? e.inner : 1) {
    if (repeat > 1) extents = {e.outer, e.channels * e.inner, 1};
    values.resize(extents.channels);
    with_dtype(type, [&](auto* tag) {
      const auto* a = static_cast<decltype(tag)>(const_cast<void*>(alpha));
      for (int64_t c = 0; c < extents.channels; ++c) values[c] = to_math(a[c / repeat]);
    });
  }
  static Math<T> to_math(Half v) { return half_to_float(v); }
  template <typename U>
  static Math<T> to_math(U v) {
    return static_cast<Math<T>>(v);
  }
};

void store_as(Half* p, double v) { *p = float_to_half(static_cast<float>(v)); }
template <typename U>
void store_as(U* p, double v) {
  *p = static_cast<U>(v);
}

}  // namespace

const char* cpu_isa() { return kernel_table().isa; }

void prelu_forward_cpu(const Extents& extents, DType data_type, const void* x, DType alpha_type,
                       const void* alpha, void* y) {
  if (extents.size() == 0) return;
  with_dtype(data_type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    const Slopes<T> slopes(extents, alpha_type, alpha);
    const Grid grid(slopes.extents);
    const auto& kernels = kernels_for(tag);
    grid.for_each_box([&](int64_t box) {
      kernels.forward(grid.e, grid.box(box), static_cast<const T*>(x), slopes.values.data(),
                      static_cast<T*>(y));
    });
  });
}

void prelu_backward_cpu(const Extents& extents, DType data_type, const void* dy, const void* x,
                        DType alpha_type, const void* alpha, void* dx, void* grad_alpha) {
  std::vector<double> sums(extents.channels);
  if (extents.size() != 0) {
    with_dtype(data_type, [&](auto* tag) {
      using T = std::remove_pointer_t<decltype(tag)>;
      const Slopes<T> slopes(extents, alpha_type, alpha);
      const Grid grid(slopes.extents);
      const int64_t columns = grid.e.channels;
      std::vector<CompensatedSum<double>> partial(grid.partials() * columns);
      const auto& kernels = kernels_for(tag);
      grid.for_each_box([&](int64_t box) {
        kernels.backward(grid.e, grid.box(box), static_cast<const T*>(dy), static_cast<const T*>(x),
                         slopes.values.data(), static_cast<T*>(dx),
                         partial.data() + grid.partial_of(box) * columns);
      });
      for (int64_t c = 0; c < extents.channels; ++c) {
        CompensatedSum<double> sum;
        for (int64_t p = 0; p < grid.partials(); ++p) {
          for (int64_t r = 0; r < slopes.repeat; ++r) {
            sum.add(partial[p * columns + c * slopes.repeat + r]);
          }
        }
        sums[c] = value(sum);
      }
    });
  }
  with_dtype(alpha_type, [&](auto* tag) {
    auto* out = static_cast<decltype(tag)>(grad_alpha);
    for (int64_t c = 0; c < extents.channels; ++c) store_as(out + c, sums[c]);
  });
}

}  // namespace deeprect
