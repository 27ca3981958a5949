// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Simulation only: a channel that holds any number of words and is empty in the end.
#ifndef AXYNQ_SIMULATED_CHANNEL_HPP
#define AXYNQ_SIMULATED_CHANNEL_HPP

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

namespace axynq {

template <class WORD>
class simulated_channel {
 public:
  explicit simulated_channel(const char *name) : name_(name), first_(0) {}

  void write(const WORD &word) { words_.push_back(word); }

  WORD read() {
    if (first_ == words_.size())
      fail("is read where nothing comes: the hardware would wait forever");
    return words_[first_++];
  }

  // Where all processes are done.
  void check_empty() const {
    if (first_ != words_.size()) fail("has words that nobody read");
  }

 private:
  void fail(const std::string &what) const {
    throw std::logic_error("channel '" + std::string(name_) + "' " + what);
  }

  const char *name_;
  std::size_t first_;
  std::vector<WORD> words_;
};

}  // namespace axynq

#endif
