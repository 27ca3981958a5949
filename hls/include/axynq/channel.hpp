// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Channels between the processes: words in order, from one writer to one reader.
//
// In synthesis a FIFO. Processes that run one after the other, as in simulation and for compilers
// that do not know dataflow, need one that holds all of a phase's words.
#ifndef AXYNQ_CHANNEL_HPP
#define AXYNQ_CHANNEL_HPP

#include "axynq/memory.hpp"
#include "axynq/pragmas.hpp"

#if defined(AXYNQ_SIMULATION)
#include "axynq/simulated_channel.hpp"
#elif AXYNQ_DATAFLOW_COMPILER
#include <hls_stream.h>
#endif

namespace axynq {

#if defined(AXYNQ_SIMULATION)

typedef simulated_channel<word_t> channel_t;

#elif AXYNQ_DATAFLOW_COMPILER

typedef hls::stream<word_t> channel_t;

#else

// Words of a phase that a channel of the sequential build holds. Layers that move more need the
// simulation.
const int SEQUENTIAL_CHANNEL_WORDS = 1 << 15;

class channel_t {
 public:
  explicit channel_t(const char *) : first_(0), end_(0) {}
  void write(const word_t &word) { words_[end_++ % SEQUENTIAL_CHANNEL_WORDS] = word; }
  word_t read() { return words_[first_++ % SEQUENTIAL_CHANNEL_WORDS]; }

 private:
  unsigned first_, end_;
  word_t words_[SEQUENTIAL_CHANNEL_WORDS];
};

#endif

}  // namespace axynq

#if defined(AXYNQ_SIMULATION)
#define AXYNQ_CHECK_EMPTY(channel) channel.check_empty();
#else
#define AXYNQ_CHECK_EMPTY(channel)
#endif

#endif
