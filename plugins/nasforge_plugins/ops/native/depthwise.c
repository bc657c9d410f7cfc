/* Depthwise convolutions and their gradients, for maps whose channels lie next to each other.
 *
 * A map is (groups, images, height, width, channels). All groups may read one map (`shared`): then every group
 * convolves it with kernels of its own, without a copy per group. One vector holds some channels of a pixel.
 * Each image is first copied into a buffer with a border of zeros, so that no loop asks where the edge is; the
 * copy also rectifies. Sums over images are left to the caller, hence do not depend on the number of threads.
 *
 * REAL (float or double) and the instruction set come from the command line.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define LANES ((int64_t)(BYTES / sizeof(REAL)))
#define INLINE static inline __attribute__((always_inline))

typedef REAL vec __attribute__((vector_size(BYTES), aligned(BYTES), may_alias));
typedef REAL loose __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));

typedef struct {
    int64_t groups, shared, images, height, width, out_height, out_width, channels;
    int64_t kernel, stride, dilation, relu, threads;
} form;

INLINE vec load(const REAL *p, int64_t lanes) {
    vec v = {0};
    if (lanes == LANES) return *(const loose *)p;
    for (int64_t i = 0; i < lanes; i++) v[i] = p[i];
    return v;
}

INLINE void store(REAL *p, vec v, int64_t lanes) {
    if (lanes == LANES) *(loose *)p = v;
    else for (int64_t i = 0; i < lanes; i++) p[i] = v[i];
}

/* Keep lanes whose gate is above zero, or no number: those must not vanish unseen. */
INLINE vec pass(vec v, vec gate) {
    typedef __typeof__(gate > gate) bits;
    return (vec)((bits)v & ~(gate <= (vec){0}));
}

/* Copy an image into the middle of a buffer of rows `wide` long, `step` apart; what lies around stays. */
static void spread(vec *buffer, int64_t wide, int64_t border, int64_t step, const REAL *image, int64_t height,
                   int64_t width, int64_t channels, int64_t lanes, int relu) {
    for (int64_t h = 0; h < height; h++) {
        vec *row = buffer + (border + h * step) * wide + border;
        const REAL *from = image + h * width * channels;
        if (relu) for (int64_t w = 0; w < width; w++) row[w * step] = pass(load(from + w * channels, lanes), load(from + w * channels, lanes));
        else for (int64_t w = 0; w < width; w++) row[w * step] = load(from + w * channels, lanes);
    }
}

static vec *zeros(int64_t count) {
    void *memory = NULL;
    if (posix_memalign(&memory, BYTES, (size_t)count * sizeof(vec))) abort();
    memset(memory, 0, (size_t)count * sizeof(vec));
    return memory;
}

/* `count` neighbouring outputs at once: their taps overlap, so most loads serve several of them. */
INLINE void taps(vec *sums, const vec *from, int64_t wide, const vec *kernel, int count, int k, int stride,
                 int dilation) {
    for (int u = 0; u < count; u++) sums[u] = (vec){0};
    for (int i = 0; i < k; i++) {
        const vec *row = from + i * dilation * wide;
        for (int j = 0; j < k; j++) {
            vec tap = kernel[i * k + j];
            for (int u = 0; u < count; u++) sums[u] += tap * row[u * stride + j * dilation];
        }
    }
}

enum { SET, ADD };

INLINE void put(REAL *to, vec value, int64_t lanes, int mode, const REAL *gate) {
    if (mode == ADD) value += load(to, lanes);
    if (gate) value = pass(value, load(gate, lanes));
    store(to, value, lanes);
}

INLINE void image_taps(const vec *buffer, int64_t wide, const vec *kernel, REAL *out, int64_t height,
                       int64_t width, int64_t channels, int64_t lanes, int mode, const REAL *gate, int k,
                       int stride, int dilation) {
    enum { MANY = 8 };
    for (int64_t h = 0; h < height; h++) {
        const vec *row = buffer + h * stride * wide;
        int64_t at = h * width * channels, w = 0;
        for (; w + MANY <= width; w += MANY) {
            vec sums[MANY];
            taps(sums, row + w * stride, wide, kernel, MANY, k, stride, dilation);
            for (int u = 0; u < MANY; u++, at += channels)
                put(out + at, sums[u], lanes, mode, gate ? gate + at : NULL);
        }
        for (; w < width; w++, at += channels) {
            vec sum[1];
            taps(sum, row + w * stride, wide, kernel, 1, k, stride, dilation);
            put(out + at, sum[0], lanes, mode, gate ? gate + at : NULL);
        }
    }
}

