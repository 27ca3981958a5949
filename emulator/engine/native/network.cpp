// Runs a network over any number of images: a thread takes a block of 64 through all layers.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <system_error>
#include <thread>

#include "convolution.hpp"
#include "elementwise.hpp"
#include "mirror.hpp"  // engine/abi.py makes it
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

// A tensor of the block.
const int8_t *place(const Tensor &tensor, const int8_t *arena) {
  return tensor.constant ? tensor.constant : arena + tensor.offset;
}

// Positions from where they are, and the filling.
void move(const Network &network, const Operator &op, const int8_t *arena, int8_t *to) {
  for (int k = 0; k < op.runs; ++k) {
    const Run &run = op.run[k];
    const size_t bytes = size_t(run.count) * BLOCK;
    if (run.source < 0)
      std::memset(to, op.output_zero_point, bytes);
    else
      std::memcpy(to, place(network.tensor[run.source], arena) + int64_t(run.first) * BLOCK, bytes);
    to += bytes;
  }
}

// A thread's share of an operator: of a convolution some rows; all of others the first thread's.
void run_operator(const Network &network, const Operator &op, int8_t *arena, uint8_t *scratch,
                  int64_t images, int64_t first, int count, const Share &share) {
  if (op.kind != CONVOLUTION && share.thread > 0) return;
  const Tensor &in = network.tensor[op.input], &out = network.tensor[op.output];
  const int8_t *from = place(in, arena), *second = place(network.tensor[op.second], arena);
  int8_t *to = arena + out.offset;
  switch (op.kind) {
    case CONVOLUTION:
      for (int k = 0; k < op.convolutions; ++k) {
        convolve(op.convolution[k], from, Target{to, op.accumulators, images, first, count, share},
                 scratch);
        if (op.exact_accumulators)
          convolve(op.exact[k], from,
                   Target{nullptr, op.exact_accumulators, images, first, count, share}, scratch);
      }
      break;
    case MOVE:
      move(network, op, arena, to);
      break;
    case MAP:
      map(op, from, to);
      break;
    case ADD:
    case SUBTRACT:
      instructions::add(op, from, second, to);
      break;
    case MULTIPLY:
      instructions::multiply(op, from, second, to);
      break;
    case MAXIMUM:
      scalar::each_pair(op, from, second, to, [&](int8_t x, int8_t y) {
        return std::clamp(x > y ? x : y, int8_t(op.clamp_low), int8_t(op.clamp_high));
      });
      break;
    case MINIMUM:
      scalar::each_pair(op, from, second, to, [&](int8_t x, int8_t y) {
        return std::clamp(x < y ? x : y, int8_t(op.clamp_low), int8_t(op.clamp_high));
      });
      break;
    case PRELU:
      scalar::prelu(op, from, second, to);
      break;
    case REDUCE:
      reduce(op, out, from, to);
      break;
    case RESIZE_BILINEAR:
      resize_bilinear(op, in, out, from, to);
      break;
    case SOFTMAX:
      softmax_of_channels(op, in, from, to);
      break;
    case MAX_POOL:
      max_pool(op, in, out, from, to);
      break;
    default:
      average_pool(op, in, out, from, to);
  }
}

int64_t elements(const Tensor &tensor) {
  return int64_t(tensor.rows) * tensor.columns * tensor.channels;
}

void load(const Network &network, const Port &port, int8_t *arena, int64_t first, int count) {
  const Tensor &tensor = network.tensor[port.tensor];
  const int8_t *from = port.images + first * elements(tensor);
  if (port.blocked)
    std::memcpy(arena + tensor.offset, from, size_t(elements(tensor) * BLOCK));
  else
    to_planar(tensor, from, count, arena + tensor.offset);
}

// Copies a tensor of the block to where the caller wants it, if it does.
void capture(const Network &network, int index, const int8_t *arena, int64_t first, int count) {
  const Port &port = network.capture[index];
  if (!port.images) return;
  const Tensor &tensor = network.tensor[index];
  int8_t *to = port.images + first * elements(tensor);
  if (port.blocked)
    std::memcpy(to, arena + tensor.offset, size_t(elements(tensor) * BLOCK));
  else
    from_planar(tensor, arena + tensor.offset, count, to);
}

