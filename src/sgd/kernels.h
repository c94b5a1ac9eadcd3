// The kernel of stochastic gradient descent. sgd.cc divides the work.
#ifndef DEEPRECT_SGD_KERNELS_H_
#define DEEPRECT_SGD_KERNELS_H_

#include <cstdint>

#include "sgd/sgd.h"
#include "simd/isa.h"

namespace deeprect {

struct SgdKernels {
  // See sgd_update.
  void (*update)(int64_t size, SgdSettings, const float* weight, const float* grad,
                 const float* velocity, const SgdResult&);
};

DEEPRECT_KERNELS(SgdKernels, sgd_kernels)

}  // namespace deeprect

#endif  // DEEPRECT_SGD_KERNELS_H_
