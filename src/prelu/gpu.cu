// The CUDA kernels of PReLU. docs/cuda.md explains the design and the numerics.
//
// The gradient of the slopes is summed in two stages, without atomics: every team of threads writes
// one partial sum into the workspace, and a second kernel adds these up for each channel. The cut
// of a tensor into partial sums depends on its extents only. Blocks take the parts by grid-stride
// loops. Indices are 64-bit; the compiler's division uses 32 bits where the operands allow it.
#include <cuda_runtime.h>

#include <algorithm>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "base/compensated_sum.h"
#include "prelu/frames.cuh"
#include "prelu/gpu.h"

namespace deeprect {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 1 << 15;
// No constant here was tuned: the kernels have never run on a GPU (docs/cuda.md).
//
// Runs shorter than this are read row by row, and each column has its own sum.
constexpr int64_t kShortInner = 32;
// A partial sum is for about this many elements, or rows; for more of them in large tensors, so
// that a channel has at most kMaxSlices partial sums.
constexpr int64_t kSliceElements = 4096;
constexpr int64_t kSliceRows = 32;
constexpr int64_t kMaxSlices = 1024;
constexpr int kFinishTeam = 32;

// ---- sums ----

// Add dy * x for x <= 0, and keep the rounding errors of the product and of the sum. The result is
// as if computed in twice the precision (Ogita, Rump and Oishi 2005, algorithm Dot2).
template <typename M>
__device__ inline void add_term(CompensatedSum<M>* sum, M dy, M x) {
  const M term = prelu_grad_alpha<M>(dy, x);
  sum->add(term);
  if (!(x > M(0))) sum->error += fma(dy, x, -term);
}

// Add up the sums of `members` threads that are `stride` apart, in a tree; the first of them gets
// the result. All threads of the block must call it. `members` is a power of two.
template <typename M, int kCount>
__device__ inline void add_up(CompensatedSum<M> (&sum)[kCount], int stride, int members) {
  __shared__ M sums[kCount][kThreads];
  __shared__ M errors[kCount][kThreads];
  const int me = threadIdx.x;
  const int rank = me / stride % members;
  __syncthreads();  // the last call's readers are done
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    sums[i][me] = sum[i].sum;
    errors[i][me] = sum[i].error;
  }
  for (int half = members / 2; half > 0; half /= 2) {
    __syncthreads();
    if (rank < half) {
      const int other = me + half * stride;
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        sum[i].add(sums[i][other]);
        sum[i].error += errors[i][other];
        sums[i][me] = sum[i].sum;
        errors[i][me] = sum[i].error;
      }
    }
  }
}

// ---- kernels ----

template <typename T, typename A, int kWidth>
__global__ void forward(Extents e, int lead, const T* x, const A* alpha, T* y) {
  const int64_t size = e.size();
  const int64_t frames = frames_of_run(size, kWidth);
  const int64_t stride = int64_t(gridDim.x) * kThreads;
  for (int64_t f = int64_t(blockIdx.x) * kThreads + threadIdx.x; f < frames; f += stride) {
    const Frame<kWidth> frame(0, size, f, lead);
    Values<T, kWidth> values = load(x, frame);
    const int64_t first = frame.start + frame.begin;
    const int64_t run = first / e.inner;
    int64_t inner = first - run * e.inner;
    int64_t channel = run % e.channels;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      if (!frame.holds(i)) continue;
      values.at[i] = prelu<Math<T>>(values.at[i], to_math(alpha[channel]));
      if (++inner == e.inner) {
        inner = 0;
        if (++channel == e.channels) channel = 0;
      }
    }
    store(y, frame, values);
  }
}

// The cut of a tensor whose runs are long: every channel is cut into slices, and a team of threads
// sums each slice.
struct RunCut {
  int64_t slices;
  int team;

  explicit RunCut(const Extents& e) {
    const int64_t elements = e.outer * e.inner;
    const int64_t slice = std::max(kSliceElements, ceil_div(elements, kMaxSlices));
    slices = ceil_div(elements, slice);
    for (team = 32; team < kThreads && team * 16 < std::min(slice, elements); team *= 2) continue;
  }
};

