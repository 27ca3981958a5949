#include "accelerator.hpp"

#include "axynq/convolve.hpp"
#include "axynq/elementwise.hpp"
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

// Whether everything the layer needs at a time fits on chip, so that no index can leave a buffer.
static bool fits(const layer_t &layer) {
  AXYNQ_NO_INLINE
  if (layer.input_rows < 1 || layer.input_columns < 1 || layer.input_pixel_words < 1 ||
      layer.output_rows < 1 || layer.output_columns < 1 || layer.output_pixel_words < 1 ||
      layer.kernel_rows < 1 || layer.kernel_columns < 1 || layer.stride_rows < 1 ||
      layer.stride_columns < 1 || layer.dilation_rows < 1 || layer.dilation_columns < 1 ||
      layer.fold_rows < 1 || layer.fold_columns < 1 || layer.tile_rows < 1 || layer.passes < 1 ||
      layer.pass_taps < 1 || layer.blocks < 1 || layer.block_pixel_words < 1)
    return false;
  if (std::int64_t(layer.blocks - 1) * layer.block_pixel_words >= layer.output_pixel_words)
    return false;
  const std::int64_t window =
      std::int64_t(layer.tile_rows - 1) * layer.stride_rows + layer.kernel_extent();
  const std::int64_t rows = window < layer.input_rows ? window : layer.input_rows;
  if (rows * layer.input_columns * layer.input_pixel_words > INPUT_WORDS) return false;
  const std::int64_t pixels = std::int64_t(layer.tile_rows) * layer.output_columns;
  if (pixels * layer.block_pixel_words > OUTPUT_WORDS) return false;
  if (layer.residual && pixels * layer.output_pixel_words > OUTPUT_WORDS) return false;
  if (layer.opcode != OPCODE_CONVOLUTION) {
    if (layer.input_pixel_words != layer.output_pixel_words || layer.passes != 1 ||
        layer.fold_rows * layer.fold_columns != 1)
      return false;
  } else if (layer.fold_rows * layer.fold_columns > 1) {
    if (layer.input_pixel_words != 1 || layer.fold_channels < 1 ||
        layer.fold_channels * layer.fold_rows * layer.fold_columns > INPUTS)
      return false;
  }
  if (!layer.uses_lanes())
    return !layer.residual && layer.blocks == 1 &&
           layer.block_pixel_words == layer.output_pixel_words;
  if (layer.block_groups < 1 || layer.block_groups > GROUPS) return false;
  if (layer.opcode == OPCODE_ADD) return layer.residual && layer.taps() == 1;
  if (std::int64_t(layer.passes) * layer.pass_taps < layer.taps() ||
      std::int64_t(layer.passes - 1) * layer.pass_taps >= layer.taps())
    return false;
  const int vectors = layer.passes > 1 ? layer.pass_taps : layer.group_vectors();
  if (std::int64_t(layer.block_groups) * vectors > WEIGHT_VECTORS) return false;
  return layer.passes == 1 || pixels * layer.block_groups <= PARTIAL_SUMS;
}

static void compute_tile(const layer_t &layer, const fold_t &fold, int index, int block,
                         read_port_t program, const input_buffer_t input,
                         const output_buffer_t second, weight_buffer_t weights, code_buffer_t codes,
                         const constant_buffer_t constants, output_buffer_t output) {
  AXYNQ_NO_INLINE
  if (!layer.uses_lanes()) {
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
          std::int64_t(block) * layer.taps() + std::int64_t(pass) * layer.pass_taps;
      const int taps = minimum(layer.pass_taps, layer.taps() - pass * layer.pass_taps);
      load_weights(program, layer.weights_offset + before * layer.block_groups * VECTOR_WORDS,
                   layer.block_groups * taps, weights, codes);
    }
    convolve_tile(layer, fold, index, block, pass, input, second, weights, codes, constants,
                  partials, output);
  }
}

// Load, compute and store overlap: while one tile is computed, the next is loaded and the one
// before is stored.
static void run_tiles(const layer_t &layer, const fold_t &fold, int block, int images,
                      int tiles, read_port_t program, read_port_t source,
                      write_port_t destination, weight_buffer_t weights, code_buffer_t codes,
                      const constant_buffer_t constants) {
  AXYNQ_NO_INLINE
TILES:
  for (int index = 0; index < tiles; ++index) {
    AXYNQ_DATAFLOW
    input_buffer_t input;
    AXYNQ_BANKS(input)
    output_buffer_t second;
    AXYNQ_BANKS(second)
    output_buffer_t output;
    AXYNQ_BANKS(output)
#if defined(AXYNQ_SIMULATION)
    // On-chip memory holds anything: nothing may depend on it.
    std::memset(input, 0xA5, sizeof(input));
    std::memset(second, 0xA5, sizeof(second));
    std::memset(output, 0xA5, sizeof(output));
#endif
    load_tile(layer, fold, index, images, source, input, second);
    compute_tile(layer, fold, index, block, program, input, second, weights, codes, constants,
                 output);
    store_tile(layer, index, block, images, output, destination);
    AXYNQ_COUNT(COUNT_TILES, 1);
  }
}

static std::uint32_t run_layer(const layer_t &layer, int images, read_port_t program,
                               read_port_t source, write_port_t destination) {
  AXYNQ_NO_INLINE
  if (layer.opcode < OPCODE_CONVOLUTION || layer.opcode > OPCODE_PAD) return STATUS_BAD_OPCODE;
  if (!fits(layer)) return STATUS_DOES_NOT_FIT;
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
  const int vectors = layer.block_groups * layer.group_vectors();
  const int constant_words = layer.block_groups * FILTERS * CONSTANT_INTEGERS / WORD_INTEGERS;
BLOCKS:
  for (int block = 0; block < layer.blocks; ++block) {
    if (layer.has_weights() && layer.passes == 1)
      load_weights(program, layer.weights_offset + std::int64_t(block) * vectors * VECTOR_WORDS,
                   vectors, weights, codes);
    if (layer.uses_lanes()) {
      const bool inside = load_constants(
          program, layer.constants_offset + std::int64_t(block) * constant_words,
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

void accelerator(axynq::read_port_t program, axynq::read_port_t source,
                 axynq::write_port_t destination, std::uint32_t images,
                 volatile std::uint32_t *status, volatile std::uint32_t *progress) {
  AXYNQ_MEMORY_PORT(program)
  AXYNQ_MEMORY_PORT(source)
  AXYNQ_MEMORY_PORT(destination)
  AXYNQ_REGISTER(images)
  AXYNQ_REGISTER(status)
  AXYNQ_REGISTER(progress)
  AXYNQ_REGISTER(return)

  *progress = 0;
  *status = axynq::run_program(program, source, destination, int(images), progress);
}
