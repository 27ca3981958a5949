// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// hls4ml layers whose products are those of axynq's multipliers.
//
// A layer's configuration names its multipliers: CONFIG::multipliers::product(filter, weight, a, w),
// with the number of the filter and of the weight in memory. Loops, types and the order of the sums
// are those of hls4ml's own kernels, so that exact multipliers give what these give.
#ifndef NNET_AXYNQ_H_
#define NNET_AXYNQ_H_

#include "axynq_multipliers.h"
#include "nnet_common.h"
#include "nnet_mult.h"
#include <vector>

namespace nnet_axynq {

// --- multipliers ---------------------------------------------------------------------------------

// Approximate multipliers are defined for activations from -255.
template <class DESIGN> struct limited {
    static axynq::product_t product(axynq::activation_t a, axynq::weight_t w) {
        #pragma HLS INLINE
        return axynq::circuit<DESIGN>::product(a == -256 ? axynq::activation_t(-255) : a, w);
    }
};

// Circuits of tables whose products with a weight of zero are not zero have these where the weight
// is -128.
template <class DESIGN> struct zero_weights {
    static axynq::product_t product(axynq::activation_t a, axynq::weight_t w) {
        #pragma HLS INLINE
        return axynq::circuit<DESIGN>::product(a, w == 0 ? axynq::weight_t(-128) : w);
    }
};

// AXYNQ_FUNCTORS simulates what is synthesised.
#if defined(__SYNTHESIS__) || defined(AXYNQ_FUNCTORS)

template <int PLACE, class... DESIGNS> struct bank_from {
    static axynq::product_t product(axynq::activation_t, axynq::weight_t, unsigned) {
        #pragma HLS INLINE
        return 0;
    }
};

template <int PLACE, class DESIGN, class... OTHERS> struct bank_from<PLACE, DESIGN, OTHERS...> {
    static axynq::product_t product(axynq::activation_t a, axynq::weight_t w, unsigned place) {
        #pragma HLS INLINE
        if (place == PLACE)
            return axynq::circuit<DESIGN>::product(a, w);
        return bank_from<PLACE + 1, OTHERS...>::product(a, w, place);
    }
};

// The multipliers of a layer; places behind the last multiply by zero. Where the place is a
// constant, as it is in unrolled loops, nothing is built of the others.
template <class... DESIGNS> struct bank : bank_from<0, DESIGNS...> {};

#else

// Simulation looks products up in tables that the designs fill: bit-level C++ is slow.
template <class DESIGN> const int *tabulated() {
    static const std::vector<int> products = [] {
        std::vector<int> made;
        for (int a = -256; a < 256; a++)
            for (int w = -128; w < 128; w++)
                made.push_back(int(DESIGN::product(axynq::activation_t(a), axynq::weight_t(w))));
        return made;
    }();
    return products.data();
}

template <class... DESIGNS> struct bank {
    static int product(int a, int w, unsigned place) {
        static const int *const tables[] = {tabulated<DESIGNS>()...};
        return place < sizeof...(DESIGNS) ? tables[place][(a + 256) * 256 + w + 128] : 0;
    }
};

#endif

// The bits of a number, and how many of them are behind the point.
template <class T> struct operand;

template <int W> struct operand<ap_int<W> > {
    static const int FRACTION = 0;
    static ap_int<W> bits(const ap_int<W> &x) {
        #pragma HLS INLINE
        return x;
    }
};

template <int W> struct operand<ap_uint<W> > {
    static const int FRACTION = 0;
    static ap_uint<W> bits(const ap_uint<W> &x) {
        #pragma HLS INLINE
        return x;
    }
};

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> struct operand<ap_fixed<W, I, Q, O, N> > {
    static const int FRACTION = W - I;
    static ap_int<W> bits(const ap_fixed<W, I, Q, O, N> &x) {
        #pragma HLS INLINE
        ap_int<W> all = 0;
        all.range(W - 1, 0) = x.range(W - 1, 0);
        return all;
    }
};

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> struct operand<ap_ufixed<W, I, Q, O, N> > {
    static const int FRACTION = W - I;
    static ap_uint<W> bits(const ap_ufixed<W, I, Q, O, N> &x) {
        #pragma HLS INLINE
        ap_uint<W> all = 0;
        all.range(W - 1, 0) = x.range(W - 1, 0);
        return all;
    }
};

// A product as the number it is.
template <class data_T, class CONFIG_T> struct product_of {
    typedef typename CONFIG_T::weight_t weight_T;
    static const int BITS = 17;
    static const int FRACTION = operand<data_T>::FRACTION + operand<weight_T>::FRACTION;
    typedef ap_fixed<BITS, BITS - FRACTION> type;

    static type value(unsigned filter, unsigned weight, const data_T &data, const weight_T &factor) {
        #pragma HLS INLINE
        const axynq::activation_t a = operand<data_T>::bits(data);
        const axynq::weight_t w = operand<weight_T>::bits(factor);
        const axynq::product_t bits = CONFIG_T::multipliers::product(filter, weight, a, w);
        type number = 0;
        number.range(BITS - 1, 0) = bits.range(BITS - 1, 0);
        return number;
    }
};

// One window, and one of several.
template <class T> T element(const T *data, unsigned, unsigned i) {
    #pragma HLS INLINE
    return data[i];
}

template <class T, unsigned N> T element(const T (*data)[N], unsigned pixel, unsigned i) {
    #pragma HLS INLINE
    return data[pixel][i];
}

// The sums of a window: from the biases on, and to the results.
template <unsigned FILTERS, class CONFIG_T>
void begin(typename CONFIG_T::accum_t *acc, const typename CONFIG_T::bias_t *biases) {
    #pragma HLS INLINE
    for (unsigned filter = 0; filter < FILTERS; filter++) {
        #pragma HLS UNROLL
        acc[filter] = (typename CONFIG_T::accum_t)biases[filter];
    }
}

template <unsigned FILTERS, class data_T, class res_T, class CONFIG_T>
void finish(const typename CONFIG_T::accum_t *acc, res_T *res) {
    #pragma HLS INLINE
    for (unsigned filter = 0; filter < FILTERS; filter++) {
        #pragma HLS UNROLL
        res[filter] = nnet::cast<data_T, res_T, CONFIG_T>(acc[filter]);
    }
}

// --- every filter sees all values ---------------------------------------------------------------

// All products at once, or as many of them as the initiation interval leaves. Weights are
// [values][filters].
template <unsigned PIXELS, unsigned VALUES, unsigned FILTERS, class data_T, class res_T, class CONFIG_T, class windows_T>
void multiply_latency(windows_T data, res_T *res, typename CONFIG_T::weight_t *weights, typename CONFIG_T::bias_t *biases) {
    #pragma HLS INLINE
    for (unsigned pixel = 0; pixel < PIXELS; pixel++) {
        #pragma HLS UNROLL
        typename CONFIG_T::accum_t acc[FILTERS];
        #pragma HLS ARRAY_PARTITION variable=acc complete
        begin<FILTERS, CONFIG_T>(acc, biases);
        for (unsigned i = 0; i < VALUES; i++) {
            #pragma HLS UNROLL
            const data_T value = element(data, pixel, i);
            for (unsigned filter = 0; filter < FILTERS; filter++) {
                #pragma HLS UNROLL
                const unsigned weight = i * FILTERS + filter;
                acc[filter] += static_cast<typename CONFIG_T::accum_t>(
                    product_of<data_T, CONFIG_T>::value(filter, weight, value, weights[weight]));
            }
        }
        finish<FILTERS, data_T, res_T, CONFIG_T>(acc, res + pixel * FILTERS);
    }
}

// Each multiplier computes REUSE products one after another. Weights are [filters][values]. Where
// the reuse factor divides the number of values, the filter of a multiplier is a constant; where it
// is a multiple of it, it counts up; other factors, against which hls4ml warns, take dividers.
template <unsigned PIXELS, unsigned VALUES, unsigned FILTERS, class data_T, class res_T, class CONFIG_T, class windows_T>
void multiply_resource(windows_T data, res_T *res, typename CONFIG_T::weight_t *weights, typename CONFIG_T::bias_t *biases) {
    #pragma HLS INLINE
    const unsigned REUSE = MIN(CONFIG_T::reuse_factor, VALUES * FILTERS);
    const unsigned MULTIPLIERS = DIV_ROUNDUP(VALUES * FILTERS, REUSE);
    const bool REGULAR = VALUES % REUSE == 0 || REUSE % VALUES == 0;

    #pragma HLS ARRAY_RESHAPE variable=weights block factor=MULTIPLIERS

    typename CONFIG_T::accum_t acc[PIXELS][FILTERS];
    #pragma HLS ARRAY_PARTITION variable=acc complete dim=0
    for (unsigned pixel = 0; pixel < PIXELS; pixel++) {
        #pragma HLS UNROLL
        begin<FILTERS, CONFIG_T>(acc[pixel], biases);
    }

    unsigned column = 0, row = 0; // of the first multiplier: its value, and its filter
ReuseLoop:
    for (unsigned step = 0; step < REUSE; step++) {
        #pragma HLS PIPELINE II=1 rewind
        for (unsigned m = 0; m < MULTIPLIERS; m++) {
            #pragma HLS UNROLL
            const unsigned weight = m * REUSE + step;
            const unsigned filter = REGULAR ? m * REUSE / VALUES + row : weight / VALUES;
            const unsigned i = REGULAR ? m * REUSE % VALUES + column : weight % VALUES;
            if (weight < VALUES * FILTERS) {
                for (unsigned pixel = 0; pixel < PIXELS; pixel++) {
                    #pragma HLS UNROLL
                    acc[pixel][filter] += static_cast<typename CONFIG_T::accum_t>(
                        product_of<data_T, CONFIG_T>::value(filter, weight, element(data, pixel, i), weights[weight]));
                }
            }
        }
        column++;
        if (REUSE > VALUES && column == VALUES) {
            column = 0;
            row++;
        }
    }

    for (unsigned pixel = 0; pixel < PIXELS; pixel++) {
        #pragma HLS UNROLL
        finish<FILTERS, data_T, res_T, CONFIG_T>(acc[pixel], res + pixel * FILTERS);
    }
}

// --- every filter sees one channel --------------------------------------------------------------

// Weights and values are [positions][channels].
template <unsigned PIXELS, unsigned VALUES, unsigned FILTERS, class data_T, class res_T, class CONFIG_T, class windows_T>
void multiply_depthwise_latency(windows_T data, res_T *res, typename CONFIG_T::weight_t *weights,
                                typename CONFIG_T::bias_t *biases) {
    #pragma HLS INLINE
    for (unsigned pixel = 0; pixel < PIXELS; pixel++) {
        #pragma HLS UNROLL
        typename CONFIG_T::accum_t acc[FILTERS];
        #pragma HLS ARRAY_PARTITION variable=acc complete
        begin<FILTERS, CONFIG_T>(acc, biases);
        for (unsigned i = 0; i < VALUES; i++) {
            #pragma HLS UNROLL
            acc[i % FILTERS] += static_cast<typename CONFIG_T::accum_t>(
                product_of<data_T, CONFIG_T>::value(i % FILTERS, i, element(data, pixel, i), weights[i]));
        }
        finish<FILTERS, data_T, res_T, CONFIG_T>(acc, res + pixel * FILTERS);
    }
}

template <unsigned PIXELS, unsigned VALUES, unsigned FILTERS, class data_T, class res_T, class CONFIG_T, class windows_T>
void multiply_depthwise_resource(windows_T data, res_T *res, typename CONFIG_T::weight_t *weights,
                                 typename CONFIG_T::bias_t *biases) {
    #pragma HLS INLINE
    const unsigned REUSE = MIN(CONFIG_T::reuse_factor, VALUES);
    const unsigned MULTIPLIERS = DIV_ROUNDUP(VALUES, REUSE);

    #pragma HLS ARRAY_RESHAPE variable=weights block factor=MULTIPLIERS

    typename CONFIG_T::accum_t acc[PIXELS][FILTERS];
    #pragma HLS ARRAY_PARTITION variable=acc complete dim=0
    for (unsigned pixel = 0; pixel < PIXELS; pixel++) {
        #pragma HLS UNROLL
        begin<FILTERS, CONFIG_T>(acc[pixel], biases);
    }

    unsigned first = 0; // the filter of the first multiplier
ReuseLoop:
    for (unsigned step = 0; step < REUSE; step++) {
        #pragma HLS PIPELINE II=1 rewind
        for (unsigned m = 0; m < MULTIPLIERS; m++) {
            #pragma HLS UNROLL
            const unsigned i = m * REUSE + step;
            const unsigned beyond = m * REUSE % FILTERS + first;
            const unsigned filter = beyond >= FILTERS ? beyond - FILTERS : beyond;
            if (i < VALUES) {
                for (unsigned pixel = 0; pixel < PIXELS; pixel++) {
                    #pragma HLS UNROLL
                    acc[pixel][filter] += static_cast<typename CONFIG_T::accum_t>(
                        product_of<data_T, CONFIG_T>::value(filter, i, element(data, pixel, i), weights[i]));
                }
            }
        }
        first = first + 1 == FILTERS ? 0 : first + 1;
    }

    for (unsigned pixel = 0; pixel < PIXELS; pixel++) {
        #pragma HLS UNROLL
        finish<FILTERS, data_T, res_T, CONFIG_T>(acc[pixel], res + pixel * FILTERS);
    }
}

// --- in place of hls4ml's kernels: dense layers, and convolutions of streams ---------------------

template <class data_T, class res_T, class CONFIG_T> struct latency {
    static void dense(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_out],
                      typename CONFIG_T::weight_t weights[CONFIG_T::n_in * CONFIG_T::n_out],
                      typename CONFIG_T::bias_t biases[CONFIG_T::n_out]) {
        #pragma HLS INLINE
        #pragma HLS PIPELINE II=CONFIG_T::reuse_factor
        #pragma HLS ARRAY_PARTITION variable=biases complete
        multiply_latency<1, CONFIG_T::n_in, CONFIG_T::n_out, data_T, res_T, CONFIG_T>((const data_T *)data, res, weights,
                                                                                     biases);
    }
};

