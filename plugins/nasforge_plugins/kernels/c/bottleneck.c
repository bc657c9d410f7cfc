/* The inside of an inverted bottleneck, between its widening and its narrowing 1x1 convolution: SiLU, depthwise
 * convolution, batch norm, SiLU, gate; forward and backward.
 *
 * Maps are (image, pixel, channel). The widened map and the convolved one are all that is kept: what lies between is
 * made again, in the pass over memory that needs it. Sums over the batch are made image by image, or by chunks of
 * images whose number depends on theirs alone, and added in their order: results do not depend on the number of
 * threads.
 */

#include <math.h>

#include "depthwise.h"

enum { CHUNKS = 16, TOGETHER = 6 };

typedef struct {
    int64_t images, height, width, out_height, out_width, channels, kernel, stride, threads;
} form;

#define SIZES                                                                                                  \
    const int64_t C = f->channels, inside = f->height * f->width, pixels = f->out_height * f->out_width;       \
    const int64_t k = f->kernel, blocks = (C + LANES - 1) / LANES, half = sizeof(REAL); /* sizes in bytes */   \
    (void)inside, (void)pixels, (void)k, (void)blocks, (void)half;
#define PARALLEL _Pragma("omp parallel for schedule(static) num_threads(f->threads)")
#define EACH_IMAGE                                                                                             \
    PARALLEL                                                                                                   \
    for (int64_t image = 0; image < f->images; image++)
/* Some neighbouring channels of an image fit into the cache with everything that is made of them, and are read in
 * pieces that memory gives in one go. */
#define PARTS                                                                                                  \
    for (int64_t parts = (blocks + TOGETHER - 1) / TOGETHER, part = 0, first = 0, last = blocks / parts;       \
         part < parts; part++, first = last, last = blocks * (part + 1) / parts)
#define EACH_CHUNK                                                                                             \
    const int64_t chunks = f->images < CHUNKS ? f->images : CHUNKS;                                            \
    PARALLEL                                                                                                   \
    for (int64_t chunk = 0; chunk < chunks; chunk++)
#define IMAGES for (int64_t image = chunk * f->images / chunks; image < (chunk + 1) * f->images / chunks; image++)
/* Whole vectors are the rule: knowing their length makes loads and stores single instructions. */
#define VECTORS_OF(from, to, ...)                                                                              \
    for (int64_t block = (from); block < (to); block++) {                                                      \
        const int64_t c = block * LANES;                                                                       \
        if (c + LANES <= C) { const int64_t lanes = LANES; __VA_ARGS__ }                                       \
        else { const int64_t lanes = C - c; __VA_ARGS__ }                                                      \
    }

/* ---- exp, sigmoid ---- */

typedef __typeof__((vec){0} > (vec){0}) bits;

INLINE vec choose(bits which, vec a, vec b) { return (vec)(((bits)a & which) | ((bits)b & ~which)); }

/* Cody and Waite's reduction to |r| <= log(2) / 2, and approximations of Cephes; no number stays no number. */
INLINE vec exponential(vec x) {
    const int single = sizeof(REAL) == 4;
    const REAL most = single ? 87 : 708, magic = single ? 12582912.0 : 6755399441055744.0;
    vec top = (vec){0} + most, turns, r, r2, p;
    x = choose(x > top, top, x);
    x = choose(x < -top, -top, x);
    turns = (x * (REAL)1.44269504088896340736 + magic) - magic;
    bits power = (__builtin_convertvector(turns, bits) + (single ? 127 : 1023)) << (single ? 23 : 52);
    if (single) {
        r = x - turns * (REAL)0.693359375 + turns * (REAL)2.12194440e-4;
        p = r * (REAL)1.9875691500e-4 + (REAL)1.3981999507e-3;
        p = p * r + (REAL)8.3334519073e-3;
        p = p * r + (REAL)4.1665795894e-2;
        p = p * r + (REAL)1.6666665459e-1;
        p = p * r + (REAL)5.0000001201e-1;
        return (p * r * r + r + (REAL)1) * (vec)power;
    }
    r = x - turns * (REAL)6.93145751953125e-1 - turns * (REAL)1.42860682030941723212e-6;
    r2 = r * r;
    p = r * ((r2 * (REAL)1.26177193074810590878e-4 + (REAL)3.02994407707441961300e-2) * r2 + (REAL)1);
    vec q = ((r2 * (REAL)3.00198505138664455042e-6 + (REAL)2.52448340349684104192e-3) * r2 +
             (REAL)2.27265548208155028766e-1) * r2 + (REAL)2;
    return ((REAL)1 + (REAL)2 * p / (q - p)) * (vec)power;
}

