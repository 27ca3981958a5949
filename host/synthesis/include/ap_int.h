// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Stand-in for the vendor's ap_int.h, for analysis alone: integers of exact width, as its front end
// makes of the real header.
//
// Built on _BitInt, which clang offers. Only what synthesizable sources of this project use is
// here; whatever is here computes what the real header does, which a test compares.
#ifndef AXYNQ_ANALYSIS_AP_INT_H
#define AXYNQ_ANALYSIS_AP_INT_H

template <int W>
struct ap_int;
template <int W>
struct ap_uint;
template <int W, bool S>
struct ap_int_base;

namespace ap_analysis {

template <int W, bool S>
struct storage {
  static_assert(W >= 2, "a signed integer has two bits at least");
  typedef _BitInt(W) type;
};
template <int W>
struct storage<W, false> {
  typedef unsigned _BitInt(W) type;
};

template <bool CONDITION, class T>
struct enable_if {};
template <class T>
struct enable_if<true, T> {
  typedef T type;
};

// Width and sign of C++'s own integers.
template <class T>
struct native {
  static const bool is = false;
};
#define AP_NATIVE(T, WIDTH, SIGNED)  \
  template <>                        \
  struct native<T> {                 \
    static const bool is = true;     \
    static const bool S = SIGNED;    \
    static const int W = WIDTH;      \
    typedef ap_int_base<W, S> type;  \
  };
AP_NATIVE(bool, 1, false)
AP_NATIVE(char, 8, true)
AP_NATIVE(signed char, 8, true)
AP_NATIVE(unsigned char, 8, false)
AP_NATIVE(short, 16, true)
AP_NATIVE(unsigned short, 16, false)
AP_NATIVE(int, 32, true)
AP_NATIVE(unsigned, 32, false)
AP_NATIVE(long, 8 * sizeof(long), true)
AP_NATIVE(unsigned long, 8 * sizeof(long), false)
AP_NATIVE(long long, 64, true)
AP_NATIVE(unsigned long long, 64, false)
#undef AP_NATIVE

// What an ap_int becomes where C++ wants one of its own integers.
template <int BYTES, bool S>
struct converted {
  typedef unsigned long long type;
};
template <>
struct converted<1, true> {
  typedef signed char type;
};
template <>
struct converted<1, false> {
  typedef unsigned char type;
};
template <>
struct converted<2, true> {
  typedef short type;
};
template <>
struct converted<2, false> {
  typedef unsigned short type;
};
template <>
struct converted<4, true> {
  typedef int type;
};
template <>
struct converted<4, false> {
  typedef unsigned type;
};
template <>
struct converted<8, true> {
  typedef long long type;
};

constexpr int bytes(int bits) {
  return bits <= 8 ? 1 : bits <= 16 ? 2 : bits <= 32 ? 4 : 8;
}
constexpr int larger(int a, int b) { return a > b ? a : b; }
constexpr int smaller(int a, int b) { return a < b ? a : b; }

// Widths and signs of results.
template <int W1, bool S1, int W2, bool S2>
struct result {
  static const bool S = S1 || S2;
  static const int COMMON = larger(W1 + (S2 && !S1), W2 + (S1 && !S2));
  typedef ap_int_base<COMMON + 1, S> sum;
  typedef ap_int_base<COMMON + 1, true> difference;
  typedef ap_int_base<W1 + W2, S> product;
  typedef ap_int_base<W1 + S2, S> quotient;
  typedef ap_int_base<smaller(W1, W2 + (!S2 && S1)), S1> remainder;
  typedef ap_int_base<COMMON, S> logic;
  // In which operands are compared, and divided.
  typedef typename storage<COMMON + 1, S>::type wide;
};

}  // namespace ap_analysis

// A bit of an integer, to be read or written.
template <int W, bool S>
struct ap_bit_ref {
  ap_int_base<W, S> &whole;
  int index;

  operator bool() const { return whole.bit(index); }
  ap_bit_ref &operator=(bool value) {
    whole.set(index, value);
    return *this;
  }
  ap_bit_ref &operator=(const ap_bit_ref &other) { return *this = bool(other); }
  template <int W2, bool S2>
  ap_bit_ref &operator=(const ap_int_base<W2, S2> &other) {
    return *this = other.v != 0;
  }
};

