/* Separable convolutions closed by batch norms, of all edges that leave one state: forward and backward.
 *
 * What is computed is written in normed.py (a 1x1 convolution and the norm after it are one matrix product) and
 * in bundle.py. An image takes as many steps as possible while it is in the cache. Images are handled in chunks,
 * whose number depends on theirs alone, and sums are made chunk after chunk: results do not depend on the number
 * of threads.
 *
 * Layers are the first convolutions of all paths, then the second ones; maps are (layer, group, image, pixel,
 * channel). Of each layer and group, `mats` holds (product, its transpose, spread), `vecs` (bias, gain, deviation,
 * mean, variance, mean_in), all named as in normed.py.
 */

#include <math.h>

#include "kernels.h"

enum { PATHS = 4, CHUNKS = 16, MATS = 3, VECS = 6 };
enum { BIAS, GAIN, DEVIATION, MEAN, VARIANCE, MEAN_IN };

typedef struct {
    int64_t groups, images, height, width, out_height, out_width, channels, stride, paths, twice, batch, scales;
    int64_t threads, kernel[PATHS], dilation[PATHS]; /* of each path; those with two convolutions come first */
    double eps;
} form;

#define SIZES                                                                                                  \
    const int64_t C = f->channels, G = f->groups, P = f->paths, T = f->twice, L = P + T;                       \
    const int64_t pixels = f->out_height * f->out_width, n = f->images * pixels, each = C * C + C;             \
    const int64_t chunks = (f->images + 1) / 2 < CHUNKS ? (f->images + 1) / 2 : CHUNKS;                        \
    const int64_t blocks = (C + LANES - 1) / LANES, half = sizeof(REAL); /* sizes in bytes */                  \
    (void)G, (void)L, (void)n, (void)each, (void)chunks, (void)blocks, (void)half, (void)pixels;
#define PARALLEL _Pragma("omp parallel for schedule(static) num_threads(f->threads)")
#define IMAGES(image) for (int64_t image = chunk * f->images / chunks; image < (chunk + 1) * f->images / chunks; image++)
#define BLOCKS                                                                                                 \
    for (int64_t block = 0, first = 0, lanes = C < LANES ? C : LANES; block < blocks;                          \
         block++, first += LANES, lanes = C - first < LANES ? C - first : LANES)
#define MAP(l, g, image) (maps + ((((l) * G + (g)) * f->images + (image)) * pixels) * C)
#define MAT(lg, which) (mats + ((lg) * MATS + (which)) * C * C)
#define VEC(lg, which) (vecs + ((lg) * VECS + (which)) * C)
#define SUMS(lg) (partial + (chunk * L * G + (lg)) * each)

static int64_t side(const form *f, int64_t l) { return f->kernel[l < f->paths ? l : l - f->paths]; }
static int64_t apart(const form *f, int64_t l) { return l < f->paths ? f->dilation[l] : 1; }

static int64_t border(const form *f, int64_t from, int64_t to) {
    int64_t most = 0;
    for (int64_t l = from; l < to; l++) {
        int64_t b = apart(f, l) * (side(f, l) / 2);
        most = b > most ? b : most;
    }
    return most;
}

/* Where the kernels of a layer and group begin. */
static int64_t offset(const form *f, int64_t l, int64_t g) {
    int64_t at = 0;
    LOOP(i, l) at += f->groups * f->channels * side(f, i) * side(f, i);
    return at + g * f->channels * side(f, l) * side(f, l);
}

/* Add up what the chunks have found for a layer and group. */
static void total(const form *f, const REAL *partial, int64_t lg, int64_t from, int64_t count, REAL *to) {
    SIZES
    memset(to, 0, (size_t)(count * half));
    LOOP(chunk, chunks) LOOP(i, count) to[i] += SUMS(lg)[from + i];
}

