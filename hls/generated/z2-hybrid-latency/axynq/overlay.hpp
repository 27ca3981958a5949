// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers
// Generated from hls/overlays/z2-hybrid-latency.toml. Do not edit: run `make generate`.
#ifndef AXYNQ_OVERLAY_HPP
#define AXYNQ_OVERLAY_HPP

#include <cstdint>

#include "axynq/multipliers/exact.hpp"
#include "axynq/multipliers/roup.hpp"
#include "axynq/multipliers/smapprox.hpp"

namespace axynq {

const std::uint32_t OVERLAY_ID = 0x3DA0FB9Au;

const int FILTERS = 32;
const int INPUTS = 16;
const int REQUANTISERS = 8;
const int ADDERS = 4;
// Lanes that can take in a channel of their own, the first ones.
const int WINDOW_LANES = 8;
// Parts of the array that compute an image each.
const int COPIES = 1;
// Whether lane n always computes byte n % INPUTS of a word.
const bool STRAIGHT = false;

const int STORED_CODE_BITS = 0;

// Of a memory port; a word crosses it in beats.
const int PORT_BITS = 64;

// What holds the codes of weights, and partial sums.
#define AXYNQ_CODE_RAM AXYNQ_BLOCK_RAM
#define AXYNQ_SUM_RAM AXYNQ_BLOCK_RAM

const int MAP_WORDS = 2048;
const int WEIGHT_VECTORS = 512;
const int GROUPS = 32;
const int PARTIAL_SUMS = 512;

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
  typedef bank<roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<9> {
  typedef bank<roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<10> {
  typedef bank<roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<11> {
  typedef bank<roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<12> {
  typedef bank<roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<13> {
  typedef bank<roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<14> {
  typedef bank<roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<15> {
  typedef bank<roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<16> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<17> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<18> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<19> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<20> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<21> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<22> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<23> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<24> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<25> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<26> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<27> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<28> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<29> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<30> {
  typedef dsp_pair type;
};

template <>
struct lane_bank<31> {
  typedef dsp_pair type;
};

}  // namespace axynq

#endif