template <class data_T, class res_T, class CONFIG_T> struct resource {
    static void dense(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_out],
                      typename CONFIG_T::weight_t weights[CONFIG_T::n_in * CONFIG_T::n_out],
                      typename CONFIG_T::bias_t biases[CONFIG_T::n_out]) {
        #pragma HLS INLINE
        #pragma HLS ARRAY_PARTITION variable=biases complete
        multiply_resource<1, CONFIG_T::n_in, CONFIG_T::n_out, data_T, res_T, CONFIG_T>((const data_T *)data, res, weights,
                                                                                      biases);
    }
};

template <class data_T, class res_T, class CONFIG_T> struct depthwise_latency {
    static void dense(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_out], typename CONFIG_T::weight_t *weights,
                      typename CONFIG_T::bias_t biases[CONFIG_T::n_out]) {
        #pragma HLS INLINE
        #pragma HLS PIPELINE II=CONFIG_T::reuse_factor
        #pragma HLS ARRAY_PARTITION variable=biases complete
        multiply_depthwise_latency<1, CONFIG_T::n_in, CONFIG_T::n_out, data_T, res_T, CONFIG_T>((const data_T *)data, res,
                                                                                               weights, biases);
    }
};

template <class data_T, class res_T, class CONFIG_T> struct depthwise_resource {
    static void dense(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_out], typename CONFIG_T::weight_t *weights,
                      typename CONFIG_T::bias_t biases[CONFIG_T::n_out]) {
        #pragma HLS INLINE
        #pragma HLS ARRAY_PARTITION variable=biases complete
        multiply_depthwise_resource<1, CONFIG_T::n_in, CONFIG_T::n_out, data_T, res_T, CONFIG_T>((const data_T *)data, res,
                                                                                                weights, biases);
    }
};

