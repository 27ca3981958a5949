// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// NEON with dot products of unsigned and signed bytes: neondot.hpp, compiled with them.
#pragma once

#include "neondot.hpp"

namespace axynq {
namespace neoni8mm = neondot;
}
