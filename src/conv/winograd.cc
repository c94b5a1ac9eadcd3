// Winograd's convolution: the plan of its work, and the stages.
//
// A convolution is a product of two matrices at each of the n x n points of the transformed domain:
// tiles x input channels by input channels x output channels.
//
// Transformed tensors are several times larger than plain ones, so they are never kept whole. Tiles
// are taken in batches that fit in the last cache, and a batch is cut into chunks. A thread takes
// one chunk and one block of output channels: it transforms the weights, multiplies, and transforms
// back, all in the second-level cache. Transformed weights are not kept. They are four times as
// large as the plain ones and would come from memory, and they would have to be made again whenever
// the weights change. The bits of the results depend on the shape only.
#include "conv/winograd.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>

#include "base/arithmetic.h"
#include "base/scratch.h"
#include "conv/kernels.h"
#include "product/kernels.h"

namespace deeprect {
namespace {

// The floats of a batch's transformed values: 32 MB, to stay in the last cache. Chosen on
// 2026-11-23.
constexpr int64_t kBatchFloats = int64_t{8} << 20;
// The transformed values of a chunk in one channel, that is, tiles times points. Larger and smaller
// chunks were no faster (docs/performance.md).
constexpr int64_t kChunkValues = 4096;

// ---- how tiles and channels are divided and stored ----

// The rows of tiles of all images, numbered consecutively, and their division into chunks.
struct Tiling {
  int64_t images, n, m, tiles_y, tiles_x, chunks;

  Tiling(const Convolution& c, int64_t chunk_values)
      : images(c.images),
        n(best_tile(c)),
        m(n + 1 - c.kernel),
        tiles_y(ceil_div(c.out_height(), m)),
        tiles_x(ceil_div(c.out_width(), m)),
        chunks(std::min(rows(), ceil_div(rows() * tiles_x * points(), chunk_values))) {}

  // Return the tile with the fewest products for this size of map. A larger tile must save a fifth
  // of them. 3x3 weights do not take tiles of 8: these would save a tenth of the products on large
  // maps, for larger rounding errors and twice the transforms (docs/performance.md).
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
    const WinogradKernels& k = winograd_kernels();
    return (kernel == 3 ? k.of_3x3 : k.of_2x2)[(n - kSmallestTile) / 2];
  }
  int64_t points() const { return n * n; }
  int64_t rows() const { return images * tiles_y; }
  int64_t tiles_before(int64_t chunk) const { return rows() * chunk / chunks * tiles_x; }
  // The number of tiles in the chunks [chunk0, chunk1).
  int64_t tiles(int64_t chunk0, int64_t chunk1) const {
    return tiles_before(chunk1) - tiles_before(chunk0);
  }
  // The most tiles in a chunk.
  int64_t chunk_tiles() const { return ceil_div(rows(), chunks) * tiles_x; }
  int64_t batches(int64_t floats_per_tile) const {
    return std::min(chunks, ceil_div(rows() * tiles_x * floats_per_tile, kBatchFloats));
  }
  // Call f(image, rows, tiles before them in the chunk) for each image in a chunk.
  template <typename F>
  void for_each_image(int64_t chunk, const Planes& planes, F&& f) const {
    const int64_t begin = rows() * chunk / chunks, end = rows() * (chunk + 1) / chunks;
    for (int64_t row = begin; row < end;) {
      const int64_t image = row / tiles_y, first = row % tiles_y;
      const int64_t last = std::min(tiles_y, first + end - row);
      const int64_t ahead = row + last - first < end ? planes.offset(1, 0) : 0;
      f(image, TileRows{planes, tiles_x, first, last, ahead}, (row - begin) * tiles_x);
      row += last - first;
    }
  }
  // The floats of a band of `width` columns for `lanes` channels.
  int64_t band_floats(int64_t width, int64_t lanes) const {
    const int64_t longest = std::min(tiles_y, ceil_div(rows(), chunks)) * m + n;
    return longest * std::max(width + n, tiles_x * m + n) * lanes;
  }
};

// The chunks [begin, end) of a batch.
struct Batch {
  int64_t begin, end;

  Batch(const Tiling& tiling, int64_t batch, int64_t batches)
      : begin(tiling.chunks * batch / batches), end(tiling.chunks * (batch + 1) / batches) {}
};

// Transformed tiles, [channel block][point][tile][channel in block].
struct Tiles {
  float* data;
  int64_t points, channels, block,
      tiles;  // channels are a multiple of the lanes