// Neighbouring bits of an integer, to be read or written.
template <int W, bool S>
struct ap_range_ref {
  ap_int_base<W, S> &whole;
  int high, low;

  ap_uint<W> get() const {
    typedef typename ap_analysis::storage<W, false>::type bits_t;
    return ap_uint<W>((bits_t(whole.v) >> low) & mask());
  }
  operator ap_uint<W>() const { return get(); }
  operator unsigned long long() const { return get().to_uint64(); }
  template <int W2, bool S2>
  ap_range_ref &operator=(const ap_int_base<W2, S2> &value) {
    typedef typename ap_analysis::storage<W, false>::type bits_t;
    const bits_t field = mask() << low;
    whole.v = typename ap_int_base<W, S>::bits((bits_t(whole.v) & ~field) |
                                               ((bits_t(value.v) << low) & field));
    return *this;
  }
  template <class T>
  typename ap_analysis::enable_if<ap_analysis::native<T>::is, ap_range_ref &>::type operator=(
      T value) {
    return *this = typename ap_analysis::native<T>::type(value);
  }
  template <int W2, bool S2>
  ap_range_ref &operator=(const ap_range_ref<W2, S2> &other) {
    return *this = other.get();
  }
  ap_range_ref &operator=(const ap_range_ref &other) { return *this = other.get(); }
  int to_int() const { return get().to_int(); }
  unsigned to_uint() const { return get().to_uint(); }

 private:
  typename ap_analysis::storage<W, false>::type mask() const {
    typedef typename ap_analysis::storage<W, false>::type bits_t;
    return bits_t(~bits_t(0)) >> (W - 1 - (high - low));
  }
};

template <int W, bool S>
struct ap_int_base {
  typedef typename ap_analysis::storage<W, S>::type bits;
  typedef typename ap_analysis::converted<ap_analysis::bytes(W), S>::type native_t;
  static const int width = W;
  static const bool sign_flag = S;

  bits v;

  ap_int_base() = default;
  template <int W2, bool S2>
  ap_int_base(const ap_int_base<W2, S2> &other) : v(bits(other.v)) {}
  template <int W2, bool S2>
  ap_int_base(const ap_range_ref<W2, S2> &other) : v(bits(other.get().v)) {}
  template <int W2, bool S2>
  ap_int_base(const ap_bit_ref<W2, S2> &other) : v(bits(bool(other))) {}
  template <class T, class = typename ap_analysis::enable_if<ap_analysis::native<T>::is, T>::type>
  ap_int_base(T value) : v(bits(value)) {}
  ap_int_base(bits value) : v(value) {}

  operator native_t() const { return native_t(v); }
  bool to_bool() const { return v != 0; }
  int to_int() const { return int(v); }
  unsigned to_uint() const { return unsigned(v); }
  long long to_int64() const { return (long long)(v); }
  unsigned long long to_uint64() const { return (unsigned long long)(v); }
  static constexpr int length() { return W; }
  bool is_zero() const { return v == 0; }
  bool sign() const { return S && v < 0; }

  bool bit(int index) const {
    typedef typename ap_analysis::storage<W, false>::type bits_t;
    return bool((bits_t(v) >> index) & bits_t(1));
  }
  bool get_bit(int index) const { return bit(index); }
  bool test(int index) const { return bit(index); }
  void set(int index, bool value) {
    typedef typename ap_analysis::storage<W, false>::type bits_t;
    const bits_t mask = bits_t(1) << index;
    v = bits(value ? bits_t(v) | mask : bits_t(v) & bits_t(~mask));
  }
  void set_bit(int index, bool value) { set(index, value); }
  bool operator[](int index) const { return bit(index); }
  ap_bit_ref<W, S> operator[](int index) { return ap_bit_ref<W, S>{*this, index}; }
  ap_range_ref<W, S> range(int high, int low) { return ap_range_ref<W, S>{*this, high, low}; }
  ap_range_ref<W, S> range(int high, int low) const {
    return ap_range_ref<W, S>{const_cast<ap_int_base &>(*this), high, low};
  }
  ap_range_ref<W, S> operator()(int high, int low) { return range(high, low); }
  ap_range_ref<W, S> operator()(int high, int low) const { return range(high, low); }

