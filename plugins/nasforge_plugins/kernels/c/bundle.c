/* Separable convolutions closed by batch norms, of all edges that leave one state: forward and backward.
 *
 * Of a separable convolution only what its 1x1 convolution makes is kept. Everything else is made again from that,
 * or from the state, while an image is in the cache: norms and ReLUs by one multiplication and addition, and what the
 * 1x1 convolution sees, which the gradient of its weights needs, by the depthwise convolution: keeping both would take
 * twice the memory.
 * Edges come one after the other: all images of one fit into the cache that threads share. Images are handled in
 * chunks, whose number depends on theirs alone, and sums are made chunk after chunk: results do not depend on the
 * number of threads.
 *
 * Layers are the first convolutions of all paths, then the second ones; maps are (layer, group, image, pixel,
 * channel). Of each layer and group, `vecs` holds (level, gain, deviation, mean, variance): its norm is gain times
 * the map plus level, `deviation` is one over the standard deviation.
 */

#include <math.h>

#include "depthwise.h"
#include "norms.h"

enum { PATHS = 4, CHUNKS = 16, VECS = 5, COEFFICIENTS = 3 };
enum { LEVEL, GAIN, DEVIATION, MEAN, VARIANCE };

typedef struct {
    int64_t groups, images, height, width, out_height, out_width, channels, stride, paths, twice, batch, scales;
    int64_t threads, kernel[PATHS], dilation[PATHS]; /* of each path; those with two convolutions come first */
    double eps;
} form;

#define SIZES                                                                                                  \
    const int64_t C = f->channels, G = f->groups, P = f->paths, T = f->twice, L = P + T;                       \
    const int64_t pixels = f->out_height * f->out_width, n = f->images * pixels, each = 3 * C;                 \
    const int64_t chunks = (f->images + 1) / 2 < CHUNKS ? (f->images + 1) / 2 : CHUNKS;                        \
    const int64_t blocks = (C + LANES - 1) / LANES, half = sizeof(REAL); /* sizes in bytes */                  \
    (void)G, (void)L, (void)n, (void)each, (void)chunks, (void)blocks, (void)half, (void)pixels;
#define PARALLEL _Pragma("omp parallel for schedule(static) num_threads(f->threads)")
#define BEGIN(chunk) ((chunk) * f->images / chunks)
#define IMAGES(image) for (int64_t image = BEGIN(chunk); image < BEGIN(chunk + 1); image++)
#define BLOCKS                                                                                                 \
    for (int64_t block = 0, first = 0, lanes = C < LANES ? C : LANES; block < blocks;                          \
         block++, first += LANES, lanes = C - first < LANES ? C - first : LANES)
/* Some rows, each a pixel, at a time: what is made of them is read again while it is in the nearest cache. */
#define STRIPS                                                                                                 \
    for (int64_t row = 0, most = 2048 / C < 16 ? 16 : 2048 / C / 16 * 16, rows = most < pixels ? most : pixels; \
         row < pixels; row += most, rows = row + most < pixels ? most : pixels - row)
#define MAP(l, g, image) (maps + ((((l) * G + (g)) * f->images + (image)) * pixels) * C)
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

/* What the 1x1 convolution of a layer and group sees, for one image. */
static void see(const form *f, plane read, int64_t l, const REAL *kernel, REAL *to) {
    SIZES
    const int64_t stride = l < P ? f->stride : 1;
    BLOCKS convolve(read, block, kernel, block, side(f, l), stride, apart(f, l), 0, to + first, f->out_height,
                    f->out_width, C, lanes, 0, NULL);
}

/* Add up what `note` has found for a layer and group (Chan, Golub and LeVeque, 1979). */
static void pool(const form *f, const REAL *partial, int64_t lg, REAL *mean, REAL *variance) {
    SIZES
    LOOP(c, C) {
        double middle = 0, spread = 0;
        LOOP(chunk, chunks) {
            double count = (double)((BEGIN(chunk + 1) - BEGIN(chunk)) * pixels);
            middle += count / (double)n * ((double)SUMS(lg)[2 * C + c] + (double)SUMS(lg)[c] / count);
        }
        LOOP(chunk, chunks) {
            double count = (double)((BEGIN(chunk + 1) - BEGIN(chunk)) * pixels), sum = (double)SUMS(lg)[c];
            double away = (double)SUMS(lg)[2 * C + c] + sum / count - middle;
            spread += (double)SUMS(lg)[C + c] - sum * sum / count + count * away * away;
        }
        mean[c] = (REAL)middle;
        variance[c] = (REAL)(spread > 0 || spread != spread ? spread / (double)n : 0);
    }
}

