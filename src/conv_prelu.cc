// How the work is divided. A convolution is, at each of the 36 points of the transformed domain, a
// product of matrices: tiles x input channels by input channels x output channels.
//
// Transformed tensors are several times larger than plain ones, so none is ever whole. Tiles are
// taken in batches that fit in the last cache and a batch is cut into chunks; a thread takes one
// chunk and one block of output channels, for which it transforms the weights, multiplies, and
// transforms back without leaving the second-level cache. Transforming weights where they are used
// costs less than keeping them: four times the plain ones, they would come from memory. It also
// leaves nothing to invalidate when weights change. The division depends on the shape only.
#include "conv_prelu.h"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "prelu_cpu.h"
#include "scratch.h"
#include "winograd_kernels.h"

namespace deeprect {
namespace {

constexpr int64_t kBatchFloats = int64_t{8} << 20;
constexpr int64_t kChunkTiles = 112;
constexpr float kZero = 0;
constexpr int64_t kDepth = 64;  // input channels that are multiplied at a time

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// A transform writes to all points in turn. With an odd number of cache lines between them they
// fall into different sets of the cache.
int64_t point_stride_for(int64_t floats) { return (ceil_div(floats, 16) | 1) * 16; }

const WinogradKernels& kernels() {
  static const WinogradKernels& chosen = []() -> const WinogradKernels& {
#if defined(__x86_64__)
    for (const WinogradKernels* table : {&avx512::winograd, &avx2::winograd}) {
      if (!std::strcmp(table->isa, cpu_isa())) return *table;
    }
#endif
    return baseline::winograd;
  }();
  return chosen;
}

// The rows of tiles of all images, numbered through, and their division into chunks.
struct Tiling {
  int64_t images, m, tiles_y, tiles_x, chunks;

  Tiling(int64_t images, int64_t kernel, int64_t out_height, int64_t out_width)
      : images(images),
        m(kTile + 1 - kernel),
        tiles_y(ceil_div(out_height, m)),
        tiles_x(ceil_div(out_width, m)),
        chunks(std::min(rows(), ceil_div(rows() * tiles_x, kChunkTiles))) {}

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
  void for_each_image(int64_t chunk, int64_t height, int64_t width, int64_t pad, F&& f) const {
    const int64_t begin = rows() * chunk / chunks, end = rows() * (chunk + 1) / chunks;
    for (int64_t row = begin; row < end;) {
      const int64_t image = row / tiles_y, first = row % tiles_y;
      const int64_t last = std::min(tiles_y, first + end - row);
      f(image, TileRows{height, width, pad, tiles_x, first, last}, (row - begin) * tiles_x);
      row += last - first;
    }
  }
  int64_t band_floats(int64_t width, int64_t lanes) const {
    const int64_t longest = std::min(tiles_y, ceil_div(rows(), chunks)) * m + kTile;
    return longest * std::max(width + kTile, tiles_x * m + kTile) * lanes;
  }
};

// Transformed tiles, [channel block][point][tile][channel in block].
struct Tiles {
  float* data;
  int64_t channels;  // a multiple of the lanes
  int64_t block;
  int64_t tiles;

