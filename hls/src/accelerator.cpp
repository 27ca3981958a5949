// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers
#include "accelerator.hpp"

#include "axynq/compute.hpp"
#include "axynq/fetch.hpp"
#include "axynq/load.hpp"
#include "axynq/store.hpp"

namespace axynq {

static_assert(ROUNDS == 1 || INPUTS % REQUANTISERS == 0,
              "outputs that fall on the same byte of a word are finished in different steps");
static_assert(WINDOW_LANES <= FILTERS && WINDOW_LANES <= INPUTS,
              "channels that lanes take in for themselves come from one word");
static_assert((INPUTS & (INPUTS - 1)) == 0 && INPUTS >= 4, "a memory word has 4, 8, 16, ... bytes");
static_assert(RECORD_INTEGERS % (RECORD_BANKS * WORD_INTEGERS) == 0,
              "a descriptor is a whole number of rows");
static_assert(FILTERS * CONSTANT_INTEGERS % WORD_INTEGERS == 0,
              "the constants of a group are a whole number of words");
static_assert(STORED_CODE_BITS == 0 || STORED_CODE_BITS == 1 || STORED_CODE_BITS == 2 ||
                  STORED_CODE_BITS == 4,
              "codes take 1, 2 or 4 bits, or none where every bank holds one multiplier");
static_assert(FILTERS % REQUANTISERS == 0, "the requantisers finish the lanes in equal parts");
static_assert(REQUANTISERS % ADDERS == 0, "the adders take the outputs of a step in equal parts");
static_assert(REQUANTISERS % WORD_LANES == 0, "a word's constants go to requantisers of one step");
static_assert(8 * INPUTS % PORT_BITS == 0, "a word crosses a memory port in whole beats");

// One phase: while it computes, its next tile is loaded, the one before is stored, and what the
// next phase needs is fetched. The caller waits for all four to end, so that the next phase finds
// in memory what this one wrote.
static void run_phase(const phase_t &phase, const places_t &places, place_t images, place_t image,
                      bool has_next, place_t next_record, place_t next_set_words,
                      bool constant_half, bool weight_half, read_port_t commands,
                      read_port_t source, write_port_t destination, map_memory_t &maps,
                      weight_memory_t &weights, code_memory_t &codes, constant_memory_t &constants,
                      byte_place_memory_t &byte_places, lane_place_memory_t &lane_places,
                      table_memory_t &computed_table, table_memory_t &operand_table,
                      partial_memory_t &partials, record_memory_t &record) {
  AXYNQ_NO_INLINE
  AXYNQ_DATAFLOW
  AXYNQ_STABLE(commands)
  AXYNQ_STABLE(source)
  AXYNQ_STABLE(destination)
  AXYNQ_STABLE(phase)
  AXYNQ_STABLE(places)
  AXYNQ_STABLE(images)
  AXYNQ_STABLE(image)
  AXYNQ_STABLE(has_next)
  AXYNQ_STABLE(next_record)
  AXYNQ_STABLE(next_set_words)
  AXYNQ_STABLE(constant_half)
  AXYNQ_STABLE(weight_half)
  AXYNQ_STABLE(maps)
  AXYNQ_STABLE(weights)
  AXYNQ_STABLE(codes)
  AXYNQ_STABLE(constants)
  AXYNQ_STABLE(byte_places)
  AXYNQ_STABLE(lane_places)
  AXYNQ_STABLE(computed_table)
  AXYNQ_STABLE(operand_table)
  AXYNQ_STABLE(partials)
  AXYNQ_STABLE(record)
  channel_t program_words("program_words");
  AXYNQ_CHANNEL_DEPTH(program_words, 32)
  channel_t input_words("input_words");
  AXYNQ_CHANNEL_DEPTH(input_words, 32)
  channel_t output_words("output_words");
  AXYNQ_CHANNEL_DEPTH(output_words, 32)

  fetch(phase, places, has_next, next_record, commands, program_words);
  load(phase, places, images, image, source, input_words);
  compute(phase, places, images, image, has_next, next_set_words, constant_half, weight_half,
          program_words, input_words, output_words, maps, weights, codes, constants, byte_places,
          lane_places, computed_table, operand_table, partials, record);
  store(phase, places, images, output_words, destination);
  AXYNQ_CHECK_EMPTY(program_words)
  AXYNQ_CHECK_EMPTY(input_words)
  AXYNQ_CHECK_EMPTY(output_words)
}

// A checksum in the making: a sum for each of so many columns of integers.
struct checksum_t {
  std::uint32_t sums[CHECKSUM_COLUMNS];

