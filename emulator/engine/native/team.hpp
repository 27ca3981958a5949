// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Threads that share every operator of one block, for batches of fewer blocks than threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>

#include "abi.hpp"

namespace axynq {

// Rows of an output that a thread computes.
struct RowRange {
  int first, last;
};

// Which thread of how many: alone, where nothing is said.
struct Share {
  int thread = 0, threads = 1;
  RowRange rows(int count) const {
    return {int(int64_t(count) * thread / threads), int(int64_t(count) * (thread + 1) / threads)};
  }
};

// Threads that wait for each other, as often as they like. Waits are short: they do not sleep.
class Team {
 public:
  // So many threads there are, now that they could be started.
  void begin(int threads) { threads_ = threads; }
  // How many there are, as soon as that is known.
  int threads() const {
    while (threads_.load() == 0) std::this_thread::yield();
    return threads_;
  }
  void wait() {
    const int64_t round = round_.load();
    if (arrived_.fetch_add(1) + 1 == threads_.load()) {
      arrived_ = 0;
      round_ = round + 1;
      return;
    }
    while (round_.load() == round && !broken_.load()) std::this_thread::yield();
  }
  // Nobody waits any more.
  void abandon() { broken_ = true; }

 private:
  std::atomic<int> threads_{0}, arrived_{0};
  std::atomic<int64_t> round_{0};
  std::atomic<bool> broken_{false};
};

constexpr int64_t SHARE = int64_t(1)
                          << 25;  // products for which another thread is worth waiting for

// Products of a block.
inline int64_t products(const Network &network) {
  int64_t total = 0;
  for (int k = 0; k < network.operators; ++k)
    for (int n = 0; n < network.op[k].convolutions; ++n) {
      const Convolution &c = network.op[k].convolution[n];
      const int64_t filters = std::max(1, c.output_channels / network.op[k].convolutions);
      total += filters * c.output_rows * c.output_columns * c.kernel_rows * c.kernel_columns *
               c.channels * BLOCK;
    }
  return total;
}

}  // namespace axynq
