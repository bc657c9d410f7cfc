/* 3x3 convolutions of stride 1 with a border of one zero, and their gradients, by Winograd's minimal filtering
 * F(2x2, 3x3) (Lavin and Gray, CVPR 2016): 4 instead of 9 multiplications per output.
 *
 * Maps are (image, pixel, channel), weights (out, tap, in). Between the transforms of winograd.h there is one small
 * matrix product per spot. Some tiles at a time go all the way, so that what they become stays in the cache. Images are
 * handled in chunks, whose number depends on theirs and their size alone, and sums are made chunk after chunk: results
 * do not depend on the number of threads.
 */

#include "winograd.h"

enum { CHUNKS = 16, FEW = 256 }; /* tiles that are worth sums of their own */
#if defined(__AVX512F__) || defined(__aarch64__)
#define ROWS 8 /* by three vectors of sums, and what they are made from, fill the registers */
#else
#define ROWS 4
#endif

/* ---- products, of numbers that lie in vectors ---- */

/* to[r] = sum over k of a[r][k] b[k], for some rows and neighbouring vectors of columns */
INLINE void product_block(REAL *to, const REAL *a, const REAL *b, int64_t depth, int64_t apart, int64_t columns,
                          int rows, int vectors) {
    vec sums[3 * ROWS];
    UNROLL for (int i = 0; i < rows * vectors; i++) sums[i] = (vec){0};
    LOOP(k, depth) {
        vec m[3];
        UNROLL for (int v = 0; v < vectors; v++) m[v] = *(const vec *)(b + k * columns + v * LANES);
        UNROLL for (int u = 0; u < rows; u++) {
            REAL one = a[u * apart + k];
            UNROLL for (int v = 0; v < vectors; v++) sums[u * vectors + v] += one * m[v];
        }
    }
    UNROLL for (int u = 0; u < rows; u++)
        UNROLL for (int v = 0; v < vectors; v++) *(vec *)(to + u * columns + v * LANES) = sums[u * vectors + v];
}

/* to[i] += sum over rows of a[r][i] b[r], likewise */
INLINE void outer_block(REAL *to, const REAL *a, const REAL *b, int64_t depth, int64_t apart, int64_t columns,
                        int rows, int vectors) {
    vec sums[3 * ROWS];
    UNROLL for (int u = 0; u < rows; u++)
        UNROLL for (int v = 0; v < vectors; v++) sums[u * vectors + v] = *(vec *)(to + u * columns + v * LANES);
    LOOP(r, depth) {
        vec m[3];
        UNROLL for (int v = 0; v < vectors; v++) m[v] = *(const vec *)(b + r * columns + v * LANES);
        UNROLL for (int u = 0; u < rows; u++) {
            REAL one = a[r * apart + u];
            UNROLL for (int v = 0; v < vectors; v++) sums[u * vectors + v] += one * m[v];
        }
    }
    UNROLL for (int u = 0; u < rows; u++)
        UNROLL for (int v = 0; v < vectors; v++) *(vec *)(to + u * columns + v * LANES) = sums[u * vectors + v];
}

/* Blocks of ROWS rows, STEP numbers of `a` apart, by as many vectors as leave most to do per number that is loaded. */
#define SOME(BLOCK, COUNT, STEP, MANY)                                                                          \
    if (many == MANY) {                                                                                        \
        int64_t i = 0;                                                                                         \
        for (; i + ROWS <= (COUNT); i += ROWS)                                                                 \
            BLOCK(to + i * columns + column, a + i * (STEP), b + column, depth, apart, columns, ROWS, MANY);   \
        for (; i < (COUNT); i++)                                                                               \
            BLOCK(to + i * columns + column, a + i * (STEP), b + column, depth, apart, columns, 1, MANY);      \
    }
