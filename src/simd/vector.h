// Vectors of numbers, for the instruction set that the file is compiled for (DEEPRECT_ISA).
//
// Vector<T, n> holds n numbers of type T; the compiler splits it where registers are narrower. Vec
// holds as many floats as one register. Loads and stores need no alignment.
#ifndef DEEPRECT_SIMD_VECTOR_H_
#define DEEPRECT_SIMD_VECTOR_H_

#include <cstdint>
#include <cstring>

#include "base/half.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace deeprect {
namespace DEEPRECT_ISA {
namespace {

// Written out for each n: if the size depends on a parameter, GCC 12 adds copies of registers to
// the loop of the matrix products.
template <typename T, int n>
struct VectorOf;
template <>
struct VectorOf<float, 4> {
  typedef float type __attribute__((vector_size(16), aligned(4), may_alias));
};
template <>
struct VectorOf<float, 8> {
  typedef float type __attribute__((vector_size(32), aligned(4), may_alias));
};
template <>
struct VectorOf<float, 16> {
  typedef float type __attribute__((vector_size(64), aligned(4), may_alias));
};
template <>
struct VectorOf<double, 8> {
  typedef double type __attribute__((vector_size(64), aligned(8), may_alias));
};
template <typename T, int n>
using Vector = typename VectorOf<T, n>::type;

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
typedef float Vec __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));
typedef int32_t Index __attribute__((vector_size(4 * kLanes)));

// ---- load and store ----

template <int n>
inline Vector<float, n> load(const float* p) {
  return *reinterpret_cast<const Vector<float, n>*>(p);
}
template <int n>
inline Vector<double, n> load(const double* p) {
  return *reinterpret_cast<const Vector<double, n>*>(p);
}
// Half precision is converted to float.
template <int n>
inline Vector<float, n> load(const Half* p) {
#if defined(__F16C__)
  static_assert(n == 8);
  return (Vector<float, n>)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
  Vector<float, n> v;
  for (int l = 0; l < n; ++l) v[l] = half_to_float(p[l]);
  return v;
#endif
}
inline Vec load(const float* p) { return *reinterpret_cast<const Vec*>(p); }

template <int n>
inline void store(float* p, Vector<float, n> v) {
  *reinterpret_cast<Vector<float, n>*>(p) = v;
}
template <int n>
inline void store(double* p, Vector<double, n> v) {
  *reinterpret_cast<Vector<double, n>*>(p) = v;
}
template <int n>
inline void store(Half* p, Vector<float, n> v) {
#if defined(__F16C__)
  static_assert(n == 8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT));
#else
  for (int l = 0; l < n; ++l) p[l] = float_to_half(v[l]);
#endif
}
inline void store(float* p, Vec v) { *reinterpret_cast<Vec*>(p) = v; }

// Store past the caches, if the instruction set can. p is aligned to the vector.
template <int n>
inline void stream(float* p, Vector<float, n> v) {
#if defined(__AVX512F__)
  if constexpr (n == 16) return _mm512_stream_ps(p, (__m512)v);
#endif
#if defined(__AVX__)
  if constexpr (n == 8) return _mm256_stream_ps(p, (__m256)v);
#endif
#if defined(__x86_64__)
  for (int l = 0; l < n; l += 4) {
    _mm_stream_ps(p + l, __m128{v[l], v[l + 1], v[l + 2], v[l + 3]});
  }
#else
  store<n>(p, v);
#endif
}
template <int n>
inline void stream(double* p, Vector<double, n> v) {
#if defined(__AVX512F__)
  if constexpr (n == 8) return _mm512_stream_pd(p, (__m512d)v);
#endif
#if defined(__x86_64__)
  for (int l = 0; l < n; l += 2) _mm_stream_pd(p + l, __m128d{v[l], v[l + 1]});
#else
  store<n>(p, v);
#endif
}
template <int n>
inline void stream(Half* p, Vector<float, n> v) {
#if defined(__x86_64__)
  static_assert(n == 8);
  alignas(16) Half halves[n];
  store<n>(halves, v);
  _mm_stream_si128(reinterpret_cast<__m128i*>(p), *reinterpret_cast<const __m128i*>(halves));
#else
  store<n>(p, v);
#endif
}
inline void stream(float* p, Vec v) { stream<kLanes>(p, v); }

