/* What surrounds the convolutions of a cell whose nodes are sums: norms, 1x1 convolutions, skips, pools and sums, in as
 * few passes over memory as there can be.
 *
 * Maps are (image, pixel, channel); several of them may lie side by side as one with more channels, `columns` in all.
 * An image is handled row by row, and what is added to a row is added while that row is in the cache. Images are
 * handled in chunks, whose number depends on theirs alone, and sums are made chunk after chunk: results do not depend
 * on the number of threads.
 */

#include <math.h>

#include "kernels.h"

enum { MOST = 3, CHUNKS = 16 }; /* a node has edges from so many others at most */

typedef struct {
    int64_t images, height, width, channels, threads;
} form;

#define SIZES                                                                                                  \
    const int64_t C = f->channels, H = f->height, W = f->width, pixels = H * W, n = f->images * pixels;        \
    const int64_t chunks = (f->images + 1) / 2 < CHUNKS ? (f->images + 1) / 2 : CHUNKS;                        \
    const int64_t half = sizeof(REAL); /* sizes in bytes */                                                    \
    (void)C, (void)H, (void)W, (void)pixels, (void)n, (void)chunks, (void)half;
#define EACH_CHUNK                                                                                             \
    _Pragma("omp parallel for schedule(static) num_threads(f->threads)")                                       \
    for (int64_t chunk = 0; chunk < chunks; chunk++)
#define IMAGES(image) for (int64_t image = chunk * f->images / chunks; image < (chunk + 1) * f->images / chunks; image++)
static double total(const REAL *parts, int64_t chunks, int64_t apart, int64_t i) {
    double sum = 0;
    LOOP(chunk, chunks) sum += (double)parts[chunk * apart + i];
    return sum;
}

/* x -> r, rectified; sums (C) and squares (C, C) of r over all pixels, where they are wanted. */
void rectify(const form *f, const REAL *x, REAL *r, REAL *sums, REAL *squares) {
    SIZES
    const int64_t each = C * C + C;
    REAL *parts = sums ? zeros(chunks * each * half) : NULL;
    EACH_CHUNK {
        IMAGES(image) {
            const REAL *from = x + image * pixels * C;
            REAL *to = r + image * pixels * C, *part = parts + chunk * each;
            VECTORS(pixels * C, { vec v = load(from + c, lanes); store(to + c, pass(v, v), lanes); })
            if (sums) products(part, part + C * C, to, to, pixels, C);
        }
    }
    if (sums) {
        LOOP(i, C * C) squares[i] = (REAL)total(parts, chunks, each, i);
        LOOP(i, C) sums[i] = (REAL)total(parts, chunks, each, C * C + i);
    }
    free(parts);
}

/* One over the number of pixels around the i-th of a row or column of so many, itself included. */
static REAL share(int64_t i, int64_t count) { return 1 / (REAL)(1 + (i > 0) + (i + 1 < count)); }

INLINE void spread_sums(REAL *to, const REAL *sums, int64_t count, int64_t C, REAL factor, int add) {
    VECTORS(count, {
        vec v = factor * (load(sums + c - C, lanes) + load(sums + c, lanes) + load(sums + c + C, lanes));
        if (add) v += load(to + c, lanes);
        store(to + c, v, lanes);
    })
}

/* One row of the means over the pixels around each: to = or += them. Turned: of the gradient, the image having been
 * shared out before. The row `sums` has a pixel of zeros before and behind it. */
INLINE void pool_row(const form *f, const REAL *image, int64_t h, REAL *sums, REAL *to, int add, int turned) {
    SIZES
    const int64_t wide = W * C;
    const REAL *at = image + h * wide, *above = h ? at - wide : NULL, *below = h + 1 < H ? at + wide : NULL;
    VECTORS(wide, {
        vec v = load(at + c, lanes);
        if (above) v += load(above + c, lanes);
        if (below) v += load(below + c, lanes);
        store(sums + c, v, lanes);
    })
    if (turned) spread_sums(to, sums, wide, C, 1, add);
    else {
        const REAL high = share(h, H), edge = high * share(0, W);
        spread_sums(to, sums, C, C, edge, add);
        if (W > 2) spread_sums(to + C, sums + C, (W - 2) * C, C, high * share(1, W), add);
        if (W > 1) spread_sums(to + (W - 1) * C, sums + (W - 1) * C, C, C, edge, add);
    }
}

INLINE void scale(REAL *row, int64_t count, REAL factor) {
    VECTORS(count, { store(row + c, factor * load(row + c, lanes), lanes); })
}

/* Divide each pixel by the number of those around it. */
static void share_out(const form *f, REAL *image) {
    SIZES
    LOOP(h, H) {
        REAL *row = image + h * W * C;
        const REAL high = share(h, H), edge = high * share(0, W);
        scale(row, C, edge);
        if (W > 2) scale(row + C, (W - 2) * C, high * share(1, W));
        if (W > 1) scale(row + (W - 1) * C, C, edge);
    }
}