template <typename T, typename A, int kWidth>
__global__ void backward_runs(Extents e, RunCut cut, int lead, const T* dy, const T* x,
                              const A* alpha, T* dx, CompensatedSum<Math<T>>* partial) {
  const int teams = kThreads / cut.team;
  const int lane = threadIdx.x % cut.team;
  const int64_t items = cut.slices * e.channels;
  const int64_t run_frames = frames_of_run(e.inner, kWidth);
  const int64_t slice_frames = ceil_div(e.outer * run_frames, cut.slices);
  const int64_t stride = int64_t(gridDim.x) * teams;
  for (int64_t block_item = int64_t(blockIdx.x) * teams; block_item < items; block_item += stride) {
    const int64_t item = block_item + threadIdx.x / cut.team;
    CompensatedSum<Math<T>> sum[1];
    if (item < items) {
      const int64_t slice = item / e.channels;
      const int64_t channel = item - slice * e.channels;
      const Math<T> a = to_math(alpha[channel]);
      const int64_t stop = min64((slice + 1) * slice_frames, e.outer * run_frames);
      for (int64_t f = slice * slice_frames + lane; f < stop; f += cut.team) {
        const int64_t n = f / run_frames;
        const Frame<kWidth> frame((n * e.channels + channel) * e.inner, e.inner, f - n * run_frames,
                                  lead);
        const Values<T, kWidth> v = load(x, frame);
        Values<T, kWidth> g = load(dy, frame);
#pragma unroll
        for (int i = 0; i < kWidth; ++i) {
          add_term(sum, g.at[i], v.at[i]);
          g.at[i] = prelu_grad_data<Math<T>>(g.at[i], v.at[i], a);
        }
        store(dx, frame, g);
      }
    }
    add_up(sum, 1, cut.team);
    if (item < items && lane == 0) partial[item] = sum[0];
  }
}

// The cut of a tensor whose runs are short. It is a matrix of outer rows and channels * inner
// columns; a block sums `lanes` vectors of columns over a slice of the rows.
struct ColumnCut {
  int64_t columns, slices, slice_rows;

  explicit ColumnCut(const Extents& e) : columns(e.channels * e.inner) {
    slice_rows = std::max({kSliceRows, kSliceElements / columns, ceil_div(e.outer, kMaxSlices)});
    slices = ceil_div(e.outer, slice_rows);
  }
  // The number of a block's threads in one row: enough for the columns, but few enough that the
  // block works on eight rows at once, if there are eight.
  int lanes(int64_t outer, int width) const {
    int rows = 1, lanes = 1;
    while (rows < 8 && rows < outer) rows *= 2;
    while (lanes < kThreads / rows && lanes * width < columns) lanes *= 2;
    return lanes;
  }
};

template <typename T, typename A, int kWidth>
__global__ void backward_columns(Extents e, ColumnCut cut, int lanes, const T* dy, const T* x,
                                 const A* alpha, T* dx, CompensatedSum<Math<T>>* partial) {
  const int64_t tiles = ceil_div(cut.columns, lanes * kWidth);
  const int64_t items = tiles * cut.slices;
  const int rows = kThreads / lanes;
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    const int64_t slice = item / tiles;
    const int64_t tile = item - slice * tiles;
    const int row = threadIdx.x / lanes;
    const int64_t column = (tile * lanes + threadIdx.x % lanes) * kWidth;
    CompensatedSum<Math<T>> sum[kWidth];
    if (column < cut.columns) {
      Math<T> a[kWidth];
#pragma unroll
      for (int i = 0; i < kWidth; ++i) a[i] = to_math(alpha[(column + i) / e.inner]);
      const int64_t stop = min64((slice + 1) * cut.slice_rows, e.outer);
      for (int64_t n = slice * cut.slice_rows + row; n < stop; n += rows) {
        const Frame<kWidth> frame(n * cut.columns + column, kWidth, 0, 0);
        const Values<T, kWidth> v = load(x, frame);
        Values<T, kWidth> g = load(dy, frame);
#pragma unroll
        for (int i = 0; i < kWidth; ++i) {
          add_term(sum + i, g.at[i], v.at[i]);
          g.at[i] = prelu_grad_data<Math<T>>(g.at[i], v.at[i], a[i]);
        }
        store(dx, frame, g);
      }
    }
    add_up(sum, lanes, rows);
    if (column < cut.columns && row == 0) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) partial[slice * cut.columns + column + i] = sum[i];
    }
  }
}

// Add up the partial sums [slices][channels][repeat] of each channel.
template <typename M, typename A>
__global__ void finish(int64_t slices, int64_t channels, int64_t repeat,
                       const CompensatedSum<M>* partial, A* grad_alpha) {
  const int teams = kThreads / kFinishTeam;
  const int lane = threadIdx.x % kFinishTeam;
  const int64_t stride = int64_t(gridDim.x) * teams;
  for (int64_t first = int64_t(blockIdx.x) * teams; first < channels; first += stride) {
    const int64_t channel = first + threadIdx.x / kFinishTeam;
    CompensatedSum<M> sum[1];
    if (channel < channels) {
      for (int64_t k = lane; k < slices * repeat; k += kFinishTeam) {
        const int64_t slice = k / repeat;
        const auto term = partial[(slice * channels + channel) * repeat + k - slice * repeat];
        sum[0].add(term.sum);
        sum[0].error += term.error;
      }
    }
    add_up(sum, 1, kFinishTeam);
    if (channel < channels && lane == 0) store(grad_alpha + channel, value(sum[0]));
  }
}

// ---- launching ----

