#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <stdexcept>

#include "file.h"
#include "image.h"
// libjpeg's headers do not include what they need.
// clang-format off
#include <cstdio>
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

namespace deeprect {
namespace {

// As many as Pillow admits before it calls an image a decompression bomb.
constexpr int64_t kMaxPixels = 178956970;

/// libjpeg's decoder. It reports errors by a jump, so its methods that can fail make no object with
/// a destructor.
class Decoder {
 public:
  explicit Decoder(const std::string& bytes) : bytes_(bytes) {
    info_.err = jpeg_std_error(&errors_);
    info_.client_data = this;
    errors_.error_exit = [](j_common_ptr info) {
      std::longjmp(static_cast<Decoder*>(info->client_data)->failed_, 1);
    };
    // A file that ends too early is only a warning to libjpeg, which makes up the rest in grey.
    errors_.emit_message = [](j_common_ptr info, int) {
      if (info->err->msg_code == JWRN_JPEG_EOF) info->err->error_exit(info);
    };
  }
  ~Decoder() { jpeg_destroy_decompress(&info_); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  /// Read up to the pixels; false if that fails.
  bool begin() {
    if (setjmp(failed_)) return false;
    jpeg_create_decompress(&info_);
    jpeg_mem_src(&info_, reinterpret_cast<const uint8_t*>(bytes_.data()), bytes_.size());
    jpeg_save_markers(&info_, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(&info_, TRUE);
    return true;
  }

  /// Decode all rows; false if that fails.
  bool read(Image& image) {
    if (setjmp(failed_)) return false;
    info_.out_color_space = image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_start_decompress(&info_);
    while (info_.output_scanline < info_.output_height) {
      JSAMPROW row = image.at(info_.output_scanline, 0);
      jpeg_read_scanlines(&info_, &row, 1);
    }
    return jpeg_finish_decompress(&info_);
  }

  std::string error() {
    char text[JMSG_LENGTH_MAX];
    errors_.format_message(reinterpret_cast<j_common_ptr>(&info_), text);
    return text;
  }

  const jpeg_decompress_struct& info() const { return info_; }

 private:
  const std::string& bytes_;
  jpeg_decompress_struct info_{};
  jpeg_error_mgr errors_;
  std::jmp_buf failed_;
};

/// Return the EXIF data, a TIFF file, which long ones have in several segments.
std::string exif(const jpeg_decompress_struct& info) {
  const std::string head("Exif\0\0", 6);
  std::string tiff;
  for (auto marker = info.marker_list; marker; marker = marker->next) {
    const std::string data(reinterpret_cast<char*>(marker->data), marker->data_length);
    if (data.compare(0, head.size(), head) == 0) tiff += data.substr(head.size());
  }
  return tiff;
}

/// Return the orientation, 1 to 8, that EXIF data state; 1 if they state none.
int orientation(const std::string& tiff) {
  constexpr uint32_t kOrientation = 0x0112, kShort = 3, kLong = 4;
  const size_t size = tiff.size();
  if (size < 8) return 1;
  const bool little = tiff[0] == 'I';
  const auto number = [&](size_t at, int bytes) {
    uint32_t value = 0;
    for (int i = 0; i < bytes; ++i) {
      value = value << 8 | static_cast<uint8_t>(tiff[at + (little ? bytes - 1 - i : i)]);
    }
    return value;
  };
  const size_t directory = number(4, 4);
  if (directory > size - 2) return 1;
  const size_t entries = std::min<size_t>(number(directory, 2), (size - directory - 2) / 12);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + 12 * i;
    if (number(entry, 2) != kOrientation) continue;
    const uint32_t type = number(entry + 2, 2);
    if ((type != kShort && type != kLong) || number(entry + 4, 4) != 1) return 1;
    const uint32_t value = number(entry + 8, type == kShort ? 2 : 4);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

/// Turn and mirror an image that was stored in an EXIF orientation.
Image upright(const Image& image, int orientation) {
  if (orientation == 1) return image;
  const bool transposed = orientation >= 5;
  const auto is_one_of = [&](const char* list) {
    return std::strchr(list, '0' + orientation) != nullptr;
  };
  const bool rows_reversed = is_one_of("3467"), columns_reversed = is_one_of("2378");
  Image result(transposed ? image.width : image.height, transposed ? image.height : image.width,
               image.channels);
  for (int y = 0; y < result.height; ++y) {
    for (int x = 0; x < result.width; ++x) {
      int row = transposed ? x : y, column = transposed ? y : x;
      if (rows_reversed) row = image.height - 1 - row;
      if (columns_reversed) column = image.width - 1 - column;
      std::copy_n(image.at(row, column), image.channels, result.at(y, x));
    }
  }
  return result;
}

}  // namespace

Image read_jpeg(const std::string& path) {
  const std::string bytes = read_file(path);
  if (bytes.compare(0, 2, "\xff\xd8") != 0) {
    throw std::runtime_error(path + " is no JPEG file");
  }
  Decoder decoder(bytes);
  const auto& info = decoder.info();
  const auto damaged = [&] {
    return std::runtime_error(path + " is not a whole JPEG file: " + decoder.error());
  };
  if (!decoder.begin()) throw damaged();
  if (info.num_components != 1 && info.num_components != 3) {
    throw std::runtime_error(path + " holds a picture of " + std::to_string(info.num_components) +
                             " channels (CMYK?); save it in RGB or grey");
  }
  if (int64_t{info.image_width} * info.image_height > kMaxPixels) {
    throw std::runtime_error(path + " has " + std::to_string(info.image_width) + "x" +
                             std::to_string(info.image_height) + " pixels, too many to decode");
  }
  Image image(info.image_height, info.image_width, info.num_components);
  const int stored = orientation(exif(info));  // the markers are gone once the pixels are read
  if (!decoder.read(image)) throw damaged();
  return upright(image, stored);
}

}  // namespace deeprect
