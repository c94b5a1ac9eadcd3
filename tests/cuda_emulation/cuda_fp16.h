// The conversions of CUDA's header of this name, for the emulation.
#ifndef EMULATED_CUDA_FP16_H_
#define EMULATED_CUDA_FP16_H_

#include "base/half.h"

struct __half {
  unsigned short bits;
};

inline __half __ushort_as_half(unsigned short bits) { return {bits}; }
inline unsigned short __half_as_ushort(__half h) { return h.bits; }
inline float __half2float(__half h) { return deeprect::half_to_float({h.bits}); }
inline __half __float2half_rn(float v) { return {deeprect::float_to_half(v).bits}; }

#endif  // EMULATED_CUDA_FP16_H_
