// Integer arithmetic that the CPU and the CUDA code share.
#ifndef DEEPRECT_BASE_ARITHMETIC_H_
#define DEEPRECT_BASE_ARITHMETIC_H_

#include <cstdint>

#ifdef __CUDACC__
#define DEEPRECT_HD __host__ __device__ __forceinline__
#else
#define DEEPRECT_HD inline
#endif

namespace deeprect {

DEEPRECT_HD constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
DEEPRECT_HD constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Round up to an odd number of cache lines. Elements at such a stride fall into different sets of
// the cache; at a stride that is a power of two they would share a few sets.
constexpr int64_t odd_stride(int64_t floats) { return (ceil_div(floats, 16) | 1) * 16; }

}  // namespace deeprect

#endif  // DEEPRECT_BASE_ARITHMETIC_H_
