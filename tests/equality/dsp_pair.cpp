// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Clocks the module DESIGN, which Yosys wrote to design.cpp, through triples of operands.
#include <cstdint>

#include "design.cpp"

namespace {

struct triple {
  int a, first, second;
};

const std::int64_t TRIPLES = 511ll * 256 * 256;

// The triple of a number, in an order in which neighbours have little in common.
triple triple_of(std::int64_t number) {
  const std::int64_t place = number * 20'706'415ll % TRIPLES;
  return {int(place / 65536) - 255, int(place / 256 % 256) - 128, int(place % 256) - 128};
}

std::uint32_t noise = 1;

bool one_in_eight() {
  noise ^= noise << 13;
  noise ^= noise >> 17;
  noise ^= noise << 5;
  return noise % 8 == 0;
}

}  // namespace

// Clock edges after which the products were not those of `latency` enabled edges before; `count`
// triples from `begin` on. Now and then the clock is not enabled: operands are wrong then. Now and
// then there is a reset, which has to change nothing.
extern "C" std::int64_t faults(std::int64_t begin, std::int64_t count, int latency) {
  cxxrtl_design::DESIGN design;
  triple waiting[16] = {};
  std::int64_t found = 0, taken = 0;
  design.p_ap__clk.set<bool>(false);
  design.step();
  while (taken < count + latency) {
    const bool enabled = !one_in_eight();
    const triple now = triple_of((begin + taken) % TRIPLES);
    design.p_ap__ce.set<bool>(enabled);
    design.p_ap__rst.set<bool>(one_in_eight());
    design.p_a.set<std::uint32_t>((enabled ? now.a : ~now.a) & 511);
    design.p_first.set<std::uint32_t>((enabled ? now.first : ~now.first) & 255);
    design.p_second.set<std::uint32_t>((enabled ? now.second : ~now.second) & 255);
    design.p_ap__clk.set<bool>(true);
    design.step();
    if (enabled) {
      for (int i = latency - 1; i > 0; --i) waiting[i] = waiting[i - 1];
      waiting[0] = now;
      ++taken;
    }
    if (taken >= latency) {
      const triple then = waiting[latency - 1];
      const std::uint64_t low = std::uint64_t(then.a * then.first) & 0x1FFFF;
      const std::uint64_t high = std::uint64_t(then.a * then.second) & 0x1FFFF;
      found += design.p_ap__return.get<std::uint64_t>() != (high << 17 | low);
    }
    design.p_ap__clk.set<bool>(false);
    design.step();
  }
  return found;
}
