// The least that exact pictures can cost: opens the file once, seeks to each run, sends what the plan says and no more.
//
// Usage: limit FILE PLAN OUT WIDTH [QUALITY]      WIDTH 0 is the source's
//
// It knows the plan beforehand, looks into no packet, checks nothing and falls back to nothing: one decoder on one thread.
#include "limit.h"
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    AVFormatContext *file;
    AVCodecContext *decoder;
    AVPacket *packet, *cut;
    AVFrame *frame;
    Press *press;
    const char *out;
    int stream, written;
} Job;

static int fail(const char *what) {
    fprintf(stderr, "limit: %s\n", what);
    return 1;
}

static int open_file(Job *job, const char *path, int stream) {
    if (avformat_open_input(&job->file, path, NULL, NULL) < 0) return fail("cannot open the file");
    job->stream = stream;
    // The container tells enough in most cases; where it does not, the first packets must be looked at.
    if ((unsigned)stream >= job->file->nb_streams || !job->file->streams[stream]->codecpar->width)
        if (avformat_find_stream_info(job->file, NULL) < 0) return fail("no streams");
    if ((unsigned)stream >= job->file->nb_streams) return fail("no such stream");
    for (unsigned i = 0; i < job->file->nb_streams; i++)
        if ((int)i != stream) job->file->streams[i]->discard = AVDISCARD_ALL;
    return 0;
}

static int open_decoder(Job *job) {
    const AVStream *stream = job->file->streams[job->stream];
    const AVCodec *codec = avcodec_find_decoder(stream->codecpar->codec_id);
    job->decoder = avcodec_alloc_context3(codec);
    if (!codec || !job->decoder || avcodec_parameters_to_context(job->decoder, stream->codecpar) < 0)
        return fail("no decoder");
    job->decoder->thread_count = 1;
    job->decoder->pkt_timebase = stream->time_base;
    // Without it a drain loses frames after a recovery point.
    job->decoder->flags |= AV_CODEC_FLAG_OUTPUT_CORRUPT;
    return avcodec_open2(job->decoder, codec, NULL) < 0 ? fail("the decoder does not open") : 0;
}

// The next packet of the stream; 0 when there is one.
static int next(Job *job) {
    for (;;) {
        av_packet_unref(job->packet);
        int code = av_read_frame(job->file, job->packet);
        if (code < 0) return code;
        if (job->packet->stream_index == job->stream) return 0;
    }
}

// Takes what has come out; writes those frames that are targets.
static int receive(Job *job, const Plan *plan, const Run *run) {
    while (avcodec_receive_frame(job->decoder, job->frame) >= 0) {
        for (int i = 0; i < run->targets; i++) {
            const Target *target = &plan->targets[run->first_target + i];
            if (target->pts != job->frame->pts) continue;
            char path[4096];
            snprintf(path, sizeof path, "%s/%05d.jpg", job->out, target->number);
            if (press_frame(job->press, job->frame, path)) return fail("a frame cannot be written");
            job->written++;
        }
        av_frame_unref(job->frame);
    }
    return 0;
}

// The packet itself, or what is left of it where the plan names parts.
static const AVPacket *cut_out(Job *job, const Plan *plan, const Item *item) {
    if (!item->parts) return job->packet;
    int size = 0;
    for (int i = 0; i < item->parts; i++) {
        Part part = plan->parts[item->first_part + i];
        if (part.from < 0 || part.to < part.from || part.to > job->packet->size) return NULL;
        size += part.to - part.from;
    }
    av_packet_unref(job->cut);
    if (av_new_packet(job->cut, size) < 0 || av_packet_copy_props(job->cut, job->packet) < 0) return NULL;
    uint8_t *to = job->cut->data;
    for (int i = 0; i < item->parts; i++) {
        Part part = plan->parts[item->first_part + i];
        memcpy(to, job->packet->data + part.from, part.to - part.from);
        to += part.to - part.from;
    }
    return job->cut;
}

// Where the reader stands is of no use: every run begins with a jump.
static int go_to(Job *job, const Run *run) {
    // By the time of showing: asked for an earlier one, the MP4 reader goes back to the key frame before.
    if (av_seek_frame(job->file, job->stream, run->pts, AVSEEK_FLAG_BACKWARD) < 0)
        return fail("cannot seek");
    do {
        if (next(job)) return fail("the start of a run is not found");
    } while (job->packet->pts != run->pts);
    return 0;
}

static int decode_run(Job *job, const Plan *plan, const Run *run) {
    if (go_to(job, run)) return 1;
    int last = run->items - 1;
    while (last >= 0 && !plan->items[run->first_item + last].sent) last--;
    for (int i = 0; i <= last; i++) {
        const Item *item = &plan->items[run->first_item + i];
        if (i && next(job)) return fail("a run ends early");
        if (!item->sent) continue;
        const AVPacket *packet = cut_out(job, plan, item);
        if (!packet || avcodec_send_packet(job->decoder, packet) < 0) return fail("a packet is refused");
        if (receive(job, plan, run)) return 1;
    }
    avcodec_send_packet(job->decoder, NULL);
    int bad = receive(job, plan, run);
    avcodec_flush_buffers(job->decoder);
    return bad;
}

int main(int argc, char **argv) {
    if (argc < 5) return fail("usage: limit FILE PLAN OUT WIDTH [QUALITY]"), 64;
    Plan plan;
    Job job = {.packet = av_packet_alloc(), .cut = av_packet_alloc(), .frame = av_frame_alloc(), .out = argv[3]};
    av_log_set_level(AV_LOG_FATAL);
    if (plan_read(argv[2], &plan)) return fail("the plan is not understood");
    job.press = press_new(atoi(argv[4]), argc > 5 ? atoi(argv[5]) : 85);
    if (open_file(&job, argv[1], plan.stream) || open_decoder(&job)) return 1;
    for (int i = 0; i < plan.run_count; i++)
        if (decode_run(&job, &plan, &plan.runs[i])) return 1;
    int missing = plan.target_count - job.written;
    if (missing) fprintf(stderr, "limit: %d pictures are missing\n", missing);
    press_free(job.press);
    avcodec_free_context(&job.decoder);
    avformat_close_input(&job.file);
    av_frame_free(&job.frame);
    av_packet_free(&job.packet);
    av_packet_free(&job.cut);
    plan_free(&plan);
    return missing != 0;
}