  // The tiles from `tile` on of the channels from `channel` on, up to the end of their block.
  PointTiles from(int64_t channel, int64_t tile) const {
    const int64_t width = std::min(block, channels - channel / block * block);
    return {data + channel / block * points * odd_stride(tiles * block) + tile * width +
                channel % block,
            odd_stride(tiles * width), width};
  }
  static int64_t floats(int64_t points, int64_t channels, int64_t block, int64_t tiles) {
    return points *
           (channels / block * odd_stride(tiles * block) + odd_stride(channels % block * tiles));
  }
};

// The channels [first, first + count).
struct Channels {
  int64_t first, count;
};

// What the plans of all passes have in common.
struct Plan {
  const Convolution& c;
  int threads;
  Tiling tiling;
  const WinogradTransforms& transforms;
  int64_t lanes, block, points;
  int64_t step;  // input channels that are multiplied at a time

  Plan(const Convolution& convolution, int64_t chunk_values)
      : c(convolution),
        threads(omp_get_max_threads()),
        tiling(c, chunk_values),
        transforms(tiling.transforms(c.kernel)),
        lanes(product_kernels().lanes),
        block(product_kernels().block),
        points(tiling.points()),
        step(transforms.depth) {}

  // Whole cache lines for a band of the input or of the output.
  int64_t band_floats() const {
    return round_up(tiling.band_floats(std::max(c.width, c.out_width()), lanes), 16);
  }
};

// A tensor, and where its transformed tiles go.
struct Source {
  decltype(WinogradTransforms::input) transform;
  Planes planes;
  Input data;
  Tiles tiles;
};

// Transform the channels from `channel` on, as many as a vector has lanes, of a chunk. Its first
// tile is `tile` of source.tiles.
void transform_chunk(const Plan& plan, const Source& source, int64_t chunk, int64_t channel,
                     int64_t tile, float* band) {
  const Planes& planes = source.planes;
  const int64_t count = std::min(plan.lanes, planes.channels - channel);
  plan.tiling.for_each_image(
      chunk, planes, [&](int64_t image, const TileRows& rows, int64_t before) {
        source.transform(rows, source.data.from(channel, planes.offset(image, channel)), count,
                         band, source.tiles.from(channel, tile + before));
      });
}

// ---- the convolution ----

// The larger chunks are, the less often weights are transformed. A chunk's products with a block of
// weights must not take more than half of the second-level cache, and all threads must have work.
// The bits of the outputs do not depend on the size of chunks.
int64_t chunk_values_for(const Convolution& c) {
  const int64_t block = product_kernels().block;
  static const int64_t most =
      std::clamp<int64_t>(sysconf(_SC_LEVEL2_CACHE_SIZE) / (2 * int64_t(sizeof(float)) * block),
                          kChunkValues / 2, 2 * kChunkValues);
  const bool enough =
      Tiling(c, most).chunks * ceil_div(c.out_channels, block) >= 4 * omp_get_max_threads();
  return enough ? most : std::min(most, kChunkValues);
}

// The scratch memory of a thread.
struct ForwardMemory {
  float *weights, *products, *band;
};

struct ForwardPlan : Plan {
  int64_t in_padded;  // input channels, in whole vectors
  int64_t groups;     // of input channels, a vector each
  int64_t blocks;     // of output channels
  int64_t batches;
  int64_t chunk_floats;  // of a chunk's transformed inputs
  int64_t products_stride, own_floats;

  explicit ForwardPlan(const Convolution& convolution)
      : Plan(convolution, chunk_values_for(convolution)),
        in_padded(round_up(c.in_channels, lanes)),
        groups(in_padded / lanes),
        blocks(ceil_div(c.out_channels, block)),
        batches(tiling.batches(points * in_padded)),
        chunk_floats(Tiles::floats(points, in_padded, step, tiling.chunk_tiles())),
        products_stride(odd_stride(tiling.chunk_tiles() * block)),
        own_floats(points * (transforms.weights_stride + products_stride) + band_floats()) {}

