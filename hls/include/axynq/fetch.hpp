// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// The process that reads the program: what this phase takes in again, and what the next one needs.
#ifndef AXYNQ_FETCH_HPP
#define AXYNQ_FETCH_HPP

#include "axynq/ports.hpp"
#include "axynq/tile.hpp"

namespace axynq {

// The header is record 0, the descriptor of phase k record k + 1.
inline place_t record_place(place_t record) {
  AXYNQ_INLINE
  return record * RECORD_WORDS;
}

// A descriptor, and where its set is.
inline void fetch_record(read_port_t commands, place_t record, channel_t &to, place_t &set_offset,
                         place_t &set_words) {
  AXYNQ_NO_INLINE
  const std::size_t start = std::size_t(record_place(record)) * BEATS;
  word_t word = 0;
  AXYNQ_LOOP(FETCH_RECORD)
  for (int i = 0; i < RECORD_WORDS * BEATS; ++i) {
    AXYNQ_PIPELINE
    word = with_beat(word, commands[start + std::size_t(i)]);
    if (i % BEATS == BEATS - 1) to.write(word);
    if (i == FIELD_SET_OFFSET / WORD_INTEGERS * BEATS + BEATS - 1)
      set_offset = integer_of(word, FIELD_SET_OFFSET % WORD_INTEGERS);
    if (i == FIELD_SET_WORDS / WORD_INTEGERS * BEATS + BEATS - 1)
      set_words = integer_of(word, FIELD_SET_WORDS % WORD_INTEGERS);
  }
  AXYNQ_COUNT(COUNT_RECORD_WORDS, RECORD_WORDS);
  AXYNQ_COUNT(COUNT_PROGRAM_BURSTS, 1);
}

// Weights of all passes for each tile, but those of the first pass only for tiles behind the
// first: they came before the phase. Then descriptor and set of the next phase.
inline void fetch(const phase_t &phase, const places_t &places, bool has_next, place_t next_record,
                  read_port_t commands, channel_t &to) {
  AXYNQ_NO_INLINE
  if (phase.passes > 1) {
    AXYNQ_LOOP(PASSES)
    for (place_t tile = 0; tile < places.tiles; ++tile) {
      const place_t there = tile == 0 ? place_t(phase.first_pass_words) : place_t(0);
      const place_t words = phase.weights_words - there;
      read_words<false>(commands, phase.weights_offset + there, words, 0, to);
      AXYNQ_COUNT(COUNT_SET_WORDS, words);
      AXYNQ_COUNT(COUNT_PROGRAM_BURSTS, 1);
    }
  }
  if (has_next) {
    place_t set_offset = 0, set_words = 0;
    fetch_record(commands, next_record, to, set_offset, set_words);
    read_words<false>(commands, set_offset, set_words, 0, to);
    AXYNQ_COUNT(COUNT_SET_WORDS, set_words);
    AXYNQ_COUNT(COUNT_PROGRAM_BURSTS, 1);
  }
}

}  // namespace axynq

#endif
