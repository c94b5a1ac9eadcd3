// The direct convolution: the plan of its work, and the stages.
//
// Outputs are cut into strips of rows. For a strip, some input channels are copied into bands in
// the first-level cache, with their border of zeros. The rows of the sums have the pitch of the
// bands' rows. So a whole strip is one run of sums, and every tap is an offset into the bands. Sums
// between the rows are computed and not used.
#include "conv/direct.h"

#include <omp.h>

#include <algorithm>
#include <vector>

#include "base/arithmetic.h"
#include "base/scratch.h"
#include "conv/direct_kernels.h"

namespace deeprect {
namespace {

// Floats of the bands: 32 KiB, the size of the first-level cache.
constexpr int64_t kBandFloats = 8192;
// Terms that a sum takes before it goes back to memory.
constexpr int64_t kTerms = 64;

struct DirectPlan {
  const Convolution& c;
  int threads;
  int64_t pitch;                 // floats of a row
  int64_t rows, strips;          // rows of a strip, strips of an image
  int64_t blocks, parts;         // blocks of output channels, and their shares
  int64_t band_floats;           // of an input channel
  int64_t together;              // input channels whose bands are loaded together
  std::vector<int64_t> offsets;  // of the terms, in the bands

  explicit DirectPlan(const Convolution& convolution)
      : c(convolution),
        threads(omp_get_max_threads()),
        pitch(c.out_width() + c.kernel - 1),
        rows(std::clamp<int64_t>(kBandFloats / pitch + 1 - c.kernel, 1, c.out_height())),
        strips(ceil_div(c.out_height(), rows)),
        blocks(ceil_div(c.out_channels, kDirectChannels)) {
    // All threads must have work: first from the channels, whose bands are then loaded again.
    const int64_t wanted = ceil_div(4 * threads, c.images * strips);
    parts = std::min(wanted, blocks);
    if (parts < wanted) {
      rows = ceil_div(c.out_height(), strips * ceil_div(wanted, parts));
      strips = ceil_div(c.out_height(), rows);
    }
    // The last vector of sums may begin in the last row.
    band_floats = (rows + c.kernel - 1) * pitch + c.kernel + direct_kernels().lanes;
    const int64_t held = std::max<int64_t>(1, kBandFloats / band_floats);
    together = std::min({c.in_channels, held, ceil_div(kTerms, c.taps())});
    for (int64_t i = 0; i < together; ++i) {
      for (int64_t tap = 0; tap < c.taps(); ++tap) {
        offsets.push_back(i * band_floats + tap / c.kernel * pitch + tap % c.kernel);
      }
    }
  }

  // The sums of a channel: whole vectors.
  int64_t sums() const { return round_up(rows * pitch, direct_kernels().lanes); }
  int64_t own_floats() const {
    const int64_t channels = ceil_div(blocks, parts) * kDirectChannels;
    return round_up(together * band_floats + channels * sums(), 16);
  }
  int64_t tasks() const { return c.images * strips * parts; }
};

// Reorder weights to [block][input channel][tap][channel in block].
void pack(const DirectPlan& plan, const float* weight, float* packed) {
  const int64_t filter = plan.c.in_channels * plan.c.taps();
#pragma omp parallel for num_threads(plan.threads)
  for (int64_t block = 0; block < plan.blocks; ++block) {
    float* const to = packed + block * filter * kDirectChannels;
    for (int64_t o = 0; o < kDirectChannels; ++o) {
      const int64_t channel = block * kDirectChannels + o;
      for (int64_t t = 0; t < filter; ++t) {
        const bool exists = channel < plan.c.out_channels;
        to[t * kDirectChannels + o] = exists ? weight[channel * filter + t] : 0;
      }
    }
  }
}

// Copy what the outputs from row `first` on need of a channel.
void load_band(const DirectPlan& plan, const Input& input, int64_t first, int64_t rows,
               float* band) {
  const Convolution& c = plan.c;
  const float scale = input.scale ? *input.scale : 1, shift = input.scale ? *input.shift : 0;
  float* const end = band + plan.band_floats;
  for (int64_t y = first - c.pad; y < first - c.pad + rows + c.kernel - 1; ++y) {
    float* const after = band + plan.pitch;
    if (y >= 0 && y < c.height) {
      std::fill_n(band, c.pad, 0.0f);
      direct_kernels().load_row(input.x + y * c.width, scale, shift, c.width, band + c.pad);
      band += c.pad + c.width;
    }
    std::fill(band, after, 0.0f);
    band = after;
  }
  std::fill(band, end, 0.0f);
}

// What a thread computes at a time: some blocks of output channels in a strip.
struct Task {
  int64_t image, first_row, rows, first_block, last_block;

