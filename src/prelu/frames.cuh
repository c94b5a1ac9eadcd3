// Move runs of elements between memory and registers of the GPU, 16 bytes at once where memory is
// aligned to 16 bytes. Half precision is stored as such and computed in float.
#ifndef DEEPRECT_PRELU_FRAMES_CUH_
#define DEEPRECT_PRELU_FRAMES_CUH_

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstring>

#include "base/dtype.h"
#include "prelu/math.h"

namespace deeprect {

constexpr int kVectorBytes = 16;

DEEPRECT_HD int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

// The numbers that one thread moves at a time.
template <typename T, int kWidth>
struct Values {
  Math<T> at[kWidth] = {};
};

__device__ inline float to_math(Half v) { return __half2float(__ushort_as_half(v.bits)); }
template <typename T>
__device__ inline T to_math(T v) {
  return v;
}
__device__ inline void store(Half* p, float v) { p->bits = __half_as_ushort(__float2half_rn(v)); }
template <typename T>
__device__ inline void store(T* p, T v) {
  *p = v;
}

// A part of a run of elements: the places [begin, end) of the kWidth elements from `start` on. At
// `start`, memory is aligned to a vector. Only the first and the last frame of a run can be
// partial.
template <int kWidth>
struct Frame {
  int64_t start;
  int begin, end;

  // Frame `index` of the run of `length` elements from `first` on. `lead` is the place of the
  // tensor's first element in its vector.
  __device__ Frame(int64_t first, int64_t length, int64_t index, int lead) {
    const int offset = static_cast<int>((first + lead) % kWidth);
    start = first - offset + index * kWidth;
    begin = index == 0 ? offset : 0;
    end = static_cast<int>(min64(kWidth, first + length - start));
  }
  __device__ bool full() const { return begin == 0 && end == kWidth; }
  __device__ bool holds(int place) const { return place >= begin && place < end; }
};

// The number of frames of a run, wherever it starts. The last frame may be empty.
DEEPRECT_HD int64_t frames_of_run(int64_t length, int width) {
  return (length + 2 * (width - 1)) / width;
}

template <typename T, int kWidth>
__device__ inline Values<T, kWidth> load(const T* p, const Frame<kWidth>& frame) {
  Values<T, kWidth> values;
  p += frame.start;
  if (kWidth > 1 && frame.full()) {
    const uint4 bits = *reinterpret_cast<const uint4*>(p);
    T elements[kWidth];
    memcpy(elements, &bits, sizeof(elements));
#pragma unroll
    for (int i = 0; i < kWidth; ++i) values.at[i] = to_math(elements[i]);
  } else {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      if (frame.holds(i)) values.at[i] = to_math(p[i]);
    }
  }
  return values;
}

template <typename T, int kWidth>
__device__ inline void store(T* p, const Frame<kWidth>& frame, const Values<T, kWidth>& values) {
  p += frame.start;
  if (kWidth > 1 && frame.full()) {
    T elements[kWidth];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) store(elements + i, values.at[i]);
    uint4 bits;
    memcpy(&bits, elements, sizeof(elements));
    __stwb(reinterpret_cast<uint4*>(p),
           bits);  // nvcc splits an assignment into four
  } else {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      if (frame.holds(i)) store(p + i, values.at[i]);
    }
  }
}

}  // namespace deeprect

#endif  // DEEPRECT_PRELU_FRAMES_CUH_
