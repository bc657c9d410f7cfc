/* Depthwise convolutions of one image, some channels at a time, and their gradients.
 *
 * An image is spread out into planes first, one for each vector of channels, with a border of zeros.
 */

#include "kernels.h"

typedef struct {
    vec *all; /* for each vector of channels an image with a border of zeros: no loop asks where the edge is */
    int64_t wide, border, size;
} plane;

static plane make_plane(int64_t height, int64_t width, int64_t border, int64_t blocks) {
    int64_t wide = width + 2 * border, size = wide * (height + 2 * border);
    return (plane){zeros(size * blocks * (int64_t)sizeof(vec)), wide, border, size};
}

/* Copy an image into the middle, rows and columns `step` apart; what lies between and around stays zero. */
static void spread(plane p, int64_t block, int64_t step, const REAL *image, int64_t height, int64_t width,
                   int64_t channels, int64_t lanes, int relu) {
    LOOP(h, height) {
        vec *row = p.all + block * p.size + (p.border + h * step) * p.wide + p.border;
        const REAL *from = image + h * width * channels;
        LOOP(w, width) {
            vec v = load(from + w * channels, lanes);
            row[w * step] = relu ? pass(v, v) : v;
        }
    }
}

/* Input by input of a row, e, the neighbours u that see it, and by which tap, j: so each input is read once. */
#define EACH_TAP(e, j, u, ...)                                                                                 \
    _Pragma("GCC unroll 32")                                                                                   \
    for (int e = 0; e < (count - 1) * stride + (k - 1) * dilation + 1; e++)                                    \
        _Pragma("GCC unroll 8")                                                                                \
        for (int j = 0; j < k; j++) {                                                                          \
            int u = (e - j * dilation) / stride;                                                               \
            if (e >= j * dilation && u * stride + j * dilation == e && u < count) __VA_ARGS__                  \
        }

/* `count` neighbouring outputs at once: their taps overlap, so most loads serve several of them. */
INLINE void taps(vec *sums, const vec *from, int64_t wide, const vec *kernel, int count, int k, int stride,
                 int dilation) {
    for (int u = 0; u < count; u++) sums[u] = (vec){0};
    for (int i = 0; i < k; i++) {
        const vec *row = from + i * dilation * wide;
        EACH_TAP(e, j, u, sums[u] += kernel[i * k + j] * row[e];)
    }
}

INLINE void put(REAL *to, vec value, int64_t lanes, int add, const REAL *gate) {
    if (add) value += load(to, lanes);
    if (gate) value = pass(value, load(gate, lanes));
    store(to, value, lanes);
}

INLINE void image_taps(const vec *buffer, int64_t wide, const vec *kernel, REAL *out, int64_t height, int64_t width,
                       int64_t channels, int64_t lanes, int add, const REAL *gate, int k, int stride, int dilation) {
    enum { MANY = 8 };
    LOOP(h, height) {
        const vec *row = buffer + h * stride * wide;
        int64_t at = h * width * channels, w = 0;
        for (; w + MANY <= width; w += MANY) {
            vec sums[MANY];
            taps(sums, row + w * stride, wide, kernel, MANY, k, stride, dilation);
            for (int u = 0; u < MANY; u++, at += channels)
                put(out + at, sums[u], lanes, add, gate ? gate + at : NULL);
        }
        for (; w < width; w++, at += channels) {
            vec sum[1];
            taps(sum, row + w * stride, wide, kernel, 1, k, stride, dilation);
            put(out + at, sum[0], lanes, add, gate ? gate + at : NULL);
        }
    }
}

/* `many` rows of taps from row `i` on, for `count` neighbouring gradients at once: most inputs serve several of them. */
INLINE void tap_products(vec *sums, const vec *from, int64_t wide, const REAL *grad, int64_t channels, int64_t lanes,
                         int count, int i, int many, int k, int stride, int dilation) {
    vec g[4];
    for (int u = 0; u < count; u++) g[u] = load(grad + u * channels, lanes);
    for (int v = 0; v < many; v++) {
        const vec *row = from + (i + v) * dilation * wide;
        EACH_TAP(e, j, u, sums[v * k + j] += g[u] * row[e];)
    }
}