INLINE vec sigmoid(vec x) { return (REAL)1 / ((REAL)1 + exponential(-x)); }
INLINE vec silu(vec x) { return x * sigmoid(x); }

INLINE vec silu_slope(vec x) {
    vec s = sigmoid(x);
    return s * ((REAL)1 + x * ((REAL)1 - s));
}

/* ---- depthwise convolution of one image, some channels at a time; see kernels.h ---- */

#define SIDES(CALL)                                                                                            \
    switch (k * 10 + stride) {                                                                                 \
        case 31: CALL(3, 1); break;                                                                            \
        case 32: CALL(3, 2); break;                                                                            \
        case 51: CALL(5, 1); break;                                                                            \
        case 52: CALL(5, 2); break;                                                                            \
        case 71: CALL(7, 1); break;                                                                            \
        case 72: CALL(7, 2); break;                                                                            \
        default: abort();                                                                                      \
    }

/* Kernels are (channels, taps), as torch has them. */
static void read_kernel(vec *tap, const REAL *kernel, int64_t area, int64_t lanes, int turned) {
    LOOP(t, area) {
        tap[t] = (vec){0};
        LOOP(c, lanes) tap[t][c] = kernel[c * area + (turned ? area - 1 - t : t)];
    }
}

static void filter_image(const vec *from, int64_t wide, const vec *tap, REAL *out, int64_t height, int64_t width,
                         int64_t channels, int64_t lanes, int64_t k, int64_t stride) {
#define CALL(k, s) WHOLE(image_taps(from, wide, tap, out, height, width, channels, lanes, 0, NULL, k, s, 1);)
    SIDES(CALL)
#undef CALL
}

/* Add products of gradient and input, summed over an image: one per tap. Rows of the kernel come in turns: the
 * products of all seven do not fit into the registers. */
INLINE void row_products(const vec *buffer, const vec *grad, int64_t wide, vec *to, int64_t height, int64_t width,
                         int k, int stride) {
    const int together = k == 3 ? 3 : 2;
    for (int first = 0; first < k; first += together) {
        const int rows = k - first < together ? k - first : together;
        vec sums[14];
        for (int t = 0; t < together * k; t++) sums[t] = (vec){0};
        LOOP(h, height) {
            const vec *row = buffer + (h * stride + first) * wide, *from = grad + h * stride * wide;
            if (rows == together) {
                LOOP(w, width)
                    for (int i = 0; i < together; i++)
                        for (int j = 0; j < k; j++)
                            sums[i * k + j] += from[w * stride] * row[i * wide + w * stride + j];
            } else {
                LOOP(w, width) for (int j = 0; j < k; j++) sums[j] += from[w * stride] * row[w * stride + j];
            }
        }
        for (int t = 0; t < rows * k; t++) to[first * k + t] += sums[t];
    }
}

static void image_kernel(const vec *buffer, const vec *grad, int64_t wide, vec *to, int64_t height, int64_t width,
                         int64_t k, int64_t stride) {
#define CALL(k, s) row_products(buffer, grad, wide, to, height, width, k, s);
    SIDES(CALL)
#undef CALL
}

/* Where a pixel of an image lies in the planes of some channels. */
INLINE vec *place(plane p, int64_t block, int64_t h, int64_t w) {
    return p.all + block * p.size + (p.border + h) * p.wide + p.border + w;
}

static void convolve_part(const form *f, plane p, const vec *taps_all, REAL *out, int64_t height, int64_t width,
                          int64_t stride, int64_t first, int64_t last) {
    const int64_t C = f->channels, k = f->kernel;
    VECTORS_OF(first, last, filter_image(p.all + (block - first) * p.size, p.wide, taps_all + block * k * k, out + c,
                                      height, width, C, lanes, k, stride);)
}

/* Add up (2, C) of all images. */
static void add_up(const form *f, const REAL *parts, REAL *sums) {
    LOOP(i, 2 * f->channels) {
        double sum = 0;
        LOOP(image, f->images) sum += (double)parts[image * 2 * f->channels + i];
        sums[i] = (REAL)sum;
    }
}

#define AT(p) ((p) * C + c)
#define ADD(to, value) store((to) + c, load((to) + c, lanes) + (value), lanes)

/* ---- forward ---- */

