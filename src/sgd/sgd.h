// Stochastic gradient descent with momentum, in one pass over memory. The bits do not depend on the
// number of threads or the instruction set.
#ifndef DEEPRECT_SGD_SGD_H_
#define DEEPRECT_SGD_SGD_H_

#include <cstdint>

namespace deeprect {

struct SgdSettings {
  float lr, wd, momentum, rescale_grad;
};

// velocity = momentum * velocity - lr * (rescale_grad * grad + wd * weight); result = weight +
// velocity. result may be weight.
void sgd_update(int64_t size, const SgdSettings&, const float* weight, const float* grad,
                float* velocity, float* result);

}  // namespace deeprect

#endif  // DEEPRECT_SGD_SGD_H_
