// Crop, resize and normalise a part of an 8-bit RGB image in one pass. Python calls deeprect_crop.
// The bits do not depend on the instruction set.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "host/crop_kernels.h"

namespace {

// A pixel with three channels; the fourth lane is not used.
typedef float Pixel __attribute__((vector_size(16)));

// For each element of a resized axis: the elements of the image that are averaged, and their
// weights.
struct Taps {
  int64_t most = 0;  // elements that are averaged
  std::vector<int64_t> first, count;
  std::vector<float> weights;  // (size, most)

  // Resize [start, stop) of an axis of `length` elements to `size` elements.
  Taps(double start, double stop, int64_t length, int64_t size) : first(size), count(size) {
    const double step = (stop - start) / static_cast<double>(size);
    const double reach = std::max(step, 1.0);
    most = 2 * static_cast<int64_t>(std::ceil(reach)) + 1;
    weights.resize(size * most);
    for (int64_t i = 0; i < size; ++i) {
      const double center = start + (static_cast<double>(i) + 0.5) * step;
      const int64_t begin =
          std::max<int64_t>(0, static_cast<int64_t>(std::floor(center - reach + 0.5)));
      const int64_t end = std::min(length, static_cast<int64_t>(center + reach + 0.5));
      const auto weight = [&](int64_t j) {
        return std::max(0.0, 1 - std::abs(static_cast<double>(j) + 0.5 - center) / reach);
      };
      double sum = 0;
      for (int64_t j = begin; j < end; ++j) sum += weight(j);
      for (int64_t j = begin; j < end; ++j) {
        weights[i * most + j - begin] = static_cast<float>(weight(j) / sum);
      }
      first[i] = begin;
      count[i] = end - begin;
    }
  }

  const float* of(int64_t i) const { return &weights[i * most]; }
};

}  // namespace

// Turn a box of the image (height, width, 3) into out (3, size, size). The box is top, left, bottom
// and right, in pixels of the image and fractions of them. The filter is triangular: it
// interpolates linearly where the image grows, and averages where it shrinks. If `mirrored`, left
// and right are exchanged. In the end, each value becomes value * scale[c] + offset[c].
extern "C" void deeprect_crop(const uint8_t* image, int64_t height, int64_t width,
                              const double* box, int64_t size, int mirrored, const float* scale,
                              const float* offset, float* out) {
  const auto mean_of_rows = deeprect::crop_kernels().mean_of_rows;
  const Taps vertical(box[0], box[2], height, size);
  const Taps horizontal(box[1], box[3], width, size);
  const int64_t left = horizontal.first[0];
  const int64_t right = horizontal.first[size - 1] + horizontal.count[size - 1];
  std::vector<float> row(3 * (right - left) + 1);  // plus one: a pixel is read as four floats
  const Pixel scales = {scale[0], scale[1], scale[2], 0};
  const Pixel offsets = {offset[0], offset[1], offset[2], 0};
  const int64_t stride = 3 * width;
  for (int64_t y = 0; y < size; ++y) {
    mean_of_rows(image + vertical.first[y] * stride + 3 * left, stride, vertical.of(y),
                 vertical.count[y], 3 * (right - left), row.data());
    for (int64_t x = 0; x < size; ++x) {
      const float* from = row.data() + 3 * (horizontal.first[x] - left);
      const float* weights = horizontal.of(x);
      Pixel sum = {};
      for (int64_t k = 0; k < horizontal.count[x]; ++k) {
        Pixel pixel;
        std::memcpy(&pixel, from + 3 * k, sizeof pixel);
        sum += weights[k] * pixel;
      }
      sum = sum * scales + offsets;
      float* to = out + y * size + (mirrored ? size - 1 - x : x);
      for (int c = 0; c < 3; ++c) to[c * size * size] = sum[c];
    }
  }
}
