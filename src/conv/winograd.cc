// How the work is divided. A convolution is, at each of the n x n points of the transformed domain,
// a product of matrices: tiles x input channels by input channels x output channels.
//
// Transformed tensors are several times larger than plain ones, so none is ever whole. Tiles are
// taken in batches that fit in the last cache and a batch is cut into chunks; a thread takes one
// chunk and one block of output channels, for which it transforms the weights, multiplies, and
// transforms back without leaving the second-level cache. Transforming weights where they are used
// costs less than keeping them: four times the plain ones, they would come from memory. It also
// leaves nothing to invalidate when weights change. The results' bits depend on the shape only.
#include "conv/winograd.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>

#include "base/scratch.h"
#include "conv/kernels.h"
#include "product/kernels.h"
#include "simd/isa.h"

namespace deeprect {
namespace {

constexpr int64_t kBatchFloats = int64_t{8} << 20;
// Of a chunk's transformed values in one channel, that is tiles times points.
constexpr int64_t kChunkValues = 4096;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

const WinogradKernels& kernels() {
  static const WinogradKernels& chosen = for_this_isa<WinogradKernels>(DEEPRECT_EACH_ISA(winograd));
  return chosen;
}

// The rows of tiles of all images, numbered through, and their division into chunks.
struct Tiling {
  int64_t images, n, m, tiles_y, tiles_x, chunks;

  Tiling(const Convolution& c, int64_t chunk_values)
      : images(c.images),
        n(best_tile(c)),
        m(n + 1 - c.kernel),
        tiles_y(ceil_div(c.out_height(), m)),
        tiles_x(ceil_div(c.out_width(), m)),
        chunks(std::min(rows(), ceil_div(rows() * tiles_x * points(), chunk_values))) {}

  // The tile with the fewest products for this size of map; a larger one only if it saves a fifth,
  // and none of 8 with 3x3 weights: its rounding errors are larger.
  static int64_t best_tile(const Convolution& c) {
    int64_t best = 0, fewest = 0;
    for (int64_t n = kSmallestTile; n <= (c.kernel == 3 ? 6 : kLargestTile); n += 2) {
      const int64_t m = n + 1 - c.kernel;
      const int64_t products = ceil_div(c.out_height(), m) * ceil_div(c.out_width(), m) * n * n;
      if (best == 0 || 5 * products <= 4 * fewest) best = n, fewest = products;
    }
    return best;
  }
  const WinogradTransforms& transforms(int64_t kernel) const {
    const WinogradKernels& k = kernels();
    return (kernel == 3 ? k.of_3x3 : k.of_2x2)[(n - kSmallestTile) / 2];
  }
  int64_t points() const { return n * n; }

  int64_t rows() const { return images * tiles_y; }
  // Tiles before a chunk.
  int64_t tiles_before(int64_t chunk) const { return rows() * chunk / chunks * tiles_x; }
  int64_t tiles(int64_t chunk0, int64_t chunk1) const {
    return tiles_before(chunk1) - tiles_before(chunk0);
  }
  int64_t chunk_tiles() const { return ceil_div(rows(), chunks) * tiles_x; }
  int64_t batches(int64_t floats_per_tile) const {
    return std::min(chunks, ceil_div(rows() * tiles_x * floats_per_tile, kBatchFloats));
  }
  // Calls f(image, plane's rows, tiles before them in the chunk) for each image in a chunk.
  template <typename F>
  void for_each_image(int64_t chunk, int64_t channels, int64_t height, int64_t width, int64_t pad,
                      F&& f) const {
    const int64_t begin = rows() * chunk / chunks, end = rows() * (chunk + 1) / chunks;
    for (int64_t row = begin; row < end;) {
      const int64_t image = row / tiles_y, first = row % tiles_y;
      const int64_t last = std::min(tiles_y, first + end - row);
      const int64_t ahead = row + last - first < end ? channels * height * width : 0;
      f(image, TileRows{height, width, pad, tiles_x, first, last, ahead}, (row - begin) * tiles_x);
      row += last - first;
    }
  }
  int64_t band_floats(int64_t width, int64_t lanes) const {
    const int64_t longest = std::min(tiles_y, ceil_div(rows(), chunks)) * m + n;
    return longest * std::max(width + n, tiles_x * m + n) * lanes;
  }
};

// Transformed tiles, [channel block][point][tile][channel in block].
struct Tiles {
  int64_t points;
  float* data;
  int64_t channels;  // a multiple of the lanes
  int64_t block;
  int64_t tiles;

