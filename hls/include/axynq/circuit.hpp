// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// What computes the products of a design: its functor, which the compiler makes gates of, or, with
// AXYNQ_RTL_MULTIPLIERS, the netlist in hls/rtl, which Vitis HLS takes as a blackbox.
#ifndef AXYNQ_CIRCUIT_HPP
#define AXYNQ_CIRCUIT_HPP

#include "axynq/multipliers/configurable.hpp"
#include "axynq/multipliers/exact_pair.hpp"

namespace axynq {

template <class DESIGN>
struct circuit : DESIGN {};

template <class... DESIGNS>
struct configurable_circuit : configurable_roup<DESIGNS...> {};

}  // namespace axynq

#if defined(AXYNQ_RTL_MULTIPLIERS)
#include "axynq/blackboxes.hpp"
#endif

namespace axynq {

// One DSP block: pair_circuit::products(a, first, second).
typedef circuit<exact_pair> pair_circuit;

}  // namespace axynq

#endif