  // The channels of a block: whole vectors, dealt out evenly.
  Channels channels_of(int64_t b) const {
    const int64_t vectors = ceil_div(c.out_channels, lanes);
    const int64_t first = vectors * b / blocks * lanes;
    const int64_t last = std::min(vectors * (b + 1) / blocks * lanes, c.out_channels);
    return {first, last - first};
  }
  int64_t batch_floats() const { return ceil_div(tiling.chunks, batches) * chunk_floats; }
  // The transformed inputs of a chunk.
  Tiles tiles_of(float* batch, const Batch& chunks, int64_t chunk) const {
    return {batch + (chunk - chunks.begin) * chunk_floats, points, in_padded, step,
            tiling.tiles(chunk, chunk + 1)};
  }
  ForwardMemory memory_of(float* own, int thread) const {
    float* const weights = own + own_floats * thread;
    float* const products = weights + points * transforms.weights_stride;
    return {weights, products, products + points * products_stride};
  }
};

// Multiply the tiles of a chunk by the weights of some output channels, at all points.
void multiply_chunk(const ForwardPlan& plan, const Tiles& tiles, const WeightMatrix& w,
                    const Channels& out, const ForwardMemory& own) {
  const int64_t weights_stride = plan.transforms.weights_stride;
  for (int64_t in = 0; in < plan.c.in_channels; in += plan.step) {
    const int64_t depth = std::min(plan.step, plan.c.in_channels - in);
    const float* const first = w.data + out.first * w.column_stride + in * w.row_stride;
    plan.transforms.weights({first, w.column_stride, w.row_stride, w.flipped}, depth, out.count,
                            own.weights);
    const PointTiles left = tiles.from(in, 0);
    for (int64_t p = 0; p < plan.points; ++p) {
      product_kernels().multiply(
          {tiles.tiles, out.count, depth}, {left.data + p * left.point_stride, left.tile_stride, 1},
          own.weights + p * weights_stride, own.products + p * plan.products_stride, in > 0);
    }
  }
}

// Transform the products of a chunk back, and write the outputs.
void write_chunk(const ForwardPlan& plan, int64_t chunk, const Channels& out, const Epilogue& end,
                 const ForwardMemory& own, float* y) {
  const Planes planes = plan.c.out_planes();
  plan.tiling.for_each_image(
      chunk, planes, [&](int64_t image, const TileRows& rows, int64_t before) {
        for (int64_t o = 0; o < out.count; o += plan.lanes) {
          const int64_t channel = out.first + o, offset = planes.offset(image, channel);
          plan.transforms.output(
              rows, {own.products + before * plan.block + o, plan.products_stride, plan.block},
              std::min(plan.lanes, out.count - o), end.from(channel, offset), own.band, y + offset);
        }
      });
}

// ---- the gradient of the weights ----

struct WeightGradientPlan : Plan {
  int64_t in_padded, out_padded;  // channels, in whole vectors
  int64_t in_blocks, out_blocks;
  int64_t batches;
  // Blocks of output channels that share a pass over the inputs, if all threads have work: at most
  // four, chosen on 2026-11-23.
  int64_t shared;
  int64_t in_floats, out_floats;  // of a batch's transformed values
  int64_t products_stride, own_floats;

  explicit WeightGradientPlan(const Convolution& convolution)
      : Plan(convolution, kChunkValues),
        in_padded(round_up(c.in_channels, lanes)),
        out_padded(round_up(c.out_channels, lanes)),
        in_blocks(ceil_div(c.in_channels, step)),
        out_blocks(ceil_div(c.out_channels, block)),
        batches(tiling.batches(points * (in_padded + out_padded))),
        shared(std::clamp<int64_t>(out_blocks * in_blocks / (4 * threads), 1, 4)) {
    const int64_t tiles = ceil_div(tiling.chunks, batches) * tiling.chunk_tiles();
    in_floats = Tiles::floats(points, in_padded, step, tiles);
    out_floats = Tiles::floats(points, out_padded, block, tiles);
    products_stride = odd_stride(step * block);
    own_floats =
        shared * points * products_stride + std::max(step * c.taps() * lanes, band_floats());
  }
};

// Multiply the transformed inputs of a batch by the transformed gradients, at all points: some
// input channels by the blocks [begin, end) of output channels. The products are sums over tiles.
void multiply_batch(const WeightGradientPlan& plan, const Tiles& in, const Tiles& out,
                    const Channels& input, int64_t begin, int64_t end, float* products) {
  const PointTiles left = in.from(input.first, 0);
  for (int64_t p = 0; p < plan.points; ++p) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t o = b * plan.block;
      const PointTiles right = out.from(o, 0);
      product_kernels().multiply({input.count, plan.c.out_channels - o, in.tiles},
                                 {left.data + p * left.point_stride, 1, left.tile_stride},
                                 right.data + p * right.point_stride,
                                 products + ((b - begin) * plan.points + p) * plan.products_stride,
                                 false);
    }
  }
}

