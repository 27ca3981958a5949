// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// The part of the kernel that is written for each instruction set: one header per set, named like
// the set, with everything below in a namespace of that name. AXYNQ_INSTRUCTIONS names the set to
// compile for; kernel.py passes it. All sets compute the same integers.
//
// A set is written for blocks of 64 images; where images are computed one by one, 64 neighbouring
// positions take their place (single_image.hpp). Sums of a block are in "quad order" (scalar.hpp).
// `rows` and other pointers to activations are aligned to 64 bytes, pointers to tensors and to
// accumulators need not be.
//
//   constexpr bool WIDE_WEIGHTS
//     How `dot_products` reads weights of blocks that are not narrow (FilterBlock): as four bytes,
//     or as four 16-bit words in the order 0, 2, 1, 3.
//
//   constexpr int LOOKUP_POSITIONS
//     For how many output positions `look_up` has room for sums in registers.
//
//   constexpr bool GROUP_LOOKUPS
//     Whether `dot_products` looks up halves of bytes, for segments that are about these.
//
//   constexpr bool TILES
//     Whether there is a matrix unit, for `tile_products`.
//
//   struct Thread
//     Lives as long as a thread computes: what the matrix unit needs, or how real numbers are
//     rounded.
//
//   struct Sums
//     64 sums of 32 bits, modulo 2^32, in quad order. Default construction leaves them undefined.
//       void load(const int32_t *values)          64 values in quad order
//       void add(int32_t value)                   to each sum
//       void add(const int32_t *values)           64 values in quad order
//       void shift_left(int bits)                 bits in 0..31
//       void store_in_order(int32_t *to) const    64 sums in the images' order
//
//   struct Table
//     A map of bytes. `Table(const uint8_t *bytes)` takes 256 of them, which outlive it.
//
//   void map_and_interleave(const Table &table, const uint8_t *const from[4],
//                           const uint8_t *padding, uint8_t *to, int64_t quarter)
//     Four vectors of 64 bytes, each through the table, to 64 groups of four bytes in quad order:
//     sixteen of them at `to`, the next sixteen `quarter` bytes behind, and so on. A vector at
//     `padding` is not looked up: it is constant already.
//
//   template <int FILTERS>  // 1 to 6
//   void dot_products(const FilterBlock &block, const uint8_t *const *rows, int64_t quarter,
//                     Sums sums[FILTERS])
//     sums[f] = sum over the block's groups of four taps, before the block's final shift.
//     `rows[segment]` points to the first group of the segment at this output position, in the
//     first quarter of the images; others are `quarter` bytes behind. A group is 64 bytes of each
//     quarter.
//
//   void tile_products(const TileChunk &chunk, const uint8_t *const *rows, const int64_t *steps,
//                      int positions, int64_t quarter, int32_t *sums)
//     As `dot_products`, for a chunk of a block in tiles and 1 to TILE_POSITIONS neighbouring
//     output positions, whose activations are `steps[segment]` bytes apart. The products are added
//     to the sums of the chunks before, shifted: [positions][MOST_FILTERS][64] in quad order. Up to
//     TILE_GROUPS groups behind a segment's last are read, and multiplied by zeros.
//
//   void tile_products_of_one(const TileChunk &chunk, const uint8_t *const *rows, int64_t quarter,
//                             int32_t *sums)
//     The same for a single position: it is faster.
//
//   template <int POSITIONS>  // 1 to LOOKUP_POSITIONS
//   void look_up(const Convolution &c, const LookupFilter &filter,
//                const uint8_t *const *rows, int64_t step, int32_t *sums)
//     Adds to the sums of POSITIONS neighbouring output positions what the filter's taps look up,
//     shifted left by the filter's shift. Activations of a tap at position p are at
//     `rows[kernel_row] + offset + p * step`; sums of position p at `sums + p * BLOCK`, in quad
//     order.
//
//   RealFactor real_factor(int32_t multiplier, int32_t shift)
//     A requantisation's factor in real numbers, if `requantise` may use it; or zeros.
//
//   void requantise(const Sums &sums, const Requantisation &r, int8_t *to)
//     64 sums to 64 bytes in the images' order.
//
//   void map(const uint8_t *table, int64_t count, const int8_t *from, int8_t *to)
//     `count` bytes, a multiple of BLOCK, through a table of 256.
//
//   void map_planes(const uint8_t *tables, const HalfTables *halves, int planes, int64_t runs,
//                   int64_t bytes, const uint8_t *from, uint8_t *to)
//     So many runs of so many bytes, a multiple of BLOCK, one behind the other, each through so
//     many tables of 256, or those of halves that they are the sums of: for each run, what becomes
//     of it in each plane.
//
//   void add(const Operator &op, const int8_t *a, const int8_t *b, int8_t *to)
//   void multiply(const Operator &op, const int8_t *a, const int8_t *b, int8_t *to)
//     Sums or differences, and products, of two tensors, whose positions the operator pairs.
//
// A new set is a new header and an entry in kernel.py. It may take over what it does no better from
// generic.hpp and scalar.hpp, or from another set, as avxvnni.hpp does.
// tests/emulator/instructions.cpp compares it with generic.hpp.
#pragma once

#ifndef AXYNQ_INSTRUCTIONS
#define AXYNQ_INSTRUCTIONS generic
#endif

#define AXYNQ_AS_TEXT(text) #text
#define AXYNQ_HEADER(name) AXYNQ_AS_TEXT(name.hpp)
#include AXYNQ_HEADER(AXYNQ_INSTRUCTIONS)

namespace axynq::instructions {

using AXYNQ_INSTRUCTIONS::add;
using AXYNQ_INSTRUCTIONS::dot_products;
using AXYNQ_INSTRUCTIONS::GROUP_LOOKUPS;
using AXYNQ_INSTRUCTIONS::look_up;
using AXYNQ_INSTRUCTIONS::LOOKUP_POSITIONS;
using AXYNQ_INSTRUCTIONS::map;
using AXYNQ_INSTRUCTIONS::map_and_interleave;
using AXYNQ_INSTRUCTIONS::map_planes;
using AXYNQ_INSTRUCTIONS::multiply;
using AXYNQ_INSTRUCTIONS::real_factor;
using AXYNQ_INSTRUCTIONS::requantise;
using AXYNQ_INSTRUCTIONS::Sums;
using AXYNQ_INSTRUCTIONS::Table;
using AXYNQ_INSTRUCTIONS::Thread;
using AXYNQ_INSTRUCTIONS::tile_products;
using AXYNQ_INSTRUCTIONS::tile_products_of_one;
using AXYNQ_INSTRUCTIONS::TILES;
using AXYNQ_INSTRUCTIONS::WIDE_WEIGHTS;

}  // namespace axynq::instructions