  Task(const DirectPlan& plan, int64_t number) {
    const int64_t part = number % plan.parts, strip = number / plan.parts;
    image = strip / plan.strips;
    first_row = strip % plan.strips * plan.rows;
    rows = std::min(plan.rows, plan.c.out_height() - first_row);
    first_block = plan.blocks * part / plan.parts;
    last_block = plan.blocks * (part + 1) / plan.parts;
  }
};

void compute(const DirectPlan& plan, const Task& task, const Input& input, const float* packed,
             float* bands, float* sums) {
  const Convolution& c = plan.c;
  const int64_t size = plan.sums(), block = kDirectChannels * size;
  std::fill_n(sums, (task.last_block - task.first_block) * block, 0.0f);
  for (int64_t i = 0; i < c.in_channels; i += plan.together) {
    const int64_t count = std::min(plan.together, c.in_channels - i);
    for (int64_t k = i; k < i + count; ++k) {
      load_band(plan, input.from(k, c.in_planes().offset(task.image, k)), task.first_row, task.rows,
                bands + (k - i) * plan.band_floats);
    }
    for (int64_t b = task.first_block; b < task.last_block; ++b) {
      const int64_t channels = c.out_channels - b * kDirectChannels;
      const float* const weights = packed + (b * c.in_channels + i) * c.taps() * kDirectChannels;
      direct_kernels().accumulate({std::min<int64_t>(channels, kDirectChannels), size,
                                   count * c.taps(), plan.offsets.data(), bands, weights, size,
                                   sums + (b - task.first_block) * block});
    }
  }
}

void write(const DirectPlan& plan, const Task& task, const float* sums, const Epilogue& end,
           float* y) {
  const Convolution& c = plan.c;
  const int64_t last = std::min(task.last_block * kDirectChannels, c.out_channels);
  for (int64_t o = task.first_block * kDirectChannels; o < last; ++o, sums += plan.sums()) {
    const int64_t width = c.out_width();
    const int64_t offset = c.out_planes().offset(task.image, o) + task.first_row * width;
    const Epilogue here = end.from(o, offset);
    for (int64_t row = 0; row < task.rows; ++row) {
      direct_kernels().finish_row({sums + row * plan.pitch,
                                   here.summand ? here.summand + row * width : nullptr, *here.bias,
                                   *here.alpha, width, y + offset + row * width});
    }
  }
}

}  // namespace

void convolve_directly(const Convolution& c, const Input& input, const float* weight,
                       const Epilogue& end, float* y) {
  const DirectPlan plan(c);
  const Scratch packed(plan.blocks * kDirectChannels * c.in_channels * c.taps());
  const Scratch all(plan.own_floats() * plan.threads);
  pack(plan, weight, packed.data());
#pragma omp parallel for num_threads(plan.threads) schedule(dynamic)
  for (int64_t number = 0; number < plan.tasks(); ++number) {
    const Task task(plan, number);
    float* const bands = all.data() + plan.own_floats() * omp_get_thread_num();
    float* const sums = bands + plan.together * plan.band_floats;
    compute(plan, task, input, packed.data(), bands, sums);
    write(plan, task, sums, end, y);
  }
}

}  // namespace deeprect
