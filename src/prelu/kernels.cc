// The vector kernels of PReLU, compiled for DEEPRECT_ISA.
//
// Sums of the slope's gradient have kWidth lanes and are added up in a fixed order, whatever the
// width of the registers: every instruction set returns the same bits.
#include "prelu/kernels.h"

#include <cstdint>
#include <type_traits>

#include "simd/vector.h"

namespace deeprect {
namespace DEEPRECT_ISA {
namespace {

constexpr int kWidth = 8;
constexpr int kUnroll = 2;
constexpr int kStep = kWidth * kUnroll;
// The distance of the prefetch: a page of 4 KiB, where the hardware prefetcher stops. Chosen on
// 2026-11-23 (docs/operator.md, "How it is fast").
constexpr int kPrefetchBytes = 4096;

template <typename T>
using Vectors = Vector<T, kWidth>;
using Doubles = Vectors<double>;

inline float load_one(const float* p) { return *p; }
inline double load_one(const double* p) { return *p; }
inline float load_one(const Half* p) { return half_to_float(*p); }
inline void store_one(float* p, float v) { *p = v; }
inline void store_one(double* p, double v) { *p = v; }
inline void store_one(Half* p, float v) { *p = float_to_half(v); }

// Call f with a function that stores a vector; past the caches if `streaming` and if `start` is
// aligned.
template <typename T, typename F>
inline void with_store(bool streaming, const T* start, F&& f) {
  using V = Vectors<Math<T>>;
  if (streaming && reinterpret_cast<uintptr_t>(start) % 64 == 0) {
    f([](T* p, V v) { stream<kWidth>(p, v); });
  } else {
    f([](T* p, V v) { store<kWidth>(p, v); });
  }
}

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

inline Doubles widen(Vectors<float> v) { return __builtin_convertvector(v, Doubles); }
inline Doubles widen(Doubles v) { return v; }

// The rounding error of product = a * b.
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

// Add the terms of the slope's gradient: prelu_grad_alpha for vectors.
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

// Prefetch the data of a later step. The hardware prefetcher does this within a page of 4 KiB, but
// not across pages.
template <typename T>
inline void prefetch_step(const T* p) {
  const char* ahead = reinterpret_cast<const char*>(p) + kPrefetchBytes;
  for (size_t i = 0; i < kStep * sizeof(T); i += 64) __builtin_prefetch(ahead + i);
}

// ---- one slope for a run of elements ----

template <typename T, typename Store>
inline void forward_run(const T* x, Math<T> a, T* y, int64_t n, Store store) {
  const auto step = [&](int64_t i) {
    const Vectors<Math<T>> v = load<kWidth>(x + i);
    store(y + i, v > 0 ? v : a * v);
  };
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    prefetch_step(x + i);
    for (int u = 0; u < kUnroll; ++u) step(i + u * kWidth);
  }
  for (; i + kWidth <= n; i += kWidth) step(i);
  for (; i < n; ++i) store_one(y + i, prelu(load_one(x + i), a));
}

// The gradient of one slope, summed over any number of runs.
template <typename T>
struct RunSum {
  Sum<T, Doubles> lanes[kUnroll];
  Sum<T, double> rest;

  CompensatedSum<double> fold() const {
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
    sums[0].add(rest);
    return compensated(sums[0]);
  }
};

template <typename T, typename Store>
inline void backward_run(const T* dy, const T* x, Math<T> a, T* dx, int64_t n, RunSum<T>& total,
                         Store store) {
  using V = Vectors<Math<T>>;
  RunSum<T> s = total;
  const auto step = [&](int64_t i, int lane) {
    const V v = load<kWidth>(x + i), g = load<kWidth>(dy + i);
    store(dx + i, v > V{} ? g : a * g);
    add_terms(s.lanes[lane], widen(g), widen(v));
  };
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    prefetch_step(x + i);
    prefetch_step(dy + i);
    for (int u = 0; u < kUnroll; ++u) step(i + u * kWidth, u);
  }
  for (; i + kWidth <= n; i += kWidth) step(i, 0);
  for (; i < n; ++i) {
    const Math<T> v = load_one(x + i), g = load_one(dy + i);
    store_one(dx + i, prelu_grad_data(g, v, a));
    add_terms<double>(s.rest, g, v);
  }
  total = s;
}

// ---- a slope for each element of a row ----

template <typename T, typename Store>
inline void forward_row(const T* x, const Math<T>* a, T* y, int64_t n, Store store) {
  const auto step = [&](int64_t i) {
    const Vectors<Math<T>> v = load<kWidth>(x + i);
    store(y + i, v > 0 ? v : load<kWidth>(a + i) * v);
  };
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    prefetch_step(x + i);
    for (int u = 0; u < kUnroll; ++u) step(i + u * kWidth);
  }
  for (; i + kWidth <= n; i += kWidth) step(i);
  for (; i < n; ++i) store_one(y + i, prelu(load_one(x + i), a[i]));
}

// The gradients of kColumns slopes, summed over any number of rows.
template <typename T>
struct RowSums {
  double sum[kColumns] = {};
  double error[sizeof(Math<T>) == 8 ? kColumns : 1] = {};

