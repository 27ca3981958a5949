// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// NEON of 32-bit ARM processors: neon.hpp with half as many registers.
#pragma once

#include "neon.hpp"

namespace axynq {
namespace neon32 = neon;
}