/* y = depthwise(silu(a)); mean and biased variance of y, per channel. */
void filter(const form *f, const REAL *a, const REAL *kernel, REAL *y, REAL *mean, REAL *variance) {
    SIZES
    REAL *sums = zeros(f->images * 2 * C * half);
    vec *taps_all = room(blocks * k * k * (int64_t)sizeof(vec));
    VECTORS_OF(0, blocks, read_kernel(taps_all + block * k * k, kernel + c * k * k, k * k, lanes, 0);)
    EACH_CHUNK {
        plane read = make_plane(f->height, f->width, k / 2, blocks < TOGETHER ? blocks : TOGETHER);
        REAL *made = room(pixels * C * half);
        IMAGES PARTS {
            const REAL *from = a + image * inside * C;
            REAL *to = y + image * pixels * C, *sum = sums + image * 2 * C, *squares = sum + C;
            LOOP(h, f->height) LOOP(w, f->width) VECTORS_OF(first, last, {
                *place(read, block - first, h, w) = silu(load(from + AT(h * f->width + w), lanes));
            })
            convolve_part(f, read, taps_all, made, f->out_height, f->out_width, f->stride, first, last);
            LOOP(p, pixels) VECTORS_OF(first, last, { /* far from zero, squares of differences are more exact */
                vec v = load(made + AT(p), lanes), d = v - load(made + c, lanes);
                store(to + AT(p), v, lanes);
                ADD(sum, d);
                ADD(squares, d * d);
            })
            VECTORS_OF(first, last, {
                vec d = load(sum + c, lanes);
                ADD(squares, -d * d / (REAL)pixels);
                ADD(sum, load(made + c, lanes) * (REAL)pixels);
            })
        }
        free(read.all), free(made);
    }
    LOOP(c, C) {
        double n = (double)f->images * (double)pixels, sum = 0, squares = 0;
        LOOP(image, f->images) sum += (double)sums[image * 2 * C + c];
        LOOP(image, f->images) {
            double apart = (double)sums[image * 2 * C + c] / (double)pixels - sum / n;
            squares += (double)sums[(image * 2 + 1) * C + c] + (double)pixels * apart * apart;
        }
        mean[c] = (REAL)(sum / n);
        variance[c] = (REAL)(squares / n);
    }
    free(sums), free(taps_all);
}

/* Mean over the pixels of an image of silu(gain y + bias): (images, C). */
void squeeze(const form *f, const REAL *y, const REAL *gain, const REAL *bias, REAL *means) {
    SIZES
    EACH_IMAGE {
        const REAL *from = y + image * pixels * C;
        REAL *to = memset(means + image * C, 0, (size_t)(C * half));
        LOOP(p, pixels) VECTORS_OF(0, blocks, {
            ADD(to, silu(load(gain + c, lanes) * load(from + AT(p), lanes) + load(bias + c, lanes)));
        })
        LOOP(c, C) to[c] /= (REAL)pixels;
    }
}

/* z = silu(gain y + bias) gate, of which there is one per image and channel. */
void excite(const form *f, const REAL *y, const REAL *gain, const REAL *bias, const REAL *gate, REAL *z) {
    SIZES
    EACH_IMAGE {
        const REAL *from = y + image * pixels * C, *s = gate + image * C;
        REAL *to = z + image * pixels * C;
        LOOP(p, pixels) VECTORS_OF(0, blocks, {
            vec v = silu(load(gain + c, lanes) * load(from + AT(p), lanes) + load(bias + c, lanes));
            store(to + AT(p), load(s + c, lanes) * v, lanes);
        })
    }
}

/* ---- backward ---- */

/* Gradient of the gate, given that of what it made: (images, C). */
void unexcite(const form *f, const REAL *grad, const REAL *y, const REAL *gain, const REAL *bias, REAL *to_gate) {
    SIZES
    EACH_IMAGE {
        const REAL *from = y + image * pixels * C, *pushed = grad + image * pixels * C;
        REAL *to = memset(to_gate + image * C, 0, (size_t)(C * half));
        LOOP(p, pixels) VECTORS_OF(0, blocks, {
            vec v = silu(load(gain + c, lanes) * load(from + AT(p), lanes) + load(bias + c, lanes));
            ADD(to, load(pushed + AT(p), lanes) * v);
        })
    }
}

/* Turn the gradient of z into that of gain y + bias, in its place; `level` is what every pixel of an image gets
 * through its mean. Sums over the batch, (2, C): of it, and of its product with y - mean. */
