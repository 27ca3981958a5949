// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Clocks a blackbox through pairs of operands, a new one at every enabled edge, and compares its
// products. What Yosys made of the blackbox is in module.cpp.
//
//   simulation LATENCY < integers
//
// The integers are int32: the number of pairs, then a, w and the product of each. Prints "ok", or
// the number of products that differ with the first of them, or the latency that there really is.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "module.cpp"

typedef cxxrtl_design::p_proof design_t;

struct pair_t {
  std::int32_t a, w, product;
};

static void edge(design_t &design, const pair_t &pair, bool enabled) {
  design.p_clk.set<bool>(false);
  design.p_a.set<std::uint32_t>(std::uint32_t(pair.a) & 511);
  design.p_w.set<std::uint32_t>(std::uint32_t(pair.w) & 255);
  design.p_ce.set<bool>(enabled);
  design.step();
  design.p_clk.set<bool>(true);
  design.step();
}

static std::int32_t product(design_t &design) {
  const std::int32_t bits = std::int32_t(design.p_p.get<std::uint32_t>());
  return (bits ^ (1 << 16)) - (1 << 16);
}

// Pair number n in one of two orders: as given, or far apart.
static std::size_t place(std::size_t n, std::size_t count, int order) {
  return order == 0 ? n : (n * 40503u + 12345u) % count;
}

// How many products differ from those of the pairs that came in so many edges before.
static std::size_t differing(const std::vector<pair_t> &pairs, std::size_t count, int latency,
                             pair_t &first, std::int32_t &made) {
  design_t design;
  std::uint32_t random = 1;
  std::size_t wrong = 0;
  for (int order = 0; order < 2; ++order) {
    for (std::size_t n = 0; n < count + latency - 1; ++n) {
      // A stall now and then, during which other operands are there.
      random = random * 1664525u + 1013904223u;
      if (random >> 29 == 0) edge(design, pairs[random % pairs.size()], false);
      edge(design, pairs[place(n < count ? n : count - 1, pairs.size(), order)], true);
      if (n + 1 < std::size_t(latency)) continue;
      const pair_t &pair = pairs[place(n + 1 - latency, pairs.size(), order)];
      const std::int32_t found = product(design);
      if (found != pair.product && wrong++ == 0) {
        first = pair;
        made = found;
      }
    }
  }
  return wrong;
}

int main(int, char **arguments) {
  const int latency = std::atoi(arguments[1]);
  std::int32_t count = 0;
  if (std::fread(&count, sizeof(count), 1, stdin) != 1) return 1;
  std::vector<pair_t> pairs(static_cast<std::size_t>(count));
  if (std::fread(pairs.data(), sizeof(pair_t), pairs.size(), stdin) != pairs.size()) return 1;
  pair_t first = {};
  std::int32_t made = 0;
  const std::size_t wrong = differing(pairs, pairs.size(), latency, first, made);
  if (wrong == 0) {
    std::printf("ok\n");
    return 0;
  }
  pair_t other = {};
  std::int32_t ignored = 0;
  for (int real = 1; real <= 80; ++real) {
    if (real != latency && differing(pairs, 4096, real, other, ignored) == 0) {
      std::printf("latency %d\n", real);
      return 0;
    }
  }
  std::printf("wrong %zu %d %d %d %d\n", wrong, int(first.a), int(first.w), int(first.product),
              int(made));
  return 0;
}
