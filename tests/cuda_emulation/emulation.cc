// See emulation.h. The C functions at the end are what the Python tests call.
#include "emulation.h"

#include <ucontext.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "prelu/gpu.h"

namespace emulation {

dim3 thread_index, block_index, grid_size, block_size;
int last_error = 0;

namespace {

enum Order { kAscending, kDescending, kShuffled };
Order order = kAscending;
unsigned most_blocks = UINT_MAX;
// The only block to run, if not negative: a look into a grid too large to emulate.
int64_t only_block = -1;

constexpr size_t kStackBytes = 64 * 1024;
constexpr int kFinished = 0;

// Where a fiber, or the scheduler, goes on. Only the first switch to a fiber is by ucontext: that
// costs a system call each time, as the C library's longjmp does under AddressSanitizer; the
// compiler's own jump is a few instructions.
using Jump = void* [5];

// A thread of the block. Fibers outlive the blocks.
struct Fiber {
  ucontext_t entry;
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  Jump state;
  bool started = false;
  int line = kFinished;  // of the barrier that it waits at
};

Jump scheduler;
std::vector<Fiber> fibers;
Fiber* current;
const std::function<void()>* thread_body;

[[gnu::noinline, gnu::no_sanitize_address]] void jump(Jump to) { __builtin_longjmp(to, 1); }

[[gnu::noinline, gnu::no_sanitize_address]] void give_way() {
  if (__builtin_setjmp(current->state) == 0) jump(scheduler);
}

void fiber_main() {
  for (;;) {
    (*thread_body)();
    current->line = kFinished;
    give_way();
  }
}

[[gnu::noinline, gnu::no_sanitize_address]] void resume(Fiber* fiber) {
  current = fiber;
  if (__builtin_setjmp(scheduler) != 0) return;
  if (fiber->started) jump(fiber->state);
  fiber->started = true;
  getcontext(&fiber->entry);
  fiber->entry.uc_stack.ss_sp = fiber->stack.get();
  fiber->entry.uc_stack.ss_size = kStackBytes;
  makecontext(&fiber->entry, fiber_main, 0);
  setcontext(&fiber->entry);
}

std::vector<unsigned> ordered(unsigned count, std::mt19937* random) {
  std::vector<unsigned> indices(count);
  std::iota(indices.begin(), indices.end(), 0u);
  if (order == kDescending) std::reverse(indices.begin(), indices.end());
  if (order == kShuffled) std::shuffle(indices.begin(), indices.end(), *random);
  return indices;
}

// Runs every thread up to its next barrier and returns that barrier's line, or kFinished.
int run_to_barrier(std::mt19937* random) {
  for (const unsigned t : ordered(block_size.x, random)) {
    thread_index = dim3(t, 0, 0);
    resume(&fibers[t]);
  }
  const int line = fibers[0].line;
  for (const Fiber& fiber : fibers) {
    if (fiber.line == line) continue;
    const std::string lines = std::to_string(line) + " and " + std::to_string(fiber.line);
    fibers.clear();
    throw std::logic_error("divergent threads: they stand at lines " + lines + " (0: the end)");
  }
  return line;
}

}  // namespace

void barrier(int line) {
  current->line = line;
  give_way();
}

void run(dim3 grid, dim3 block, const std::function<void()>& body) {
  std::mt19937 random(20150206);
  grid_size = dim3(std::min(grid.x, most_blocks));
  block_size = block;
  thread_body = &body;
  fibers.resize(block.x);
  for (const unsigned b : ordered(grid_size.x, &random)) {
    if (only_block >= 0 && b != only_block % grid_size.x) continue;
    block_index = dim3(b, 0, 0);
    while (run_to_barrier(&random) != kFinished) continue;
  }
}

}  // namespace emulation

namespace {

// Runs f; returns the message of what it threw, or null.
template <typename F>
const char* message_of(F&& f) {
  static std::string message;
  try {
    f();
    return nullptr;
  } catch (const std::exception& error) {
    message = error.what();
    return message.c_str();
  }
}

}  // namespace

extern "C" {

// How the next launches run: the order of threads and blocks; the largest grid, whatever is asked
// for; and the one block to run, or -1 for all.
void emulation_configure(int order, unsigned most_blocks, int64_t only_block) {
  emulation::order = static_cast<emulation::Order>(order);
  emulation::most_blocks = most_blocks;
  emulation::only_block = only_block;
}

void emulation_fail_next_launch(int error) { emulation::last_error = error; }

const char* emulated_forward(const deeprect::Extents* extents, deeprect::DType data_type,
                             const void* x, deeprect::DType alpha_type, const void* alpha,
                             void* y) {
  return message_of([&] {
    deeprect::prelu_forward_gpu({*extents, data_type, x, alpha_type, alpha, y}, nullptr);
  });
}

const char* emulated_backward(const deeprect::Extents* extents, deeprect::DType data_type,
                              const void* dy, const void* x, deeprect::DType alpha_type,
                              const void* alpha, void* dx, void* grad_alpha) {
  return message_of([&] {
    // Of the exact size, so that AddressSanitizer sees an access beyond it, and full of NaN.
    std::vector<char> workspace(deeprect::prelu_backward_gpu_workspace(*extents, data_type),
                                '\xff');
    deeprect::prelu_backward_gpu({*extents, data_type, dy, x, alpha_type, alpha, dx, grad_alpha},
                                 workspace.data(), nullptr);
  });
}

}  // extern "C"