static void fold(const form *f, int64_t from, int64_t to, const REAL *partial, const REAL *weight, const REAL *scale,
                 const REAL *shift, REAL *mats, REAL *vecs) {
    SIZES
    PARALLEL
    for (int64_t lg = from * G; lg < to * G; lg++) {
        const REAL *w = weight + lg * C * C;
        REAL *bias = VEC(lg, BIAS), *gain = VEC(lg, GAIN), *deviation = VEC(lg, DEVIATION), *mean = VEC(lg, MEAN);
        REAL *variance = VEC(lg, VARIANCE), *mean_in = VEC(lg, MEAN_IN), *spread = MAT(lg, 2);
        if (f->batch) {
            REAL *squares = zeros(C * C * half);
            total(f, partial, lg, 0, C * C, squares);
            total(f, partial, lg, C * C, C, mean_in);
            LOOP(c, C) mean_in[c] /= (REAL)n;
            LOOP(i, C) LOOP(j, C) squares[i * C + j] -= (REAL)n * mean_in[i] * mean_in[j];
            combine(spread, &w, (const REAL *const[]){squares}, 1, NULL, C, C);
            LOOP(o, C) {
                REAL m = 0, v = 0;
                LOOP(i, C) m += w[o * C + i] * mean_in[i], v += w[o * C + i] * spread[o * C + i];
                mean[o] = m;
                variance[o] = v > 0 || v != v ? v / (REAL)n : 0;
            }
            free(squares);
        }
        LOOP(o, C) {
            deviation[o] = (REAL)(1 / sqrt((double)variance[o] + f->eps));
            gain[o] = deviation[o] * (scale ? scale[f->scales == 1 ? lg : lg * C + o] : 1);
            bias[o] = (shift ? shift[lg * C + o] : 0) - gain[o] * mean[o];
            LOOP(i, C) MAT(lg, 0)[o * C + i] = MAT(lg, 1)[i * C + o] = gain[o] * w[o * C + i];
        }
    }
}

/* x (images, height, width, channels) -> maps, mats, vecs, out (groups, images, pixels, channels) */
void forward(const form *f, const REAL *x, const REAL *kernels, const REAL *weight, const REAL *scale,
             const REAL *shift, REAL *maps, REAL *mats, REAL *vecs, REAL *out) {
    SIZES
    REAL *partial = f->batch ? zeros(chunks * L * G * each * half) : NULL;
    PARALLEL
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        plane read = make_plane(f->height, f->width, border(f, 0, P), 1);
        IMAGES(image) {
            const REAL *from = x + image * f->height * f->width * C;
            BLOCKS {
                spread(read, 0, 1, from + first, f->height, f->width, C, lanes, 1);
                LOOP(p, P) LOOP(g, G)
                    convolve(read, 0, kernels + offset(f, p, g), block, f->kernel[p], f->stride, f->dilation[p], 0,
                             MAP(p, g, image) + first, f->out_height, f->out_width, C, lanes, 0, NULL);
            }
            if (f->batch) LOOP(pg, P * G) {
                const REAL *d = MAP(0, pg, image);
                products(SUMS(pg), SUMS(pg) + C * C, d, d, pixels, C);
            }
        }
        free(read.all);
    }
    fold(f, 0, P, partial, weight, scale, shift, mats, vecs);
    if (T) {
        PARALLEL
        for (int64_t chunk = 0; chunk < chunks; chunk++) {
            plane read = make_plane(f->out_height, f->out_width, border(f, P, L), 1);
            REAL *z = room(pixels * C * half);
            IMAGES(image) LOOP(t, T) LOOP(g, G) {
                int64_t lg = (P + t) * G + g;
                const REAL *d = MAP(t, g, image), *m = MAT(t * G + g, 1);
                REAL *to = MAP(P + t, g, image);
                combine(z, &d, &m, 1, VEC(t * G + g, BIAS), pixels, C);
                BLOCKS {
                    spread(read, 0, 1, z + first, f->out_height, f->out_width, C, lanes, 1);
                    convolve(read, 0, kernels + offset(f, P + t, g), block, f->kernel[t], 1, 1, 0, to + first,
                             f->out_height, f->out_width, C, lanes, 0, NULL);
                }
                if (f->batch) products(SUMS(lg), SUMS(lg) + C * C, to, to, pixels, C);
            }
            free(read.all), free(z);
        }
        fold(f, P, L, partial, weight, scale, shift, mats, vecs);
    }
    free(partial);
    PARALLEL
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        REAL *bias = zeros(C * half);
        LOOP(g, G) {
            memset(bias, 0, (size_t)(C * half));
            for (int64_t l = T; l < L; l++) LOOP(c, C) bias[c] += VEC(l * G + g, BIAS)[c];
            IMAGES(image) {
                const REAL *ds[2 * PATHS], *ms[2 * PATHS];
                for (int64_t l = T; l < L; l++) ds[l - T] = MAP(l, g, image), ms[l - T] = MAT(l * G + g, 1);
                combine(out + (g * f->images + image) * pixels * C, ds, ms, (int)(L - T), bias, pixels, C);
            }
        }
        free(bias);
    }
}

