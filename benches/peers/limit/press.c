// From a decoded planar 4:2:0 frame to a JPEG: zimg scales each plane to 16 bit, one pass brings matrix and range to JFIF's.
//
// Only what the benches' clips hold: 4:2:0, 8 to 16 bit, either range, BT.601, BT.709 or BT.2020.
#include "limit.h"
#include <libavutil/pixdesc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>
#include <zimg.h>

enum { ALIGN = 64 };

// One graph scales luma, the other each of the chroma planes, which land on the luma's grid.
struct Press {
    int asked_width, quality;
    int source_width, source_height, format, range, matrix, siting;
    int width, height, stride, out_stride;
    zimg_filter_graph *luma, *chroma;
    void *scratch;
    uint16_t *scaled[3];
    uint8_t *out[3];
    float weights[3][3], offsets[3];
    tjhandle jpeg;
    unsigned char *bytes;
    unsigned long capacity;
};

static void *aligned(size_t size) {
    void *memory = aligned_alloc(ALIGN, (size + ALIGN - 1) / ALIGN * ALIGN);
    if (!memory) abort();
    return memory;
}

static int full_range(const AVFrame *f) {
    return f->color_range == AVCOL_RANGE_JPEG || f->format == AV_PIX_FMT_YUVJ420P;
}

static int matrix_of(const AVFrame *f) {
    if (f->colorspace != AVCOL_SPC_UNSPECIFIED && f->colorspace != AVCOL_SPC_RESERVED) return f->colorspace;
    return f->height >= 720 || f->width >= 1280 ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
}

static zimg_filter_graph *graph(const Press *p, const AVFrame *f, int depth, int chroma) {
    zimg_image_format from, to;
    zimg_graph_builder_params how;
    zimg_image_format_default(&from, ZIMG_API_VERSION);
    zimg_image_format_default(&to, ZIMG_API_VERSION);
    zimg_graph_builder_params_default(&how, ZIMG_API_VERSION);
    from.width = chroma ? (f->width + 1) / 2 : f->width;
    from.height = chroma ? (f->height + 1) / 2 : f->height;
    from.pixel_type = depth > 8 ? ZIMG_PIXEL_WORD : ZIMG_PIXEL_BYTE;
    from.depth = depth;
    from.color_family = ZIMG_COLOR_GREY;
    from.pixel_range = full_range(f) ? ZIMG_RANGE_FULL : ZIMG_RANGE_LIMITED;
    if (chroma) {
        int x_left = p->siting == AVCHROMA_LOC_LEFT || p->siting == AVCHROMA_LOC_TOPLEFT ||
                     p->siting == AVCHROMA_LOC_BOTTOMLEFT || p->siting == AVCHROMA_LOC_UNSPECIFIED;
        int y_top = p->siting == AVCHROMA_LOC_TOPLEFT || p->siting == AVCHROMA_LOC_TOP;
        from.active_region.left = x_left ? 0.25 : 0;
        from.active_region.top = y_top ? 0.25 : 0;
        from.active_region.width = f->width / 2.0;
        from.active_region.height = f->height / 2.0;
    }
    to.width = p->width;
    to.height = p->height;
    to.pixel_type = ZIMG_PIXEL_WORD;
    to.depth = 16;
    to.color_family = ZIMG_COLOR_GREY;
    to.pixel_range = from.pixel_range;
    how.resample_filter = ZIMG_RESIZE_BICUBIC;
    how.filter_param_a = 0;
    how.filter_param_b = 0.5;
    how.dither_type = ZIMG_DITHER_NONE;
    how.cpu_type = ZIMG_CPU_AUTO_64B;
    return zimg_filter_graph_build(&from, &to, &how);
}

