#include "conv/conv_prelu.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/scratch.h"
#include "prelu/cpu.h"

namespace deeprect {
namespace {

constexpr float kZero = 0;

// Eight lanes, so that the order of additions is fixed and yet fast.
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
  constexpr int64_t kTogether = 16;  // for long runs of memory
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

// The planes of some of the output channels, collected into a tensor of their own.
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
  // The elements of a tensor of `size` numbers for each channel.
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

// A smaller slope might have rounded y to zero.
constexpr float kSmallestSlope = 1e-12f;

// dz and dalpha from y: PReLU's backward of y in place of z has the right dz, since the signs are
// the same, and for dalpha it sums dy * alpha * z.
void rectifier_backward_from_y(const Extents& extents, const float* dy, const float* y,
                               const float* alpha, float* dz, float* dalpha) {
  prelu_backward_cpu(extents, DType::kFloat32, dy, y, DType::kFloat32, alpha, dz, dalpha);
  for (int64_t i = 0; i < extents.channels; ++i) dalpha[i] /= alpha[i];
}

void rectifier_backward(const Convolution& c, const float* dy, const float* x, const float* weight,
                        const float* bias, const Rectifier& rectifier, const float* y, float* dz,
                        float* dalpha) {
  const int64_t plane = c.out_height() * c.out_width();
  const Extents all{c.images, c.out_channels, plane}, one{1, 1, all.size()};
  if (!rectifier.alpha) {
    float unused;
    prelu_backward_cpu(one, DType::kFloat32, dy, y, DType::kFloat32, &kZero, dz, &unused);
    return;
  }
  const bool shared = rectifier.shared;
  rectifier_backward_from_y(shared ? one : all, dy, y, rectifier.alpha, dz, dalpha);
  std::vector<int64_t> lost;
  for (int64_t o = 0; o < c.out_channels; ++o) {
    if (!(rectifier.alpha[shared ? 0 : o] >= kSmallestSlope)) lost.push_back(o);
  }
  if (lost.empty()) return;
  const SomeChannels some(c, std::move(lost));
  const int64_t taps = c.kernel * c.kernel, count = some.count();
  const std::vector<float> weights = some.rows(weight, c.in_channels * taps);
  const std::vector<float> biases = some.rows(bias, 1);
  const std::vector<float> slopes =
      shared ? std::vector<float>{*rectifier.alpha} : some.rows(rectifier.alpha, 1);
  const Extents extents = shared ? one : Extents{c.images, count, plane};
  const Scratch z(c.images * count * plane), g(c.images * count * plane);
  Convolution fewer = c;
  fewer.out_channels = count;
  convolve(fewer, x, {weights.data(), c.in_channels * taps, taps, false},
           {biases.data(), nullptr, 0}, z.data());
  some.gather(dy, g.data());
  std::vector<float> sums(slopes.size());
  prelu_backward_cpu(extents, DType::kFloat32, g.data(), z.data(), DType::kFloat32, slopes.data(),
                     g.data(), sums.data());
  some.scatter(g.data(), dz);
  for (int64_t i = 0; i < static_cast<int64_t>(sums.size()); ++i) {
    dalpha[shared ? 0 : some[i]] = sums[i];
  }
}

}  // namespace

void conv_prelu_forward(const Convolution& c, const float* x, const float* weight,
                        const float* bias, const Rectifier& rectifier, float* y) {
  if (c.images == 0) return;
  const int64_t taps = c.kernel * c.kernel;
  const float* const alpha = rectifier.alpha ? rectifier.alpha : &kZero;
  const bool each = rectifier.alpha && !rectifier.shared;
  convolve(c, x, {weight, c.in_channels * taps, taps, false}, {bias, alpha, each}, y);
}

void conv_prelu_backward(const Convolution& c, const float* dy, const float* x, const float* weight,
                         const float* bias, const Rectifier& rectifier, const float* y, float* dx,
                         float* dweight, float* dbias, float* dalpha) {
  const int64_t taps = c.kernel * c.kernel;
  if (c.images == 0) {
    std::fill_n(dweight, c.out_channels * c.in_channels * taps, 0.0f);
    std::fill_n(dbias, c.out_channels, 0.0f);
    if (dalpha) std::fill_n(dalpha, rectifier.shared ? 1 : c.out_channels, 0.0f);
    return;
  }
  const Scratch dz(c.images * c.out_channels * c.out_height() * c.out_width());
  rectifier_backward(c, dy, x, weight, bias, rectifier, y, dz.data(), dalpha);
  bias_gradient(c, dz.data(), dbias);
  weight_gradient(c, x, dz.data(), dweight);
  // The gradient of the data is the convolution of dz with the weights transposed and reversed.
  const Convolution back{c.images,      c.out_channels, c.in_channels,       c.out_height(),
                         c.out_width(), c.kernel,       c.kernel - 1 - c.pad};
  convolve(back, dz.data(), {weight, taps, c.in_channels * taps, true}, {nullptr, nullptr, 0}, dx);
}

}  // namespace deeprect