static void norms(const form *f, int64_t from, int64_t to, int64_t g, const REAL *partial, const REAL *scale,
                  const REAL *shift, REAL *vecs) {
    SIZES
    for (int64_t lg = from * G + g; lg < to * G; lg += G) {
        REAL *level = VEC(lg, LEVEL), *gain = VEC(lg, GAIN), *deviation = VEC(lg, DEVIATION), *mean = VEC(lg, MEAN);
        if (f->batch) pool(f, partial, lg, mean, VEC(lg, VARIANCE));
        LOOP(c, C) {
            deviation[c] = (REAL)(1 / sqrt((double)VEC(lg, VARIANCE)[c] + f->eps));
            gain[c] = deviation[c] * (scale ? scale[f->scales == 1 ? lg : lg * C + c] : 1);
            level[c] = (shift ? shift[lg * C + c] : 0) - gain[c] * mean[c];
        }
    }
}

static void norm(const form *f, REAL *to, const REAL *map, const REAL *vecs, int64_t lg) {
    SIZES
    const REAL *gain = VEC(lg, GAIN);
    weigh_some(to, &map, &gain, VEC(lg, LEVEL), 0, pixels, C, 1);
}

/* What layer `l` makes of the planes, for one image: its map, and the sums of that. */
static void make(const form *f, plane read, int64_t l, int64_t g, const REAL *kernels, const REAL *turned, REAL *d,
                 REAL *map, REAL *sums, int begins) {
    SIZES
    const REAL *mat = turned + (l * G + g) * C * C;
    see(f, read, l, kernels + offset(f, l, g), d);
    if (sums && begins) combine(sums + 2 * C, (const REAL *const[]){d}, &mat, 1, NULL, 1, C);
    STRIPS {
        combine(map + row * C, (const REAL *const[]){d + row * C}, &mat, 1, NULL, rows, C);
        if (sums) note(sums, map + row * C, rows, C);
    }
}

/* x (images, height, width, channels) -> maps, vecs, out (groups, images, pixels, channels) */
void forward(const form *f, const REAL *x, const REAL *kernels, const REAL *weight, const REAL *scale,
             const REAL *shift, REAL *maps, REAL *vecs, REAL *out) {
    SIZES
    REAL *partial = f->batch ? zeros(chunks * L * G * each * half) : NULL, *turned = room(L * G * C * C * half);
    LOOP(lg, L * G) LOOP(o, C) LOOP(i, C) turned[(lg * C + i) * C + o] = weight[(lg * C + o) * C + i];
    LOOP(g, G) {
        PARALLEL
        for (int64_t chunk = 0; chunk < chunks; chunk++) {
            plane read = make_plane(f->height, f->width, border(f, 0, P), blocks);
            REAL *d = room(pixels * C * half);
            IMAGES(image) {
                const REAL *from = x + image * f->height * f->width * C;
                BLOCKS spread(read, block, 1, from + first, f->height, f->width, C, lanes, 1);
                LOOP(p, P)
                    make(f, read, p, g, kernels, turned, d, MAP(p, g, image), partial ? SUMS(p * G + g) : NULL,
                         image == BEGIN(chunk));
            }
            free(read.all), free(d);
        }
        norms(f, 0, P, g, partial, scale, shift, vecs);
        if (T) {
            PARALLEL
            for (int64_t chunk = 0; chunk < chunks; chunk++) {
                plane read = make_plane(f->out_height, f->out_width, border(f, P, L), blocks);
                REAL *d = room(2 * pixels * C * half), *z = d + pixels * C;
                IMAGES(image) LOOP(t, T) {
                    norm(f, z, MAP(t, g, image), vecs, t * G + g);
                    BLOCKS spread(read, block, 1, z + first, f->out_height, f->out_width, C, lanes, 1);
                    make(f, read, P + t, g, kernels, turned, d, MAP(P + t, g, image),
                         partial ? SUMS((P + t) * G + g) : NULL, image == BEGIN(chunk));
                }
                free(read.all), free(d);
            }
            norms(f, P, L, g, partial, scale, shift, vecs);
        }
        REAL *level = zeros(C * half);
        for (int64_t l = T; l < L; l++) LOOP(c, C) level[c] += VEC(l * G + g, LEVEL)[c];
        PARALLEL
        for (int64_t image = 0; image < f->images; image++) {
            const REAL *from[PATHS], *gains[PATHS];
            for (int64_t l = T; l < L; l++) from[l - T] = MAP(l, g, image), gains[l - T] = VEC(l * G + g, GAIN);
            weigh_some(out + (g * f->images + image) * pixels * C, from, gains, level, 0, pixels, C, P);
        }
        free(level);
    }
    free(partial), free(turned);
}