template <typename... P>
void launch(void (*kernel)(P...), int64_t blocks, void* stream, std::common_type_t<P>... args) {
  void* pointers[] = {&args...};
  const dim3 grid(static_cast<unsigned>(std::min(blocks, kMaxBlocks)));
  const cudaError_t error = cudaLaunchKernel(kernel, grid, dim3(kThreads), pointers, 0,
                                             static_cast<cudaStream_t>(stream));
  if (error == cudaSuccess) return;
  cudaGetLastError();  // clear the error, so that MXNet's next check does not find it again
  throw std::runtime_error(
      std::string("the GPU did not take the kernel: ") + cudaGetErrorString(error) +
      (error == cudaErrorNoKernelImageForDevice || error == cudaErrorUnsupportedPtxVersion
           ? "; build deeprect_gluon again with this "
             "GPU's architecture in DEEPRECT_CUDA_ARCHS"
           : ""));
}

// Call f with null pointers to the types of the data and of the slopes.
template <typename F>
void with_types(DType data, DType alpha, F&& f) {
  with_dtype(data, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    if constexpr (std::is_same_v<T, Half>) {
      if (alpha == DType::kFloat32) return f(tag, static_cast<float*>(nullptr));
    }
    f(tag, tag);
  });
}

// Return the place of the pointers' first element in its vector, or -1 if the places differ.
template <typename T>
int common_lead(std::initializer_list<const void*> pointers) {
  const auto offset = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % kVectorBytes; };
  const auto first = offset(*pointers.begin());
  for (const void* p : pointers) {
    if (offset(p) != first) return -1;
  }
  return static_cast<int>(first / sizeof(T));
}

// Call f with the number of elements that a thread moves at a time.
template <typename T, typename F>
void with_width(bool vectorised, F&& f) {
  if (vectorised) {
    f(std::integral_constant<int, kVectorBytes / int(sizeof(T))>());
  } else {
    f(std::integral_constant<int, 1>());
  }
}

}  // namespace

void prelu_forward_gpu(const PReLUForward& pass, void* stream) {
  const Extents& extents = pass.extents;
  if (extents.size() == 0) return;
  with_types(pass.data_type, pass.alpha_type, [&](auto* data_tag, auto* alpha_tag) {
    using T = std::remove_pointer_t<decltype(data_tag)>;
    using A = std::remove_pointer_t<decltype(alpha_tag)>;
    const int lead = common_lead<T>({pass.x, pass.y});
    with_width<T>(lead >= 0, [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      launch(forward<T, A, kWidth>, ceil_div(frames_of_run(extents.size(), kWidth), kThreads),
             stream, extents, std::max(lead, 0), static_cast<const T*>(pass.x),
             static_cast<const A*>(pass.alpha), static_cast<T*>(pass.y));
    });
  });
}

int64_t prelu_backward_gpu_workspace(const Extents& e, DType data_type) {
  if (e.size() == 0) return 0;
  const int64_t partials = e.inner < kShortInner ? ColumnCut(e).slices * ColumnCut(e).columns
                                                 : RunCut(e).slices * e.channels;
  return partials * 2 * (data_type == DType::kFloat64 ? sizeof(double) : sizeof(float));
}

void prelu_backward_gpu(const PReLUBackward& pass, void* workspace, void* stream) {
  const Extents& e = pass.extents;
  if (e.channels == 0) return;
  with_types(pass.data_type, pass.alpha_type, [&](auto* data_tag, auto* alpha_tag) {
    using T = std::remove_pointer_t<decltype(data_tag)>;
    using A = std::remove_pointer_t<decltype(alpha_tag)>;
    using Sum = CompensatedSum<Math<T>>;
    const auto backward = [&](auto* kernel, int64_t blocks, const auto& cut, int layout) {
      launch(kernel, blocks, stream, e, cut, layout, static_cast<const T*>(pass.dy),
             static_cast<const T*>(pass.x), static_cast<const A*>(pass.alpha),
             static_cast<T*>(pass.dx), static_cast<Sum*>(workspace));
    };
    const int lead = common_lead<T>({pass.dy, pass.x, pass.dx});
    int64_t slices = 0, repeat = 1;
    if (e.size() == 0) {
      // Nothing to sum: the second stage writes zeros.
    } else if (e.inner < kShortInner) {
      const ColumnCut cut(e);
      slices = cut.slices;
      repeat = e.inner;
      const bool aligned = lead == 0 && cut.columns % (kVectorBytes / int(sizeof(T))) == 0;
      with_width<T>(aligned, [&](auto width) {
        constexpr int kWidth = decltype(width)::value;
        const int lanes = cut.lanes(e.outer, kWidth);
        backward(backward_columns<T, A, kWidth>, ceil_div(cut.columns, lanes * kWidth) * cut.slices,
                 cut, lanes);
      });
    } else {
      const RunCut cut(e);
      slices = cut.slices;
      with_width<T>(lead >= 0, [&](auto width) {
        constexpr int kWidth = decltype(width)::value;
        backward(backward_runs<T, A, kWidth>,
                 ceil_div(cut.slices * e.channels, kThreads / cut.team), cut, std::max(lead, 0));
      });
    }
    launch(finish<Math<T>, A>, ceil_div(e.channels, kThreads / kFinishTeam), stream, slices,
           e.channels, repeat, static_cast<const Sum*>(workspace),
           static_cast<A*>(pass.grad_alpha));
  });
}

}  // namespace deeprect
