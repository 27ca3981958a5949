// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers
// Generated from hls/overlays/zcu104-roup32.toml. Do not edit: run `make generate`.
#ifndef AXYNQ_OVERLAY_HPP
#define AXYNQ_OVERLAY_HPP

#include <cstdint>

#include "axynq/multipliers/exact.hpp"
#include "axynq/multipliers/roup.hpp"
#include "axynq/multipliers/smapprox.hpp"

namespace axynq {

const std::uint32_t OVERLAY_ID = 0xB25E4CDBu;

const int FILTERS = 32;
const int INPUTS = 32;
const int REQUANTISERS = 16;
const int ADDERS = 8;
// Lanes that can take in a channel of their own, the first ones.
const int WINDOW_LANES = 32;
// Parts of the array that compute an image each.
const int COPIES = 1;
// Whether lane n always computes byte n % INPUTS of a word.
const bool STRAIGHT = true;

const int STORED_CODE_BITS = 2;

// Of a memory port; a word crosses it in beats.
const int PORT_BITS = 128;

// What holds the codes of weights, and partial sums.
#define AXYNQ_CODE_RAM AXYNQ_LUT_RAM
#define AXYNQ_SUM_RAM AXYNQ_BLOCK_RAM

const int MAP_WORDS = 4096;
const int WEIGHT_VECTORS = 512;
const int GROUPS = 32;
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
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<1> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<2> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<3> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<4> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<5> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<6> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<7> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<8> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<9> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<10> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<11> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<12> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<13> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<14> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<15> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<16> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<17> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<18> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<19> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<20> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<21> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<22> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<23> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<24> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<25> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<26> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<27> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<28> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<29> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<30> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

template <>
struct lane_bank<31> {
  typedef configurable_bank<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0>> type;
};

}  // namespace axynq

#endif
