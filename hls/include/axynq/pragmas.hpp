// Every HLS pragma stands behind a macro here.
//
// Vitis HLS sees them all, and any compiler under AXYNQ_HLS_PRAGMAS. g++ and other HLS compilers
// see none: for them the sources are plain sequential C++14.
#ifndef AXYNQ_PRAGMAS_HPP
#define AXYNQ_PRAGMAS_HPP

#if (defined(__SYNTHESIS__) || defined(AXYNQ_HLS_PRAGMAS)) && !defined(__BAMBU__)
#define AXYNQ_PRAGMA(text) _Pragma(#text)
#else
#define AXYNQ_PRAGMA(text)
#endif

// Interfaces of the top function.
#define AXYNQ_MEMORY_PORT(name) \
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=name offset=slave bundle=name max_read_burst_length=16 max_write_burst_length=16 num_read_outstanding=4 num_write_outstanding=4 latency=32)
#define AXYNQ_REGISTER(name) AXYNQ_PRAGMA(HLS INTERFACE mode=s_axilite port=name)

// Inside loops.
#define AXYNQ_PIPELINE AXYNQ_PRAGMA(HLS PIPELINE II=1)
#define AXYNQ_UNROLL AXYNQ_PRAGMA(HLS UNROLL)
#define AXYNQ_DATAFLOW AXYNQ_PRAGMA(HLS DATAFLOW)

// Inside functions.
#define AXYNQ_INLINE AXYNQ_PRAGMA(HLS INLINE)
#define AXYNQ_NO_INLINE AXYNQ_PRAGMA(HLS INLINE off)

// Arrays: every element, or every index of the first dimension, in a memory of its own.
#define AXYNQ_REGISTERS(array) AXYNQ_PRAGMA(HLS ARRAY_PARTITION variable=array type=complete dim=0)
#define AXYNQ_BANKS(array) AXYNQ_PRAGMA(HLS ARRAY_PARTITION variable=array type=complete dim=1)

#endif
