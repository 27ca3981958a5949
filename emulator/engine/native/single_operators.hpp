// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Operators that do not multiply by weights, on one image: neighbouring positions are neighbouring
// bytes, and up to SLACK bytes behind a tensor may be read and written.
#pragma once

#include "elementwise.hpp"

namespace axynq::single_image {

constexpr int64_t SLACK = BLOCK;

inline int64_t positions(const Tensor &tensor) {
  return int64_t(tensor.rows) * tensor.columns * tensor.channels;
}

inline void map(const Operator &op, const int8_t *from, int8_t *to) {
  constexpr int FEW = 8;  // too few for a table in registers
  for (int k = 0; k < op.runs; ++k) {
    const Run &run = op.run[k];
    const uint8_t *table = op.tables + 256 * run.source;
    if (run.count <= FEW)
      scalar::map(table, run.count, from + run.first, to);
    else
      instructions::map(table, (run.count + BLOCK - 1) / BLOCK * BLOCK, from + run.first, to);
    to += run.count;
  }
}

// Operands of neighbouring results, laid out one beside the other.
class Operands {
 public:
  explicit Operands(const Operator &op) : op_(op) {}

  // The next results' operands: how many results, 0 behind the last.
  int next() {
    int count = 0;
    for (; count < MOST && run_ < op_.runs;) {
      const Pairing &pairing = op_.pairing[run_];
      const int here = std::min(pairing.count - done_, MOST - count);
      copy(a + count, first, pairing.first + pairing.first_step * done_, pairing.first_step, here);
      copy(b + count, second, pairing.second + pairing.second_step * done_, pairing.second_step,
           here);
      count += here;
      done_ += here;
      if (done_ == pairing.count) ++run_, done_ = 0;
    }
    return count;
  }

  const int8_t *first, *second;  // tensors
  static constexpr int MOST = 4096;
  int8_t a[MOST], b[MOST];

 private:
  static void copy(int8_t *to, const int8_t *tensor, int64_t position, int step, int count) {
    if (step)
      std::memcpy(to, tensor + position, size_t(count));
    else
      std::memset(to, tensor[position], size_t(count));
  }

