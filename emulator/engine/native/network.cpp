// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Runs a network over any number of images: a thread takes a block of 64, or one image, through all
// layers. In what is a template, IMAGES is how many lie side by side, 64 or 1.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <new>
#include <system_error>
#include <thread>

#include "convolution.hpp"
#include "elementwise.hpp"
#include "mirror.hpp"  // engine/abi.py makes it
#include "single_image.hpp"
#include "softmax.hpp"

namespace axynq {

namespace {

struct AlignedFree {
  void operator()(void *memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<uint8_t, AlignedFree>;

Memory allocate(int64_t bytes) {
  void *memory = std::aligned_alloc(64, size_t(round_up(bytes > 0 ? bytes : 1)));
  if (!memory) throw std::bad_alloc();
  return Memory(static_cast<uint8_t *>(memory));
}

constexpr int ONE = 1;

// A thread's memory; threads of a team share the tensors.
template <int IMAGES>
struct Worker {
  explicit Worker(const Network &network, int8_t *shared = nullptr)
      : arena_memory(shared ? nullptr : new_arena(network)),
        scratch_memory(
            allocate(IMAGES == ONE ? network.single_scratch_bytes : network.scratch_bytes)),
        arena(shared ? shared : reinterpret_cast<int8_t *>(arena_memory.get())),
        scratch(scratch_memory.get()) {}
  static Memory new_arena(const Network &network) {
    return allocate(network.arena_bytes * IMAGES + BLOCK);
  }
  const Memory arena_memory, scratch_memory;
  int8_t *const arena;
  uint8_t *const scratch;
  single_image::Workspace workspace;

  int8_t *place(const Tensor &tensor) const { return arena + tensor.offset * IMAGES; }
  const int8_t *values(const Tensor &tensor) const {
    const int8_t *constant = IMAGES == ONE ? tensor.single_constant : tensor.constant;
    return constant ? constant : place(tensor);
  }
};

// Positions from where they are, and the filling.
template <int IMAGES>
void move(const Network &network, const Operator &op, const Worker<IMAGES> &worker, int8_t *to) {
  for (int k = 0; k < op.runs; ++k) {
    const Run &run = op.run[k];
    const size_t bytes = size_t(run.count) * IMAGES;
    if (run.source < 0)
      std::memset(to, op.output_zero_point, bytes);
    else
      std::memcpy(to, worker.values(network.tensor[run.source]) + int64_t(run.first) * IMAGES,
                  bytes);
    to += bytes;
  }
}

void convolve(const Convolution &c, const int8_t *from, const Target &target,
              Worker<BLOCK> &worker) {
  axynq::convolve(c, from, target, worker.scratch);
}

void convolve(const Convolution &c, const int8_t *from, const Target &target, Worker<ONE> &worker) {
  single_image::convolve(c, from, target, worker.scratch, worker.workspace);
}

void next_layer(Worker<BLOCK> &) {}
void next_layer(Worker<ONE> &worker) { worker.workspace.next_layer(); }

// Operators on pairs of values, as they compute a block.
template <class Compute>
void pairs(const Operator &op, const int8_t *first, const int8_t *second, int8_t *to,
           const Worker<BLOCK> &, const Compute &compute) {
  compute(op, first, second, to);
}

template <class Compute>
void pairs(const Operator &op, const int8_t *first, const int8_t *second, int8_t *to,
           const Worker<ONE> &, const Compute &compute) {
  single_image::pairs(op, first, second, to, compute);
}

// What is written apart for a block and for one image.
void without_weights(const Operator &op, const Tensor &in, const Tensor &out, const int8_t *from,
                     int8_t *to, const Worker<BLOCK> &) {
  switch (op.kind) {
    case MAP:
      return map(op, from, to);
    case REDUCE:
      return reduce(op, out, from, to);
    case MAX_POOL:
      return max_pool(op, in, out, from, to);
    default:
      return average_pool(op, in, out, from, to);
  }
}

void without_weights(const Operator &op, const Tensor &in, const Tensor &out, const int8_t *from,
                     int8_t *to, const Worker<ONE> &) {
  switch (op.kind) {
    case MAP:
      return single_image::map(op, from, to);
    case REDUCE:
      return single_image::reduce(op, out, from, to);
    case MAX_POOL:
      return single_image::max_pool(op, in, out, from, to);
    default:
      return single_image::average_pool(op, in, out, from, to);
  }
}

// A thread's share of an operator: of a convolution some rows; all of others the first thread's.
template <int IMAGES>
void run_operator(const Network &network, const Operator &op, Worker<IMAGES> &worker,
                  int64_t images, int64_t first, int count, const Share &share) {
  if (op.kind != CONVOLUTION && share.thread > 0) return;
  const Tensor &in = network.tensor[op.input], &out = network.tensor[op.output];
  const int8_t *from = worker.values(in), *second = worker.values(network.tensor[op.second]);
  int8_t *to = worker.place(out);
  switch (op.kind) {
    case CONVOLUTION:
      next_layer(worker);
      for (int k = 0; k < op.convolutions; ++k) {
        convolve(op.convolution[k], from, Target{to, op.accumulators, images, first, count, share},
                 worker);
        if (op.exact_accumulators)
          convolve(op.exact[k], from,
                   Target{nullptr, op.exact_accumulators, images, first, count, share}, worker);
      }
      break;
    case MOVE:
      move(network, op, worker, to);
      break;
    case ADD:
    case SUBTRACT:
      pairs(op, from, second, to, worker, instructions::add);
      break;
    case MULTIPLY:
      pairs(op, from, second, to, worker, instructions::multiply);
      break;
    case MAXIMUM:
      pairs(op, from, second, to, worker, scalar::maximum);
      break;
    case MINIMUM:
      pairs(op, from, second, to, worker, scalar::minimum);
      break;
    case PRELU:
      pairs(op, from, second, to, worker, scalar::prelu);
      break;
    case RESIZE_BILINEAR:
      resize_bilinear<IMAGES>(op, in, out, from, to);
      break;
    case SOFTMAX:
      softmax_of_channels<IMAGES>(op, in, from, to);
      break;
    default:
      without_weights(op, in, out, from, to, worker);
  }
}

int64_t elements(const Tensor &tensor) {
  return int64_t(tensor.rows) * tensor.columns * tensor.channels;
}

template <int IMAGES>
void load(const Network &network, const Port &port, const Worker<IMAGES> &worker, int64_t first,
          int count) {
  const Tensor &tensor = network.tensor[port.tensor];
  const int8_t *from = port.images + first * elements(tensor);
  if (IMAGES == ONE)
    single_image::to_planar(tensor, from, worker.place(tensor));
  else if (port.blocked)
    std::memcpy(worker.place(tensor), from, size_t(elements(tensor) * BLOCK));
  else
    to_planar(tensor, from, count, worker.place(tensor));
}

// Copies a tensor to where the caller wants it, if it does.
template <int IMAGES>
void capture(const Network &network, int index, const Worker<IMAGES> &worker, int64_t first,
             int count) {
  const Port &port = network.capture[index];
  if (!port.images) return;
  const Tensor &tensor = network.tensor[index];
  int8_t *to = port.images + first * elements(tensor);
  if (IMAGES == ONE)
    single_image::from_planar(tensor, worker.place(tensor), to);
  else if (port.blocked)
    std::memcpy(to, worker.place(tensor), size_t(elements(tensor) * BLOCK));
  else
    from_planar(tensor, worker.place(tensor), count, to);
}

// Images from `first` to `last` of `images` that no thread has taken yet: `next` is the first.
template <int IMAGES>
void run_images(const Network &network, int64_t last, int64_t images, std::atomic<int64_t> &next) {
  int64_t first = next.fetch_add(IMAGES);
  if (first >= last) return;
  Worker<IMAGES> worker(network);
  for (; first < last; first = next.fetch_add(IMAGES)) {
    const int count = int(std::min<int64_t>(IMAGES, last - first));
    for (int k = 0; k < network.inputs; ++k) load(network, network.input[k], worker, first, count);
    for (int k = 0; k < network.operators; ++k) {
      const Operator &op = network.op[k];
      run_operator(network, op, worker, images, first, count, Share());
      capture(network, op.output, worker, first, count);
    }
  }
}

// A thread's part of all blocks, one after another.
void run_shared(const Network &network, int64_t images, Worker<BLOCK> &worker, const Share &share,
                Team &team) {
  [[maybe_unused]] const instructions::Thread thread;
  for (int64_t first = 0; first < images; first += BLOCK) {
    const int count = int(std::min<int64_t>(BLOCK, images - first));
    if (share.thread == 0)
      for (int k = 0; k < network.inputs; ++k)
        load(network, network.input[k], worker, first, count);
    team.wait();
    for (int k = 0; k < network.operators; ++k) {
      const Operator &op = network.op[k];
      run_operator(network, op, worker, images, first, count, share);
      team.wait();
      // Before another tensor takes its place.
      if (!network.capture[op.output].images) continue;
      if (share.thread == 0) capture(network, op.output, worker, first, count);
      team.wait();
    }
  }
}

// Threads beside this one that do `work`, numbered from 1: as many of those asked for as can be
// had.
template <class Work>
std::vector<std::thread> started(int count, const Work &work) {
  std::vector<std::thread> threads;
  for (int k = 1; k <= count; ++k) {
    try {
      threads.emplace_back(work, k);
    } catch (const std::system_error &) {
      break;
    }
  }
  return threads;
}

// Runs blocks with so many threads each. Returns 0, or 1 where memory ran out.
int run_team(const Network &network, int64_t images, int threads) {
  std::atomic<int> failed{0};
  try {
    const Memory memory = Worker<BLOCK>::new_arena(network);
    int8_t *arena = reinterpret_cast<int8_t *>(memory.get());
    Team team;
    const auto work = [&](int thread) {
      try {
        Worker<BLOCK> worker(network, arena);
        run_shared(network, images, worker, Share{thread, team.threads()}, team);
      } catch (const std::bad_alloc &) {
        failed = 1;
        team.abandon();
      }
    };
    std::vector<std::thread> others = started(threads - 1, work);
    team.begin(int(others.size()) + 1);
    work(0);
    for (std::thread &thread : others) thread.join();
  } catch (const std::bad_alloc &) {
    failed = 1;
  }
  return failed;
}

}  // namespace

}  // namespace axynq

extern "C" {

// Bytes of scratch memory that so many convolutions need, one after another, for blocks or for one
// image.
int64_t axynq_scratch_bytes(const axynq::Convolution *convolution, int64_t count, int single) {
  int64_t most = 0;
  for (int64_t k = 0; k < count; ++k)
    most = std::max(most, single ? axynq::single_image::scratch_bytes(convolution[k])
                                 : axynq::scratch_bytes(convolution[k]));
  return most;
}

// Runs so many images through the network, with so many threads: the first of them in blocks, the
// others one by one. Returns 0, or 1 where memory ran out.
int axynq_run_network(const axynq::Network *network, int64_t images, int64_t in_blocks,
                      int threads) {
  std::atomic<int64_t> next_block{0}, next_image{in_blocks};
  const int64_t blocks = (in_blocks + axynq::BLOCK - 1) / axynq::BLOCK;
  const int64_t sharing = std::min<int64_t>(threads, axynq::products(*network) / axynq::SHARE);
  if (in_blocks == images && blocks < threads && sharing > blocks)
    return axynq::run_team(*network, images, int(sharing));
  std::atomic<int> failed{0};
  const auto work = [&](int) {
    try {
      [[maybe_unused]] const axynq::instructions::Thread thread;
      axynq::run_images<axynq::BLOCK>(*network, in_blocks, images, next_block);
      axynq::run_images<axynq::ONE>(*network, images, images, next_image);
    } catch (const std::bad_alloc &) {
      failed = 1;
    }
  };
  const int64_t units = blocks + images - in_blocks;
  std::vector<std::thread> others =
      axynq::started(int(std::min<int64_t>(threads, units)) - 1, work);
  work(0);
  for (std::thread &thread : others) thread.join();
  return failed;
}

// Seconds that a convolution of a block takes, at best of some passes.
double axynq_seconds(const axynq::Convolution *convolution, const int8_t *input, int8_t *output) {
  const axynq::Memory scratch = axynq::allocate(axynq::scratch_bytes(*convolution));
  [[maybe_unused]] const axynq::instructions::Thread thread;
  double best = 1e9;
  for (int pass = 0; pass < 5; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    axynq::convolve(*convolution, input, {output, nullptr, 0, 0, 0}, scratch.get());
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    best = std::min(best, taken.count());
  }
  return best;
}

// When sums of looked-up bytes are widened, for filters with so many taps each, one after another.
void axynq_flushes(const int32_t *ranges, const int64_t *taps, int64_t filters, int32_t *flush) {
  for (int64_t f = 0, first = 0; f < filters; first += taps[f++])
    axynq::flushes(ranges + first, taps[f], flush + first);
}

// Whether weights are words, as FilterBlock says.
int axynq_wide_weights() { return axynq::instructions::WIDE_WEIGHTS; }

// Whether segments may look up halves of bytes.
int axynq_group_lookups() { return axynq::instructions::GROUP_LOOKUPS; }

// Factors of requantisations in real numbers, where the kernel may use them.
void axynq_real_factors(const int32_t *multiplier, const int32_t *shift, int64_t count,
                        axynq::RealFactor *real) {
  for (int64_t k = 0; k < count; ++k)
    real[k] = axynq::instructions::real_factor(multiplier[k], shift[k]);
}

// The real numbers that values of so many tensors stand for, with so many threads.
void axynq_reals(const axynq::Reals *reals, int64_t tensors, int threads) {
  std::atomic<int> next{0};
  const auto work = [&](int) {
    for (int part = next++; part < threads; part = next++)
      for (int64_t k = 0; k < tensors; ++k) {
        const axynq::Reals &r = reals[k];
        const int64_t first = r.count * part / threads, last = r.count * (part + 1) / threads;
        for (int64_t i = first; i < last; ++i) r.to[i] = float(r.from[i] - r.zero_point) * r.scale;
      }
  };
  std::vector<std::thread> others = axynq::started(threads - 1, work);
  work(0);
  for (std::thread &thread : others) thread.join();
}

// Whether filters may be computed in tiles.
int axynq_tiles() { return axynq::instructions::TILES; }

}  // extern "C"