  void start() {
    AXYNQ_INLINE
    for (int column = 0; column < CHECKSUM_COLUMNS; ++column) {
      AXYNQ_UNROLL
      sums[column] = PROGRAM_MAGIC;
    }
  }

  void add(int column, std::uint32_t value) {
    AXYNQ_INLINE
    sums[column] = ((sums[column] << 1) | (sums[column] >> 31)) + value;
  }

  std::uint32_t total() const {
    AXYNQ_INLINE
    std::uint32_t sum = sums[0];
    for (int column = 1; column < CHECKSUM_COLUMNS; ++column) {
      AXYNQ_UNROLL
      const int turn = 4 * column % 32;
      sum += (sums[column] << turn) | (sums[column] >> ((32 - turn) % 32));
    }
    return sum;
  }
};

// The integers of a descriptor that has come in. Returns whether its checksum is right.
static bool read_record(record_memory_t &memory, std::int32_t record[RECORD_INTEGERS]) {
  AXYNQ_NO_INLINE
  checksum_t checksum;
  AXYNQ_REGISTERS(checksum.sums)
  checksum.start();
  AXYNQ_RUN_BEGINS
  AXYNQ_LOOP(READ_RECORD)
  for (int row = 0; row < RECORD_ROWS; ++row) {
    AXYNQ_PIPELINE
    word_t words[RECORD_BANKS];
    AXYNQ_REGISTERS(words)
    read_row(memory, true, record_address_t(row), words);
    for (int k = 0; k < RECORD_BANKS * WORD_INTEGERS; ++k) {
      AXYNQ_UNROLL
      const std::int32_t value = integer_of(words[k / WORD_INTEGERS], k % WORD_INTEGERS);
      const int place = row * RECORD_BANKS * WORD_INTEGERS + k;
      record[place] = value;
      if (place != CHECKSUM_FIELD) checksum.add(k % CHECKSUM_COLUMNS, std::uint32_t(value));
    }
  }
  return std::uint32_t(record[CHECKSUM_FIELD]) == checksum.total();
}

// STATUS_OK where the core knows a phase and has room for it. Addresses need no check: those of a
// memory have as many bits as it takes.
static std::uint32_t status_of(const phase_t &phase) {
  AXYNQ_NO_INLINE
  if (phase.opcode < OPCODE_CONVOLUTION || phase.opcode > OPCODE_AVERAGE) return STATUS_BAD_OPCODE;
  const bool maps_apart = phase.source_map < MAPS && phase.destination_map < MAPS &&
                          phase.residual_map < MAPS && phase.source_map != phase.destination_map &&
                          (!phase.has_residual || (phase.residual_map != phase.source_map &&
                                                   phase.residual_map != phase.destination_map)) &&
                          (phase.ahead_words == 0 ||
                           (phase.ahead_map < MAPS && phase.ahead_map != phase.destination_map));
  const bool room = phase.groups <= GROUPS && phase.vectors <= HALF_VECTORS &&
                    phase.last_pass_vectors <= HALF_VECTORS && phase.ahead_words <= MAP_WORDS &&
                    phase.input_row_words <= MAP_WORDS &&
                    (!phase.residual_loaded || phase.output_row_words <= MAP_WORDS);
  return maps_apart && room ? STATUS_OK : STATUS_DOES_NOT_FIT;
}

// The header comes in where descriptors do.
static void read_header(read_port_t commands, record_memory_t &memory) {
  AXYNQ_NO_INLINE
  word_t word = 0;
  AXYNQ_RUN_BEGINS
  AXYNQ_LOOP(READ_HEADER)
  for (int i = 0; i < RECORD_WORDS * BEATS; ++i) {
    AXYNQ_PIPELINE
    word = with_beat(word, commands[i]);
    write_record_word(memory, i % BEATS == BEATS - 1, i / BEATS, word);
  }
  AXYNQ_COUNT(COUNT_RECORD_WORDS, RECORD_WORDS);
  AXYNQ_COUNT(COUNT_PROGRAM_BURSTS, 1);
}

// STATUS_OK where a header is one of a program for this core.
static std::uint32_t header_status(const std::int32_t record[RECORD_INTEGERS], bool intact) {
  AXYNQ_INLINE
  if (std::uint32_t(record[HEADER_MAGIC]) != PROGRAM_MAGIC) return STATUS_BAD_MAGIC;
  if (!intact) return STATUS_BAD_CHECKSUM;
  if (std::uint32_t(record[HEADER_VERSION]) != ISA_VERSION) return STATUS_BAD_VERSION;
  if (std::uint32_t(record[HEADER_OVERLAY]) != OVERLAY_ID) return STATUS_WRONG_OVERLAY;
  return STATUS_OK;
}

static std::uint32_t run_program(read_port_t commands, read_port_t source, write_port_t destination,
                                 place_t images, volatile std::uint32_t *progress) {
  AXYNQ_MEMORY(map_memory_t, maps)
  AXYNQ_BLOCK_RAM(maps)
  AXYNQ_MEMORY(weight_memory_t, weights)
  AXYNQ_BLOCK_RAM(weights)
  AXYNQ_MEMORY(code_memory_t, codes)
  AXYNQ_CODE_RAM(codes)
  AXYNQ_MEMORY(constant_memory_t, constants)
  AXYNQ_BLOCK_RAM(constants)
  AXYNQ_MEMORY(byte_place_memory_t, byte_places)
  AXYNQ_LUT_RAM(byte_places)
  AXYNQ_MEMORY(lane_place_memory_t, lane_places)
  AXYNQ_LUT_RAM(lane_places)
  AXYNQ_MEMORY(table_memory_t, computed_table)
  AXYNQ_BLOCK_RAM(computed_table)
  AXYNQ_MEMORY(table_memory_t, operand_table)
  AXYNQ_BLOCK_RAM(operand_table)
  AXYNQ_MEMORY(partial_memory_t, partials)
  AXYNQ_SUM_RAM(partials)
  AXYNQ_MEMORY(record_memory_t, next)
  AXYNQ_LUT_RAM(next)
  std::int32_t record[RECORD_INTEGERS];
  AXYNQ_REGISTERS(record)

  read_header(commands, next);
  const bool intact = read_record(next, record);
  const std::uint32_t found = header_status(record, intact);
  if (found != STATUS_OK) return found;
  const place_t phases = record[HEADER_PHASES];
  if (images == 0) return STATUS_OK;
  place_t turns = 1;  // in which the copies take the images of the batch
  AXYNQ_LOOP(TURNS)
  for (place_t left = images; left > COPIES; left -= COPIES) ++turns;

  bool begins = true;  // until there is a phase: what the registers hold is none
  place_t image = 0;   // the first that the phase computes, unless all
  place_t next_index = 0, next_image = 0;  // of the phase that comes next
  place_t next_set_words = record[HEADER_FIRST_SET_WORDS];
  bool half = false, weight_half = false;  // of the memories with two halves
  AXYNQ_LOOP(PHASES)
  while (true) {
    const phase_t phase = phase_from(record);
    const bool has_next = next_index < phases;
    const places_t places = places_of(phase, begins, images, turns, image);
    run_phase(phase, places, images, image, has_next, next_index + 1, next_set_words, half,
              weight_half, commands, source, destination, maps, weights, codes, constants,
              byte_places, lane_places, computed_table, operand_table, partials, next);
    if (!begins) *progress = std::uint32_t(phase.layer);
    if (!has_next) break;

    weight_half = weight_half_after(phase, places, weight_half);
    if (!read_record(next, record)) return STATUS_BAD_CHECKSUM;
    const phase_t following = phase_from(record);
    const std::uint32_t status = status_of(following);
    if (status != STATUS_OK) return status;
    begins = false;
    image = next_image;
    half = !half;
    // Behind the last phase of a segment its first follows, until all images are through.
    const bool again = following.segment_phases != 0 && image + COPIES < images;
    next_index =
        again ? place_t(next_index - following.segment_phases + 1) : place_t(next_index + 1);
    next_set_words = again ? place_t(following.again_set_words) : place_t(following.next_set_words);
    if (following.segment_phases != 0) next_image = again ? place_t(image + COPIES) : place_t(0);
  }
  return STATUS_OK;
}

}  // namespace axynq

void accelerator(axynq::read_port_t commands, axynq::read_port_t source,
                 axynq::write_argument_t destination, std::uint32_t images,
                 volatile std::uint32_t *status, volatile std::uint32_t *progress) {
  AXYNQ_MEMORY_PORT(commands)
  AXYNQ_MEMORY_PORT(source)
  AXYNQ_MEMORY_PORT(destination)
  AXYNQ_REGISTER(images)
  AXYNQ_REGISTER(status)
  AXYNQ_REGISTER(progress)
  AXYNQ_REGISTER(return)

  *progress = 0;
  *status = axynq::run_program(commands, source, destination, images, progress);
}
