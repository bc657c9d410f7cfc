/* Vectors of channels that lie next to each other, and small matrix products.
 *
 * One vector holds some channels of a pixel. REAL (float or double) and the instruction set come from the command
 * line. Everything runs in the thread that calls it.
 */

#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define LANES ((int64_t)(BYTES / sizeof(REAL)))
#define INLINE static inline __attribute__((always_inline))
#define LOOP(i, count) for (int64_t i = 0; i < (count); i++)
/* Whole vectors are the rule: knowing their length makes loads and stores single instructions. */
#define VECTORS(channels, ...)                                                                                 \
    for (int64_t c = 0; c < (channels); c += LANES) {                                                          \
        if (c + LANES <= (channels)) { const int64_t lanes = LANES; __VA_ARGS__ }                              \
        else { const int64_t lanes = (channels) - c; __VA_ARGS__ }                                             \
    }

typedef REAL vec __attribute__((vector_size(BYTES), aligned(BYTES), may_alias));
typedef REAL loose __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));

/* ---- some channels of a pixel ---- */

INLINE vec load(const REAL *p, int64_t lanes) {
    if (lanes == LANES) return *(const loose *)p;
#if defined(__AVX512F__)
    if (sizeof(REAL) == 4) return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << lanes) - 1), p);
    return (vec)_mm512_maskz_loadu_pd((__mmask8)((1u << lanes) - 1), p);
#else
    vec v = {0};
    LOOP(i, lanes) v[i] = p[i];
    return v;
#endif
}

INLINE void store(REAL *p, vec v, int64_t lanes) {
    if (lanes == LANES) { *(loose *)p = v; return; }
#if defined(__AVX512F__)
    if (sizeof(REAL) == 4) _mm512_mask_storeu_ps(p, (__mmask16)((1u << lanes) - 1), (__m512)v);
    else _mm512_mask_storeu_pd(p, (__mmask8)((1u << lanes) - 1), (__m512d)v);
#else
    LOOP(i, lanes) p[i] = v[i];
#endif
}

/* Keep lanes whose gate is above zero, or no number: those must not vanish unseen. */
INLINE vec pass(vec v, vec gate) {
    typedef __typeof__(gate > gate) bits;
    return (vec)((bits)v & ~(gate <= (vec){0}));
}

static void *room(int64_t bytes) {
    void *memory = NULL;
    if (posix_memalign(&memory, 64, (size_t)(bytes + 64))) abort();
    return memory;
}

static void *zeros(int64_t bytes) { return memset(room(bytes), 0, (size_t)bytes); }

/* ---- small matrices ---- */

/* out[r] = bias + sum over terms of maps[t][r] mats[t], for some rows r and neighbouring vectors of columns */
INLINE void combine_tile(REAL *out, const REAL *const *maps, const REAL *const *mats, int terms, const REAL *bias,
                         int64_t channels, int64_t at, int64_t column, int64_t lanes, int rows, int vectors) {
    vec sums[16];
    for (int v = 0; v < vectors; v++) {
        vec start = bias ? load(bias + column + v * LANES, lanes) : (vec){0};
        for (int u = 0; u < rows; u++) sums[u * vectors + v] = start;
    }
    for (int t = 0; t < terms; t++) {
        const REAL *map = maps[t] + at * channels, *mat = mats[t] + column;
        LOOP(k, channels) {
            vec m[2];
            for (int v = 0; v < vectors; v++) m[v] = load(mat + k * channels + v * LANES, lanes);
            for (int u = 0; u < rows; u++) {
                REAL a = map[u * channels + k];
                for (int v = 0; v < vectors; v++) sums[u * vectors + v] += a * m[v];
            }
        }
    }
    for (int u = 0; u < rows; u++)
        for (int v = 0; v < vectors; v++)
            store(out + (at + u) * channels + column + v * LANES, sums[u * vectors + v], lanes);
}

