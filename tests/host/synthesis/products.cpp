// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// All products of the multipliers of an overlay's lanes, from their functors.
#include "axynq/bank.hpp"
#include "axynq/overlay.hpp"

template <int LANE>
struct lane {
  static int product(int which, int a, int w, int code) {
    if (which == LANE)
      return int(axynq::lane_bank<LANE>::type::product(axynq::activation_t(a), axynq::weight_t(w),
                                                       code));
    return lane<LANE - 1>::product(which, a, w, code);
  }
};

template <>
struct lane<-1> {
  static int product(int, int, int, int) { return 0; }
};

extern "C" void top(int which, int code, int *products) {
  for (int a = -255; a < 256; ++a)
    for (int w = -128; w < 128; ++w)
      *products++ = lane<axynq::FILTERS - 1>::product(which, a, w, code);
}