  bool or_reduce() const { return v != 0; }
  bool and_reduce() const { return ~v == 0; }
  bool xor_reduce() const {
    bool parity = false;
    for (int i = 0; i < W; ++i) parity = parity != bit(i);
    return parity;
  }

  bool operator!() const { return v == 0; }
  ap_int_base operator~() const { return ap_int_base(bits(~v)); }
  ap_int_base operator+() const { return *this; }
  ap_int_base<W + 1, true> operator-() const {
    typedef typename ap_int_base<W + 1, true>::bits wide;
    return ap_int_base<W + 1, true>(wide(-wide(v)));
  }

  // A shift by the width or more leaves nothing, or the sign; a negative one goes the other way.
  ap_int_base shifted_left(unsigned n) const {
    return ap_int_base(n < unsigned(W) ? bits(v << n) : bits(0));
  }
  ap_int_base shifted_right(unsigned n) const {
    return ap_int_base(n < unsigned(W) ? bits(v >> n) : bits(S && v < 0 ? -1 : 0));
  }
  ap_int_base operator<<(int n) const {
    return n < 0 ? shifted_right(unsigned(-n)) : shifted_left(unsigned(n));
  }
  ap_int_base operator>>(int n) const {
    return n < 0 ? shifted_left(unsigned(-n)) : shifted_right(unsigned(n));
  }
  ap_int_base operator<<(unsigned n) const { return shifted_left(n); }
  ap_int_base operator>>(unsigned n) const { return shifted_right(n); }
  template <int W2>
  ap_int_base operator<<(const ap_int_base<W2, false> &n) const {
    return shifted_left(n.to_uint());
  }
  template <int W2>
  ap_int_base operator>>(const ap_int_base<W2, false> &n) const {
    return shifted_right(n.to_uint());
  }
  template <int W2>
  ap_int_base operator<<(const ap_int_base<W2, true> &n) const {
    return *this << n.to_int();
  }
  template <int W2>
  ap_int_base operator>>(const ap_int_base<W2, true> &n) const {
    return *this >> n.to_int();
  }
  template <class N>
  ap_int_base &operator<<=(const N &n) {
    return *this = *this << n;
  }
  template <class N>
  ap_int_base &operator>>=(const N &n) {
    return *this = *this >> n;
  }

  ap_int_base &operator++() {
    v = bits(v + bits(1));
    return *this;
  }
  ap_int_base &operator--() {
    v = bits(v - bits(1));
    return *this;
  }
  ap_int_base operator++(int) {
    const ap_int_base before = *this;
    ++*this;
    return before;
  }
  ap_int_base operator--(int) {
    const ap_int_base before = *this;
    --*this;
    return before;
  }
#define AP_ASSIGN(OP)                  \
  template <class T>                   \
  ap_int_base &operator OP##=(const T &other) { \
    return *this = ap_int_base(*this OP other); \
  }
  AP_ASSIGN(+)
  AP_ASSIGN(-)
  AP_ASSIGN(*)
  AP_ASSIGN(/)
  AP_ASSIGN(%)
  AP_ASSIGN(&)
  AP_ASSIGN(|)
  AP_ASSIGN(^)
#undef AP_ASSIGN
};

#define AP_BINARY(OP, RESULT)                                                                     \
  template <int W1, bool S1, int W2, bool S2>                                                     \
  typename ap_analysis::result<W1, S1, W2, S2>::RESULT operator OP(                               \
      const ap_int_base<W1, S1> &a, const ap_int_base<W2, S2> &b) {                               \
    typedef typename ap_analysis::result<W1, S1, W2, S2>::RESULT answer;                          \
    typedef typename answer::bits bits;                                                           \
    return answer(bits(bits(a.v) OP bits(b.v)));                                                  \
  }
