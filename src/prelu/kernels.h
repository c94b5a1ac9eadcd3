// The vector kernels of PReLU on the CPU. cpu.cc divides the work.
#ifndef DEEPRECT_PRELU_KERNELS_H_
#define DEEPRECT_PRELU_KERNELS_H_

#include "base/compensated_sum.h"
#include "base/dtype.h"
#include "prelu/math.h"
#include "simd/isa.h"

namespace deeprect {

// The most channels that a box may have: of a tensor whose inner axis is one element, and of any
// other tensor.
constexpr int kColumns = 512;
constexpr int kRuns = 32;

// A box of a tensor: [n0, n1) of the outer axis, [c0, c1) of the channels, [i0, i1) of the inner.
struct Box {
  int64_t n0, n1, c0, c1, i0, i1;
};

template <typename T>
struct ForwardTensors {
  const T* x;
  const Math<T>* alpha;
  T* y;
};

template <typename T>
struct BackwardTensors {
  const T *dy, *x;
  const Math<T>* alpha;
  T* dx;
  CompensatedSum<double>* grad_alpha;
};

// `streaming` keeps the result out of the caches. It is correct for any size, and faster for large
// results.
template <typename T>
struct PReLUKernelsOf {
  void (*forward)(const Extents&, const Box&, bool streaming, ForwardTensors<T>);
  // Writes dx in the box, and into grad_alpha[c] the part of the box in the gradient of slope c.
  void (*backward)(const Extents&, const Box&, bool streaming, BackwardTensors<T>);
};

struct PReLUKernels {
  PReLUKernelsOf<float> f32;
  PReLUKernelsOf<double> f64;
  PReLUKernelsOf<Half> f16;

  const PReLUKernelsOf<float>& of(const float*) const { return f32; }
  const PReLUKernelsOf<double>& of(const double*) const { return f64; }
  const PReLUKernelsOf<Half>& of(const Half*) const { return f16; }
};

DEEPRECT_KERNELS(PReLUKernels, prelu_kernels)

}  // namespace deeprect

#endif  // DEEPRECT_PRELU_KERNELS_H_
