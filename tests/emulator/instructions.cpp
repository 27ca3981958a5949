// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Compares each function of an instruction set with the plain C++ of generic.hpp, on random data
// and at the limits. Prints what differs; the exit status is the number of functions that do.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "generic.hpp"
#include "lookup.hpp"

namespace {

using namespace axynq;

std::mt19937 generator(1);

int random(int low, int high) {  // both included
  return std::uniform_int_distribution<int>(low, high)(generator);
}

// Aligned as activations are.
template <class T>
struct Array {
  size_t count;
  std::unique_ptr<T, void (*)(void *)> memory;
  explicit Array(size_t n)
      : count(n),
        memory(static_cast<T *>(std::aligned_alloc(64, (n * sizeof(T) + 63) / 64 * 64)),
               std::free) {
    std::memset(data(), 0, n * sizeof(T));
  }
  T *data() { return memory.get(); }
  T &operator[](size_t k) { return data()[k]; }
  void fill(int low, int high) {
    for (size_t k = 0; k < count; ++k) data()[k] = T(random(low, high));
  }
  bool operator==(Array &other) {
    return std::memcmp(data(), other.data(), count * sizeof(T)) == 0;
  }
};

int failed = 0;

void check(const char *what, bool equal) {
  if (!equal) std::printf("differs: %s\n", what);
  failed += !equal;
}

Array<uint8_t> any_table(int kind) {
  Array<uint8_t> table(256);
  table.fill(0, 255);
  const int flip = table[0];
  for (int k = 0; k < 256 && kind < 3; ++k)
    table[size_t(k)] = kind == 0 ? uint8_t(k ^ flip) : table[size_t(kind == 1 ? k & 15 : k & 240)];
  return table;
}

void maps() {
  bool interleaved = true, mapped = true, runs = true;
  for (int round = 0; round < 40; ++round) {
    const int kind = round % 4;  // flips, low half, high half, any
    Array<uint8_t> table = any_table(kind), x(4 * BLOCK), padding(BLOCK);
    x.fill(0, 255);
    padding.fill(7, 7);
    const uint8_t *from[4];
    for (int k = 0; k < 4; ++k) from[k] = random(0, 3) ? x.data() + k * BLOCK : padding.data();
    const int64_t quarter = 64 * random(1, 3);
    Array<uint8_t> found(size_t(4 * quarter)), right(size_t(4 * quarter));
    instructions::map_and_interleave(instructions::Table(table.data(), round % 2), from,
                                     padding.data(), found.data(), quarter);
    generic::map_and_interleave(generic::Table(table.data()), from, padding.data(), right.data(),
                                quarter);
    interleaved = interleaved && found == right;

    Array<int8_t> every(256 + 64 * size_t(random(0, 3))), y(every.count), z(every.count);
    for (size_t k = 0; k < every.count; ++k) every[k] = int8_t(k);
    instructions::map(table.data(), int64_t(every.count), every.data(), y.data());
    generic::map(table.data(), int64_t(every.count), every.data(), z.data());
    mapped = mapped && y == z;

    // Planes of which all, or some, are sums of tables of halves.
    Array<HalfTables> halves(3);
    Array<uint8_t> tables(3 * 256), values(6 * BLOCK), a(18 * BLOCK), b(18 * BLOCK);
    tables.fill(0, 255);
    values.fill(0, 255);
    for (size_t p = 0; p < (round % 3 ? 3 : 2); ++p) {
      halves[p].exist = 1;
      for (size_t k = 0; k < 16; ++k) {
        halves[p].low[k] = uint8_t(random(0, 255));
        halves[p].high[k] = uint8_t(random(0, 255));
      }
      for (size_t k = 0; k < 256; ++k)
        tables[256 * p + k] = uint8_t(halves[p].low[k % 16] + halves[p].high[k / 16]);
    }
    instructions::map_planes(tables.data(), halves.data(), 3, 3, 2 * BLOCK, values.data(),
                             a.data());
    generic::map_planes(tables.data(), halves.data(), 3, 3, 2 * BLOCK, values.data(), b.data());
    runs = runs && a == b;
  }
  check("map_and_interleave", interleaved);
  check("map", mapped);
  check("map_planes", runs);
}

// Sums as 64 values in the images' order.
template <class Sums>
Array<int32_t> ordered(const Sums &sums) {
  Array<int32_t> values(BLOCK);
  sums.store_in_order(values.data());
  return values;
}

void sums() {
  Array<int32_t> values(BLOCK), more(BLOCK);
  values.fill(INT32_MIN, INT32_MAX);
  more.fill(INT32_MIN, INT32_MAX);
  const auto computed = [&](auto sums) {
    sums.load(values.data());
    sums.add(more.data());
    sums.shift_left(3);
    sums.add(-77);
    return ordered(sums);
  };
  Array<int32_t> found = computed(instructions::Sums()), right = computed(generic::Sums());
  check("Sums", found == right);
}

// Blocks with segments of several lengths, shifts and places. Extreme values come together.
template <int FILTERS>
void products() {
  bool equal = true;
  for (int round = 0; round < 60; ++round) {
    const int pixels = 40, segments = random(0, 4);
    const int64_t quarter = pixels * BLOCK;
    Array<uint8_t> x(size_t(4 * quarter));
    if (round % 3)
      x.fill(0, 255);
    else
      x.fill(round % 2 ? 0 : 255, round % 2 ? 0 : 255);
    std::vector<Segment> segment;
    std::vector<const uint8_t *> rows;
    int groups = 0;
    for (int s = 0; s < segments; ++s) {
      const int length = random(1, 19);
      Segment one = {};
      one.groups = length;
      one.shift = s && round % 4 ? random(0, 7) : 0;
      segment.push_back(one);
      rows.push_back(x.data() + BLOCK * random(0, pixels - length));
      groups += length;
    }
    Array<int8_t> weights(size_t(4 * FILTERS * groups + 1));
    const int lowest = round % 2 ? -128 : -127;
    if (round % 5)
      weights.fill(lowest, 127);
    else
      weights.fill(lowest, lowest);
    Array<int16_t> wide(weights.count + 3);
    constexpr int ORDER[4] = {0, 2, 1, 3};
    for (size_t k = 0; k + 1 < weights.count; ++k)
      wide[k] = weights[k / 4 * 4 + size_t(ORDER[k % 4])];
    const bool narrow = round % 7 < 2;
    for (size_t k = 0; narrow && k < weights.count; ++k)  // pairs of up to 128 either way
      weights[k] = k % 2 ? int8_t(round % 7 ? -64 : 64) : int8_t(weights[k] / 2);
    FilterBlock block = {};
    block.filters = FILTERS;
    block.narrow = narrow;
    block.segments = segments;
    block.segment = segment.data();
    block.weights = weights.data();
    generic::Sums right[FILTERS];
    generic::dot_products<FILTERS>(block, rows.data(), quarter, right);
    if (instructions::WIDE_WEIGHTS && !narrow)
      block.weights = reinterpret_cast<int8_t *>(wide.data());
    instructions::Sums found[FILTERS];
    instructions::dot_products<FILTERS>(block, rows.data(), quarter, found);
    for (int f = 0; f < FILTERS; ++f) {
      Array<int32_t> a = ordered(found[f]), b = ordered(right[f]);
      equal = equal && a == b;
    }
  }
  const std::string name = "dot_products<" + std::to_string(FILTERS) + ">";
  check(name.c_str(), equal);
}

template <int POSITIONS>
void look_ups() {
  if constexpr (POSITIONS > 1) look_ups<POSITIONS - 1>();
  bool equal = true;
  for (int round = 0; round < 30; ++round) {
    const auto part = Part(round % 3);
    const int size = part == WHOLE_BYTE ? 256 : 16, count = 8, taps = random(0, 900);
    Array<uint8_t> tables(size_t(size * count)), x(60 * BLOCK);
    const int most = round % 2 ? 255 : random(1, 60);
    tables.fill(0, most);
    for (int k = 0; k < count; ++k) tables[size_t(k * size)] = uint8_t(most);
    x.fill(0, round % 4 ? size - 1 : 0);
    std::vector<LookupTap> tap;
    std::vector<int32_t> range(size_t(taps), most), flush(size_t(taps), 0);
    flushes(range.data(), taps, flush.data());
    for (int t = 0; t < taps; ++t)
      tap.push_back(
          {random(0, 2), random(0, 3) * BLOCK, random(0, count - 1) * size, flush[size_t(t)]});
    Convolution c = {};
    c.lookup_tables = tables.data();
    const LookupFilter filter = {0, 0, 0, random(0, 9), taps, part, tap.data()};
    const int64_t step = 2 * BLOCK;
    const uint8_t *rows[3] = {x.data(), x.data() + 20 * BLOCK, x.data() + 40 * BLOCK};
    Array<int32_t> found(POSITIONS * BLOCK), right(POSITIONS * BLOCK);
    found.fill(-1000, 1000);
    std::memcpy(right.data(), found.data(), found.count * sizeof(int32_t));
    instructions::look_up<POSITIONS>(c, filter, rows, step, found.data());
    generic::look_up<POSITIONS>(c, filter, rows, step, right.data());
    equal = equal && found == right;
  }
  const std::string name = "look_up<" + std::to_string(POSITIONS) + ">";
  check(name.c_str(), equal);
}

// Factors of all sizes, powers of two among them.
void any_factor(int round, int32_t &multiplier, int32_t &shift) {
  multiplier = round % 4 == 0 ? 1 << 30 : random(1 << 30, INT32_MAX);
  if (round % 50 == 1) multiplier = 0;
  shift = random(-31, 2);
}

// Values around the places where results change, at the limits, and any.
int32_t any_value(int32_t multiplier, int32_t shift) {
  const int kind = random(0, 9);
  if (kind == 0) return random(0, 1) ? INT32_MIN : INT32_MAX;
  if (kind < 3 || multiplier == 0) return random(INT32_MIN, INT32_MAX);
  const double factor = std::ldexp(double(multiplier), shift - 31);
  const double place = (random(-260, 260) + 0.5) / factor + random(-2, 2);
  return place < INT32_MAX && place > INT32_MIN ? int32_t(place) : random(-99, 99);
}

void requantisations() {
  bool equal = true;
  for (int round = 0; round < 3000; ++round) {
    Requantisation r = {};
    any_factor(round, r.multiplier, r.shift);
    r.real = instructions::real_factor(r.multiplier, r.shift);
    r.zero_point = random(-128, 127);
    r.low = random(0, 2) ? -128 : r.zero_point;
    r.high = random(0, 2) ? 127 : random(r.low, 127);
    Array<int32_t> values(BLOCK);
    for (size_t k = 0; k < BLOCK; ++k) values[k] = any_value(r.multiplier, r.shift);
    Array<int8_t> found(BLOCK), right(BLOCK);
    instructions::Sums sums;
    sums.load(values.data());
    instructions::requantise(sums, r, found.data());
    generic::Sums plain;
    plain.load(values.data());
    generic::requantise(plain, r, right.data());
    equal = equal && found == right;
  }
  check("requantise", equal);
}

// All pairs of values.
void pairs() {
  Array<int8_t> a(65536), b(65536), found(65536), right(65536);
  for (size_t k = 0; k < 65536; ++k) {
    a[k] = int8_t(k >> 8);
    b[k] = int8_t(k);
  }
  bool sums_equal = true, products_equal = true;
  for (int round = 0; round < 60; ++round) {
    Operator op = {};
    const Pairing whole[2] = {{0, 0, 1, 1, 1000}, {1000, 1000, 1, 1, 24}};
    op.pairing = whole;
    op.runs = 2;
    op.kind = round % 2 ? ADD : SUBTRACT;
    op.input_zero_point = random(-128, 127);
    op.second_zero_point = random(-128, 127);
    op.output_zero_point = random(-128, 127);
    op.clamp_low = random(0, 1) ? -128 : op.output_zero_point;
    op.clamp_high = 127;
    for (int k = 0; k < 3; ++k) {
      any_factor(random(0, 3), op.multiplier[k], op.shift[k]);
      op.shift[k] = random(0, 9) ? random(k < 2 ? -6 : -22, 0) : 1;
      if (k < 2 && random(0, 2) == 0) op.multiplier[k] = 1 << 30, op.shift[k] = 0;
    }
    if (round % 3 == 0) {  // a linear function: what it gives need not be a sum
      for (auto &factor : op.linear) factor = int16_t(random(-9000, 9000));
      op.linear_constant[0] = random(-1000000, 1000000);
      op.linear_constant[1] = random(0, 1 << 14);
      op.linear_shift = random(9, 21);
    }
    instructions::add(op, a.data(), b.data(), found.data());
    generic::add(op, a.data(), b.data(), right.data());
    if (op.linear_shift && !(found == right)) {  // a set need not know linear functions
      for (size_t k = 0; k < 65536; ++k) {
        const int32_t x = 256 * a[k], y = 256 * b[k];
        const int32_t low =
            (x * op.linear[2] + y * op.linear[3] + op.linear_constant[1]) >> LINEAR_LOW_BITS;
        const int32_t high = x * op.linear[0] + y * op.linear[1] + op.linear_constant[0];
        right[k] = quantised((low + high) >> op.linear_shift, 0, op.clamp_low, op.clamp_high);
      }
    }
    sums_equal = sums_equal && found == right;
    op.shift[0] = random(0, 9) ? random(-16, 0) : 1;
    instructions::multiply(op, a.data(), b.data(), found.data());
    generic::multiply(op, a.data(), b.data(), right.data());
    products_equal = products_equal && found == right;
  }
  check("add", sums_equal);
  check("multiply", products_equal);
}

}  // namespace

int main() {
  [[maybe_unused]] const axynq::instructions::Thread thread;
  maps();
  sums();
  products<1>();
  products<2>();
  products<3>();
  products<4>();
  products<5>();
  products<6>();
  look_ups<instructions::LOOKUP_POSITIONS>();
  requantisations();
  pairs();
  if (!failed) std::printf("equal\n");
  return failed;
}
