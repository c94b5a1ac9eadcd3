// Images of bytes: reading a JPEG file, and the operations that Pillow does in Python, bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace deeprect {

/// Pixels of one (grey) or three (RGB) bytes, row by row.
struct Image {
  int height, width, channels;
  std::vector<uint8_t> pixels;

  Image(int height, int width, int channels)
      : height(height),
        width(width),
        channels(channels),
        pixels(static_cast<size_t>(height) * width * channels) {}

  uint8_t* at(int y, int x) { return &pixels[(static_cast<size_t>(y) * width + x) * channels]; }
  const uint8_t* at(int y, int x) const {
    return &pixels[(static_cast<size_t>(y) * width + x) * channels];
  }
};

/// Read a JPEG file, turned upright as its EXIF orientation has it.
///
/// Throws std::runtime_error if it cannot be read, is no JPEG, is not whole, or holds CMYK.
Image read_jpeg(const std::string& path);

/// Return the image in grey (1) or RGB (3), by the luma of ITU-R 601.
Image with_channels(const Image& image, int channels);

/// Return the centre, `size` pixels square, of the image resized so that its shorter side has
/// `side` pixels: bicubic, antialiased. Only what the centre shows is computed.
Image resize_and_crop(const Image& image, int side, int size);

/// Return the image with a border of black up to `size` pixels in height and width.
Image pad(const Image& image, int size);

}  // namespace deeprect
