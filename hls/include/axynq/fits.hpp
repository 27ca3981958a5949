// Whether a layer is one that the core knows and has room for, so that no index leaves a buffer.
#ifndef AXYNQ_FITS_HPP
#define AXYNQ_FITS_HPP

#include "axynq/layer.hpp"
#include "axynq/overlay.hpp"
#include "axynq/pragmas.hpp"

namespace axynq {

// Whether the blocks begin inside a pixel.
inline bool blocks_fit(const layer_t &layer) {
  AXYNQ_INLINE
  return std::int64_t(layer.blocks - 1) * layer.block_pixel_words < layer.output_pixel_words;
}

// Whether a tile's input, output and residual operand have room.
inline bool tile_fits(const layer_t &layer) {
  AXYNQ_INLINE
  const std::int64_t window =
      std::int64_t(layer.tile_rows - 1) * layer.stride_rows + kernel_extent(layer);
  const std::int64_t rows = window < layer.input_rows ? window : layer.input_rows;
  if (rows * layer.input_columns * layer.input_pixel_words > INPUT_WORDS) return false;
  const std::int64_t pixels = std::int64_t(layer.tile_rows) * layer.output_columns;
  if (pixels * layer.block_pixel_words > OUTPUT_WORDS) return false;
  return !layer.has_residual || pixels * layer.output_pixel_words <= OUTPUT_WORDS;
}

// Whether channels lie in the bytes of a word as the opcode needs them.
inline bool bytes_fit(const layer_t &layer) {
  AXYNQ_INLINE
  const bool folded = layer.fold_rows * layer.fold_columns > 1;
  if (layer.opcode != OPCODE_CONVOLUTION)
    return layer.input_pixel_words == layer.output_pixel_words && layer.passes == 1 &&
           layer.fold_rows * layer.fold_columns == 1;
  return !folded || (layer.input_pixel_words == 1 && layer.fold_channels >= 1 &&
                     layer.fold_channels * layer.fold_rows * layer.fold_columns <= INPUTS);
}

// Whether the weights, constants and partial sums of a block have room.
inline bool filters_fit(const layer_t &layer) {
  AXYNQ_INLINE
  if (layer.block_groups < 1 || layer.block_groups > GROUPS) return false;
  const int taps = tap_count(layer);
  if (layer.opcode == OPCODE_ADD) return layer.has_residual && taps == 1;
  if (std::int64_t(layer.passes) * layer.pass_taps < taps ||
      std::int64_t(layer.passes - 1) * layer.pass_taps >= taps)
    return false;
  const int vectors = layer.passes > 1 ? layer.pass_taps : group_vectors(layer);
  if (std::int64_t(layer.block_groups) * vectors > WEIGHT_VECTORS) return false;
  const std::int64_t pixels = std::int64_t(layer.tile_rows) * layer.output_columns;
  return layer.passes == 1 || pixels * layer.block_groups <= PARTIAL_SUMS;
}

// STATUS_OK where the layer can be run.
inline std::uint32_t status_of(const layer_t &layer) {
  AXYNQ_NO_INLINE
  if (layer.opcode < OPCODE_CONVOLUTION || layer.opcode > OPCODE_PAD) return STATUS_BAD_OPCODE;
  if (!has_size(layer) || !blocks_fit(layer) || !tile_fits(layer) || !bytes_fit(layer))
    return STATUS_DOES_NOT_FIT;
  const bool room = uses_lanes(layer) ? filters_fit(layer)
                                      : !layer.has_residual && layer.blocks == 1 &&
                                            layer.block_pixel_words == layer.output_pixel_words;
  return room ? STATUS_OK : STATUS_DOES_NOT_FIT;
}

}  // namespace axynq

#endif