  template <typename V>
  Sum<T, V> get(int64_t i) const {
    Sum<T, V> s;
    s.sum = read<V>(sum + i);
    if constexpr (sizeof(Math<T>) == 8) s.error = read<V>(error + i);
    return s;
  }
  template <typename V>
  void set(int64_t i, const Sum<T, V>& s) {
    write(sum + i, s.sum);
    if constexpr (sizeof(Math<T>) == 8) write(error + i, s.error);
  }

 private:
  template <typename V>
  static V read(const double* p) {
    if constexpr (sizeof(V) == sizeof(double))
      return *p;
    else
      return load<kWidth>(p);
  }
  static void write(double* p, double v) { *p = v; }
  static void write(double* p, Doubles v) { store<kWidth>(p, v); }
};

// Take kRows rows of n elements, `stride` apart, at a time, and read and write the sums once.
template <int kRows, typename T, typename Store>
inline void backward_rows(const T* dy, const T* x, const Math<T>* a, T* dx, int64_t n,
                          int64_t stride, RowSums<T>& sums, Store store) {
  using V = Vectors<Math<T>>;
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    const V slopes = load<kWidth>(a + i);
    auto s = sums.template get<Doubles>(i);
    for (int r = 0; r < kRows; ++r) {
      const int64_t at = i + r * stride;
      __builtin_prefetch(x + at + kRows * stride);
      __builtin_prefetch(dy + at + kRows * stride);
      const V v = load<kWidth>(x + at), g = load<kWidth>(dy + at);
      store(dx + at, v > V{} ? g : slopes * g);
      add_terms(s, widen(g), widen(v));
    }
    sums.set(i, s);
  }
  for (; i < n; ++i) {
    auto s = sums.template get<double>(i);
    for (int r = 0; r < kRows; ++r) {
      const int64_t at = i + r * stride;
      const Math<T> v = load_one(x + at), g = load_one(dy + at);
      store_one(dx + at, prelu_grad_data(g, v, a[i]));
      add_terms<double>(s, g, v);
    }
    sums.set(i, s);
  }
}

// ---- boxes ----

template <typename T>
void forward(const Extents& e, const Box& b, bool streaming, ForwardTensors<T> f) {
  const T* const x = f.x;
  const Math<T>* const alpha = f.alpha;
  T* const y = f.y;
  for (int64_t n = b.n0; n < b.n1; ++n) {
    if (e.inner == 1) {
      const int64_t at = n * e.channels + b.c0;
      with_store(streaming, y + at, [&](auto store) {
        forward_row(x + at, alpha + b.c0, y + at, b.c1 - b.c0, store);
      });
      continue;
    }
    for (int64_t c = b.c0; c < b.c1; ++c) {
      const int64_t at = (n * e.channels + c) * e.inner + b.i0;
      with_store(streaming, y + at,
                 [&](auto store) { forward_run(x + at, alpha[c], y + at, b.i1 - b.i0, store); });
    }
  }
}

template <typename T>
void backward_box_of_rows(const Extents& e, const Box& b, bool streaming, BackwardTensors<T> f) {
  const T *const dy = f.dy, *const x = f.x;
  const Math<T>* const alpha = f.alpha;
  T* const dx = f.dx;
  RowSums<T> sums;
  const int64_t stride = e.channels, columns = b.c1 - b.c0;
  int64_t n = b.n0;
  const auto rows = [&](auto count) {
    for (; n + count <= b.n1; n += count) {
      const int64_t at = n * stride + b.c0;
      with_store(streaming && stride * sizeof(T) % 64 == 0, dx + at, [&](auto store) {
        backward_rows<count>(dy + at, x + at, alpha + b.c0, dx + at, columns, stride, sums, store);
      });
    }
  };
  // Cache lines that bypass the caches are written fastest one after another.
  if (!streaming) rows(std::integral_constant<int, 4>());
  rows(std::integral_constant<int, 1>());
  for (int64_t j = 0; j < columns; ++j) {
    f.grad_alpha[b.c0 + j] = compensated(sums.template get<double>(j));
  }
}

template <typename T>
void backward(const Extents& e, const Box& b, bool streaming, BackwardTensors<T> f) {
  if (e.inner == 1) {
    backward_box_of_rows(e, b, streaming, f);
    return;
  }
  const T *const dy = f.dy, *const x = f.x;
  const Math<T>* const alpha = f.alpha;
  T* const dx = f.dx;
  RunSum<T> sums[kRuns];
  for (int64_t n = b.n0; n < b.n1; ++n) {
    for (int64_t c = b.c0; c < b.c1; ++c) {
      const int64_t at = (n * e.channels + c) * e.inner + b.i0;
      with_store(streaming, dx + at, [&](auto store) {
        backward_run(dy + at, x + at, alpha[c], dx + at, b.i1 - b.i0, sums[c - b.c0], store);
      });
    }
  }
  for (int64_t c = b.c0; c < b.c1; ++c) f.grad_alpha[c] = sums[c - b.c0].fold();
}

}  // namespace

extern const PReLUKernels prelu_kernels = {
    {forward<float>, backward<float>},
    {forward<double>, backward<double>},
    {forward<Half>, backward<Half>},
};

}  // namespace DEEPRECT_ISA
}  // namespace deeprect
