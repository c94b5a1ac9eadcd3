// The vectors of PReLU's kernels: eight numbers, whatever the registers of the instruction set that
// this is being compiled for (DEEPRECT_ISA), to be loaded from and stored to all three types.
#ifndef DEEPRECT_PRELU_VECTOR_H_
#define DEEPRECT_PRELU_VECTOR_H_

#include <cstdint>

#include "base/half.h"
#include "prelu/kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace deeprect {
namespace DEEPRECT_ISA {
namespace {

constexpr int kWidth = 8;

template <typename T>
struct VectorOf;
template <>
struct VectorOf<float> {
  typedef float type __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));
};
template <>
struct VectorOf<double> {
  typedef double type __attribute__((vector_size(8 * kWidth), aligned(8), may_alias));
};
template <typename T>
using Vector = typename VectorOf<T>::type;
using Doubles = Vector<double>;

template <typename T>
inline Vector<T> load(const T* p) {
  return *reinterpret_cast<const Vector<T>*>(p);
}
template <typename T>
inline void store(T* p, Vector<T> v) {
  *reinterpret_cast<Vector<T>*>(p) = v;
}
inline float load_one(const float* p) { return *p; }
inline double load_one(const double* p) { return *p; }
inline void store_one(float* p, float v) { *p = v; }
inline void store_one(double* p, double v) { *p = v; }

inline float load_one(const Half* p) { return half_to_float(*p); }
inline void store_one(Half* p, float v) { *p = float_to_half(v); }
inline Vector<float> load(const Half* p) {
#if defined(__F16C__)
  return (Vector<float>)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
  Vector<float> v;
  for (int l = 0; l < kWidth; ++l) v[l] = half_to_float(p[l]);
  return v;
#endif
}
inline void store(Half* p, Vector<float> v) {
#if defined(__F16C__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT));
#else
  for (int l = 0; l < kWidth; ++l) p[l] = float_to_half(v[l]);
#endif
}

// Stores that bypass the caches; p is aligned to the vector.
#if defined(__AVX512F__)
inline void stream(double* p, Vector<double> v) { _mm512_stream_pd(p, (__m512d)v); }
#elif defined(__x86_64__)
inline void stream(double* p, Vector<double> v) {
  for (int l = 0; l < kWidth; l += 2) _mm_stream_pd(p + l, __m128d{v[l], v[l + 1]});
}
#endif
#if defined(__AVX__)
inline void stream(float* p, Vector<float> v) { _mm256_stream_ps(p, (__m256)v); }
#elif defined(__x86_64__)
inline void stream(float* p, Vector<float> v) {
  for (int l = 0; l < kWidth; l += 4) {
    _mm_stream_ps(p + l, __m128{v[l], v[l + 1], v[l + 2], v[l + 3]});
  }
}
#endif
#if defined(__x86_64__)
inline void stream(Half* p, Vector<float> v) {
  alignas(16) Half halves[kWidth];
  store(halves, v);
  _mm_stream_si128(reinterpret_cast<__m128i*>(p), *reinterpret_cast<const __m128i*>(halves));
}
#endif

// Calls f with a function that stores a vector: past the caches if that is wanted and can be done.
template <typename T, typename F>
inline void with_store(bool streaming, const T* start, F&& f) {
  using V = Vector<Math<T>>;
#if defined(__x86_64__)
  if (streaming && reinterpret_cast<uintptr_t>(start) % 64 == 0) {
    f([](T* p, V v) { stream(p, v); });
    return;
  }
#endif
  f([](T* p, V v) { store(p, v); });
}

}  // namespace
}  // namespace DEEPRECT_ISA
}  // namespace deeprect

#endif  // DEEPRECT_PRELU_VECTOR_H_
