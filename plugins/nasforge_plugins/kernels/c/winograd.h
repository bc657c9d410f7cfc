/* Tiles of Winograd's minimal filtering F(2x2, 3x3): what they and the 3x3 kernels become, and what comes of them.
 *
 * A tile is 2x2 outputs; the 4x4 inputs that they see are its window. Windows, tiles and kernels are transformed to 16
 * spots each, B^T d B, A y A^T and G g G^T in the paper's letters. Tiles go from left to right, row by row, from image
 * to image; those at the right and lower edge may lie half outside.
 */

#include "kernels.h"

enum { SPOTS = 16, TAPS = 9, GROUP = 32 }; /* so many tiles go all the way together */

typedef struct {
    int64_t images, height, width, in, out, threads;
} form;

#define SIZES                                                                                                  \
    const int64_t H = f->height, W = f->width, pixels = H * W, wide = (W + 1) / 2, tiles = wide * ((H + 1) / 2); \
    const int64_t I = padded(f->in), O = padded(f->out), half = sizeof(REAL); /* sizes in bytes */             \
    (void)H, (void)W, (void)pixels, (void)wide, (void)tiles, (void)I, (void)O, (void)half;
#define UNROLL _Pragma("GCC unroll 16")

static int64_t padded(int64_t channels) { return (channels + LANES - 1) / LANES * LANES; }

/* Numbers of a group's tiles at one spot; the rest keeps spots from falling on the same lines of the cache. */
static int64_t spot(int64_t channels) { return GROUP * channels + LANES; }

/* ---- transforms: in place, as 4 by 4 vectors ---- */

/* B^T d B */
INLINE void of_window(vec *d) {
    UNROLL for (int pass = 0; pass < 2; pass++) {
        const int step = pass ? 1 : 4, next = pass ? 4 : 1;
        UNROLL for (int i = 0; i < 4; i++) {
            vec *v = d + i * next, first = v[0], third = v[2 * step];
            v[0] = first - third;
            v[2 * step] = third - v[step];
            v[3 * step] = v[step] - v[3 * step];
            v[step] = v[step] + third;
        }
    }
}

/* A y A^T of y[0], y[1], y[4], y[5] */
INLINE void of_tile(vec *y) {
    UNROLL for (int pass = 0; pass < 2; pass++) {
        const int step = pass ? 1 : 4, next = pass ? 4 : 1;
        for (int i = 0; i < (pass ? 4 : 2); i++) {
            vec *v = y + i * next, first = v[0], second = v[step];
            v[step] = first + second;
            v[2 * step] = first - second;
            v[3 * step] = -second;
        }
    }
}

/* A^T m A, in m[0], m[1], m[4], m[5] */
INLINE void to_tile(vec *m) {
    UNROLL for (int pass = 0; pass < 2; pass++) {
        const int step = pass ? 1 : 4, next = pass ? 4 : 1;
        for (int i = 0; i < (pass ? 2 : 4); i++) {
            vec *v = m + i * next, sum = v[step] + v[2 * step], rest = v[step] - v[2 * step];
            v[0] = v[0] + sum;
            v[step] = rest - v[3 * step];
        }
    }
}

/* G g G^T of the taps g[4 i + j], i and j below 3 */
INLINE void of_kernel(vec *g) {
    UNROLL for (int pass = 0; pass < 2; pass++) {
        const int step = pass ? 1 : 4, next = pass ? 4 : 1;
        for (int i = 0; i < (pass ? 4 : 3); i++) {
            vec *v = g + i * next, ends = v[0] + v[2 * step], middle = v[step];
            v[3 * step] = v[2 * step];
            v[step] = (REAL)0.5 * (ends + middle);
            v[2 * step] = (REAL)0.5 * (ends - middle);
        }
    }
}

/* G^T u G, in g[4 i + j], i and j below 3 */
INLINE void to_kernel(vec *u) {
    UNROLL for (int pass = 0; pass < 2; pass++) {
        const int step = pass ? 1 : 4, next = pass ? 4 : 1;
        for (int i = 0; i < (pass ? 3 : 4); i++) {
            vec *v = u + i * next, sum = (REAL)0.5 * (v[step] + v[2 * step]);
            v[step] = (REAL)0.5 * (v[step] - v[2 * step]);
            v[0] = v[0] + sum;
            v[2 * step] = sum + v[3 * step];
        }
    }
}

/* ---- tiles ---- */

typedef struct {
    int64_t image, row, column; /* of the output that a tile begins with */
} place;

static place next(const form *f, place p) {
    p.column += 2;
    if (p.column >= f->width) p.column = 0, p.row += 2;
    if (p.row >= f->height) p.row = 0, p.image++;
    return p;
}