// --- dense layers of streams ---------------------------------------------------------------------

template <class data_T, class res_T, typename CONFIG_T>
void dense_stream(hls::stream<data_T> &data_stream, hls::stream<res_T> &res_stream, typename CONFIG_T::weight_t *weights,
                  typename CONFIG_T::bias_t *biases) {
    #pragma HLS INLINE recursive
    typename data_T::value_type data[CONFIG_T::n_in];
    #pragma HLS ARRAY_PARTITION variable=data complete
    typename res_T::value_type res[CONFIG_T::n_out];
    #pragma HLS ARRAY_PARTITION variable=res complete
ReadLoop:
    for (unsigned pack = 0; pack < CONFIG_T::n_in / data_T::size; pack++) {
        #pragma HLS PIPELINE
        const data_T values = data_stream.read();
        for (unsigned i = 0; i < data_T::size; i++) {
            #pragma HLS UNROLL
            data[pack * data_T::size + i] = values[i];
        }
    }
    CONFIG_T::template kernel<typename data_T::value_type, typename res_T::value_type, CONFIG_T>::dense(data, res, weights,
                                                                                                      biases);
WriteLoop:
    for (unsigned pack = 0; pack < CONFIG_T::n_out / res_T::size; pack++) {
        #pragma HLS PIPELINE
        res_T values;
        PRAGMA_DATA_PACK(values)
        for (unsigned i = 0; i < res_T::size; i++) {
            #pragma HLS UNROLL
            values[i] = res[pack * res_T::size + i];
        }
        res_stream.write(values);
    }
}