/* to = or += factors times some maps of one image or row, `count` numbers each */
INLINE void weigh(REAL *to, const REAL *const *from, const REAL *factors, int64_t at, int64_t count, int add, int many) {
    VECTORS(count, {
        vec v = add ? load(to + c, lanes) : (vec){0};
        for (int i = 0; i < many; i++) v += factors[i] * load(from[i] + at + c, lanes);
        store(to + c, v, lanes);
    })
}

static void weigh_some(REAL *to, const REAL *const *from, const REAL *factors, int64_t at, int64_t count, int add,
                       int64_t many) {
    if (many == 1) weigh(to, from, factors, at, count, add, 1);
    if (many == 2) weigh(to, from, factors, at, count, add, 2);
    if (many == 3) weigh(to, from, factors, at, count, add, 3);
}

typedef struct {
    int64_t maps, products, skips, pools, turned, columns[MOST];
    const REAL *map[MOST], *gains;       /* the sum of maps times gains (maps, C), */
    const REAL *row[MOST + 1], *mats;    /* of products of rows and matrices (products, C, C) */
    const REAL *level;                   /* and of a vector (C); all this only where the gate is above zero, */
    const REAL *gate;                    /* if there is one; */
    const REAL *skip[MOST], *skip_factors; /* of weighted maps */
    const REAL *pool[MOST], *pool_factors; /* and of weighted maps that are pooled */
} terms;

INLINE void add_maps(REAL *to, const terms *t, int64_t pixel, int64_t pixels, int64_t C, int many) {
    VECTORS(C, {
        vec gain[MOST];
        for (int i = 0; i < many; i++) gain[i] = load(t->gains + i * C + c, lanes);
        LOOP(p, pixels) {
            vec v = load(to + p * C + c, lanes);
            for (int i = 0; i < many; i++) {
                const REAL *from = t->map[i] + (pixel + p) * t->columns[i] + c;
                __builtin_prefetch(from + 16 * t->columns[i]); /* the processor does not foresee such large steps */
                v += gain[i] * load(from, lanes);
            }
            if (t->gate) v = pass(v, load(t->gate + (pixel + p) * C + c, lanes));
            store(to + p * C + c, v, lanes);
        }
    })
}

/* Write the sum of all terms: a node, or the gradient of one. */
void gather(const form *f, const terms *t, REAL *out) {
    SIZES
    EACH_CHUNK {
        REAL *weighed = t->pools ? room(pixels * C * half) : NULL, *sums = zeros((W + 2) * C * half);
        REAL *none = zeros(C * half);
        const REAL *level = t->level ? t->level : none;
        IMAGES(image) {
            const int64_t first = image * pixels;
            REAL *to = out + first * C;
            const REAL *rows[MOST + 1], *mats[MOST + 1];
            LOOP(i, t->products) rows[i] = t->row[i] + first * C, mats[i] = t->mats + i * C * C;
            if (t->products) combine(to, rows, mats, (int)t->products, level, pixels, C);
            if (t->pools) {
                weigh_some(weighed, t->pool, t->pool_factors, first * C, pixels * C, 0, t->pools);
                if (t->turned) share_out(f, weighed);
            }
            LOOP(h, H) {
                const int64_t pixel = first + h * W;
                REAL *line = to + h * W * C;
                if (!t->products) VECTORS(C, {
                    vec v = load(level + c, lanes);
                    LOOP(w, W) store(line + w * C + c, v, lanes);
                })
                switch (t->maps) {
                    case 0: if (t->gate) add_maps(line, t, pixel, W, C, 0); break;
                    case 1: add_maps(line, t, pixel, W, C, 1); break;
                    case 2: add_maps(line, t, pixel, W, C, 2); break;
                    default: add_maps(line, t, pixel, W, C, 3);
                }
                weigh_some(line, t->skip, t->skip_factors, pixel * C, W * C, 1, t->skips);
                if (t->pools) pool_row(f, weighed, h, sums + C, line, 1, (int)t->turned);
            }
        }
        free(weighed), free(sums), free(none);
    }
}

typedef struct {
    int64_t targets, columns;                           /* nodes, and columns of their maps */
    int64_t map[MOST], product[MOST], skip, pool;       /* first column of each node's map; number of its product */
    const REAL *grad[MOST], *x, *maps, *mean, *rectified;
} uses;