/* Gradients of scale and shift from these sums; the gradient of the map is `coefficients` times (gradient, map, 1). */
static void unnorm(const form *f, int64_t from, int64_t to, int64_t g, const REAL *partial, const REAL *vecs,
                   REAL *coefficients, REAL *to_scale, REAL *to_shift) {
    SIZES
    for (int64_t lg = from * G + g; lg < to * G; lg += G) LOOP(c, C) {
        double total = 0, along = 0, gain = VEC(lg, GAIN)[c], deviation = VEC(lg, DEVIATION)[c];
        LOOP(chunk, chunks) total += (double)SUMS(lg)[c], along += (double)SUMS(lg)[C + c];
        to_scale[lg * C + c] = (REAL)(along * deviation);
        to_shift[lg * C + c] = (REAL)total;
        double pull = f->batch ? gain * deviation * deviation * along / (double)n : 0;
        REAL *to_map = coefficients + lg * COEFFICIENTS * C + c;
        to_map[0] = (REAL)gain, to_map[C] = (REAL)-pull;
        to_map[2 * C] = f->batch ? (REAL)(pull * (double)VEC(lg, MEAN)[c] - gain * total / (double)n) : 0;
    }
}

/* The gradients of a map, and of what its 1x1 convolution sees, for one image. */
static void enter(const form *f, const REAL *grad, const REAL *map, const REAL *coefficients, const REAL *weight,
                  REAL *to_map, REAL *seen) {
    SIZES
    const REAL *pair[] = {grad, map}, *gains[] = {coefficients, coefficients + C};
    STRIPS {
        const REAL *from = to_map + row * C;
        weigh_some(to_map, pair, gains, coefficients + 2 * C, row, rows, C, f->batch ? 2 : 1);
        combine(seen + row * C, &from, &weight, 1, NULL, rows, C);
    }
}

/* grad (groups, images, pixels, channels) -> to_x like x; to_kernels, to_weight like kernels, weight; to_scale and
 * to_shift (layers, groups, channels). The first three may be left out. */
