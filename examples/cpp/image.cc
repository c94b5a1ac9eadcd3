#include "image.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace deeprect {
namespace {

/// The pixels that one pixel of the result is made of, and their weights.
struct Window {
  int first;
  std::vector<int32_t> weights;
};

// Pillow's resampling (its src/libImaging/Resample.c): weights are integers of so many fractional
// bits, and rows are resized before columns, with a rounding to bytes between.
constexpr int kFractionalBits = 22;

/// The cubic of Keys with a = -1/2.
double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/// Return the windows of pixels `first` to `first + count` of a line resized from `from` to `to`.
std::vector<Window> windows(int from, int to, int first, int count) {
  const double scale = static_cast<double>(from) / to;
  const double stretch = std::max(scale, 1.0);  // a smaller image's pixels see a wider window
  const double support = 2 * stretch;
  std::vector<Window> result;
  result.reserve(count);
  for (int i = first; i < first + count; ++i) {
    const double centre = (i + 0.5) * scale;
    const int begin = std::max(0, static_cast<int>(centre - support + 0.5));
    const int end = std::min(from, static_cast<int>(centre + support + 0.5));
    std::vector<double> weights;
    double sum = 0;
    for (int x = begin; x < end; ++x) {
      weights.push_back(bicubic((x - centre + 0.5) * (1 / stretch)));
      sum += weights.back();
    }
    Window window{begin, {}};
    for (const double weight : weights) {
      const double scaled = weight / sum * (1 << kFractionalBits);
      window.weights.push_back(static_cast<int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5));
    }
    result.push_back(std::move(window));
  }
  return result;
}

/// Return the weighted sum of pixels that lie `stride` bytes apart.
uint8_t weighted(const Window& window, const uint8_t* pixel, size_t stride) {
  int32_t sum = 1 << (kFractionalBits - 1);
  for (const int32_t weight : window.weights) {
    sum += *pixel * weight;
    pixel += stride;
  }
  return static_cast<uint8_t>(std::clamp(sum >> kFractionalBits, 0, 255));
}

/// Return rows `top` to `top + height` and columns `left` to `left + width` of an image resized to
/// `full_height` x `full_width`.
Image resized_part(const Image& image, int full_height, int full_width, int top, int left,
                   int height, int width) {
  const auto columns = windows(image.width, full_width, left, width);
  const auto rows = windows(image.height, full_height, top, height);
  const int first = rows.front().first;
  const int last = rows.back().first + static_cast<int>(rows.back().weights.size());
  const int channels = image.channels;
  Image narrow(last - first, width, channels);
  for (int y = 0; y < narrow.height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        const uint8_t* source = image.at(first + y, columns[x].first) + c;
        narrow.at(y, x)[c] = weighted(columns[x], source, channels);
      }
    }
  }
  Image result(height, width, channels);
  const size_t stride = static_cast<size_t>(width) * channels;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        const uint8_t* source = narrow.at(rows[y].first - first, x) + c;
        result.at(y, x)[c] = weighted(rows[y], source, stride);
      }
    }
  }
  return result;
}

}  // namespace

Image with_channels(const Image& image, int channels) {
  if (image.channels == channels) return image;
  Image result(image.height, image.width, channels);
  const uint8_t* from = image.pixels.data();
  uint8_t* to = result.pixels.data();
  const size_t count = static_cast<size_t>(image.height) * image.width;
  for (size_t i = 0; i < count; ++i, from += image.channels, to += channels) {
    if (channels == 3) {
      std::fill_n(to, 3, *from);
    } else {
      // 0.299, 0.587 and 0.114 in 16 bits.
      *to =
          static_cast<uint8_t>((from[0] * 19595 + from[1] * 38470 + from[2] * 7471 + 0x8000) >> 16);
    }
  }
  return result;
}

Image resize_and_crop(const Image& image, int side, int size) {
  const double scale = static_cast<double>(side) / std::min(image.height, image.width);
  // Halves go to the even number, as Python's round has it.
  const auto scaled = [&](int length) {
    return std::max(side, static_cast<int>(std::nearbyint(length * scale)));
  };
  const int height = scaled(image.height), width = scaled(image.width);
  return resized_part(image, height, width, (height - size) / 2, (width - size) / 2, size, size);
}

Image pad(const Image& image, int size) {
  if (image.height > size || image.width > size) {
    throw std::invalid_argument("an image larger than its border");
  }
  Image result(size, size, image.channels);
  const int top = (size - image.height) / 2, left = (size - image.width) / 2;
  for (int y = 0; y < image.height; ++y) {
    std::copy_n(image.at(y, 0), static_cast<size_t>(image.width) * image.channels,
                result.at(top + y, left));
  }
  return result;
}

}  // namespace deeprect
