#include "accelerator.hpp"

#include "axynq/convolve.hpp"
#include "axynq/elementwise.hpp"
#include "axynq/fits.hpp"
#include "axynq/layer.hpp"
#include "axynq/tile.hpp"
#include "axynq/weights.hpp"

namespace axynq {

static_assert(FILTERS <= INPUTS, "a group of filters writes each byte lane of a word at most once");
static_assert((INPUTS & (INPUTS - 1)) == 0 && INPUTS >= 4, "a memory word has 4, 8, 16, ... bytes");
static_assert(RECORD_INTEGERS % WORD_INTEGERS == 0, "a descriptor is a whole number of words");
static_assert(FILTERS * CONSTANT_INTEGERS % WORD_INTEGERS == 0,
              "the constants of a group are a whole number of words");
static_assert(STORED_CODE_BITS == 0 || STORED_CODE_BITS == 1 || STORED_CODE_BITS == 2 ||
                  STORED_CODE_BITS == 4,
              "codes take 1, 2 or 4 bits, or none where every bank holds one multiplier");
static_assert(FILTERS % REQUANTISERS == 0, "the requantisers finish the lanes in equal parts");
static_assert(WEIGHT_VECTORS >= 1 && GROUPS >= 1 && PARTIAL_SUMS >= 1, "no buffer may be empty");

static void compute_tile(const layer_t &layer, const fold_t &fold, int index, int block,
                         read_port_t program, const input_buffer_t input,
                         const output_buffer_t residual, weight_buffer_t weights,
                         code_buffer_t codes, const constant_buffer_t constants,
                         output_buffer_t output) {
  AXYNQ_NO_INLINE
  if (!uses_lanes(layer)) {
    pool_tile(layer, index, input, output);
    return;
  }
  partial_buffer_t partials;
  AXYNQ_BANKS(partials)
PASSES:
  for (int pass = 0; pass < layer.passes; ++pass) {
    if (layer.passes > 1) {
      // The weights of all taps do not fit at once: they come in for every tile, pass by pass.
      const std::int64_t before =
          std::int64_t(block) * tap_count(layer) + std::int64_t(pass) * layer.pass_taps;
      const int taps = minimum(layer.pass_taps, tap_count(layer) - pass * layer.pass_taps);
      load_weights(program, layer.weights_offset + before * layer.block_groups * VECTOR_WORDS,
                   layer.block_groups * taps, weights, codes);
    }
    convolve_tile(layer, fold, index, block, pass, input, residual, weights, codes, constants,
                  partials, output);
  }
}

// Load, compute and store overlap: while one tile is computed, the next is loaded and the one
// before is stored.
static void run_tiles(const layer_t &layer, const fold_t &fold, int block, int images, int tiles,
                      read_port_t program, read_port_t source, write_port_t destination,
                      weight_buffer_t weights, code_buffer_t codes,
                      const constant_buffer_t constants) {
  AXYNQ_NO_INLINE
TILES:
  for (int index = 0; index < tiles; ++index) {
    AXYNQ_DATAFLOW
    input_buffer_t input;
    AXYNQ_BANKS(input)
    output_buffer_t residual;
    AXYNQ_BANKS(residual)
    output_buffer_t output;
    AXYNQ_BANKS(output)
#if defined(AXYNQ_SIMULATION)
    // On-chip memory holds anything: nothing may depend on it.
    std::memset(input, 0xA5, sizeof(input));
    std::memset(residual, 0xA5, sizeof(residual));
    std::memset(output, 0xA5, sizeof(output));
#endif
    load_tile(layer, fold, index, images, source, input, residual);
    compute_tile(layer, fold, index, block, program, input, residual, weights, codes, constants,
                 output);
    store_tile(layer, index, block, images, output, destination);
    AXYNQ_COUNT(COUNT_TILES, 1);
  }
}

static std::uint32_t run_layer(const layer_t &layer, int images, read_port_t program,
                               read_port_t source, write_port_t destination) {
  AXYNQ_NO_INLINE
  const std::uint32_t status = status_of(layer);
  if (status != STATUS_OK) return status;
  weight_buffer_t weights;
  AXYNQ_PRAGMA(HLS ARRAY_PARTITION variable=weights type=complete dim=1)
  AXYNQ_PRAGMA(HLS ARRAY_RESHAPE variable=weights type=complete dim=3)
  code_buffer_t codes;
  AXYNQ_PRAGMA(HLS ARRAY_PARTITION variable=codes type=complete dim=1)
  AXYNQ_PRAGMA(HLS ARRAY_RESHAPE variable=codes type=complete dim=3)
  constant_buffer_t constants;
  AXYNQ_PRAGMA(HLS ARRAY_PARTITION variable=constants type=complete dim=1)
  AXYNQ_PRAGMA(HLS ARRAY_PARTITION variable=constants type=complete dim=2)
  const fold_t fold = fold_of(layer);

  const int tiles = tiles_per_image(layer) * images;
  const int vectors = layer.block_groups * group_vectors(layer);
  const int constant_words = layer.block_groups * FILTERS * CONSTANT_INTEGERS / WORD_INTEGERS;
BLOCKS:
  for (int block = 0; block < layer.blocks; ++block) {
    if (has_weights(layer) && layer.passes == 1)
      load_weights(program, layer.weights_offset + std::int64_t(block) * vectors * VECTOR_WORDS,
                   vectors, weights, codes);
    if (uses_lanes(layer)) {
      const bool inside =
          load_constants(program, layer.constants_offset + std::int64_t(block) * constant_words,
                         layer.block_groups, block * layer.block_pixel_words * INPUTS,
                         layer.block_pixel_words * INPUTS, constants);
      if (!inside) return STATUS_DOES_NOT_FIT;
    }
    run_tiles(layer, fold, block, images, tiles, program, source, destination, weights, codes,
              constants);
  }
  return STATUS_OK;
}

static std::uint32_t run_program(read_port_t program, read_port_t source, write_port_t destination,
                                 int images, volatile std::uint32_t *progress) {
  std::int32_t record[RECORD_INTEGERS];
  AXYNQ_REGISTERS(record)
  const bool header_intact = fetch_record(program, 0, record);
  if (std::uint32_t(record[HEADER_MAGIC]) != PROGRAM_MAGIC) return STATUS_BAD_MAGIC;
  if (!header_intact) return STATUS_BAD_CHECKSUM;
  if (std::uint32_t(record[HEADER_VERSION]) != ISA_VERSION) return STATUS_BAD_VERSION;
  if (std::uint32_t(record[HEADER_OVERLAY]) != OVERLAY_ID) return STATUS_WRONG_OVERLAY;
  const int layers = record[HEADER_LAYERS];
LAYERS:
  for (int index = 0; index < layers; ++index) {
    if (!fetch_record(program, (index + 1) * RECORD_WORDS, record)) return STATUS_BAD_CHECKSUM;
    const std::uint32_t status =
        run_layer(layer_from(record), images, program, source, destination);
    if (status != STATUS_OK) return status;
    *progress = std::uint32_t(index + 1);
  }
  return STATUS_OK;
}

}  // namespace axynq

void accelerator(axynq::read_port_t commands, axynq::read_port_t source,
                 axynq::write_port_t destination, std::uint32_t images,
                 volatile std::uint32_t *status, volatile std::uint32_t *progress) {
  AXYNQ_MEMORY_PORT(commands)
  AXYNQ_MEMORY_PORT(source)
  AXYNQ_MEMORY_PORT(destination)
  AXYNQ_REGISTER(images)
  AXYNQ_REGISTER(status)
  AXYNQ_REGISTER(progress)
  AXYNQ_REGISTER(return)

  *progress = 0;
  *status = axynq::run_program(commands, source, destination, int(images), progress);
}
