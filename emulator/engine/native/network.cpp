// Runs a network over any number of images: a thread takes a block of 64 through all layers.
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <system_error>
#include <thread>

#include "convolution.hpp"
#include "elementwise.hpp"
#include "mirror.hpp"  // engine/abi.py makes it

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

void run_operator(const Network &network, const Operator &op, int8_t *arena, uint8_t *scratch,
                  int64_t images, int64_t first, int count) {
  const Tensor &in = network.tensor[op.input], &out = network.tensor[op.output];
  const int8_t *from = arena + in.offset;
  int8_t *to = arena + out.offset;
  switch (op.kind) {
    case CONVOLUTION:
      for (int k = 0; k < op.convolutions; ++k) {
        convolve(op.convolution[k], from, Target{to, op.accumulators, images, first, count},
                 scratch);
        if (op.exact_accumulators)
          convolve(op.exact[k], from, Target{nullptr, op.exact_accumulators, images, first, count},
                   scratch);
      }
      break;
    case ADD:
      instructions::add(op, int64_t(out.rows) * out.columns * out.channels * BLOCK, from,
                        arena + network.tensor[op.residual].offset, to);
      break;
    case PAD:
      pad(op, in, out, from, to);
      break;
    case RESHAPE:
      reshape(in, out, from, to);
      break;
    default:
      pool(op, in, out, from, to);
  }
}

// Copies a tensor of the block to where the caller wants it, if it does.
void capture(const Network &network, int index, const int8_t *arena, int64_t first, int count) {
  const Tensor &tensor = network.tensor[index];
  const int64_t elements = int64_t(tensor.rows) * tensor.columns * tensor.channels;
  if (int8_t *to = network.capture[index])
    from_planar(tensor, arena + tensor.offset, count, to + first * elements);
}

void run_blocks(const Network &network, const int8_t *x, int64_t images, int8_t *y,
                std::atomic<int64_t> &next) {
  const Memory arena_memory = allocate(network.arena_bytes);
  const Memory scratch = allocate(network.scratch_bytes);
  int8_t *arena = reinterpret_cast<int8_t *>(arena_memory.get());
  const Tensor &in = network.tensor[network.input], &out = network.tensor[network.output];
  const int64_t in_bytes = int64_t(in.rows) * in.columns * in.channels;
  const int64_t out_bytes = int64_t(out.rows) * out.columns * out.channels;
  for (;;) {
    const int64_t first = next.fetch_add(BLOCK);
    if (first >= images) return;
    const int count = int(std::min<int64_t>(BLOCK, images - first));
    if (network.blocked)
      std::memcpy(arena + in.offset, x + first * in_bytes, size_t(in_bytes * BLOCK));
    else
      to_planar(in, x + first * in_bytes, count, arena + in.offset);
    capture(network, network.input, arena, first, count);
    for (int k = 0; k < network.operators; ++k) {
      const Operator &op = network.op[k];
      run_operator(network, op, arena, scratch.get(), images, first, count);
      capture(network, op.output, arena, first, count);
    }
    if (network.blocked)
      std::memcpy(y + first * out_bytes, arena + out.offset, size_t(out_bytes * BLOCK));
    else
      from_planar(out, arena + out.offset, count, y + first * out_bytes);
  }
}

}  // namespace

}  // namespace axynq

extern "C" {

// Bytes of scratch memory that a convolution needs.
int64_t axynq_scratch_bytes(const axynq::Convolution *convolution) {
  return axynq::scratch_bytes(*convolution);
}

// Runs `images` images [rows, columns, channels] (or blocks of them, as the network says) through
// the network with so many threads.
// Returns 0, or 1 where memory ran out.
int axynq_run_network(const axynq::Network *network, const int8_t *x, int64_t images, int8_t *y,
                      int threads) {
  std::atomic<int64_t> next{0};
  std::atomic<int> failed{0};
  const auto work = [&] {
    try {
      axynq::run_blocks(*network, x, images, y, next);
    } catch (const std::bad_alloc &) {
      failed = 1;
    }
  };
  const int64_t blocks = (images + axynq::BLOCK - 1) / axynq::BLOCK;
  std::vector<std::thread> others;
  for (int k = 1; k < threads && k < blocks; ++k) {
    try {
      others.emplace_back(work);
    } catch (const std::system_error &) {
      break;  // fewer threads then
    }
  }
  work();
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

}  // extern "C"