// --- convolutions of arrays, one- or two-dimensional ---------------------------------------------

#define NNET_AXYNQ_CONVOLUTION(NAME, MULTIPLY, PIPELINE)                                                                   \
    template <class data_T, class res_T, typename CONFIG_T>                                                                \
    void NAME(data_T *data, res_T *res, typename CONFIG_T::weight_t *weights, typename CONFIG_T::bias_t *biases) {         \
        _Pragma("HLS INLINE recursive")                                                                                    \
        const unsigned VALUES = CONFIG_T::kernel_size * CONFIG_T::n_chan;                                                  \
        data_T windows[CONFIG_T::n_pixels][VALUES];                                                                        \
        _Pragma("HLS ARRAY_PARTITION variable=windows complete dim=0")                                                     \
        _Pragma("HLS ARRAY_PARTITION variable=biases complete")                                                            \
        for (unsigned part = 0; part < CONFIG_T::n_partitions; part++) {                                                   \
            PIPELINE                                                                                                       \
            CONFIG_T::template fill_buffer<data_T, CONFIG_T>::fill_buffer(data, windows, part);                            \
            MULTIPLY<CONFIG_T::n_pixels, VALUES, CONFIG_T::n_filt, data_T, res_T, typename CONFIG_T::mult_config>(         \
                (const data_T(*)[VALUES])windows, res + part * CONFIG_T::n_pixels * CONFIG_T::n_filt, weights, biases);    \
        }                                                                                                                  \
    }

#define NNET_AXYNQ_PIPELINE _Pragma("HLS PIPELINE II=CONFIG_T::reuse_factor rewind")

NNET_AXYNQ_CONVOLUTION(convolution_latency, multiply_latency, NNET_AXYNQ_PIPELINE)
NNET_AXYNQ_CONVOLUTION(convolution_resource, multiply_resource, )
NNET_AXYNQ_CONVOLUTION(convolution_depthwise_latency, multiply_depthwise_latency, NNET_AXYNQ_PIPELINE)
NNET_AXYNQ_CONVOLUTION(convolution_depthwise_resource, multiply_depthwise_resource, )

#undef NNET_AXYNQ_PIPELINE
#undef NNET_AXYNQ_CONVOLUTION

} // namespace nnet_axynq

#endif