/* Products of gradient and input, summed over an image: one per tap; a few kernel rows fit the registers. */
INLINE void image_products(const vec *buffer, int64_t wide, const REAL *grad, vec *products, int64_t height,
                           int64_t width, int64_t channels, int64_t lanes, int k, int rows, int stride,
                           int dilation) {
    for (int first = 0; first + rows <= k; first += rows) {
        vec sums[25];
        for (int t = 0; t < rows * k; t++) sums[t] = (vec){0};
        for (int64_t h = 0; h < height; h++) {
            const vec *row = buffer + (h * stride + first * dilation) * wide;
            const REAL *from = grad + h * width * channels;
            for (int64_t w = 0; w < width; w++) {
                vec g = load(from + w * channels, lanes);
                for (int i = 0; i < rows; i++)
                    for (int j = 0; j < k; j++)
                        sums[i * k + j] += g * row[w * stride + i * dilation * wide + j * dilation];
            }
        }
        for (int t = 0; t < rows * k; t++) products[first * k + t] = sums[t];
    }
}

#define CHOOSE(CALL)                                                                                           \
    switch (f->kernel * 100 + stride * 10 + dilation) {                                                        \
        case 311: CALL(3, 3, 1, 1); break;                                                                     \
        case 312: CALL(3, 3, 1, 2); break;                                                                     \
        case 321: CALL(3, 3, 2, 1); break;                                                                     \
        case 322: CALL(3, 3, 2, 2); break;                                                                     \
        case 511: CALL(5, 5, 1, 1); break;                                                                     \
        case 512: CALL(5, 5, 1, 2); break;                                                                     \
        case 521: CALL(5, 5, 2, 1); break;                                                                     \
        case 522: CALL(5, 5, 2, 2); break;                                                                     \
        case 711: CALL(7, 1, 1, 1); break;                                                                     \
        case 721: CALL(7, 1, 2, 1); break;                                                                     \
        default: abort();                                                                                      \
    }

/* Whole vectors are the rule: knowing their length makes loads and stores single instructions. */
#define WHOLE(CALL) if (lanes == LANES) { int64_t lanes = LANES; CALL } else { CALL }

static void kernels(vec *to, const REAL *from, int64_t taps, int64_t channels, int64_t lanes, int turned) {
    for (int64_t t = 0; t < taps; t++) to[t] = load(from + (turned ? taps - 1 - t : t) * channels, lanes);
}

/* x (1 or groups, ...), weight (groups, taps, channels) -> out (groups, ...) */
void forward(const form *f, const REAL *x, const REAL *weight, REAL *out) {
    int64_t blocks = (f->channels + LANES - 1) / LANES, area = f->kernel * f->kernel, stride = f->stride;
    int64_t dilation = f->dilation, border = dilation * (f->kernel / 2), wide = f->width + 2 * border;
    int64_t size_in = f->height * f->width * f->channels;
    int64_t size_out = f->out_height * f->out_width * f->channels;
#pragma omp parallel num_threads(f->threads)
    {
        vec *buffer = zeros((f->height + 2 * border) * wide);
#pragma omp for collapse(2) schedule(static)
        for (int64_t image = 0; image < f->images; image++) {
            for (int64_t block = 0; block < blocks; block++) {
                int64_t first = block * LANES, lanes = f->channels - first < LANES ? f->channels - first : LANES;
                for (int64_t group = 0; group < f->groups; group++) {
                    vec kernel[49];
                    if (group == 0 || !f->shared)
                        spread(buffer, wide, border, 1, x + (group * f->images + image) * size_in + first,
                               f->height, f->width, f->channels, lanes, (int)f->relu);
                    kernels(kernel, weight + group * area * f->channels + first, area, f->channels, lanes, 0);
                    REAL *to = out + (group * f->images + image) * size_out + first;
#define CALL(k, rows, s, d)                                                                                    \
    WHOLE(image_taps(buffer, wide, kernel, to, f->out_height, f->out_width, f->channels, lanes, SET, NULL, k,  \
                     s, d);)
                    CHOOSE(CALL)
#undef CALL
                }
            }
        }
        free(buffer);
    }
}

