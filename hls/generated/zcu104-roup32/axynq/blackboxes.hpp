// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers
// Generated from hls/overlays/zcu104-roup32.toml. Do not edit: run `make generate`.
#ifndef AXYNQ_BLACKBOXES_HPP
#define AXYNQ_BLACKBOXES_HPP

#include <ap_int.h>

#include "axynq/multipliers/configurable.hpp"
#include "axynq/multipliers/exact.hpp"
#include "axynq/multipliers/exact_pair.hpp"
#include "axynq/multipliers/roup.hpp"
#include "axynq/multipliers/smapprox.hpp"
#include "axynq/types.hpp"

axynq::product_t axynq_configurable_exact_or_roup_0_4_or_roup_1_4_or_roup_2_6(axynq::activation_t a, axynq::weight_t w, ap_uint<2> code);

namespace axynq {

template <>
struct configurable_circuit<exact, roup<0, 4, 2, 0, 0>, roup<1, 4, 2, 0, 0>, roup<2, 6, 4, 2, 0> > {
  static product_t product(activation_t a, weight_t w, int code) {
    AXYNQ_INLINE
    return ::axynq_configurable_exact_or_roup_0_4_or_roup_1_4_or_roup_2_6(a, w, ap_uint<2>(code));
  }
};

}  // namespace axynq

#endif