INLINE void combine_any(REAL *out, const REAL *const *maps, const REAL *const *mats, int terms, const REAL *bias,
                        int64_t rows, int64_t channels) {
    int64_t at = 0;
#define COLUMNS(ROWS_ONE, ROWS_TWO)                                                                            \
    for (int64_t column = 0; column < channels;) {                                                             \
        if (column + 2 * LANES <= channels) {                                                                  \
            for (int64_t r = 0; r < step; r += ROWS_TWO)                                                       \
                combine_tile(out, maps, mats, terms, bias, channels, at + r, column, LANES, ROWS_TWO, 2);      \
            column += 2 * LANES;                                                                               \
        } else if (column + LANES <= channels) {                                                               \
            combine_tile(out, maps, mats, terms, bias, channels, at, column, LANES, ROWS_ONE, 1);              \
            column += LANES;                                                                                   \
        } else if (channels > LANES) { /* the last vector once more, from its end: whole vectors are faster */    \
            column = channels - LANES;                                                                         \
        } else {                                                                                               \
            combine_tile(out, maps, mats, terms, bias, channels, at, column, channels, ROWS_ONE, 1);           \
            column = channels;                                                                                 \
        }                                                                                                      \
    }
    for (; at + 16 <= rows; at += 16) { const int64_t step = 16; COLUMNS(16, 8) }
    for (; at < rows; at++) { const int64_t step = 1; COLUMNS(1, 1) }
#undef COLUMNS
}

/* Where the number of channels is known, the rows of a tile need one address instead of sixteen. */
static void combine(REAL *out, const REAL *const *maps, const REAL *const *mats, int terms, const REAL *bias,
                    int64_t rows, int64_t channels) {
    switch (channels) {
        case 16: combine_any(out, maps, mats, terms, bias, rows, 16); break;
        case 32: combine_any(out, maps, mats, terms, bias, rows, 32); break;
        case 64: combine_any(out, maps, mats, terms, bias, rows, 64); break;
        default: combine_any(out, maps, mats, terms, bias, rows, channels);
    }
}

/* products[i][j] += sum over rows of a[r][i] b[r][j], for some i and neighbouring vectors of j, whose first few are left
 * out where they were done before */
INLINE void products_tile(REAL *products, const REAL *a, const REAL *b, int64_t rows, int64_t channels, int64_t i,
                          int64_t column, int64_t lanes, int64_t done, int many, int vectors) {
    vec sums[16];
    for (int t = 0; t < many * vectors; t++) sums[t] = (vec){0};
    LOOP(r, rows) {
        vec right[2];
        for (int v = 0; v < vectors; v++) right[v] = load(b + r * channels + column + v * LANES, lanes);
        for (int u = 0; u < many; u++) {
            REAL left = a[r * channels + i + u];
            for (int v = 0; v < vectors; v++) sums[u * vectors + v] += left * right[v];
        }
    }
    for (int u = 0; u < many; u++) {
        REAL *to = products + (i + u) * channels + column;
        if (done) {
            for (int64_t c = done; c < lanes; c++) to[c] += sums[u][c];
            continue;
        }
        for (int v = 0; v < vectors; v++)
            store(to + v * LANES, load(to + v * LANES, lanes) + sums[u * vectors + v], lanes);
    }
}

/* Also adds the sums of a's rows up, where they are wanted. */
static void products(REAL *to, REAL *sums, const REAL *a, const REAL *b, int64_t rows, int64_t channels) {
    int64_t column = 0;
#define TILES(LANES_NOW, DONE, MANY, VECTORS)                                                                  \
    {                                                                                                          \
        int64_t i = 0;                                                                                         \
        for (; i + MANY <= channels; i += MANY)                                                                \
            products_tile(to, a, b, rows, channels, i, column, LANES_NOW, DONE, MANY, VECTORS);                \
        for (; i + 4 <= channels; i += 4)                                                                      \
            products_tile(to, a, b, rows, channels, i, column, LANES_NOW, DONE, 4, VECTORS);                   \
        for (; i < channels; i++)                                                                              \
            products_tile(to, a, b, rows, channels, i, column, LANES_NOW, DONE, 1, VECTORS);                   \
    }
    for (; column + 2 * LANES <= channels; column += 2 * LANES) TILES(LANES, 0, 8, 2)
    for (; column + LANES <= channels; column += LANES) TILES(LANES, 0, 16, 1)
    if (column < channels && channels > LANES) {
        const int64_t done = column - (channels - LANES);
        column = channels - LANES;
        TILES(LANES, done, 16, 1)
    } else if (column < channels) TILES(channels, 0, 16, 1)
#undef TILES
    if (sums) LOOP(r, rows) LOOP(c, channels) sums[c] += a[r * channels + c];
}
