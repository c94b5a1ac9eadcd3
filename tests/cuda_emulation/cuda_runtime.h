// As much of CUDA's header of this name as the project's kernels use, for running them on the CPU.
//
// Blocks run one after the other; the threads of a block are fibers that give way at barriers only,
// in an order that the test chooses (emulation.h). A thread that reads what another one has yet to
// write, for lack of a barrier, reads something stale in one order or the other.
#ifndef EMULATED_CUDA_RUNTIME_H_
#define EMULATED_CUDA_RUNTIME_H_

#include <cmath>
#include <cstddef>
#include <cstring>
#include <utility>

#include "emulation.h"

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __forceinline__ inline
#define __syncthreads() emulation::barrier(__LINE__)

#define threadIdx emulation::thread_index
#define blockIdx emulation::block_index
#define gridDim emulation::grid_size
#define blockDim emulation::block_size

using emulation::dim3;
using std::fma;
using std::memcpy;

struct __attribute__((may_alias, aligned(16))) uint4 {
  unsigned x, y, z, w;
};
inline void __stwb(uint4* p, uint4 v) { *p = v; }

using cudaStream_t = void*;
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorLaunchOutOfResources = 701,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorUnsupportedPtxVersion = 222,
};

inline cudaError_t cudaGetLastError() {
  return static_cast<cudaError_t>(std::exchange(emulation::last_error, 0));
}
inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorNoKernelImageForDevice
             ? "no kernel image is available for execution on the device"
             : "too many resources requested for launch";
}

namespace emulation {
template <typename... P, std::size_t... I>
void run_unpacked(void (*kernel)(P...), dim3 grid, dim3 block, void** args,
                  std::index_sequence<I...>) {
  run(grid, block, [&] { kernel(*static_cast<P*>(args[I])...); });
}
}  // namespace emulation

template <typename... P>
cudaError_t cudaLaunchKernel(void (*kernel)(P...), dim3 grid, dim3 block, void** args, std::size_t,
                             cudaStream_t) {
  if (emulation::last_error == 0) {
    emulation::run_unpacked(kernel, grid, block, args, std::index_sequence_for<P...>());
  }
  return static_cast<cudaError_t>(emulation::last_error);
}

#endif  // EMULATED_CUDA_RUNTIME_H_