#if defined(__AVX2__) && !defined(__AVX512F__)
inline __m256i mask_of(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(int(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif

// Load n floats, 0 <= n <= kLanes; the other lanes are zero.
inline Vec load_some(const float* p, int64_t n) {
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_loadu_ps(__mmask16((1u << n) - 1), p);
#elif defined(__AVX2__)
  return (Vec)_mm256_maskload_ps(p, mask_of(n));
#else
  Vec v{};
  std::memcpy(&v, p, n * sizeof(float));
  return v;
#endif
}
// Store the first n lanes.
inline void store_some(float* p, Vec v, int64_t n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, __mmask16((1u << n) - 1), (__m512)v);
#elif defined(__AVX2__)
  _mm256_maskstore_ps(p, mask_of(n), (__m256)v);
#else
  std::memcpy(p, &v, n * sizeof(float));
#endif
}

// ---- transpose ----

// Swap the off-diagonal halves of every 2s x 2s block.
template <int s>
inline void transpose_step(Vec* v) {
  Index low, high;
  for (int i = 0; i < kLanes; ++i) {
    low[i] = i & s ? kLanes + (i ^ s) : i;
    high[i] = i & s ? kLanes + i : i ^ s;
  }
  for (int i = 0; i < kLanes; ++i) {
    if (i & s) continue;
    const Vec a = v[i], b = v[i + s];
    v[i] = __builtin_shuffle(a, b, low);
    v[i + s] = __builtin_shuffle(a, b, high);
  }
}

inline void transpose(Vec* v) {
  transpose_step<1>(v);
  transpose_step<2>(v);
  if constexpr (kLanes > 4) transpose_step<4>(v);
  if constexpr (kLanes > 8) transpose_step<8>(v);
}

// Load n floats, 0 < n <= kLanes, of each of `lanes` rows that are `stride` apart, and transpose:
// v[i][lane] is float i of row `lane`. Lanes without a row are zero. Loading rows and shuffling
// them takes a fraction of the time of gathers.
inline void load_transposed(const float* rows, int64_t stride, int64_t lanes, int64_t n, Vec* v) {
  if (lanes >= kLanes && n == kLanes) {
    for (int l = 0; l < kLanes; ++l) v[l] = load(rows + l * stride);
  } else {
    for (int l = 0; l < kLanes; ++l) v[l] = l < lanes ? load_some(rows + l * stride, n) : Vec{};
  }
  transpose(v);
}

// In interleaved memory, float i of all rows lies side by side: row `lane` has it at [i * kLanes +
// lane].

// Interleave `count` floats of each row. Prefetch the floats that are `ahead` of them: the hardware
// prefetcher does not follow so many rows.
inline void interleave(const float* rows, int64_t stride, int64_t lanes, int64_t count,
                       int64_t ahead, float* to) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const int64_t n = count - i < kLanes ? count - i : kLanes;
    for (int64_t l = 0; l < lanes && l < kLanes; ++l) {
      __builtin_prefetch(rows + i + l * stride + ahead);
    }
    Vec v[kLanes];
    load_transposed(rows + i, stride, lanes, n, v);
    for (int64_t k = 0; k < n; ++k) store(to + (i + k) * kLanes, v[k]);
  }
}

// Write interleaved memory back to rows. What is written to n floats from `to` on in row `lane` is
// finish(v, lane, to, n), where v are the interleaved values.
template <typename F>
inline void deinterleave(const float* from, int64_t lanes, int64_t count, float* rows,
                         int64_t stride, F&& finish) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const int64_t n = count - i < kLanes ? count - i : kLanes;
    Vec v[kLanes];
    for (int k = 0; k < kLanes; ++k) v[k] = k < n ? load(from + (i + k) * kLanes) : Vec{};
    transpose(v);
    for (int64_t l = 0; l < lanes; ++l) {
      float* const to = rows + l * stride + i;
      const Vec finished = finish(v[l], l, to, n);
      n == kLanes ? store(to, finished) : store_some(to, finished, n);
    }
  }
}

}  // namespace
}  // namespace DEEPRECT_ISA
}  // namespace deeprect

#endif  // DEEPRECT_SIMD_VECTOR_H_
