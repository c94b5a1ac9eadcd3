// Vectors of float, as wide as the registers of the instruction set that this is being compiled
// for (DEEPRECT_ISA).
#ifndef DEEPRECT_SIMD_VECTOR_H_
#define DEEPRECT_SIMD_VECTOR_H_

#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace deeprect {
namespace DEEPRECT_ISA {
namespace {

#define DEEPRECT_STRING_(x) #x
#define DEEPRECT_STRING(x) DEEPRECT_STRING_(x)
constexpr char kIsa[] = DEEPRECT_STRING(DEEPRECT_ISA);

#if defined(__AVX512F__)
constexpr int kLanes = 16, kRegisters = 32, kVectors = 3;
#elif defined(__AVX__)
constexpr int kLanes = 8, kRegisters = 16, kVectors = 2;
#else
constexpr int kLanes = 4, kRegisters = 16, kVectors = 2;
#endif
constexpr int kBlock = kVectors * kLanes;

// A row of a panel for `width` columns: whole vectors, at most a block.
inline int64_t panel_row(int64_t width) {
  return width < kBlock ? (width + kLanes - 1) / kLanes * kLanes : kBlock;
}

typedef float Vec __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));
typedef int32_t Index __attribute__((vector_size(4 * kLanes)));

inline Vec load(const float* p) { return *reinterpret_cast<const Vec*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<Vec*>(p) = v; }

// Past the caches, if the instruction set can; p is aligned to the vector.
inline void stream(float* p, Vec v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, (__m512)v);
#elif defined(__AVX2__)
  _mm256_stream_ps(p, (__m256)v);
#else
  store(p, v);
#endif
}

#if defined(__AVX2__) && !defined(__AVX512F__)
inline __m256i mask_of(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(int(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif

// The first n floats, 0 <= n <= kLanes; zeros for the rest.
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
inline void store_some(float* p, Vec v, int64_t n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, __mmask16((1u << n) - 1), (__m512)v);
#elif defined(__AVX2__)
  _mm256_maskstore_ps(p, mask_of(n), (__m256)v);
#else
  std::memcpy(p, &v, n * sizeof(float));
#endif
}

// Swaps the off-diagonal halves of every 2s x 2s block.
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

// v[i][lane] is float i of n, 0 < n <= kLanes, in the row of a lane; the rows lie `stride` apart,
// and of lanes that do not exist are zero. For 16 lanes, shuffles take a fraction of the time of
// gathers.
inline void load_transposed(const float* rows, int64_t stride, int64_t lanes, int64_t n, Vec* v) {
  if (lanes >= kLanes && n == kLanes) {
    for (int l = 0; l < kLanes; ++l) v[l] = load(rows + l * stride);
  } else {
    for (int l = 0; l < kLanes; ++l) v[l] = l < lanes ? load_some(rows + l * stride, n) : Vec{};
  }
  transpose(v);
}

// Interleaved, float i of every row lies side by side: at [i * kLanes + lane].

// Interleaves `count` floats of each row. Those `ahead` of them are prefetched: too many streams
// for the hardware to follow.
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

// Writes finish(v, lane, to, n) for n floats v from `to` on in the row of a lane, and so all rows.
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
