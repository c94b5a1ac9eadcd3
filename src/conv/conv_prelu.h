// Convolution + bias + PReLU on the CPU by Winograd's algorithm: stride 1, kernels of 3x3 and 2x2,
// float32, NCHW. Knows nothing of MXNet.
//
// Only y is kept for the backward. Where the slope is positive, y has the sign of the rectifier's
// input and y / alpha is that input; channels of other slopes are convolved again.
#ifndef DEEPRECT_CONV_CONV_PRELU_H_
#define DEEPRECT_CONV_CONV_PRELU_H_

#include "conv/winograd.h"

namespace deeprect {

// alpha holds a slope for each output channel, or one for all; null is a ReLU.
struct Rectifier {
  const float* alpha;
  bool shared;
};

// y = rectifier(convolution + bias), weight being (out, in, kernel, kernel).
void conv_prelu_forward(const Convolution&, const float* x, const float* weight, const float* bias,
                        const Rectifier&, float* y);

// All gradients, dalpha unless it is a ReLU. y is the forward's. The bits depend on the arguments
// and the instruction set, not on the number of threads.
void conv_prelu_backward(const Convolution&, const float* dy, const float* x, const float* weight,
                         const float* bias, const Rectifier&, const float* y, float* dx,
                         float* dweight, float* dbias, float* dalpha);

}  // namespace deeprect

#endif  // DEEPRECT_CONV_CONV_PRELU_H_
