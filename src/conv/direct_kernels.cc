// The kernels of the direct convolution, compiled for DEEPRECT_ISA.
#include "conv/direct_kernels.h"

#include "simd/vector.h"

namespace deeprect {
namespace DEEPRECT_ISA {
namespace {

// Vectors of sums of each channel that registers hold.
#if defined(__AVX512F__)
constexpr int kWide = 6;
#else
constexpr int kWide = 2;
#endif

// Compute the sums from i on, `wide` vectors at a time, while they fit; return the first that is
// left.
template <int channels, int wide>
inline int64_t accumulate_from(const DirectSums& s, int64_t i) {
  for (; i + wide * kLanes <= s.count; i += wide * kLanes) {
    float* const sums = s.sums + i;
    Vec sum[channels][wide];
    for (int o = 0; o < channels; ++o) {
      for (int v = 0; v < wide; ++v) sum[o][v] = load(sums + o * s.channel_stride + v * kLanes);
    }
    const float* weight = s.weights;
    for (int64_t t = 0; t < s.terms; ++t, weight += kDirectChannels) {
      const float* const inputs = s.inputs + s.offsets[t] + i;
      for (int v = 0; v < wide; ++v) {
        const Vec input = load(inputs + v * kLanes);
        for (int o = 0; o < channels; ++o) sum[o][v] += weight[o] * input;
      }
    }
    for (int o = 0; o < channels; ++o) {
      for (int v = 0; v < wide; ++v) store(sums + o * s.channel_stride + v * kLanes, sum[o][v]);
    }
  }
  return i;
}

template <int channels>
void accumulate_channels(const DirectSums& s) {
  int64_t i = accumulate_from<channels, kWide>(s, 0);
  if constexpr (kWide > 4) i = accumulate_from<channels, 4>(s, i);
  i = accumulate_from<channels, 2>(s, i);
  accumulate_from<channels, 1>(s, i);
}

void accumulate(const DirectSums& s) {
  static_assert(kDirectChannels == 4);
  constexpr void (*of_channels[])(const DirectSums&) = {
      accumulate_channels<1>, accumulate_channels<2>, accumulate_channels<3>,
      accumulate_channels<4>};
  of_channels[s.channels - 1](s);
}

void load_row(const float* x, float scale, float shift, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = scale * x[i] + shift;
}

void finish_row(const DirectRow& r) {
  for (int64_t i = 0; i < r.count; i += kLanes) {
    const int64_t n = r.count - i < kLanes ? r.count - i : kLanes;
    Vec sum = load_some(r.sums + i, n) + r.bias;
    if (r.summand) sum += load_some(r.summand + i, n);
    store_some(r.y + i, sum > Vec{} ? sum : r.alpha * sum, n);
  }
}

}  // namespace

extern const DirectKernels direct_kernels = {kLanes, load_row, accumulate, finish_row};

}  // namespace DEEPRECT_ISA
}  // namespace deeprect