INLINE void dot(const REAL *g, const REAL *y, const REAL *mean, const REAL *x, const REAL *pooled, REAL *sums,
                int64_t columns, int64_t pixels, int64_t C, int with_map, int with_skip, int with_pool) {
    VECTORS(C, {
        vec level = {0};
        vec sum = {0}, along = {0}, skip = {0}, pooling = {0};
        if (with_map) level = load(mean + c, lanes);
        LOOP(p, pixels) {
            vec v = load(g + p * C + c, lanes);
            sum += v;
            if (with_map) along += v * (load(y + p * columns + c, lanes) - level);
            if (with_skip) skip += v * load(x + p * C + c, lanes);
            if (with_pool) pooling += v * load(pooled + p * C + c, lanes);
        }
        store(sums + c, load(sums + c, lanes) + sum, lanes);
        if (with_map) store(sums + C + c, load(sums + C + c, lanes) + along, lanes);
        if (with_skip) store(sums + 2 * C + c, load(sums + 2 * C + c, lanes) + skip, lanes);
        if (with_pool) store(sums + 3 * C + c, load(sums + 3 * C + c, lanes) + pooling, lanes);
    })
}

/* Products of the gradients of some nodes with all that one source gives them, summed over pixels: with ones
 * (totals), normed maps (along), the rectified source (cross, matrices), the source and the pooled source (plain). */
void dots(const form *f, const uses *u, REAL *totals, REAL *along, REAL *cross, REAL *plain) {
    SIZES
    const int64_t each = 4 * C + C * C, apart = u->targets * each;
    REAL *parts = zeros(chunks * apart * half);
    EACH_CHUNK {
        REAL *pooled = u->pool ? room(pixels * C * half) : NULL, *row = zeros((W + 2) * C * half);
        IMAGES(image) {
            const int64_t at = image * pixels * C;
            if (u->pool) LOOP(h, H) pool_row(f, u->x + at, h, row + C, pooled + h * W * C, 0, 0);
            LOOP(t, u->targets) {
                REAL *sums = parts + chunk * apart + t * each;
                const REAL *g = u->grad[t] + at, *y = NULL, *mean = NULL;
                if (u->map[t] >= 0) y = u->maps + image * pixels * u->columns + u->map[t], mean = u->mean + u->map[t];
#define DOT(Y, SKIP, POOL) dot(g, y, mean, u->x + at, pooled, sums, u->columns, pixels, C, Y, SKIP, POOL); break;
                switch ((y != NULL) + 2 * u->skip + 4 * u->pool) {
                    case 0: DOT(0, 0, 0) case 1: DOT(1, 0, 0) case 2: DOT(0, 1, 0) case 3: DOT(1, 1, 0)
                    case 4: DOT(0, 0, 1) case 5: DOT(1, 0, 1) case 6: DOT(0, 1, 1) default: DOT(1, 1, 1)
                }
#undef DOT
                if (u->product[t] >= 0) products(sums + 4 * C, NULL, g, u->rectified + at, pixels, C);
            }
        }
        free(pooled), free(row);
    }
    LOOP(t, u->targets) {
        const REAL *from = parts + t * each;
        double skip = 0, pooled = 0;
        LOOP(c, C) {
            totals[t * C + c] = (REAL)total(from, chunks, apart, c);
            if (u->map[t] >= 0) along[u->map[t] + c] = (REAL)total(from, chunks, apart, C + c);
            skip += total(from, chunks, apart, 2 * C + c), pooled += total(from, chunks, apart, 3 * C + c);
        }
        plain[2 * t] = (REAL)skip, plain[2 * t + 1] = (REAL)pooled;
        if (u->product[t] >= 0)
            LOOP(i, C * C) cross[u->product[t] * C * C + i] = (REAL)total(from, chunks, apart, 4 * C + i);
    }
    free(parts);
}

/* Gradient of the maps, side by side: gain * (grad - level - pull * (map - mean)) of each column; the coefficients
 * are (gain, level, pull), each of all columns. Without statistics of the batch it is gain * grad. */
void unnorm(const form *f, const uses *u, const REAL *coefficients, int64_t batch, REAL *out) {
    SIZES
    EACH_CHUNK {
        const int64_t columns = u->columns;
        for (int64_t p = chunk * f->images / chunks * pixels; p < (chunk + 1) * f->images / chunks * pixels; p++)
            LOOP(t, u->targets) {
                const int64_t first = u->map[t];
                if (first < 0) continue;
                const REAL *grad = u->grad[t] + p * C, *map = u->maps + p * columns + first;
                const REAL *gain = coefficients + first, *level = gain + columns, *pull = level + columns;
                REAL *to = out + p * columns + first;
                VECTORS(C, {
                    vec v = load(grad + c, lanes);
                    if (batch) {
                        vec away = load(map + c, lanes) - load(u->mean + first + c, lanes);
                        v = v - load(level + c, lanes) - load(pull + c, lanes) * away;
                    }
                    store(to + c, load(gain + c, lanes) * v, lanes);
                })
            }
    }
}