  int64_t width(int64_t channel) const {
    return std::min(block, channels - channel / block * block);
  }
  int64_t point_stride(int64_t channel) const { return point_stride_for(tiles * width(channel)); }
  float* at(int64_t channel, int64_t tile) const {
    return data + channel / block * kPoints * point_stride_for(tiles * block) +
           tile * width(channel) + channel % block;
  }
  static int64_t floats(int64_t channels, int64_t block, int64_t tiles) {
    return ceil_div(channels, block) * kPoints * point_stride_for(tiles * block);
  }
};

using Transform = decltype(WinogradTransforms::input);

// Transforms a chunk of `lanes` channels from `channel` on; its tiles start at `tile`.
void transform_chunk(Transform transform, const Tiling& tiling, int64_t chunk, const float* x,
                     int64_t channels, int64_t height, int64_t width, int64_t pad, int64_t channel,
                     const Tiles& out, int64_t tile, float* band) {
  tiling.for_each_image(
      chunk, height, width, pad, [&](int64_t image, const TileRows& rows, int64_t before) {
        transform(rows, x + (image * channels + channel) * height * width,
                  std::min<int64_t>(kernels().lanes, channels - channel), band,
                  out.at(channel, tile + before), out.point_stride(channel), out.width(channel));
      });
}

// Weights as a matrix of `depth` rows (channels read) and `width` columns (channels written).
struct WeightMatrix {
  const float* data;
  int64_t column_stride, row_stride;
  bool flipped;
};

struct Epilogue {
  const float* bias;   // null: none
  const float* alpha;  // null: no rectifier
  int64_t alpha_stride;
};

void convolve(const Convolution& c, const float* x, const WeightMatrix& w, const Epilogue& end,
              float* y) {
  const WinogradKernels& k = kernels();
  const WinogradTransforms& transforms = c.kernel == 3 ? k.of_3x3 : k.of_2x2;
  const Tiling tiling(c.images, c.kernel, c.out_height(), c.out_width());
  const int64_t lanes = k.lanes, block = k.block;
  const int64_t depth = round_up(c.in_channels, lanes);
  const int64_t groups = depth / lanes, blocks = ceil_div(c.out_channels, block);
  const int64_t batches = tiling.batches(kPoints * depth);
  const int64_t out_plane = c.out_height() * c.out_width();

  const int64_t chunk_floats = Tiles::floats(depth, kDepth, tiling.chunk_tiles());
  const int64_t weights_stride = point_stride_for(kDepth * block);
  const int64_t products_stride = point_stride_for(tiling.chunk_tiles() * block);
  const int64_t band_floats = tiling.band_floats(std::max(c.width, c.out_width()), lanes);
  const int64_t own_floats =
      kPoints * (weights_stride + products_stride) + round_up(band_floats, 16);
  const int threads = omp_get_max_threads();
  const Scratch transformed(ceil_div(tiling.chunks, batches) * chunk_floats);
  const Scratch own(own_floats * threads);

#pragma omp parallel num_threads(threads)
  {
    float* const weights = own.data() + own_floats * omp_get_thread_num();
    float* const products = weights + kPoints * weights_stride;
    float* const band = products + kPoints * products_stride;
    for (int64_t batch = 0; batch < batches; ++batch) {
      const int64_t begin = tiling.chunks * batch / batches;
      const int64_t end_chunk = tiling.chunks * (batch + 1) / batches;
      const auto tiles_of = [&](int64_t chunk) {
        return Tiles{transformed.data() + (chunk - begin) * chunk_floats, depth, kDepth,
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
          const int64_t out = b * block, width = std::min(block, c.out_channels - out);
          for (int64_t in = 0; in < c.in_channels; in += kDepth) {
            const int64_t taken = std::min(kDepth, c.in_channels - in);
            transforms.weights(w.data + out * w.column_stride + in * w.row_stride, w.column_stride,
                               w.row_stride, w.flipped, taken, width, weights, weights_stride);
            for (int64_t p = 0; p < kPoints; ++p) {
              k.multiply(tiles.tiles, taken, tiles.at(in, 0) + p * tiles.point_stride(in), 1,
                         tiles.width(in), weights + p * weights_stride,
                         products + p * products_stride, in > 0);
            }
          }
          tiling.for_each_image(
              chunk, c.out_height(), c.out_width(), 0,
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
  const WinogradKernels& k = kernels();
  const WinogradTransforms& transforms = c.kernel == 3 ? k.of_3x3 : k.of_2x2;
  const Tiling tiling(c.images, c.kernel, c.out_height(), c.out_width());
  const int64_t lanes = k.lanes, block = k.block, taps = c.kernel * c.kernel;
  const int64_t in_padded = round_up(c.in_channels, lanes);
  const int64_t out_padded = round_up(c.out_channels, block);
  const int64_t batches = tiling.batches(kPoints * (in_padded + out_padded));
  const int64_t in_blocks = ceil_div(c.in_channels, kDepth);
  const int64_t out_blocks = ceil_div(c.out_channels, block);

  const int64_t batch_tiles = ceil_div(tiling.chunks, batches) * tiling.chunk_tiles();
  const int64_t in_floats = Tiles::floats(in_padded, kDepth, batch_tiles);
  const int64_t products_stride = point_stride_for(kDepth * block);
  const int64_t taps_floats = kDepth * taps * lanes;
  const int64_t band_floats = tiling.band_floats(std::max(c.width, c.out_width()), lanes);
  const int threads = omp_get_max_threads();
  // Blocks of outputs that share a pass over the inputs, as long as there is work for all threads.
  const int64_t shared =
      std::max<int64_t>(1, std::min<int64_t>(4, out_blocks * in_blocks / (4 * threads)));
  const int64_t own_floats =
      shared * kPoints * products_stride + round_up(std::max(taps_floats, band_floats), 16);
  const Scratch transformed(in_floats + Tiles::floats(out_padded, block, batch_tiles));
  const Scratch own(own_floats * threads);

#pragma omp parallel num_threads(threads)
  {
    float* const products = own.data() + own_floats * omp_get_thread_num();
    float* const band = products + shared * kPoints * products_stride;
    for (int64_t batch = 0; batch < batches; ++batch) {
      const int64_t begin = tiling.chunks * batch / batches;
      const int64_t end = tiling.chunks * (batch + 1) / batches;
      const int64_t count = tiling.tiles(begin, end);
      const Tiles in{transformed.data(), in_padded, kDepth, count};
      const Tiles out{in.data + in_floats, out_padded, block, count};
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
          const int64_t channel = i * kDepth, taken = std::min(kDepth, c.in_channels - channel);
          for (int64_t p = 0; p < kPoints; ++p) {
            for (int64_t o = first; o < last; ++o) {
              k.multiply(taken, count, in.at(channel, 0) + p * in.point_stride(channel),
                         in.width(channel), 1,
                         out.at(o * block, 0) + p * out.point_stride(o * block),
                         products + ((o - first) * kPoints + p) * products_stride, false);
            }
          }
          for (int64_t o = first; o < last; ++o) {
            transforms.weight_gradient(products + (o - first) * kPoints * products_stride,
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
#pragma omp parallel for schedule(static)
  for (int64_t o = 0; o < c.out_channels; ++o) {
    double sum = 0;
    for (int64_t n = 0; n < c.images; ++n)
      sum += sum_of(dz + (n * c.out_channels + o) * plane, plane);
    dbias[o] = static_cast<float>(sum);
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