void backward(const form *f, const REAL *grad, const REAL *x, const REAL *kernels, const REAL *weight,
              const REAL *maps, const REAL *vecs, REAL *to_x, REAL *to_kernels, REAL *to_weight, REAL *to_scale,
              REAL *to_shift) {
    SIZES
    const int64_t taps_all = offset(f, L - 1, G - 1) + C * side(f, L - 1) * side(f, L - 1), mats = L * G * C * C;
    REAL *partial = zeros(chunks * L * G * each * half), *coefficients = room(L * G * COEFFICIENTS * C * half);
    REAL *parts = to_kernels ? zeros(chunks * (taps_all + mats) * half) : NULL, *gates = room(T * n * C * half);
#define GRAD(g, image) (grad + ((g) * f->images + (image)) * pixels * C)
#define GATE(t, image) (gates + ((t) * f->images + (image)) * pixels * C)
#define PART(l, g) (parts + chunk * (taps_all + mats) + offset(f, l, g))
#define MAT(lg) (parts + chunk * (taps_all + mats) + taps_all + (lg) * C * C)
#define ENTER(l, from)                                                                                         \
    enter(f, from, MAP(l, g, image), coefficients + ((l) * G + g) * COEFFICIENTS * C,                          \
          weight + ((l) * G + g) * C * C, to_map, wanted)
    LOOP(g, G) {
        PARALLEL
        for (int64_t chunk = 0; chunk < chunks; chunk++)
            IMAGES(image) for (int64_t l = T; l < L; l++)
                dot(SUMS(l * G + g), GRAD(g, image), MAP(l, g, image), VEC(l * G + g, MEAN), pixels, C);
        unnorm(f, T, L, g, partial, vecs, coefficients, to_scale, to_shift);
        if (T) {
            PARALLEL
            for (int64_t chunk = 0; chunk < chunks; chunk++) {
                plane read = make_plane(f->out_height, f->out_width, border(f, P, L), parts ? blocks : 0);
                plane turned = make_plane(f->out_height, f->out_width, border(f, P, L), 1);
                REAL *z = room(4 * pixels * C * half), *to_map = z + pixels * C, *wanted = z + 2 * pixels * C;
                REAL *d = z + 3 * pixels * C;
                IMAGES(image) LOOP(t, T) {
                    const int64_t l = P + t, lg = t * G + g;
                    const REAL *kernel = kernels + offset(f, l, g);
                    ENTER(l, GRAD(g, image));
                    norm(f, z, MAP(t, g, image), vecs, lg);
                    if (parts) {
                        BLOCKS spread(read, block, 1, z + first, f->out_height, f->out_width, C, lanes, 1);
                        see(f, read, l, kernel, d);
                        products(MAT(l * G + g), NULL, to_map, d, pixels, C);
                    }
                    BLOCKS {
                        if (parts)
                            kernel_products(read, block, wanted + first, PART(l, g) + first, f->kernel[t], 1, 1,
                                            f->out_height, f->out_width, C, lanes);
                        spread(turned, 0, 1, wanted + first, f->out_height, f->out_width, C, lanes, 0);
                        convolve(turned, 0, kernel, block, f->kernel[t], 1, 1, 1, GATE(t, image) + first,
                                 f->out_height, f->out_width, C, lanes, 0, z + first);
                    }
                    dot(SUMS(lg), GATE(t, image), MAP(t, g, image), VEC(lg, MEAN), pixels, C);
                }
                free(read.all), free(turned.all), free(z);
            }
            unnorm(f, 0, T, g, partial, vecs, coefficients, to_scale, to_shift);
        }
        if (!to_x && !parts) continue;
        PARALLEL
        for (int64_t chunk = 0; chunk < chunks; chunk++) {
            plane read = make_plane(f->height, f->width, border(f, 0, P), parts ? blocks : 0);
            plane turned = make_plane(f->height, f->width, border(f, 0, P), 1);
            REAL *to_map = room(3 * pixels * C * half), *wanted = to_map + pixels * C, *d = to_map + 2 * pixels * C;
            IMAGES(image) {
                int64_t at = image * f->height * f->width * C;
                if (parts) BLOCKS spread(read, block, 1, x + at + first, f->height, f->width, C, lanes, 1);
                LOOP(p, P) {
                    const int64_t k = f->kernel[p], begins = g + p == 0, ends = g == G - 1 && p == P - 1;
                    const REAL *kernel = kernels + offset(f, p, g);
                    ENTER(p, p < T ? GATE(p, image) : GRAD(g, image));
                    if (parts) see(f, read, p, kernel, d), products(MAT(p * G + g), NULL, to_map, d, pixels, C);
                    BLOCKS {
                        if (parts)
                            kernel_products(read, block, wanted + first, PART(p, g) + first, k, f->stride,
                                            f->dilation[p], f->out_height, f->out_width, C, lanes);
                        if (!to_x) continue;
                        spread(turned, 0, f->stride, wanted + first, f->out_height, f->out_width, C, lanes, 0);
                        convolve(turned, 0, kernel, block, k, 1, f->dilation[p], 1, to_x + at + first, f->height,
                                 f->width, C, lanes, !begins, ends ? x + at + first : NULL);
                    }
                }
            }
            free(read.all), free(turned.all), free(to_map);
        }
    }
    if (parts) {
        PARALLEL
        for (int64_t lg = 0; lg < L * G; lg++) {
            int64_t at = offset(f, lg / G, lg % G), area = side(f, lg / G) * side(f, lg / G);
            LOOP(chunk, chunks) {
                const REAL *part = PART(0, 0) + at, *mat = MAT(lg);
                LOOP(c, C) LOOP(t, area) to_kernels[at + c * area + t] += part[t * C + c];
                LOOP(i, C * C) to_weight[lg * C * C + i] += mat[i];
            }
        }
    }
    free(partial), free(coefficients), free(parts), free(gates);
}
