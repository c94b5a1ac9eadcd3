// The vector kernels of Winograd's convolution; conv/winograd.cc divides the work. conv/kernels.cc
// is compiled once for each instruction set; every build fills a table.
#ifndef DEEPRECT_CONV_KERNELS_H_
#define DEEPRECT_CONV_KERNELS_H_

#include <cstdint>

#include "product/kernels.h"

namespace deeprect {

// A tile has side n: a convolution of r x r weights computes m x m outputs, m = n + 1 - r, from
// n x n inputs with n^2 products, one at each point of the transformed domain. Larger tiles need
// fewer products, and have larger rounding errors.
constexpr int kSmallestTile = 4, kLargestTile = 8;  // even sizes only

// Rows of tiles of one image, in the plane of one channel (height x width, channels contiguous
// planes). `pad` rows and columns of zeros surround the plane.
struct TileRows {
  int64_t height, width, pad;
  int64_t tiles_x;      // tiles in a row
  int64_t first, last;  // the rows [first, last)
  int64_t ahead;        // floats to the plane of the same channel that is taken next; 0 for none
};

// Kernels take channels in groups of `lanes`, of which some may not exist. `band` and `taps` are
// scratch memory.
struct WinogradTransforms {
  int depth;           // input channels that are multiplied at a time
  int weights_stride;  // floats between the points of their transformed weights
  // Transformed input tiles of a group of channels. `x` is the plane of the first.
  // Writes tiles[p * point_stride + t * tile_stride + lane].
  void (*input)(const TileRows&, const float* x, int64_t channels, float* band, float* tiles,
                int64_t point_stride, int64_t tile_stride);
  // The same of the gradient of the output, in m x m tiles, for the gradient of the weights.
  void (*output_gradient)(const TileRows&, const float* dy, int64_t channels, float* band,
                          float* tiles, int64_t point_stride, int64_t tile_stride);
  // A panel of `width` columns for each point, at u[p * weights_stride]: [k][column] from
  // w[column * lane_stride + k * k_stride + tap], for k < depth; `flipped` reverses the taps.
  void (*weights)(const float* w, int64_t lane_stride, int64_t k_stride, bool flipped,
                  int64_t depth, int64_t width, float* u);
  // Outputs of a group of channels from their products: the rectifier of transformed + bias.
  // A null bias or alpha stands for none.
  void (*output)(const TileRows&, const float* products, int64_t point_stride, int64_t tile_stride,
                 int64_t channels, const float* bias, const float* alpha, int64_t alpha_stride,
                 float* band, float* y);
  // dw[lane * lane_stride + k * r * r + tap] (+)= what du[p * point_stride + k * block + lane]
  // stands for.
  void (*weight_gradient)(const float* du, int64_t point_stride, int64_t depth, int64_t width,
                          float* taps, float* dw, int64_t lane_stride, bool accumulate);
};

struct WinogradKernels {
  const char* isa;
  const ProductKernels& product;
  // For tiles of 4, 6 and 8.
  WinogradTransforms of_2x2[3], of_3x3[3];
};

namespace baseline {
extern const WinogradKernels winograd;
}
#if defined(__x86_64__)
namespace avx2 {
extern const WinogradKernels winograd;
}
namespace avx512 {
extern const WinogradKernels winograd;
}
#endif

}  // namespace deeprect

#endif  // DEEPRECT_CONV_KERNELS_H_