void unsqueeze(const form *f, REAL *grad, const REAL *y, const REAL *gain, const REAL *bias, const REAL *gate,
               const REAL *level, const REAL *mean, REAL *sums) {
    SIZES
    REAL *parts = zeros(f->images * 2 * C * half);
    EACH_IMAGE {
        const REAL *from = y + image * pixels * C, *s = gate + image * C, *l = level + image * C;
        REAL *to = grad + image * pixels * C, *sum = parts + image * 2 * C, *product = sum + C;
        LOOP(p, pixels) VECTORS_OF(0, blocks, {
            vec v = load(from + AT(p), lanes);
            vec d = load(to + AT(p), lanes) * load(s + c, lanes) + load(l + c, lanes);
            d *= silu_slope(load(gain + c, lanes) * v + load(bias + c, lanes));
            store(to + AT(p), d, lanes);
            ADD(sum, d);
            ADD(product, d * (v - load(mean + c, lanes)));
        })
    }
    add_up(f, parts, sums);
    free(parts);
}

/* The convolved map has the gradient gain grad + slope (y - mean) + level. Gradients of the widened map and of the
 * kernel, which may be left out; sums over the batch, (2, C): of the first, and of its product with a. */
void unfilter(const form *f, const REAL *grad, const REAL *y, const REAL *a, const REAL *kernel, const REAL *gain,
              const REAL *mean, const REAL *slope, const REAL *level, REAL *to_a, REAL *to_kernel, REAL *sums) {
    SIZES
    const int64_t area = k * k, step = f->stride;
    const int64_t together = blocks < TOGETHER ? blocks : TOGETHER, size = (int64_t)sizeof(vec);
    REAL *parts_all = zeros(f->images * 2 * C * half);
    vec *products = to_kernel ? zeros(CHUNKS * blocks * area * size) : NULL, *taps_all = room(blocks * area * size);
    VECTORS_OF(0, blocks, read_kernel(taps_all + block * area, kernel + c * area, area, lanes, 1);)
    EACH_CHUNK {
        plane read = make_plane(f->height, f->width, k / 2, products ? together : 0);
        plane turned = make_plane(f->height, f->width, k / 2, together);
        REAL *slopes = room(2 * inside * C * half), *made = slopes + inside * C;
        IMAGES PARTS {
            const REAL *wide = a + image * inside * C, *pushed = grad + image * pixels * C;
            const REAL *convolved = y + image * pixels * C;
            REAL *to = to_a + image * inside * C, *sum = parts_all + image * 2 * C, *product = sum + C;
            LOOP(h, f->out_height) LOOP(w, f->out_width) VECTORS_OF(first, last, {
                const int64_t at = AT(h * f->out_width + w);
                vec d = load(slope + c, lanes) * (load(convolved + at, lanes) - load(mean + c, lanes));
                d += load(gain + c, lanes) * load(pushed + at, lanes) + load(level + c, lanes);
                *place(turned, block - first, h * step, w * step) = d;
            })
            LOOP(h, f->height) LOOP(w, f->width) VECTORS_OF(first, last, {
                const int64_t at = AT(h * f->width + w);
                vec v = load(wide + at, lanes), s = sigmoid(v);
                store(slopes + at, s * ((REAL)1 + v * ((REAL)1 - s)), lanes);
                if (products) *place(read, block - first, h, w) = v * s;
            })
            if (products)
                for (int64_t block = first; block < last; block++)
                    image_kernel(read.all + (block - first) * read.size, place(turned, block - first, 0, 0), read.wide,
                                 products + (chunk * blocks + block) * area, f->out_height, f->out_width, k, step);
            convolve_part(f, turned, taps_all, made, f->height, f->width, 1, first, last);
            LOOP(p, inside) VECTORS_OF(first, last, {
                vec d = load(made + AT(p), lanes) * load(slopes + AT(p), lanes);
                store(to + AT(p), d, lanes);
                ADD(sum, d);
                ADD(product, d * load(wide + AT(p), lanes));
            })
        }
        free(read.all), free(turned.all), free(slopes);
    }
    add_up(f, parts_all, sums);
    if (products) LOOP(c, C) LOOP(t, area) {
        double sum = 0;
        LOOP(chunk, chunks)
            sum += (double)products[(chunk * blocks + c / LANES) * area + t][c % LANES];
        to_kernel[c * area + t] = (REAL)sum;
    }
    free(parts_all), free(products), free(taps_all);
}