#define BLOCKS(BLOCK, COUNT, STEP)                                                                               \
    for (int64_t column = 0, left, many; (left = (columns - column) / LANES); column += many * LANES) {        \
        many = left == 4 ? 2 : left > 3 ? 3 : left;                                                            \
        SOME(BLOCK, COUNT, STEP, 1) SOME(BLOCK, COUNT, STEP, 2) SOME(BLOCK, COUNT, STEP, 3)                    \
    }

#define APART static __attribute__((noinline)) /* inside others gcc made them a fifth slower */

/* to (count, columns) = a (count, apart) b (depth, columns) */
APART void product(REAL *to, const REAL *a, const REAL *b, int64_t count, int64_t depth, int64_t apart,
                   int64_t columns) {
    BLOCKS(product_block, count, apart)
}

/* to (apart, columns) += a^T (apart, depth) b (depth, columns) */
APART void outer(REAL *to, const REAL *a, const REAL *b, int64_t depth, int64_t apart, int64_t columns) {
    BLOCKS(outer_block, apart, 1)
}

/* ---- whole maps ---- */

static int64_t some_chunks(int64_t images, int64_t most) {
    const int64_t chunks = (images + 1) / 2 < CHUNKS ? (images + 1) / 2 : CHUNKS;
    return chunks < most ? chunks : most;
}

/* Weights (out, tap, in) -> to[spot][in][out], or for the gradient of the input turned ones, to[spot][out][in] */
static void of_weights(const form *f, const REAL *w, int turned, REAL *to) {
    SIZES
    LOOP(o, f->out) VECTORS(f->in, {
        vec g[SPOTS];
        UNROLL for (int t = 0; t < TAPS; t++)
            g[t / 3 * 4 + t % 3] = load(w + (o * TAPS + (turned ? TAPS - 1 - t : t)) * f->in + c, lanes);
        of_kernel(g);
        if (turned) LOOP(s, SPOTS) *(vec *)(to + (s * f->out + o) * I + c) = g[s];
        else LOOP(s, SPOTS) LOOP(i, lanes) to[(s * f->in + c + i) * O + o] = g[s][i];
    })
}

static place after(const form *f, place p, int64_t count) {
    LOOP(t, count) p = next(f, p);
    return p;
}

#define EACH_CHUNK                                                                                             \
    _Pragma("omp parallel for schedule(static) num_threads(f->threads)")                                       \
    for (int64_t chunk = 0; chunk < chunks; chunk++)
#define EACH_GROUP                                                                                             \
    place p = {chunk * f->images / chunks, 0, 0}, then;                                                        \
    for (int64_t left = ((chunk + 1) * f->images / chunks - p.image) * tiles, count;                           \
         count = left < GROUP ? left : GROUP, then = after(f, p, count), left > 0; left -= count, p = then)

/* Convolve a group of tiles. The maps have `from` and `to` channels, of which windows and sums are room for. */
static void convolve_group(const form *f, const REAL *x, const REAL *none, const REAL *mats, REAL *y, int64_t from,
                           int64_t to, place p, place then, int64_t count, REAL *windows, REAL *sums, REAL *seen,
                           int first) {
    const int64_t in = padded(from), out = padded(to);
    read_tiles(f, x, none, from, p, count, 4, windows);
    LOOP(s, SPOTS) {
        foresee(f, x, from, then, s, 1, 0), foresee(f, y, to, p, s, 0, 1);
        product(sums + s * spot(out), windows + s * spot(in), mats + s * from * out, count, from, in, out);
    }
    write_tiles(f, y, to, p, count, sums, seen, first);
}