  const Operator &op_;
  int run_ = 0, done_ = 0;
};

// What `block_operator` makes of pairs of values: it takes whole vectors of them.
template <class BlockOperator>
inline void pairs(const Operator &op, const int8_t *first, const int8_t *second, int8_t *to,
                  const BlockOperator &block_operator) {
  Operator neighbours = op;
  Pairing pairing = {0, 0, 1, 1, 0};
  neighbours.pairing = &pairing;
  neighbours.runs = 1;
  const auto compute = [&](const int8_t *a, const int8_t *b, int count) {
    pairing.count = (count + BLOCK - 1) / BLOCK;
    block_operator(neighbours, a, b, to);
    to += count;
  };
  if (op.runs == 1 && op.pairing->first_step && op.pairing->second_step)
    return compute(first + op.pairing->first, second + op.pairing->second, op.pairing->count);
  Operands operands(op);
  operands.first = first;
  operands.second = second;
  while (const int count = operands.next()) compute(operands.a, operands.b, count);
}

// What `row` makes of each output row: the window's rows inside the map, of each channel.
template <class Row>
inline void each_row(const Operator &op, const Tensor &in, const Tensor &out, const int8_t *from,
                     const Row &row) {
  for (int channel = 0; channel < out.channels; ++channel) {
    for (int y = 0; y < out.rows; ++y) {
      const int top = y * op.stride_rows - op.padding_top;
      row(from, std::max(top, 0), std::min(top + op.window_rows, in.rows));
    }
    from += int64_t(in.rows) * in.columns;
  }
}

// Pools: the values of a window's rows first, with `nothing` for padding, then those of its columns
// too, at every column. `finish` makes an output row of these and of how many rows of the map they
// are from.
template <class Value, class Combine, class Finish>
inline void pool(const Operator &op, const Tensor &in, const Tensor &out, const int8_t *from,
                 int8_t *to, Value nothing, const Combine &combine, const Finish &finish) {
  const int places = (out.columns - 1) * op.stride_columns + 1;
  const int width = std::max(places + op.window_columns - 1, op.padding_left + in.columns);
  std::vector<Value> row(static_cast<size_t>(width), nothing), values(static_cast<size_t>(places));
  each_row(op, in, out, from, [&](const int8_t *plane, int top, int bottom) {
    // Bytes may alias anything but what is local.
    Value *const map = row.data() + op.padding_left, *const made = values.data();
    const int columns = in.columns, seen = places;
    std::fill_n(map, columns, nothing);
    for (int y = top; y < bottom; ++y) {
      const int8_t *line = plane + int64_t(y) * columns;
      for (int x = 0; x < columns; ++x) map[x] = combine(map[x], Value(line[x]));
    }
    std::copy_n(row.data(), seen, made);
    for (int k = 1; k < op.window_columns; ++k) {
      const Value *behind = row.data() + k;
      for (int x = 0; x < seen; ++x) made[x] = combine(made[x], behind[x]);
    }
    finish(made, bottom - top, to);
    to += out.columns;
  });
}

inline void max_pool(const Operator &op, const Tensor &in, const Tensor &out, const int8_t *from,
                     int8_t *to) {
  const auto larger = [](int8_t x, int8_t y) { return x > y ? x : y; };
  const auto finish = [&](const int8_t *largest, int, int8_t *row) {
    const int columns = out.columns, stride = op.stride_columns, high = op.clamp_high;
    for (int x = 0; x < columns; ++x) row[x] = int8_t(std::min<int>(largest[x * stride], high));
  };
  pool(op, in, out, from, to, int8_t(op.clamp_low), larger, finish);
}

inline void average_pool(const Operator &op, const Tensor &in, const Tensor &out,
                         const int8_t *from, int8_t *to) {
  const int64_t plane = int64_t(in.rows) * in.columns;
  const bool whole = out.rows == 1 && out.columns == 1 && op.padding_top == 0 &&
                     op.padding_left == 0 && op.window_rows >= in.rows &&
                     op.window_columns >= in.columns;
  for (int channel = 0; whole && channel < out.channels; ++channel, from += plane) {
    int32_t sum = 0;
    for (int64_t k = 0; k < plane; ++k) sum += from[k];
    average(&sum, 1, int(plane), op, to + channel);
  }
  if (whole) return;
  const auto sum = [](int32_t x, int32_t y) { return x + y; };
  const auto finish = [&](const int32_t *sums, int rows, int8_t *row) {
    for (int x = 0; x < out.columns; ++x) {
      const int left = x * op.stride_columns - op.padding_left;
      const int columns = std::min(left + op.window_columns, in.columns) - std::max(left, 0);
      average(sums + x * op.stride_columns, 1, rows * columns, op, row + x);
    }
  };
  pool(op, in, out, from, to, int32_t(0), sum, finish);
}

inline void reduce(const Operator &op, const Tensor &out, const int8_t *from, int8_t *to) {
  const bool neighbours = op.terms > 0 && op.term[op.terms - 1] == op.terms - 1;
  for (int64_t p = 0; p < positions(out); ++p) {
    const int8_t *base = from + op.first[p];
    int32_t sum = 0;
    if (neighbours)
      for (int k = 0; k < op.terms; ++k) sum += base[k];
    else
      for (int k = 0; k < op.terms; ++k) sum += base[op.term[k]];
    reduced<1>(op, &sum, to + p);
  }
}

// An image [pixels, channels] to planes, and back: squares of sixteen, and what is left.
inline void exchange(const int8_t *from, int64_t rows, int64_t columns, int8_t *to) {
  for (int64_t r = 0; r < rows; r += 16)
    for (int64_t c = 0; c < columns; c += 16) {
      const int64_t high = std::min<int64_t>(16, rows - r),
                    wide = std::min<int64_t>(16, columns - c);
      if (high == 16 && wide == 16) {
        const int8_t *square[16];
        int8_t *turned[16];
        for (int i = 0; i < 16; ++i) {
          square[i] = from + (r + i) * columns + c;
          turned[i] = to + (c + i) * rows + r;
        }
        transpose16(square, turned, 0);
        continue;
      }
      for (int64_t i = 0; i < high; ++i)
        for (int64_t k = 0; k < wide; ++k)
          to[(c + k) * rows + r + i] = from[(r + i) * columns + c + k];
    }
}

inline void to_planar(const Tensor &tensor, const int8_t *image, int8_t *planar) {
  exchange(image, int64_t(tensor.rows) * tensor.columns, tensor.channels, planar);
}

inline void from_planar(const Tensor &tensor, const int8_t *planar, int8_t *image) {
  exchange(planar, tensor.channels, int64_t(tensor.rows) * tensor.columns, image);
}

}  // namespace axynq::single_image