void run_blocks(const Network &network, int64_t images, std::atomic<int64_t> &next) {
  const Memory arena_memory = allocate(network.arena_bytes);
  const Memory scratch = allocate(network.scratch_bytes);
  int8_t *arena = reinterpret_cast<int8_t *>(arena_memory.get());
  [[maybe_unused]] const instructions::Thread thread;
  for (;;) {
    const int64_t first = next.fetch_add(BLOCK);
    if (first >= images) return;
    const int count = int(std::min<int64_t>(BLOCK, images - first));
    for (int k = 0; k < network.inputs; ++k) load(network, network.input[k], arena, first, count);
    for (int k = 0; k < network.operators; ++k) {
      const Operator &op = network.op[k];
      run_operator(network, op, arena, scratch.get(), images, first, count, Share());
      capture(network, op.output, arena, first, count);
    }
  }
}

// A thread's part of all blocks, one after another, in memory that all share but for the scratch.
void run_shared(const Network &network, int64_t images, int8_t *arena, uint8_t *scratch,
                const Share &share, Team &team) {
  [[maybe_unused]] const instructions::Thread thread;
  for (int64_t first = 0; first < images; first += BLOCK) {
    const int count = int(std::min<int64_t>(BLOCK, images - first));
    if (share.thread == 0)
      for (int k = 0; k < network.inputs; ++k) load(network, network.input[k], arena, first, count);
    team.wait();
    for (int k = 0; k < network.operators; ++k) {
      const Operator &op = network.op[k];
      run_operator(network, op, arena, scratch, images, first, count, share);
      team.wait();
      // Before another tensor takes its place.
      if (!network.capture[op.output].images) continue;
      if (share.thread == 0) capture(network, op.output, arena, first, count);
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
    const Memory arena = allocate(network.arena_bytes);
    std::vector<Memory> scratch;
    for (int k = 0; k < threads; ++k) scratch.push_back(allocate(network.scratch_bytes));
    Team team;
    const auto work = [&](int thread) {
      try {
        run_shared(network, images, reinterpret_cast<int8_t *>(arena.get()),
                   scratch[size_t(thread)].get(), Share{thread, team.threads()}, team);
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

// Bytes of scratch memory that a convolution needs.
int64_t axynq_scratch_bytes(const axynq::Convolution *convolution) {
  return axynq::scratch_bytes(*convolution);
}

// Runs so many images through the network, with so many threads.
// Returns 0, or 1 where memory ran out.
int axynq_run_network(const axynq::Network *network, int64_t images, int threads) {
  const int64_t blocks = (images + axynq::BLOCK - 1) / axynq::BLOCK;
  const int64_t sharing = std::min<int64_t>(threads, axynq::products(*network) / axynq::SHARE);
  if (blocks < threads && sharing > blocks) return axynq::run_team(*network, images, int(sharing));
  std::atomic<int64_t> next{0};
  std::atomic<int> failed{0};
  const auto work = [&](int) {
    try {
      axynq::run_blocks(*network, images, next);
    } catch (const std::bad_alloc &) {
      failed = 1;
    }
  };
  std::vector<std::thread> others =
      axynq::started(int(std::min<int64_t>(threads, blocks)) - 1, work);
  work(0);
  for (std::thread &thread : others) thread.join();
  return failed;
}

// When sums of looked-up bytes are widened, for filters with so many taps each, one after another.
void axynq_flushes(const int32_t *ranges, const int64_t *taps, int64_t filters, int32_t *flush) {
  for (int64_t f = 0, first = 0; f < filters; first += taps[f++])
    axynq::flushes(ranges + first, taps[f], flush + first);
}

// Whether weights are words, as FilterBlock says.
int axynq_wide_weights() { return axynq::instructions::WIDE_WEIGHTS; }

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
