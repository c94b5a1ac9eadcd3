// PReLU on the CPU: division among threads, and deterministic sums. Knows nothing of MXNet.
#ifndef DEEPRECT_PRELU_CPU_H_
#define DEEPRECT_PRELU_CPU_H_

#include "prelu/prelu.h"

namespace deeprect {

void prelu_forward_cpu(const PReLUForward&);

// The bits of grad_alpha depend on the arguments only, not on the number of threads or the
// instruction set.
void prelu_backward_cpu(const PReLUBackward&);

}  // namespace deeprect

#endif  // DEEPRECT_PRELU_CPU_H_