/* cross (grad^T d) and total of a layer and group -> gradients of weight, scale, shift; minus back, and level */
static void unfold(const form *f, int64_t lg, int64_t summed, const REAL *partial, const REAL *weight,
                   const REAL *mats, const REAL *vecs, REAL *back, REAL *to_weight, REAL *to_scale, REAL *to_shift) {
    SIZES
    const REAL *w = weight + lg * C * C, *gain = VEC(lg, GAIN), *deviation = VEC(lg, DEVIATION);
    const REAL *mean = VEC(lg, MEAN), *mean_in = VEC(lg, MEAN_IN), *centred = MAT(lg, 2);
    REAL *cross = zeros(2 * C * C * half), *pulled = cross + C * C, *shifts = to_shift + lg * C;
    REAL *level = back + lg * each + C * C, *minus = back + lg * each;
    total(f, partial, lg, 0, C * C, cross);
    total(f, partial, summed, C * C, C, shifts);
    memset(minus, 0, (size_t)(each * half));
    LOOP(o, C) {
        REAL s = 0;
        LOOP(i, C) s += cross[o * C + i] * w[o * C + i];
        s = (s - mean[o] * shifts[o]) * deviation[o];
        to_scale[lg * C + o] = s;
        REAL pull = gain[o] * s * deviation[o] / (REAL)n, pushed = gain[o] * shifts[o];
        if (to_weight) LOOP(i, C) to_weight[lg * C * C + o * C + i] = cross[o * C + i] * gain[o];
        if (!f->batch) continue;
        if (to_weight)
            LOOP(i, C) to_weight[lg * C * C + o * C + i] -= pushed * mean_in[i] + pull * centred[o * C + i];
        LOOP(i, C) {
            pulled[o * C + i] = -pull * w[o * C + i];
            level[i] += (pull * mean[o] - pushed / (REAL)n) * w[o * C + i];
        }
    }
    if (f->batch) products(minus, NULL, w, pulled, C, C);
    free(cross);
}

/* What the 1x1 convolution of a layer sees has this gradient, for one image. */
static void to_map(const form *f, REAL *to, const REAL *grad, const REAL *d, const REAL *product, const REAL *back) {
    SIZES
    const REAL *pair[] = {grad, d}, *with[] = {product, back};
    combine(to, pair, with, f->batch ? 2 : 1, f->batch ? back + C * C : NULL, pixels, C);
}

/* grad (groups, images, pixels, channels) -> to_x like x; to_kernels, to_weight like kernels, weight; to_scale and
 * to_shift (layers, groups, channels). The first three may be left out. */
