#include "conv/conv_prelu.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/scratch.h"
#include "prelu/cpu.h"

namespace deeprect {
namespace {

constexpr float kZero = 0;

// Add up eight lanes: the order of the additions is fixed, and the compiler can vectorise them.
double sum_of(const float* p, int64_t n) {
  double lanes[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int l = 0; l < 8; ++l) lanes[l] += p[i + l];
  }
  double sum = 0;
  for (; i < n; ++i) sum += p[i];
  for (double lane : lanes) sum += lane;
  return sum;
}

void bias_gradient(const Convolution& c, const float* dz, float* dbias) {
  const int64_t plane = c.out_height() * c.out_width();
  constexpr int64_t kTogether = 16;  // planes of an image that are read one after another
#pragma omp parallel for schedule(static)
  for (int64_t first = 0; first < c.out_channels; first += kTogether) {
    const int64_t count = std::min(kTogether, c.out_channels - first);
    double sums[kTogether] = {};
    for (int64_t n = 0; n < c.images; ++n) {
      const float* const planes = dz + (n * c.out_channels + first) * plane;
      for (int64_t o = 0; o < count; ++o) sums[o] += sum_of(planes + o * plane, plane);
    }
    std::copy_n(sums, count, dbias + first);
  }
}

// Some of the output channels, and copies of their planes.
class SomeChannels {
 public:
  SomeChannels(const Convolution& c, std::vector<int64_t> channels)
      : c_(c), channels_(std::move(channels)) {}

  int64_t count() const { return channels_.size(); }
  void gather(const float* all, float* some) const {
    for_each([&](int64_t from, int64_t to, int64_t n) { std::copy_n(all + from, n, some + to); });
  }
  void scatter(const float* some, float* all) const {
    for_each([&](int64_t to, int64_t from, int64_t n) { std::copy_n(some + from, n, all + to); });
  }
  // Return the channels' part of a tensor that has `size` numbers for each channel.
  std::vector<float> rows(const float* all, int64_t size) const {
    std::vector<float> result;
    for (int64_t o : channels_) result.insert(result.end(), all + o * size, all + (o + 1) * size);
    return result;
  }
  int64_t operator[](int64_t i) const { return channels_[i]; }

 private:
  template <typename F>
  void for_each(F&& copy) const {
    const int64_t plane = c_.out_height() * c_.out_width();
#pragma omp parallel for collapse(2)
    for (int64_t n = 0; n < c_.images; ++n) {
      for (int64_t i = 0; i < count(); ++i) {
        copy((n * c_.out_channels + channels_[i]) * plane, (n * count() + i) * plane, plane);
      }
    }
  }
  Convolution c_;
  std::vector<int64_t> channels_;
};

// With a smaller positive slope, y may have been rounded to zero.
constexpr float kSmallestSlope = 1e-12f;

void prelu_backward(const Extents& extents, const float* dy, const float* x, const float* alpha,
                    float* dx, float* dalpha) {
  prelu_backward_cpu({extents, DType::kFloat32, dy, x, DType::kFloat32, alpha, dx, dalpha});
}

WeightMatrix forward_weights(const Convolution& c, const float* weight) {
  return {weight, c.in_channels * c.taps(), c.taps(), false};
}

// Compute dz and dalpha of the channels `some`, whose rectifier's input z cannot be had from y:
// convolve them again.
void recompute_backward(const ConvPReLU& layer, const SomeChannels& some, const float* dy,
                        float* dz, float* dalpha) {
  const Convolution& c = layer.convolution;
  const bool shared = layer.rectifier.shared;
  const int64_t plane = c.out_height() * c.out_width(), size = c.images * some.count() * plane;
  const std::vector<float> weights = some.rows(layer.weight, c.in_channels * c.taps());
  const std::vector<float> biases = some.rows(layer.bias, 1);
  const std::vector<float> slopes =
      shared ? std::vector<float>{*layer.rectifier.alpha} : some.rows(layer.rectifier.alpha, 1);
  const Extents extents = shared ? Extents{1, 1, size} : Extents{c.images, some.count(), plane};
  const Scratch z(size), g(size);
  Convolution fewer = c;
  fewer.out_channels = some.count();
  convolve(fewer, {layer.x}, forward_weights(fewer, weights.data()), {biases.data(), nullptr, 0},
           z.data());
  some.gather(dy, g.data());
  std::vector<float> sums(slopes.size());
  prelu_backward(extents, g.data(), z.data(), slopes.data(), g.data(), sums.data());
  some.scatter(g.data(), dz);
  for (size_t i = 0; i < sums.size(); ++i) dalpha[shared ? 0 : some[i]] = sums[i];
}

// Compute dz, the gradient of the rectifier's input z, and dalpha.
void rectifier_backward(const ConvPReLU& layer, const float* y, const float* dy, float* dz,
                        float* dalpha) {
  const Convolution& c = layer.convolution;
  const auto [alpha, shared] = layer.rectifier;
  const Extents all{c.images, c.out_channels, c.out_height() * c.out_width()};
  const Extents one{1, 1, all.size()};
  if (!alpha) {
    float unused;
    prelu_backward(one, dy, y, &kZero, dz, &unused);
    return;
  }
  // PReLU's backward of y instead of z has the right dz, since the signs are the same. For dalpha
  // it sums dy * alpha * z.
  const Extents& extents = shared ? one : all;
  prelu_backward(extents, dy, y, alpha, dz, dalpha);
  for (int64_t i = 0; i < extents.channels; ++i) dalpha[i] /= alpha[i];
  std::vector<int64_t> lost;
  for (int64_t o = 0; o < c.out_channels; ++o) {
    if (!(alpha[shared ? 0 : o] >= kSmallestSlope)) lost.push_back(o);
  }
  if (!lost.empty()) recompute_backward(layer, {c, std::move(lost)}, dy, dz, dalpha);
}

}  // namespace

void conv_prelu_forward(const ConvPReLU& layer, float* y) {
  const Convolution& c = layer.convolution;
  if (c.images == 0) return;
  const auto [alpha, shared] = layer.rectifier;
  const Epilogue end{layer.bias, alpha ? alpha : &kZero, alpha && !shared};
  convolve(c, {layer.x}, forward_weights(c, layer.weight), end, y);
}

void conv_prelu_backward(const ConvPReLU& layer, const float* y, const float* dy,
                         const ConvPReLUGradients& gradients) {
  const Convolution& c = layer.convolution;
  const auto [dx, dweight, dbias, dalpha] = gradients;
  if (c.images == 0) {  // the sums are empty
    std::fill_n(dweight, c.out_channels * c.in_channels * c.taps(), 0.0f);
    std::fill_n(dbias, c.out_channels, 0.0f);
    if (dalpha) std::fill_n(dalpha, layer.rectifier.shared ? 1 : c.out_channels, 0.0f);
    return;
  }
  const Scratch dz(c.images * c.out_channels * c.out_height() * c.out_width());
  rectifier_backward(layer, y, dy, dz.data(), dalpha);
  bias_gradient(c, dz.data(), dbias);
  weight_gradient(c, layer.x, dz.data(), dweight);
  // The gradient of the data is the convolution of dz with the weights transposed and reversed.
  const Convolution back{c.images,      c.out_channels, c.in_channels,       c.out_height(),
                         c.out_width(), c.kernel,       c.kernel - 1 - c.pad};
  convolve(back, {dz.data()}, {layer.weight, c.taps(), c.in_channels * c.taps(), true},
           {nullptr, nullptr, 0}, dx);
}

}  // namespace deeprect