AP_BINARY(+, sum)
AP_BINARY(-, difference)
AP_BINARY(*, product)
AP_BINARY(&, logic)
AP_BINARY(|, logic)
AP_BINARY(^, logic)
#undef AP_BINARY

#define AP_DIVISION(OP, RESULT)                                                                   \
  template <int W1, bool S1, int W2, bool S2>                                                     \
  typename ap_analysis::result<W1, S1, W2, S2>::RESULT operator OP(                               \
      const ap_int_base<W1, S1> &a, const ap_int_base<W2, S2> &b) {                               \
    typedef typename ap_analysis::result<W1, S1, W2, S2>::RESULT answer;                          \
    typedef typename ap_analysis::result<W1, S1, W2, S2>::wide wide;                              \
    return answer(typename answer::bits(wide(a.v) OP wide(b.v)));                                 \
  }
AP_DIVISION(/, quotient)
AP_DIVISION(%, remainder)
#undef AP_DIVISION

#define AP_COMPARE(OP)                                                                \
  template <int W1, bool S1, int W2, bool S2>                                         \
  bool operator OP(const ap_int_base<W1, S1> &a, const ap_int_base<W2, S2> &b) {      \
    typedef typename ap_analysis::result<W1, S1, W2, S2>::logic::bits wide;           \
    return wide(a.v) OP wide(b.v);                                                    \
  }                                                                                   \
  AP_WITH_NATIVE(OP, bool)
#define AP_WITH_NATIVE(OP, RESULT)                                                                \
  template <int W, bool S, class T>                                                               \
  typename ap_analysis::enable_if<ap_analysis::native<T>::is, RESULT>::type operator OP(          \
      const ap_int_base<W, S> &a, T b) {                                                          \
    return a OP typename ap_analysis::native<T>::type(b);                                         \
  }                                                                                               \
  template <int W, bool S, class T>                                                               \
  typename ap_analysis::enable_if<ap_analysis::native<T>::is, RESULT>::type operator OP(          \
      T a, const ap_int_base<W, S> &b) {                                                          \
    return typename ap_analysis::native<T>::type(a) OP b;                                         \
  }
AP_COMPARE(==)
AP_COMPARE(!=)
AP_COMPARE(<)
AP_COMPARE(<=)
AP_COMPARE(>)
AP_COMPARE(>=)
#undef AP_COMPARE
#undef AP_WITH_NATIVE

#define AP_MIXED(OP, RESULT)                                                                      \
  template <int W, bool S, class T>                                                               \
  typename ap_analysis::result<W, S, ap_analysis::native<T>::W, ap_analysis::native<T>::S>::RESULT \
  operator OP(const ap_int_base<W, S> &a, T b) {                                                  \
    return a OP typename ap_analysis::native<T>::type(b);                                         \
  }                                                                                               \
  template <int W, bool S, class T>                                                               \
  typename ap_analysis::result<ap_analysis::native<T>::W, ap_analysis::native<T>::S, W, S>::RESULT \
  operator OP(T a, const ap_int_base<W, S> &b) {                                                  \
    return typename ap_analysis::native<T>::type(a) OP b;                                         \
  }
AP_MIXED(+, sum)
AP_MIXED(-, difference)
AP_MIXED(*, product)
AP_MIXED(/, quotient)
AP_MIXED(%, remainder)
AP_MIXED(&, logic)
AP_MIXED(|, logic)
AP_MIXED(^, logic)
#undef AP_MIXED

template <int W>
struct ap_int : ap_int_base<W, true> {
  typedef ap_int_base<W, true> base;
  using base::base;
  ap_int() = default;
  ap_int(const base &other) : base(other) {}
  template <int W2, bool S2>
  ap_int(const ap_int_base<W2, S2> &other) : base(other) {}
};

template <int W>
struct ap_uint : ap_int_base<W, false> {
  typedef ap_int_base<W, false> base;
  using base::base;
  ap_uint() = default;
  ap_uint(const base &other) : base(other) {}
  template <int W2, bool S2>
  ap_uint(const ap_int_base<W2, S2> &other) : base(other) {}
};

#endif