// Transform the products of a block of output channels back into the gradient of the weights.
void write_block(const WeightGradientPlan& plan, const float* products, const Channels& input,
                 int64_t block, bool accumulate, float* taps, float* dweight) {
  const Convolution& c = plan.c;
  const int64_t o = block * plan.block;
  plan.transforms.weight_gradient(
      {products, plan.products_stride, input.count, std::min(plan.block, c.out_channels - o),
       dweight + (o * c.in_channels + input.first) * c.taps(), c.in_channels * c.taps()},
      accumulate, taps);
}

}  // namespace

void convolve(const Convolution& c, const Input& x, const WeightMatrix& weight, const Epilogue& end,
              float* y) {
  const ForwardPlan plan(c);
  const Scratch transformed(plan.batch_floats());
  const Scratch all(plan.own_floats * plan.threads);

#pragma omp parallel num_threads(plan.threads)
  {
    const ForwardMemory own = plan.memory_of(all.data(), omp_get_thread_num());
    for (int64_t b = 0; b < plan.batches; ++b) {
      const Batch batch(plan.tiling, b, plan.batches);
#pragma omp for schedule(dynamic) collapse(2)
      for (int64_t chunk = batch.begin; chunk < batch.end; ++chunk) {
        for (int64_t group = 0; group < plan.groups; ++group) {
          const Source input{plan.transforms.input, c.in_planes(), x,
                             plan.tiles_of(transformed.data(), batch, chunk)};
          transform_chunk(plan, input, chunk, group * plan.lanes, 0, own.band);
        }
      }
#pragma omp for schedule(dynamic) collapse(2)
      for (int64_t chunk = batch.begin; chunk < batch.end; ++chunk) {
        for (int64_t block = 0; block < plan.blocks; ++block) {
          const Channels out = plan.channels_of(block);
          multiply_chunk(plan, plan.tiles_of(transformed.data(), batch, chunk), weight, out, own);
          write_chunk(plan, chunk, out, end, own, y);
        }
      }
    }
  }
}

void weight_gradient(const Convolution& c, const float* x, const float* dz, float* dweight) {
  const WeightGradientPlan plan(c);
  const Scratch transformed(plan.in_floats + plan.out_floats);
  const Scratch all(plan.own_floats * plan.threads);

#pragma omp parallel num_threads(plan.threads)
  {
    float* const products = all.data() + plan.own_floats * omp_get_thread_num();
    float* const band = products + plan.shared * plan.points * plan.products_stride;
    for (int64_t b = 0; b < plan.batches; ++b) {
      const Batch batch(plan.tiling, b, plan.batches);
      const int64_t tiles = plan.tiling.tiles(batch.begin, batch.end);
      const Source in{plan.transforms.input,
                      c.in_planes(),
                      {x},
                      {transformed.data(), plan.points, plan.in_padded, plan.step, tiles}};
      const Source out{
          plan.transforms.output_gradient,
          c.out_planes(),
          {dz},
          {transformed.data() + plan.in_floats, plan.points, plan.out_padded, plan.block, tiles}};
#pragma omp for schedule(dynamic) collapse(2)
      for (int64_t chunk = batch.begin; chunk < batch.end; ++chunk) {
        for (int64_t channel = 0; channel < plan.in_padded + plan.out_padded;
             channel += plan.lanes) {
          const int64_t tile = plan.tiling.tiles(batch.begin, chunk);
          const bool input = channel < plan.in_padded;
          transform_chunk(plan, input ? in : out, chunk, input ? channel : channel - plan.in_padded,
                          tile, band);
        }
      }
#pragma omp for schedule(dynamic) collapse(2)
      for (int64_t first = 0; first < plan.out_blocks; first += plan.shared) {
        for (int64_t i = 0; i < plan.in_blocks; ++i) {
          const int64_t last = std::min(first + plan.shared, plan.out_blocks);
          const Channels input{i * plan.step, std::min(plan.step, c.in_channels - i * plan.step)};
          multiply_batch(plan, in.tiles, out.tiles, input, first, last, products);
          for (int64_t block = first; block < last; ++block) {
            write_block(plan, products + (block - first) * plan.points * plan.products_stride,
                        input, block, b > 0, band, dweight);
          }
        }
      }
    }
  }
}

}  // namespace deeprect
