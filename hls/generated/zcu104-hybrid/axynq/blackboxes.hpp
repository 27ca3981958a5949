// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers
// Generated from hls/overlays/zcu104-hybrid.toml. Do not edit: run `make generate`.
#ifndef AXYNQ_BLACKBOXES_HPP
#define AXYNQ_BLACKBOXES_HPP

#include <ap_int.h>

#include "axynq/multipliers/configurable.hpp"
#include "axynq/multipliers/exact.hpp"
#include "axynq/multipliers/exact_pair.hpp"
#include "axynq/multipliers/roup.hpp"
#include "axynq/multipliers/smapprox.hpp"
#include "axynq/types.hpp"

axynq::product_t axynq_roup_2_6(axynq::activation_t a, axynq::weight_t w);
axynq::pair_t axynq_dsp_pair_dsp48e2(axynq::activation_t a, axynq::weight_t first, axynq::weight_t second);

namespace axynq {

template <>
struct circuit<roup<2, 6, 4, 2, 0> > {
  static product_t product(activation_t a, weight_t w) {
    AXYNQ_INLINE
    return ::axynq_roup_2_6(a, w);
  }
};

template <>
struct circuit<exact_pair> {
  static pair_t products(activation_t a, weight_t first, weight_t second) {
    AXYNQ_INLINE
    return ::axynq_dsp_pair_dsp48e2(a, first, second);
  }
};

}  // namespace axynq

#endif
