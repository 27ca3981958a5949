// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Multipliers that are selected while a simulation runs, so that one compiled design serves to
// compare many. The program that loads the design sets the two kinds of variables that it exports.
#ifndef NNET_AXYNQ_SELECTABLE_H_
#define NNET_AXYNQ_SELECTABLE_H_

#ifdef __SYNTHESIS__
#error "multipliers are selectable in simulations only: convert the model with those that were chosen"
#endif

extern "C" {

// Products of the multiplier of each code, [weight + 128][activation + 256]; of those without any
// they are zero. Code 0 skips.
__attribute__((weak)) const int *axynq_products[256] = {};
}

// The code of each weight of layer NUMBER, in the order of its memory.
#define NNET_AXYNQ_CODES(NUMBER, WEIGHTS)                                                                                  \
    extern "C" {                                                                                                           \
    __attribute__((weak)) unsigned char axynq_codes_##NUMBER[WEIGHTS] = {};                                                \
    }

namespace nnet_axynq {

inline int selected_product(unsigned char code, int a, int w) {
    const int *const products = axynq_products[code];
    return products ? products[(w + 128) * 512 + a + 256] : 0;
}

} // namespace nnet_axynq

#endif
