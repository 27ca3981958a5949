// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers
// Generated from hls/overlays/tiny4.toml. Do not edit: run `make generate`.
#ifndef AXYNQ_OVERLAY_HPP
#define AXYNQ_OVERLAY_HPP

#include <cstdint>

#include "axynq/multipliers/exact.hpp"
#include "axynq/multipliers/roup.hpp"
#include "axynq/multipliers/smapprox.hpp"

namespace axynq {

const std::uint32_t OVERLAY_ID = 0xC5252C6Au;

const int FILTERS = 4;
const int INPUTS = 4;
const int REQUANTISERS = 2;
const int ADDERS = 1;
// Lanes that can take in a channel of their own, the first ones.
const int WINDOW_LANES = 4;
// Parts of the array that compute an image each.
const int COPIES = 1;
// Whether lane n always computes byte n % INPUTS of a word.
const bool STRAIGHT = false;

const int STORED_CODE_BITS = 2;

// Of a memory port; a word crosses it in beats.
const int PORT_BITS = 32;

// What holds the codes of weights, and partial sums.
#define AXYNQ_CODE_RAM AXYNQ_BLOCK_RAM
#define AXYNQ_SUM_RAM AXYNQ_BLOCK_RAM

const int MAP_WORDS = 8192;
const int WEIGHT_VECTORS = 1024;
const int GROUPS = 64;
const int PARTIAL_SUMS = 256;

template <class... DESIGNS>
struct bank;
template <class... DESIGNS>
struct configurable_bank;
struct dsp_pair;

// The multipliers of each lane.
template <int LANE>
struct lane_bank;

template <>
struct lane_bank<0> {
  typedef bank<exact, roup<1, 4, 2, 0, 0>, smapprox<3, 3, 3, 0>> type;
};

template <>
struct lane_bank<1> {
  typedef bank<exact, roup<1, 4, 2, 0, 0>, smapprox<3, 3, 3, 0>> type;
};

template <>
struct lane_bank<2> {
  typedef bank<exact, roup<1, 4, 2, 0, 0>, smapprox<3, 3, 3, 0>> type;
};

template <>
struct lane_bank<3> {
  typedef bank<exact, roup<2, 6, 4, 2, 0>, smapprox<3, 3, 3, 0>> type;
};

}  // namespace axynq

#endif
