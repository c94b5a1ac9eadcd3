// PReLU on the CPU: threads, instruction sets and deterministic sums. Knows nothing of MXNet.
#ifndef DEEPRECT_PRELU_CPU_H_
#define DEEPRECT_PRELU_CPU_H_

#include "base/dtype.h"
#include "prelu/math.h"

namespace deeprect {

// alpha has extents.channels elements, of data_type or of float32.
void prelu_forward_cpu(const Extents& extents, DType data_type, const void* x, DType alpha_type,
                       const void* alpha, void* y);

// grad_alpha has the type of alpha. Its bits depend on the arguments only, not on the number of
// threads or the instruction set.
void prelu_backward_cpu(const Extents& extents, DType data_type, const void* dy, const void* x,
                        DType alpha_type, const void* alpha, void* dx, void* grad_alpha);

// The instruction set in use: the widest the processor has, or the one $DEEPRECT_ISA names.
const char* cpu_isa();

}  // namespace deeprect

#endif  // DEEPRECT_PRELU_CPU_H_