INLINE void rows_products(const vec *buffer, int64_t wide, const REAL *grad, REAL *to, int64_t height, int64_t width,
                         int64_t channels, int64_t lanes, int i, int many, int k, int stride, int dilation) {
    enum { MANY = 4 };
    vec sums[15];
    for (int t = 0; t < many * k; t++) sums[t] = (vec){0};
    LOOP(h, height) {
        const vec *row = buffer + h * stride * wide;
        const REAL *from = grad + h * width * channels;
        int64_t w = 0;
        for (; w + MANY <= width; w += MANY)
            tap_products(sums, row + w * stride, wide, from + w * channels, channels, lanes, MANY, i, many, k, stride,
                         dilation);
        for (; w < width; w++)
            tap_products(sums, row + w * stride, wide, from + w * channels, channels, lanes, 1, i, many, k, stride,
                         dilation);
    }
    to += i * k * channels;
    for (int t = 0; t < many * k; t++) store(to + t * channels, load(to + t * channels, lanes) + sums[t], lanes);
}

/* Add products of gradient and input, summed over an image: one per tap. The sums of all taps of a large kernel would
 * not leave enough registers. */
INLINE void image_products(const vec *buffer, int64_t wide, const REAL *grad, REAL *to, int64_t height,
                           int64_t width, int64_t channels, int64_t lanes, int k, int stride, int dilation) {
    rows_products(buffer, wide, grad, to, height, width, channels, lanes, 0, 3, k, stride, dilation);
    if (k == 5) rows_products(buffer, wide, grad, to, height, width, channels, lanes, 3, 2, k, stride, dilation);
}

#define CHOOSE(CALL)                                                                                           \
    switch (k * 100 + stride * 10 + dilation) {                                                                \
        case 311: CALL(3, 1, 1); break;                                                                        \
        case 312: CALL(3, 1, 2); break;                                                                        \
        case 321: CALL(3, 2, 1); break;                                                                        \
        case 322: CALL(3, 2, 2); break;                                                                        \
        case 511: CALL(5, 1, 1); break;                                                                        \
        case 512: CALL(5, 1, 2); break;                                                                        \
        case 521: CALL(5, 2, 1); break;                                                                        \
        case 522: CALL(5, 2, 2); break;                                                                        \
        default: abort();                                                                                      \
    }
#define WHOLE(CALL) if (lanes == LANES) { const int64_t lanes = LANES; CALL } else { CALL }

static const vec *corner(plane p, int64_t block, int64_t k, int64_t dilation) {
    return p.all + block * p.size + (p.border - dilation * (k / 2)) * (p.wide + 1);
}

/* Kernels are (channels, taps), of which the channels from `block` vectors on are taken; turned for the gradient of
 * the input. */
static void convolve(plane p, int64_t at, const REAL *kernel, int64_t block, int64_t k, int64_t stride, int64_t dilation,
                     int turned, REAL *out, int64_t height, int64_t width, int64_t channels, int64_t lanes, int add,
                     const REAL *gate) {
    vec tap[25];
    LOOP(t, k * k) {
        tap[t] = (vec){0};
        LOOP(c, lanes) tap[t][c] = kernel[(block * LANES + c) * k * k + (turned ? k * k - 1 - t : t)];
    }
    const vec *from = corner(p, at, k, dilation);
#define CALL(k, s, d) WHOLE(image_taps(from, p.wide, tap, out, height, width, channels, lanes, add, gate, k, s, d);)
    CHOOSE(CALL)
#undef CALL
}

static void kernel_products(plane p, int64_t block, const REAL *grad, REAL *to, int64_t k, int64_t stride,
                            int64_t dilation, int64_t height, int64_t width, int64_t channels, int64_t lanes) {
    const vec *from = corner(p, block, k, dilation);
#define CALL(k, s, d) WHOLE(image_products(from, p.wide, grad, to, height, width, channels, lanes, k, s, d);)
    CHOOSE(CALL)
#undef CALL
}