/* grad (groups, ...), weight (groups, taps, channels) -> out (1 or groups, ...), kept where gate > 0 */
void input_gradient(const form *f, const REAL *grad, const REAL *weight, const REAL *gate, int64_t add,
                    REAL *out) {
    int64_t blocks = (f->channels + LANES - 1) / LANES, area = f->kernel * f->kernel, stride = 1;
    int64_t dilation = f->dilation, border = dilation * (f->kernel / 2), wide = f->width + 2 * border;
    int64_t size_in = f->height * f->width * f->channels;
    int64_t size_out = f->out_height * f->out_width * f->channels;
#pragma omp parallel num_threads(f->threads)
    {
        vec *buffer = zeros((f->height + 2 * border) * wide);
#pragma omp for collapse(2) schedule(static)
        for (int64_t image = 0; image < f->images; image++) {
            for (int64_t block = 0; block < blocks; block++) {
                int64_t first = block * LANES, lanes = f->channels - first < LANES ? f->channels - first : LANES;
                for (int64_t group = 0; group < f->groups; group++) {
                    vec kernel[49];
                    int mode = add || (group > 0 && f->shared) ? ADD : SET;
                    int64_t at = ((f->shared ? 0 : group) * f->images + image) * size_in + first;
                    const REAL *open = gate && (!f->shared || group == f->groups - 1) ? gate + at : NULL;
                    spread(buffer, wide, border, f->stride, grad + (group * f->images + image) * size_out + first,
                           f->out_height, f->out_width, f->channels, lanes, 0);
                    kernels(kernel, weight + group * area * f->channels + first, area, f->channels, lanes, 1);
#define CALL(k, rows, s, d)                                                                                    \
    WHOLE(image_taps(buffer, wide, kernel, out + at, f->height, f->width, f->channels, lanes, mode, open, k,   \
                     1, d);)
                    CHOOSE(CALL)
#undef CALL
                }
            }
        }
        free(buffer);
    }
}

/* grad (groups, ...), x (1 or groups, ...) -> out (images, groups, taps, channels) */
void weight_gradient(const form *f, const REAL *grad, const REAL *x, REAL *out) {
    int64_t blocks = (f->channels + LANES - 1) / LANES, area = f->kernel * f->kernel, stride = f->stride;
    int64_t dilation = f->dilation, border = dilation * (f->kernel / 2), wide = f->width + 2 * border;
    int64_t size_in = f->height * f->width * f->channels;
    int64_t size_out = f->out_height * f->out_width * f->channels;
#pragma omp parallel num_threads(f->threads)
    {
        vec *buffer = zeros((f->height + 2 * border) * wide);
#pragma omp for collapse(2) schedule(static)
        for (int64_t image = 0; image < f->images; image++) {
            for (int64_t block = 0; block < blocks; block++) {
                int64_t first = block * LANES, lanes = f->channels - first < LANES ? f->channels - first : LANES;
                for (int64_t group = 0; group < f->groups; group++) {
                    vec products[49];
                    if (group == 0 || !f->shared)
                        spread(buffer, wide, border, 1, x + (group * f->images + image) * size_in + first,
                               f->height, f->width, f->channels, lanes, (int)f->relu);
                    const REAL *from = grad + (group * f->images + image) * size_out + first;
#define CALL(k, rows, s, d)                                                                                    \
    WHOLE(image_products(buffer, wide, from, products, f->out_height, f->out_width, f->channels, lanes, k,     \
                         rows, s, d);)
                    CHOOSE(CALL)
#undef CALL
                    for (int64_t t = 0; t < area; t++)
                        store(out + ((image * f->groups + group) * area + t) * f->channels + first, products[t],
                              lanes);
                }
            }
        }
        free(buffer);
    }
}