// Folds source range, source matrix and JFIF's matrix into one step from 16-bit codes to 8-bit ones.
static void fold(Press *p, const AVFrame *f) {
    double kr = 0.299, kb = 0.114;
    if (p->matrix == AVCOL_SPC_BT709) kr = 0.2126, kb = 0.0722;
    if (p->matrix == AVCOL_SPC_BT2020_NCL || p->matrix == AVCOL_SPC_BT2020_CL) kr = 0.2627, kb = 0.0593;
    double kg = 1 - kr - kb;
    // From 16-bit codes to y in 0..1 and c in -0.5..0.5.
    double y_scale = full_range(f) ? 1 / 65535.0 : 1 / (219 * 256.0), y_zero = full_range(f) ? 0 : 16 * 256;
    double c_scale = full_range(f) ? 1 / 65535.0 : 1 / (224 * 256.0), c_zero = full_range(f) ? 128 * 257 : 128 * 256;
    double rgb[3][3] = {{1, 0, 2 * (1 - kr)},
                        {1, -kb / kg * 2 * (1 - kb), -kr / kg * 2 * (1 - kr)},
                        {1, 2 * (1 - kb), 0}};
    double jfif[3][3] = {{0.299, 0.587, 0.114},
                         {-0.299 / 1.772, -0.587 / 1.772, 0.886 / 1.772},
                         {0.701 / 1.402, -0.587 / 1.402, -0.114 / 1.402}};
    double scale[3] = {y_scale, c_scale, c_scale}, zero[3] = {y_zero, c_zero, c_zero};
    for (int row = 0; row < 3; row++) {
        // Chroma is a mean of four pixels that are added up first.
        double mean = row ? 0.25 : 1, offset = row ? 128 : 0;
        for (int column = 0; column < 3; column++) {
            double weight = 0;
            for (int k = 0; k < 3; k++) weight += jfif[row][k] * rgb[k][column];
            weight *= 255 * scale[column];
            offset -= weight * zero[column];
            p->weights[row][column] = (float)(weight * mean);
        }
        p->offsets[row] = (float)(offset + 0.5);
    }
}

static void release(Press *p) {
    zimg_filter_graph_free(p->luma);
    zimg_filter_graph_free(p->chroma);
    for (int i = 0; i < 3; i++) free(p->scaled[i]), free(p->out[i]);
    free(p->scratch);
}

// Sets everything up for frames like this one; nothing where the last one was like it.
static int suit(Press *p, const AVFrame *f) {
    int range = full_range(f), matrix = matrix_of(f);
    if (p->luma && f->width == p->source_width && f->height == p->source_height && f->format == p->format &&
        range == p->range && matrix == p->matrix && (int)f->chroma_location == p->siting)
        return 0;
    const AVPixFmtDescriptor *kind = av_pix_fmt_desc_get(f->format);
    if (!kind || kind->nb_components != 3 || kind->log2_chroma_w != 1 || kind->log2_chroma_h != 1 ||
        !(kind->flags & AV_PIX_FMT_FLAG_PLANAR) || kind->comp[1].plane != 1)
        return -1;
    release(p);
    p->source_width = f->width, p->source_height = f->height, p->format = f->format;
    p->range = range, p->matrix = matrix, p->siting = f->chroma_location;
    p->width = p->asked_width ? p->asked_width : f->width;
    p->height = p->asked_width ? (int)lrint((double)f->height * p->width / f->width) : f->height;
    p->stride = (p->width * 2 + ALIGN - 1) / ALIGN * ALIGN;
    p->out_stride = (p->width + 1) / 2 * 2;
    p->luma = graph(p, f, kind->comp[0].depth, 0);
    p->chroma = graph(p, f, kind->comp[0].depth, 1);
    if (!p->luma || !p->chroma) return -1;
    size_t a = 0, b = 0;
    zimg_filter_graph_get_tmp_size(p->luma, &a);
    zimg_filter_graph_get_tmp_size(p->chroma, &b);
    p->scratch = aligned(a > b ? a : b);
    for (int i = 0; i < 3; i++) p->scaled[i] = aligned((size_t)p->stride * p->height);
    size_t lines = (p->height + 1) / 2 * 2;
    p->out[0] = malloc(p->out_stride * lines);
    p->out[1] = malloc(p->out_stride * lines / 4);
    p->out[2] = malloc(p->out_stride * lines / 4);
    if (!p->out[0] || !p->out[1] || !p->out[2]) abort();
    fold(p, f);
    return 0;
}