/* Mean and biased variance of what the chunks have seen; each has squares of the distance to a number of its own. */
static void moments(const form *f, const REAL *seen, int64_t chunks, REAL *mean, REAL *variance) {
    const int64_t C = f->out;
    const double pixels = (double)(f->height * f->width), n = (double)f->images * pixels;
#define PART(which) (double)seen[(chunk * 3 + (which)) * C + c]
#define COUNT (pixels * (double)((chunk + 1) * f->images / chunks - chunk * f->images / chunks))
    LOOP(c, C) {
        double all = 0, spread = 0;
        LOOP(chunk, chunks) all += COUNT * PART(0) + PART(1);
        LOOP(chunk, chunks) {
            const double away = PART(1) / COUNT, far = PART(0) + away - all / n;
            spread += PART(2) - PART(1) * away + COUNT * far * far;
        }
        mean[c] = (REAL)(all / n);
        variance[c] = (REAL)(spread > 0 || spread != spread ? spread / n : 0);
    }
#undef PART
#undef COUNT
}

/* x (image, pixel, in) -> y (image, pixel, out); mean and biased variance of its channels, where they are wanted */
void forward(const form *f, const REAL *x, const REAL *w, REAL *y, REAL *mean, REAL *variance) {
    SIZES
    const int64_t chunks = some_chunks(f->images, CHUNKS);
    REAL *mats = zeros(SPOTS * f->in * O * half), *none = zeros(I * half);
    REAL *all = mean ? zeros(chunks * 3 * f->out * half) : NULL;
    of_weights(f, w, 0, mats);
    EACH_CHUNK {
        REAL *windows = room(SPOTS * spot(I) * half), *sums = room(SPOTS * spot(O) * half);
        REAL *seen = all ? all + chunk * 3 * f->out : NULL;
        int first = 1;
        EACH_GROUP {
            convolve_group(f, x, none, mats, y, f->in, f->out, p, then, count, windows, sums, seen, first);
            first = 0;
        }
        free(windows), free(sums);
    }
    if (mean) moments(f, all, chunks, mean, variance);
    free(mats), free(none), free(all);
}

/* grad (image, pixel, out) -> gradients of x and of the weights, either of which may be left out */
void backward(const form *f, const REAL *grad, const REAL *x, const REAL *w, REAL *to_x, REAL *to_w) {
    SIZES
    /* The sums for the weights are large: chunks of few tiles would add up more than they multiply. */
    const int64_t chunks = some_chunks(f->images, to_w ? f->images * tiles / FEW + 1 : CHUNKS), each = SPOTS * I * O;
    REAL *mats = zeros(SPOTS * f->out * I * half), *none = zeros((I > O ? I : O) * half);
    REAL *parts = to_w ? zeros(chunks * each * half) : NULL;
    if (to_x) of_weights(f, w, 1, mats);
    EACH_CHUNK {
        REAL *of_out = room(SPOTS * spot(O) * half), *of_in = room(SPOTS * spot(I) * half);
        EACH_GROUP {
            if (to_x)
                convolve_group(f, grad, none, mats, to_x, f->out, f->in, p, then, count, of_out, of_in, NULL, 0);
            if (!to_w) continue;
            read_tiles(f, x, none, f->in, p, count, 4, of_in);
            read_tiles(f, grad, none, f->out, p, count, 2, of_out);
            LOOP(s, SPOTS) {
                foresee(f, x, f->in, then, s, 1, 0);
                if (!to_x) foresee(f, grad, f->out, then, s, 0, 0);
                outer(parts + chunk * each + s * I * O, of_in + s * spot(I), of_out + s * spot(O), count, I, O);
            }
        }
        free(of_out), free(of_in);
    }
    for (int64_t chunk = 1; chunk < chunks && to_w; chunk++) LOOP(i, each) parts[i] += parts[chunk * each + i];
    if (to_w) LOOP(i, f->in) VECTORS(f->out, {
        vec u[SPOTS];
        UNROLL for (int s = 0; s < SPOTS; s++) u[s] = *(const vec *)(parts + (s * I + i) * O + c);
        to_kernel(u);
        LOOP(t, TAPS) LOOP(o, lanes) to_w[((c + o) * TAPS + t) * f->in + i] = u[t / 3 * 4 + t % 3][o];
    })
    free(mats), free(none), free(parts);
}
