// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// The one function that becomes hardware.
#ifndef AXYNQ_ACCELERATOR_HPP
#define AXYNQ_ACCELERATOR_HPP

#include "axynq/ports.hpp"

// Runs a program on a batch of `images`.
//
// commands     the program: header, descriptors, and what they refer to (host/isa.py)
// source       feature maps, read
// destination  the same memory, written
// status       why it ended, when it has ended
// progress     layers finished so far
void accelerator(axynq::read_port_t commands, axynq::read_port_t source,
                 axynq::write_argument_t destination, std::uint32_t images,
                 volatile std::uint32_t *status, volatile std::uint32_t *progress);

#endif
