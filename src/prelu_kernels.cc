// See prelu_kernels.h. DEEPRECT_ISA names the instruction set this file is being compiled for.
//
// Sums of the slope's gradient run in kLanes fixed lanes and are folded in a fixed order, whatever
// the vector width: every build returns the same bits.
#include "prelu_kernels.h"

#include "compensated_sum.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace deeprect {
namespace DEEPRECT_ISA {
namespace {

constexpr int kWidth = 8;
constexpr int kUnroll = 2;
constexpr int kStep = kWidth * kUnroll;

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
struct SumOf {
  template <typename V>
  using type = PlainSum<V>;
};
template <>
struct SumOf<double> {
  template <typename V>
  using type = CompensatedSum<V>;
};
template <typename T, typename V>
using Sum = typename SumOf<T>::template type<V>;

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

inline Doubles widen(Vector<float> v) { return __builtin_convertvector(v, Doubles); }
inline Doubles widen(Doubles v) { return v; }

// What rounding took from product = a * b.
inline double product_error(double a, double b, double product) {
  return __builtin_fma(a, b, -product);
}
inline Doubles product_error(Doubles a, Doubles b, Doubles product) {
#if defined(__AVX512F__)
  return (Doubles)_mm512_fmsub_pd((__m512d)a, (__m512d)b, (__m512d)product);
#else
  Doubles error;
  for (int l = 0; l < kWidth; ++l) error[l] = product_error(a[l], b[l], product[l]);
  return error;
#endif
}

// Adds the terms of the slope's gradient, prelu_grad_alpha in vector form.
template <typename V>
inline void add_terms(PlainSum<V>& s, V dy, V x) {
  s.add(x > V{} ? V{} : dy * x);
}
template <typename V>
inline void add_terms(CompensatedSum<V>& s, V dy, V x) {
  const V product = x > V{} ? V{} : dy * x;
  s.add(product);
  s.error += x > V{} ? V{} : product_error(dy, x, product);
}

template <typename T>
using Lanes = Sum<T, Doubles>[kUnroll];

template <typename T>
CompensatedSum<double> fold(const Lanes<T>& lanes) {
  Sum<T, double> sums[kStep];
  for (int u = 0; u < kUnroll; ++u) {
    for (int l = 0; l < kWidth; ++l) {
      sums[u * kWidth + l].sum = lanes[u].sum[l];
      if constexpr (sizeof(Math<T>) == 8) sums[u * kWidth + l].error = lanes[u].error[l];
    }
  }
  for (int width = kStep / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) sums[l].add(sums[l + width]);
  }
  return compensated(sums[0]);
}

// ---- one slope for a run of elements ----

template <typename T>
void forward_run(const T* x, Math<T> a, T* y, int64_t n) {
  using V = Vector<Math<T>>;
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    const V v = load(x + i);
    store(y + i, v > V{} ? v : a * v);
  }
  for (; i < n; ++i) store_one(y + i, prelu(load_one(x + i), a));
}

template <typename T>
CompensatedSum<double> backward_run(const T* dy, const T* x, Math<T> a, T* dx, int64_t n) {
  using V = Vector<Math<T>>;
  Lanes<T> lanes;
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    for (int u = 0; u < kUnroll; ++u) {
      const V v = load(x + i + u * kWidth);
      const V g = load(dy + i + u * kWidth);
      store(dx + i + u * kWidth, v > V{} ? g : a * g);
      add_terms(lanes[u], widen(g), widen(v));
    }
  }
  Sum<T, double> rest;
  for (; i < n; ++i) {
    const Math<T> v = load_one(x + i), g = load_one(dy + i);
    store_one(dx + i, prelu_grad_data(g, v, a));
    add_terms<double>(rest, g, v);
  }
  CompensatedSum<double> sum = fold<T>(lanes);
  sum.add(compensated(rest));
  return sum;
}

// ---- a slope for each element of a row ----

template <typename T>
void forward_row(const T* x, const Math<T>* a, T* y, int64_t n) {
  using V = Vector<Math<T>>;
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    const V v = load(x + i);
    store(y + i, v > V{} ? v : load(a + i) * v);
  }
  for (; i < n; ++i) store_one(y + i, prelu(load_one(x + i), a[i]));
}

template <typename T>
void backward_row(const T* dy, const T* x, const Math<T>* a, T* dx, int64_t n, double* sum,
                  double* error) {
  using V = Vector<Math<T>>;
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    const V v = load(x + i), g = load(dy + i);
    store(dx + i, v > V{} ? g : load(a + i) * g);
    Sum<T, Doubles> s;
    s.sum = load(sum + i);
    if constexpr (sizeof(Math<T>) == 8) s.error = load(error + i);
    add_terms(s, widen(g), widen(v));
    store(sum + i, s.sum);
    if constexpr (sizeof(Math<T>) == 8) store(error + i, s.error);
  }
  for (; i < n; ++i) {
    const Math<T> v = load_one(x + i), g = load_one(dy + i);
    store_one(dx + i, prelu_grad_data(g, v, a[i]));
    Sum<T, double> s;
    s.sum = sum[i];
    if constexpr (sizeof(Math<T>) == 8) s.error = error[i];
    add_terms<double>(s, g, v);
    sum[i] = s.sum;
    if constexpr (sizeof(Math<T>) == 8) error[i] = s.error;
  }
}

// ---- boxes ----

template <typename T>
void forward(const Extents& e, const Box& b, const T* x, const Math<T>* alpha, T* y) {
  for (int64_t n = b.n0; n < b.n1; ++n) {
    if (e.inner == 1) {
      const int64_t at = n * e.channels + b.c0;
      forward_row(x + at, alpha + b.c0, y + at, b.c1 - b.c0);
      continue;
    }
    for (int64_t c = b.c0; c < b.c1; ++c) {
      const int64_t at = (n * e.channels + c) * e.inner + b.i0;
      forward_run(x + at, alpha[c], y + at, b.i1 - b.i0);
    }
  }
}

template <typename T>
void backward(const Extents& e, const Box& b, const T* dy, const T* x, const Math<T>* alpha, T* dx,
              CompensatedSum<double>* grad_alpha) {
  constexpr int64_t kColumns = 256;
  for (int64_t c0 = b.c0; c0 < b.c1; c0 += kColumns) {
    const int64_t columns = b.c1 - c0 < kColumns ? b.c1 - c0 : kColumns;
    double sum[kColumns] = {}, error[kColumns] = {};
    for (int64_t n = b.n0; n < b.n1; ++n) {
      const int64_t at = (n * e.channels + c0) * e.inner + b.i0;
      if (e.inner == 1) {
        backward_row(dy + at, x + at, alpha + c0, dx + at, columns, sum, error);
        continue;
      }
      for (int64_t j = 0; j < columns; ++j) {
        const int64_t run = at + j * e.inner;
        CompensatedSum<double> s{sum[j], error[j]};
        s.add(backward_run(dy + run, x + run, alpha[c0 + j], dx + run, b.i1 - b.i0));
        sum[j] = s.sum;
        error[j] = s.error;
      }
    }
    for (int64_t j = 0; j < columns; ++j) {
      grad_alpha[c0 + j] = {sum[j], error[j]};
    }
  }
}

#define DEEPRECT_STRING_(x) #x
#define DEEPRECT_STRING(x) DEEPRECT_STRING_(x)

}  // namespace

extern const KernelTable kernels = {
    DEEPRECT_STRING(DEEPRECT_ISA),
    {forward<float>, backward<float>},
    {forward<double>, backward<double>},
    {forward<Half>, backward<Half>},
};

}  // namespace DEEPRECT_ISA
}  // namespace deeprect
