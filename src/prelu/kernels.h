// The vector kernels of the CPU operator. prelu/kernels.cc is compiled once for each instruction
// set, and every build fills one of these tables; prelu/cpu.cc chooses among them at run time.
#ifndef DEEPRECT_PRELU_KERNELS_H_
#define DEEPRECT_PRELU_KERNELS_H_

#include "base/compensated_sum.h"
#include "base/half.h"
#include "prelu/math.h"

namespace deeprect {

// Half precision is computed in float.
template <typename T>
struct MathType {
  using type = T;
};
template <>
struct MathType<Half> {
  using type = float;
};
template <typename T>
using Math = typename MathType<T>::type;

// Most channels that a box may have: of a tensor whose inner axis is one element, and of any other.
constexpr int kColumns = 512;
constexpr int kRuns = 32;

// A box of a tensor: [n0, n1) of the outer axis, [c0, c1) of the channels, [i0, i1) of the inner.
struct Box {
  int64_t n0, n1, c0, c1, i0, i1;
};

template <typename T>
struct PReLUKernels {
  // Streaming keeps the result out of the caches: sound for any size, and faster for large ones.
  void (*forward)(const Extents&, const Box&, bool streaming, const T* x, const Math<T>* alpha,
                  T* y);
  // Writes dx in the box, and into grad_alpha[c] the box's own part of the gradient of slope c.
  void (*backward)(const Extents&, const Box&, bool streaming, const T* dy, const T* x,
                   const Math<T>* alpha, T* dx, CompensatedSum<double>* grad_alpha);
};

struct KernelTable {
  const char* isa;
  PReLUKernels<float> f32;
  PReLUKernels<double> f64;
  PReLUKernels<Half> f16;
};

namespace baseline {
extern const KernelTable kernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const KernelTable kernels;
}
namespace avx512 {
extern const KernelTable kernels;
}
#endif

}  // namespace deeprect

#endif  // DEEPRECT_PRELU_KERNELS_H_
