// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Every operator of ap_int and ap_uint that the sources may use, on operands from outside.
#include <ap_int.h>

template <int W1, int W2>
static int results(long long x, long long y, long long *out) {
  const ap_int<W1> a = x;
  const ap_uint<W1> u = (unsigned long long)x;
  const ap_int<W2> b = y;
  const ap_uint<W2> v = (unsigned long long)y;
  const int n = int(y & 15);
  int k = 0;
#define KEEP(value) out[k++] = (long long)(value);
#define BOTH(OP)                                          \
  KEEP((a OP b).to_int64())                               \
  KEEP((a OP v).to_int64())                               \
  KEEP((u OP b).to_int64())                               \
  KEEP((u OP v).to_int64())                               \
  KEEP((a OP 7).to_int64())                               \
  KEEP((-3 OP b).to_int64() + (u OP 5u).to_int64())
  BOTH(+)
  BOTH(-)
  BOTH(*)
  BOTH(&)
  BOTH(|)
  BOTH(^)
// Of one sign: of two, the vendor's simulation compares otherwise than its synthesis.
#define COMPARE(OP) KEEP((a OP b) | (u OP v) << 1 | (a OP 7) << 2 | (v OP 9u) << 3)
  COMPARE(==)
  COMPARE(!=)
  COMPARE(<)
  COMPARE(<=)
  COMPARE(>)
  COMPARE(>=)
  if (b != 0) {
    KEEP((a / b).to_int64())
    KEEP((a % b).to_int64())
  }
  if (v != 0) {
    KEEP((u / v).to_int64())
    KEEP((u % v).to_int64())
  }
  KEEP((a << n).to_int64())
  KEEP((a >> n).to_int64())
  KEEP((u << n).to_uint64())
  KEEP((u >> n).to_uint64())
  KEEP((u >> ap_uint<4>(n)).to_uint64())
  KEEP((-a).to_int64())
  KEEP((-u).to_int64())
  KEEP((~a).to_int64())
  KEEP(!a)
  KEEP(a[W1 / 2] | u[0] << 1)
  KEEP(ap_uint<W1>(u.range(W1 - 2, 1)).to_uint64())
  KEEP(ap_int<W2>(a).to_int64())
  KEEP(ap_uint<W2>(a).to_uint64())
  KEEP(int(a) + int(u))
  KEEP((n & 1 ? a : ap_int<W1>(0)).to_int64())
  ap_uint<W1> changed = u;
  changed[W1 - 1] = n & 1;
  changed[0] = !changed[1];
  KEEP(changed.to_uint64())
  changed += b;
  changed -= 3;
  changed |= 1;
  ++changed;
  KEEP(changed.to_uint64())
  changed(W1 - 2, 1) = v;
  KEEP(changed.to_uint64())
  ap_int<W1> moved = a;
  moved <<= 2;
  moved >>= 1;
  --moved;
  moved *= b;
  KEEP(moved.to_int64())
  return k;
}

extern "C" int top(long long x, long long y, long long *out) {
  int k = 0;
  k += results<9, 8>(x, y, out);
  k += results<8, 17>(x, y, out + k);
  k += results<5, 40>(x, y, out + k);
  k += results<33, 3>(x, y, out + k);
  return k;
}
