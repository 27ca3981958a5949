// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// The memory ports.
#ifndef AXYNQ_PORTS_HPP
#define AXYNQ_PORTS_HPP

#include <cstddef>
#include <cstdint>

#include "axynq/channel.hpp"
#include "axynq/memory.hpp"
#include "axynq/pragmas.hpp"

#if defined(AXYNQ_SIMULATION)
#include "axynq/checked_port.hpp"
#elif defined(__SYNTHESIS__) && !defined(__BAMBU__)
#include <hls_burst_maxi.h>
#endif

namespace axynq {

// Reading: a pointer, whose consecutive accesses a compiler joins to bursts. Writing: bursts are
// requested, so that short ones need not wait for the answer to the one before. The simulation
// checks each access.
#if defined(AXYNQ_SIMULATION)

typedef checked_port<beat_t> read_port_t;
typedef checked_bursts<beat_t> write_port_t;
typedef checked_bursts<beat_t> write_argument_t;

#elif defined(__SYNTHESIS__) && !defined(__BAMBU__)

typedef const beat_t *read_port_t;
typedef hls::burst_maxi<beat_t> write_port_t;
typedef hls::burst_maxi<beat_t> write_argument_t;

#else

typedef const beat_t *read_port_t;
typedef beat_t *write_argument_t;

class write_port_t {
 public:
  write_port_t(write_argument_t memory) : memory_(memory), next_(0) {}
  void write_request(std::size_t first, std::size_t) { next_ = first; }
  void write(const beat_t &beat) { memory_[next_++] = beat; }
  void write_response() {}

 private:
  write_argument_t memory_;
  std::size_t next_;
};

#endif

// A word in the making, with its next beat.
inline word_t with_beat(const word_t &word, const beat_t &beat) {
  AXYNQ_INLINE
  if (BEATS == 1) return word_t(beat);
  return word_t(word >> (BEATS == 1 ? 0 : PORT_BITS)) |
         word_t(word_t(beat) << (8 * INPUTS - PORT_BITS));
}

// Where the bytes of a word come from: with few channels, each tap takes but a part of a word, and
// the byte lanes take several taps side by side (fold.hpp).
inline word_t folded(const word_t &word, ap_uint<8> channels) {
  AXYNQ_INLINE
  word_t result = 0;
  for (int b = INPUTS - 1; b >= 0; --b) {
    AXYNQ_UNROLL
    std::int8_t byte = byte_of(word, b);
    for (int c = 1; c <= INPUTS / 2; ++c) {
      AXYNQ_UNROLL
      if (channels == c) byte = byte_of(word, b % c);
    }
    result = word_t(result << 8) | word_t(std::uint8_t(byte));
  }
  return result;
}

// Consecutive words from memory to a channel, folded where there are channels to fold by. Programs
// are never folded.
template <bool FOLDS>
inline void read_words(read_port_t port, place_t first, place_t words, ap_uint<8> fold_channels,
                       channel_t &to) {
  AXYNQ_NO_INLINE
  const std::size_t start = std::size_t(first) * BEATS;
  const place_t beats = words * BEATS;
  word_t word = 0;
  AXYNQ_LOOP(READ)
  for (place_t i = 0; i < beats; ++i) {
    AXYNQ_PIPELINE
    word = with_beat(word, port[start + std::size_t(i)]);
    if ((i & (BEATS - 1)) == BEATS - 1) to.write(FOLDS ? folded(word, fold_channels) : word);
  }
}

// Consecutive words from a channel to memory, of which a request was made.
inline void write_words(write_port_t &port, place_t words, channel_t &from) {
  AXYNQ_INLINE
  const place_t beats = words * BEATS;
  word_t word = 0;
  AXYNQ_LOOP(WRITE)
  for (place_t i = 0; i < beats; ++i) {
    AXYNQ_PIPELINE
    word = (i & (BEATS - 1)) == 0 ? from.read() : word_t(word >> (BEATS == 1 ? 0 : PORT_BITS));
    port.write(beat_t(word));
  }
}

}  // namespace axynq

#endif