void backward(const form *f, const REAL *grad, const REAL *x, const REAL *kernels, const REAL *weight,
              const REAL *maps, const REAL *mats, const REAL *vecs, REAL *to_x, REAL *to_kernels, REAL *to_weight,
              REAL *to_scale, REAL *to_shift) {
    SIZES
    const int64_t taps_all = offset(f, L - 1, G - 1) + C * side(f, L - 1) * side(f, L - 1);
    REAL *partial = zeros(chunks * L * G * each * half), *back = zeros(L * G * each * half);
    REAL *parts = to_kernels ? zeros(chunks * taps_all * half) : NULL, *gates = room(T * G * n * C * half);
#define GRAD(g, image) (grad + ((g) * f->images + (image)) * pixels * C)
#define GATE(t, g, image) (gates + (((t) * G + (g)) * f->images + (image)) * pixels * C)
#define PART(l, g) (parts + chunk * taps_all + offset(f, l, g))
    PARALLEL
    for (int64_t chunk = 0; chunk < chunks; chunk++)
        IMAGES(image) LOOP(g, G) for (int64_t l = T; l < L; l++)
            products(SUMS(l * G + g), l == T ? SUMS(l * G + g) + C * C : NULL, GRAD(g, image), MAP(l, g, image),
                     pixels, C);
    PARALLEL
    for (int64_t lg = T * G; lg < L * G; lg++)
        unfold(f, lg, T * G + lg % G, partial, weight, mats, vecs, back, to_weight, to_scale, to_shift);
    if (T) {
        PARALLEL
        for (int64_t chunk = 0; chunk < chunks; chunk++) {
            plane read = make_plane(f->out_height, f->out_width, border(f, P, L), 1);
            plane turned = make_plane(f->out_height, f->out_width, border(f, P, L), 1);
            REAL *z = room(2 * pixels * C * half), *wanted = z + pixels * C;
            IMAGES(image) LOOP(t, T) LOOP(g, G) {
                int64_t l = P + t, lg = t * G + g;
                const REAL *d = MAP(t, g, image), *m = MAT(lg, 1), *kernel = kernels + offset(f, l, g);
                to_map(f, wanted, GRAD(g, image), MAP(l, g, image), MAT(l * G + g, 0), back + (l * G + g) * each);
                combine(z, &d, &m, 1, VEC(lg, BIAS), pixels, C); /* cheaper to make again than to keep */
                BLOCKS {
                    if (parts) {
                        spread(read, 0, 1, z + first, f->out_height, f->out_width, C, lanes, 1);
                        kernel_products(read, 0, wanted + first, PART(l, g) + first, f->kernel[t], 1, 1,
                                        f->out_height, f->out_width, C, lanes);
                    }
                    spread(turned, 0, 1, wanted + first, f->out_height, f->out_width, C, lanes, 0);
                    convolve(turned, 0, kernel, block, f->kernel[t], 1, 1, 1, GATE(t, g, image) + first,
                             f->out_height, f->out_width, C, lanes, 0, z + first);
                }
                products(SUMS(lg), SUMS(lg) + C * C, GATE(t, g, image), d, pixels, C);
            }
            free(read.all), free(turned.all), free(z);
        }
        PARALLEL
        for (int64_t lg = 0; lg < T * G; lg++)
            unfold(f, lg, lg, partial, weight, mats, vecs, back, to_weight, to_scale, to_shift);
    }
    if (to_x || parts) {
        PARALLEL
        for (int64_t chunk = 0; chunk < chunks; chunk++) {
            plane read = make_plane(f->height, f->width, border(f, 0, P), parts ? blocks : 0);
            plane turned = make_plane(f->height, f->width, border(f, 0, P), 1);
            REAL *wanted = room(pixels * C * half);
            IMAGES(image) {
                int64_t at = image * f->height * f->width * C;
                if (parts) BLOCKS spread(read, block, 1, x + at + first, f->height, f->width, C, lanes, 1);
                LOOP(p, P) LOOP(g, G) {
                    int64_t lg = p * G + g, k = f->kernel[p], last = lg == P * G - 1;
                    const REAL *from = p < T ? GATE(p, g, image) : GRAD(g, image);
                    to_map(f, wanted, from, MAP(p, g, image), MAT(lg, 0), back + lg * each);
                    BLOCKS {
                        if (parts)
                            kernel_products(read, block, wanted + first, PART(p, g) + first, k, f->stride,
                                            f->dilation[p], f->out_height, f->out_width, C, lanes);
                        if (!to_x) continue;
                        spread(turned, 0, f->stride, wanted + first, f->out_height, f->out_width, C, lanes, 0);
                        convolve(turned, 0, kernels + offset(f, p, g), block, k, 1, f->dilation[p], 1,
                                 to_x + at + first, f->height, f->width, C, lanes, lg > 0,
                                 last ? x + at + first : NULL);
                    }
                }
            }
            free(read.all), free(turned.all), free(wanted);
        }
    }
    if (parts) {
        PARALLEL
        for (int64_t lg = 0; lg < L * G; lg++) {
            int64_t at = offset(f, lg / G, lg % G), area = side(f, lg / G) * side(f, lg / G);
            LOOP(chunk, chunks) LOOP(t, area) LOOP(c, C)
                to_kernels[at + c * area + t] += parts[chunk * taps_all + at + t * C + c];
        }
    }
    free(partial), free(back), free(parts), free(gates);
}