/* Where the channels of side x side pixels are; those outside are `none`. */
INLINE void pixels_at(const form *f, const REAL *x, const REAL *none, int64_t C, int64_t image, int64_t row,
                      int64_t column, int side, const REAL **at) {
    SIZES
    const int64_t first = (image * H + row) * W + column;
    const int whole = row >= 0 && column >= 0 && row + side <= H && column + side <= W;
    if (whole) {
        UNROLL for (int i = 0; i < side; i++)
            UNROLL for (int j = 0; j < side; j++) at[4 * i + j] = x + (first + i * W + j) * C;
        return;
    }
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++) {
            int inside = row + i >= 0 && row + i < H && column + j >= 0 && column + j < W;
            at[4 * i + j] = inside ? x + (first + i * W + j) * C : none;
        }
}

/* Fetch one of SPOTS parts of the rows that lead to what a group of tiles needs, before it is waited for: products
 * leave the memory alone, transforms leave it no time. */
INLINE void foresee(const form *f, const REAL *x, int64_t C, place p, int64_t part, int64_t rows, int write) {
    SIZES
    const int64_t some = (4 * GROUP / SPOTS) * C, line = 64 / half;
    const REAL *from = x + ((p.image * H + p.row + rows) * W + p.column) * C + part * some;
    for (int64_t i = 0; i < some; i += line) {
        if (write) __builtin_prefetch(from + i, 1, 2);
        else __builtin_prefetch(from + i, 0, 2);
    }
}

/* Transform windows (side 4) or tiles (side 2) of x: to[spot][tile][channel], channels padded by zeros. */
INLINE void read_tiles(const form *f, const REAL *x, const REAL *none, int64_t C, place p, int64_t count, int side,
                       REAL *to) {
    const int64_t some = padded(C), apart = spot(some), border = side == 4;
    LOOP(t, count) {
        const REAL *at[SPOTS];
        pixels_at(f, x, none, C, p.image, p.row - border, p.column - border, side, at);
        VECTORS(C, {
            vec d[SPOTS];
            UNROLL for (int i = 0; i < side; i++)
                UNROLL for (int j = 0; j < side; j++) d[4 * i + j] = load(at[4 * i + j] + c, lanes);
            if (side == 4) of_window(d);
            else of_tile(d);
            UNROLL for (int s = 0; s < SPOTS; s++) *(vec *)(to + s * apart + t * some + c) = d[s];
        })
        p = next(f, p);
    }
}

/* Transform back, and write what lies inside the image. If they are wanted, add up distances to a number and their
 * squares: small ones would be lost beside a large mean. Of each channel it is (number, distances, squares); the number
 * is what is written first. */
INLINE void write_some(const form *f, REAL *y, int64_t C, place p, int64_t count, const REAL *from, REAL *seen,
                       int first) {
    SIZES
    const int64_t some = padded(C), apart = spot(some);
    REAL *at[GROUP];
    int right[GROUP], below[GROUP];
    LOOP(t, count) {
        at[t] = y + ((p.image * H + p.row) * W + p.column) * C;
        right[t] = p.column + 1 < W, below[t] = p.row + 1 < H;
        p = next(f, p);
    }
    VECTORS(C, {
        vec middle = {0}; vec sum = {0}; vec square = {0};
        if (seen) middle = load(seen + c, lanes);
        LOOP(t, count) {
            vec m[SPOTS];
            UNROLL for (int s = 0; s < SPOTS; s++) m[s] = *(const vec *)(from + s * apart + t * some + c);
            to_tile(m);
            store(at[t] + c, m[0], lanes);
            if (right[t]) store(at[t] + C + c, m[1], lanes);
            if (below[t]) store(at[t] + W * C + c, m[4], lanes);
            if (right[t] && below[t]) store(at[t] + W * C + C + c, m[5], lanes);
            if (!seen) continue;
            if (first && t == 0) middle = m[0];
            vec a = m[0] - middle, b = m[1] - middle, d = m[4] - middle, e = m[5] - middle;
            if (!right[t]) b = e = (vec){0};
            if (!below[t]) d = e = (vec){0};
            sum += (a + b) + (d + e);
            square += (a * a + b * b) + (d * d + e * e);
        }
        if (!seen) continue;
        store(seen + c, middle, lanes);
        store(seen + C + c, load(seen + C + c, lanes) + sum, lanes);
        store(seen + 2 * C + c, load(seen + 2 * C + c, lanes) + square, lanes);
    })
}

static void write_tiles(const form *f, REAL *y, int64_t C, place p, int64_t count, const REAL *from, REAL *seen,
                        int first) {
    if (seen) write_some(f, y, C, p, count, from, seen, first);
    else write_some(f, y, C, p, count, from, NULL, 0);
}
