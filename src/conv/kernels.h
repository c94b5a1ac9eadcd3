// The vector kernels of Winograd's convolution. winograd.cc divides the work.
#ifndef DEEPRECT_CONV_KERNELS_H_
#define DEEPRECT_CONV_KERNELS_H_

#include <cstdint>

#include "conv/winograd.h"
#include "simd/isa.h"

namespace deeprect {

// A tile has side n. A convolution with r x r weights computes m x m outputs, m = n + 1 - r, from n
// x n inputs with n^2 products, one at each point of the transformed domain. Larger tiles need
// fewer products, and have larger rounding errors.
constexpr int kSmallestTile = 4, kLargestTile = 8;  // even sizes only

// Rows of tiles of one image, in the plane of one channel.
struct TileRows {
  Planes planes;
  int64_t tiles_x;      // tiles in a row
  int64_t first, last;  // the rows [first, last)
  int64_t ahead;        // floats to the plane of this channel in the next image; 0 if there is none
};

// Transformed values of a group of channels. Channel `lane` of point p of tile t is data[p *
// point_stride + t * tile_stride + lane].
struct PointTiles {
  float* data;
  int64_t point_stride, tile_stride;
};

// A block of the gradient of the weights, transformed and plain.
struct WeightGradientBlock {
  // Output channel `lane` of input channel k of point p is products[p * point_stride + k * block +
  // lane].
  const float* products;
  int64_t point_stride;
  int64_t depth, width;  // input and output channels
  // Tap t is dweight[lane * filter_stride + k * r * r + t].
  float* dweight;
  int64_t filter_stride;
};

// A kernel takes channels in groups of `lanes`, some of which may not exist. `band` and `taps` are
// scratch memory.
struct WinogradTransforms {
  int depth;           // input channels that are multiplied at a time
  int weights_stride;  // floats between the points of their transformed weights
  // Transform the input tiles of a group of channels. x is the plane of the first.
  void (*input)(const TileRows&, const Input& x, int64_t channels, float* band, PointTiles);
  // Do the same to the gradient of the output, in m x m tiles, for the gradient of the weights.
  void (*output_gradient)(const TileRows&, const Input& dy, int64_t channels, float* band,
                          PointTiles);
  // Write a panel of `width` columns for each point: u[p * weights_stride][k][column], k < depth.
  void (*weights)(WeightMatrix, int64_t depth, int64_t width, float* u);
  // Transform the products of a group of channels back, and apply the epilogue.
  void (*output)(const TileRows&, PointTiles products, int64_t channels, Epilogue, float* band,
                 float* y);
  // Transform a block of the gradient of the weights back; add it to dweight if `accumulate`.
  void (*weight_gradient)(WeightGradientBlock, bool accumulate, float* taps);
};

struct WinogradKernels {
  // For tiles of 4, 6 and 8.
  WinogradTransforms of_2x2[3], of_3x3[3];
};

DEEPRECT_KERNELS(WinogradKernels, winograd_kernels)

}  // namespace deeprect

#endif  // DEEPRECT_CONV_KERNELS_H_