  int64_t width(int64_t channel) const {
    return std::min(block, channels - channel / block * block);
  }
  int64_t point_stride(int64_t channel) const { return odd_stride(tiles * width(channel)); }
  float* at(int64_t channel, int64_t tile) const {
    return data + channel / block * points * odd_stride(tiles * block) + tile * width(channel) +
           channel % block;
  }
  static int64_t floats(int64_t points, int64_t channels, int64_t block, int64_t tiles) {
    return points *
           (channels / block * odd_stride(tiles * block) + odd_stride(channels % block * tiles));
  }
};

using Transform = decltype(WinogradTransforms::input);

// Transforms a chunk of `lanes` channels from `channel` on; its tiles start at `tile`.
void transform_chunk(Transform transform, const Tiling& tiling, int64_t chunk, const float* x,
                     int64_t channels, int64_t height, int64_t width, int64_t pad, int64_t channel,
                     const Tiles& out, int64_t tile, float* band) {
  tiling.for_each_image(chunk, channels, height, width, pad,
                        [&](int64_t image, const TileRows& rows, int64_t before) {
                          transform(rows, x + (image * channels + channel) * height * width,
                                    std::min<int64_t>(kernels().product.lanes, channels - channel),
                                    band, out.at(channel, tile + before), out.point_stride(channel),
                                    out.width(channel));
                        });
}

// The larger chunks are, the less often weights are transformed, as long as a chunk's products with
// a block of weights take no more than half of the second-level cache and all threads have work.
// The outputs' bits do not depend on it.
int64_t chunk_values_for(const Convolution& c, int threads) {
  static const int64_t most = std::clamp<int64_t>(
      sysconf(_SC_LEVEL2_CACHE_SIZE) / (2 * int64_t(sizeof(float)) * kernels().product.block),
      kChunkValues / 2, 2 * kChunkValues);
  const int64_t blocks = ceil_div(c.out_channels, kernels().product.block);
  return Tiling(c, most).chunks * blocks < 4 * threads ? std::min(most, kChunkValues) : most;
}

}  // namespace

void convolve(const Convolution& c, const float* x, const WeightMatrix& w, const Epilogue& end,
              float* y) {
  const ProductKernels& k = kernels().product;
  const int threads = omp_get_max_threads();
  const Tiling tiling(c, chunk_values_for(c, threads));
  const WinogradTransforms& transforms = tiling.transforms(c.kernel);
  const int64_t points = tiling.points(), step = transforms.depth;
  const int64_t lanes = k.lanes, block = k.block;
  const int64_t depth = round_up(c.in_channels, lanes);
  const int64_t groups = depth / lanes, blocks = ceil_div(c.out_channels, block);
  // Even blocks of outputs, in vectors.
  const int64_t vectors = ceil_div(c.out_channels, lanes);
  const auto first_channel = [&](int64_t b) { return vectors * b / blocks * lanes; };
  const int64_t batches = tiling.batches(points * depth);
  const int64_t out_plane = c.out_height() * c.out_width();

  const int64_t chunk_floats = Tiles::floats(points, depth, step, tiling.chunk_tiles());
  const int64_t weights_stride = transforms.weights_stride;
  const int64_t products_stride = odd_stride(tiling.chunk_tiles() * block);
  const int64_t band_floats = tiling.band_floats(std::max(c.width, c.out_width()), lanes);
  const int64_t own_floats =
      points * (weights_stride + products_stride) + round_up(band_floats, 16);
  const Scratch transformed(ceil_div(tiling.chunks, batches) * chunk_floats);
  const Scratch own(own_floats * threads);

#pragma omp parallel num_threads(threads)
  {
    float* const weights = own.data() + own_floats * omp_get_thread_num();
    float* const products = weights + points * weights_stride;
    float* const band = products + points * products_stride;
    for (int64_t batch = 0; batch < batches; ++batch) {
      const int64_t begin = tiling.chunks * batch / batches;
      const int64_t end_chunk = tiling.chunks * (batch + 1) / batches;
      const auto tiles_of = [&](int64_t chunk) {
        return Tiles{points, transformed.data() + (chunk - begin) * chunk_floats, depth, step,
                     tiling.tiles(chunk, chunk + 1)};
      };
#pragma omp for schedule(dynamic) collapse(2)
      for (int64_t chunk = begin; chunk < end_chunk; ++chunk) {
        for (int64_t group = 0; group < groups; ++group) {
          transform_chunk(transforms.input, tiling, chunk, x, c.in_channels, c.height, c.width,
                          c.pad, group * lanes, tiles_of(chunk), 0, band);
        }
      }
#pragma omp for schedule(dynamic) collapse(2)
      for (int64_t chunk = begin; chunk < end_chunk; ++chunk) {
        for (int64_t b = 0; b < blocks; ++b) {
          const Tiles tiles = tiles_of(chunk);
          const int64_t out = first_channel(b);
          const int64_t width = std::min(first_channel(b + 1), c.out_channels) - out;
          for (int64_t in = 0; in < c.in_channels; in += step) {
            const int64_t taken = std::min(step, c.in_channels - in);
            transforms.weights(w.data + out * w.column_stride + in * w.row_stride, w.column_stride,
                               w.row_stride, w.flipped, taken, width, weights);
            for (int64_t p = 0; p < points; ++p) {
              k.multiply(tiles.tiles, width, taken, tiles.at(in, 0) + p * tiles.point_stride(in), 1,
                         tiles.width(in), weights + p * weights_stride,
                         products + p * products_stride, in > 0);
            }
          }
          tiling.for_each_image(
              chunk, c.out_channels, c.out_height(), c.out_width(), 0,
              [&](int64_t image, const TileRows& rows, int64_t before) {
                for (int64_t o = out; o < out + width; o += lanes) {
                  transforms.output(
                      rows, products + before * block + (o - out), products_stride, block,
                      std::min(lanes, out + width - o), end.bias ? end.bias + o : nullptr,
                      end.alpha ? end.alpha + o * end.alpha_stride : nullptr, end.alpha_stride,
                      band, y + (image * c.out_channels + o) * out_plane);
                }
              });
        }
      }
    }
  }
}

void weight_gradient(const Convolution& c, const float* x, const float* dz, float* dweight) {
  const ProductKernels& k = kernels().product;
  const Tiling tiling(c, kChunkValues);
  const WinogradTransforms& transforms = tiling.transforms(c.kernel);
  const int64_t points = tiling.points(), step = transforms.depth;
  const int64_t lanes = k.lanes, block = k.block, taps = c.kernel * c.kernel;
  const int64_t in_padded = round_up(c.in_channels, lanes);
  const int64_t out_padded = round_up(c.out_channels, lanes);
  const int64_t batches = tiling.batches(points * (in_padded + out_padded));
  const int64_t in_blocks = ceil_div(c.in_channels, step);
  const int64_t out_blocks = ceil_div(c.out_channels, block);

  const int64_t batch_tiles = ceil_div(tiling.chunks, batches) * tiling.chunk_tiles();
  const int64_t in_floats = Tiles::floats(points, in_padded, step, batch_tiles);
  const int64_t products_stride = odd_stride(step * block);
  const int64_t taps_floats = step * taps * lanes;
  const int64_t band_floats = tiling.band_floats(std::max(c.width, c.out_width()), lanes);
  const int threads = omp_get_max_threads();
  // Blocks of outputs that share a pass over the inputs, as long as there is work for all threads.
  const int64_t shared =
      std::max<int64_t>(1, std::min<int64_t>(4, out_blocks * in_blocks / (4 * threads)));
  const int64_t own_floats =
      shared * points * products_stride + round_up(std::max(taps_floats, band_floats), 16);
  const Scratch transformed(in_floats + Tiles::floats(points, out_padded, block, batch_tiles));
  const Scratch own(own_floats * threads);

#pragma omp parallel num_threads(threads)
  {
    float* const products = own.data() + own_floats * omp_get_thread_num();
    float* const band = products + shared * points * products_stride;
    for (int64_t batch = 0; batch < batches; ++batch) {
      const int64_t begin = tiling.chunks * batch / batches;
      const int64_t end = tiling.chunks * (batch + 1) / batches;
      const int64_t count = tiling.tiles(begin, end);
      const Tiles in{points, transformed.data(), in_padded, step, count};
      const Tiles out{points, in.data + in_floats, out_padded, block, count};
#pragma omp for schedule(dynamic) collapse(2)
      for (int64_t chunk = begin; chunk < end; ++chunk) {
        for (int64_t channel = 0; channel < in_padded + out_padded; channel += lanes) {
          const int64_t tile = tiling.tiles(begin, chunk);
          if (channel < in_padded) {
            transform_chunk(transforms.input, tiling, chunk, x, c.in_channels, c.height, c.width,
                            c.pad, channel, in, tile, band);
          } else {
            transform_chunk(transforms.output_gradient, tiling, chunk, dz, c.out_channels,
                            c.out_height(), c.out_width(), 0, channel - in_padded, out, tile, band);
          }
        }
      }
#pragma omp for schedule(dynamic) collapse(2)
      for (int64_t first = 0; first < out_blocks; first += shared) {
        for (int64_t i = 0; i < in_blocks; ++i) {
          const int64_t last = std::min(first + shared, out_blocks);
          const int64_t channel = i * step, taken = std::min(step, c.in_channels - channel);
          for (int64_t p = 0; p < points; ++p) {
            for (int64_t o = first; o < last; ++o) {
              k.multiply(taken, c.out_channels - o * block, count,
                         in.at(channel, 0) + p * in.point_stride(channel), in.width(channel), 1,
                         out.at(o * block, 0) + p * out.point_stride(o * block),
                         products + ((o - first) * points + p) * products_stride, false);
            }
          }
          for (int64_t o = first; o < last; ++o) {
            transforms.weight_gradient(products + (o - first) * points * products_stride,
                                       products_stride, taken,
                                       std::min(block, c.out_channels - o * block), band,
                                       dweight + (o * block * c.in_channels + channel) * taps,
                                       c.in_channels * taps, batch > 0);
          }
        }
      }
    }
  }
}

}  // namespace deeprect
