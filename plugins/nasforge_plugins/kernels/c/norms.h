/* What batch norms need of maps: sums over pixels, and weighted sums pixel by pixel.
 *
 * A map has rows, one a pixel, of C channels.
 */

#include "kernels.h"

enum { MOST = 4 }; /* so many maps are added up at a time */

/* Sums of a map, and of its squares, of the distance to a pixel of the chunk: those of a small spread around a large
 * mean would be lost beside it. */
static void note(REAL *sums, const REAL *map, int64_t rows, int64_t C) {
    VECTORS(C, {
        vec middle = load(sums + 2 * C + c, lanes), sum[2] = {{0}}, square[2] = {{0}};
        LOOP(p, rows) {
            vec v = load(map + p * C + c, lanes) - middle;
            sum[p & 1] += v, square[p & 1] += v * v;
        }
        store(sums + c, load(sums + c, lanes) + (sum[0] + sum[1]), lanes);
        store(sums + C + c, load(sums + C + c, lanes) + (square[0] + square[1]), lanes);
    })
}

/* to = level + sum of gains times maps, for some rows, each a pixel */
INLINE void weigh(REAL *to, const REAL *const *from, const REAL *const *gains, const REAL *level, int64_t row,
                  int64_t rows, int64_t C, int many) {
    VECTORS(C, {
        vec at = load(level + c, lanes), gain[MOST];
        for (int i = 0; i < many; i++) gain[i] = load(gains[i] + c, lanes);
        for (int64_t p = row * C + c; p < (row + rows) * C; p += C) {
            vec v = at;
            for (int i = 0; i < many; i++) v += gain[i] * load(from[i] + p, lanes);
            store(to + p, v, lanes);
        }
    })
}

static void weigh_some(REAL *to, const REAL *const *from, const REAL *const *gains, const REAL *level, int64_t row,
                       int64_t rows, int64_t C, int64_t many) {
    switch (many) {
        case 1: weigh(to, from, gains, level, row, rows, C, 1); break;
        case 2: weigh(to, from, gains, level, row, rows, C, 2); break;
        case 3: weigh(to, from, gains, level, row, rows, C, 3); break;
        default: weigh(to, from, gains, level, row, rows, C, 4);
    }
}

/* Sums of the gradient behind a norm: alone, and times the distance of its map to the mean. */
static void dot(REAL *sums, const REAL *grad, const REAL *map, const REAL *mean, int64_t rows, int64_t C) {
    VECTORS(C, {
        vec middle = load(mean + c, lanes), sum[2] = {{0}}, along[2] = {{0}};
        LOOP(p, rows) {
            vec g = load(grad + p * C + c, lanes);
            sum[p & 1] += g, along[p & 1] += g * (load(map + p * C + c, lanes) - middle);
        }
        store(sums + c, load(sums + c, lanes) + (sum[0] + sum[1]), lanes);
        store(sums + C + c, load(sums + C + c, lanes) + (along[0] + along[1]), lanes);
    })
}
