// Convolution + bias + PReLU on the CPU by Winograd's algorithm: stride 1, kernels of 3x3 and 2x2,
// float32, NCHW. Knows nothing of MXNet.
//
// The backward needs y only. Where the slope is positive, y has the sign of the rectifier's input,
// and y / alpha is that input. Channels with other slopes are convolved again.
#ifndef DEEPRECT_CONV_CONV_PRELU_H_
#define DEEPRECT_CONV_CONV_PRELU_H_

#include "conv/winograd.h"

namespace deeprect {

// alpha holds a slope for each output channel, or one for all if `shared`. Null is a ReLU.
struct Rectifier {
  const float* alpha;
  bool shared;
};

// A layer and its inputs. weight is (out, in, kernel, kernel).
struct ConvPReLU {
  Convolution convolution;
  const float *x, *weight, *bias;
  Rectifier rectifier;
};

// dalpha is null for a ReLU.
struct ConvPReLUGradients {
  float *dx, *dweight, *dbias, *dalpha;
};

// y = rectifier(convolution + bias).
void conv_prelu_forward(const ConvPReLU&, float* y);

// Compute all gradients. y is the result of the forward. The bits depend on the arguments and the
// instruction set, not on the number of threads.
void conv_prelu_backward(const ConvPReLU&, const float* y, const float* dy,
                         const ConvPReLUGradients&);

}  // namespace deeprect

#endif  // DEEPRECT_CONV_CONV_PRELU_H_
