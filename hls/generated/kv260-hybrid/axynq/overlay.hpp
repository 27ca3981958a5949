// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers
// Generated from hls/overlays/kv260-hybrid.toml. Do not edit: run `make generate`.
#ifndef AXYNQ_OVERLAY_HPP
#define AXYNQ_OVERLAY_HPP

#include <cstdint>

#include "axynq/multipliers/exact.hpp"
#include "axynq/multipliers/roup.hpp"
#include "axynq/multipliers/smapprox.hpp"

namespace axynq {

const std::uint32_t OVERLAY_ID = 0x49F87341u;

const int FILTERS = 16;
const int INPUTS = 16;
const int REQUANTISERS = 8;
const int ADDERS = 2;
// Lanes that can take in a channel of their own, the first ones.
const int WINDOW_LANES = 16;
// Parts of the array that compute an image each.
const int COPIES = 3;
// Whether lane n always computes byte n % INPUTS of a word.
const bool STRAIGHT = false;

const int STORED_CODE_BITS = 0;

// Of a memory port; a word crosses it in beats.
const int PORT_BITS = 128;

// What holds the codes of weights, and partial sums.
#define AXYNQ_CODE_RAM AXYNQ_BLOCK_RAM
#define AXYNQ_SUM_RAM AXYNQ_LUT_RAM

const int MAP_WORDS = 2048;
const int WEIGHT_VECTORS = 512;
const int GROUPS = 32;
const int PARTIAL_SUMS = 32;

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
  typedef bank<roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<1> {
  typedef bank<roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<2> {
  typedef bank<roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<3> {
  typedef bank<roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<4> {
  typedef bank<roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<5> {
  typedef bank<roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<6> {
  typedef bank<roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<7> {
  typedef bank<roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<8> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<9> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<10> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<11> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<12> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<13> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<14> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<15> {
  typedef dsp_pair type;
};

}  // namespace axynq

#endif