static inline uint8_t clamp8(float v) {
    return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v;
}

static void luma_row(const Press *p, int row) {
    size_t at = (size_t)row * p->stride / 2;
    const uint16_t *restrict y = p->scaled[0] + at, *restrict u = p->scaled[1] + at, *restrict v = p->scaled[2] + at;
    uint8_t *restrict out = p->out[0] + (size_t)row * p->out_stride;
    const float *w = p->weights[0], w0 = w[0], w1 = w[1], w2 = w[2], zero = p->offsets[0];
    for (int x = 0; x < p->width; x++) out[x] = clamp8(w0 * y[x] + w1 * u[x] + w2 * v[x] + zero);
    if (p->width & 1) out[p->width] = out[p->width - 1];
}

// The last column and the last row count twice where there is no pair.
static void chroma_row(const Press *p, int row) {
    int below = 2 * row + 1 < p->height ? 2 * row + 1 : 2 * row;
    size_t at = (size_t)2 * row * p->stride / 2, under = (size_t)below * p->stride / 2;
    for (int plane = 1; plane < 3; plane++) {
        uint8_t *restrict out = p->out[plane] + (size_t)row * (p->out_stride / 2);
        const float *w = p->weights[plane], w0 = w[0], w1 = w[1], w2 = w[2], zero = p->offsets[plane];
        for (int x = 0; x < p->out_stride / 2; x++) {
            int left = 2 * x, right = left + 1 < p->width ? left + 1 : left;
            float sum[3];
            for (int k = 0; k < 3; k++) {
                const uint16_t *top = p->scaled[k] + at, *low = p->scaled[k] + under;
                sum[k] = (float)(top[left] + top[right] + low[left] + low[right]);
            }
            out[x] = clamp8(w0 * sum[0] + w1 * sum[1] + w2 * sum[2] + zero);
        }
    }
}

int press_frame(Press *p, const AVFrame *f, const char *path) {
    if (suit(p, f)) return -1;
    for (int i = 0; i < 3; i++) {
        zimg_image_buffer_const from = {.version = ZIMG_API_VERSION};
        zimg_image_buffer to = {.version = ZIMG_API_VERSION};
        from.plane[0].data = f->data[i];
        from.plane[0].stride = f->linesize[i];
        from.plane[0].mask = ZIMG_BUFFER_MAX;
        to.plane[0].data = p->scaled[i];
        to.plane[0].stride = p->stride;
        to.plane[0].mask = ZIMG_BUFFER_MAX;
        if (zimg_filter_graph_process(i ? p->chroma : p->luma, &from, &to, p->scratch, NULL, NULL, NULL, NULL)) return -1;
    }
    for (int row = 0; row < p->height; row++) luma_row(p, row);
    if (p->height & 1) {
        uint8_t *beyond = p->out[0] + (size_t)p->height * p->out_stride;
        memcpy(beyond, beyond - p->out_stride, p->out_stride);
    }
    for (int row = 0; row < (p->height + 1) / 2; row++) chroma_row(p, row);
    const unsigned char *planes[3] = {p->out[0], p->out[1], p->out[2]};
    int strides[3] = {p->out_stride, p->out_stride / 2, p->out_stride / 2};
    unsigned long size = p->capacity;
    if (tjCompressFromYUVPlanes(p->jpeg, planes, p->width, strides, p->height, TJSAMP_420, &p->bytes, &size, p->quality,
                                TJFLAG_ACCURATEDCT))
        return -1;
    if (size > p->capacity) p->capacity = size;
    FILE *file = fopen(path, "wb");
    if (!file) return -1;
    int bad = fwrite(p->bytes, 1, size, file) != size;
    return fclose(file) || bad ? -1 : 0;
}

Press *press_new(int width, int quality) {
    Press *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->asked_width = width, p->quality = quality;
    p->jpeg = tjInitCompress();
    return p;
}

void press_free(Press *p) {
    release(p);
    tjFree(p->bytes);
    tjDestroy(p->jpeg);
    free(p);
}
