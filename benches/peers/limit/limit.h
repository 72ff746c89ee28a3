// The parts of the bare program: what is to be sent, and how a frame becomes a JPEG.
#pragma once
#include <libavutil/frame.h>
#include <stdint.h>
#include <stdio.h>

// A stretch of a packet's bytes, from the first to before the last.
typedef struct {
    int from, to;
} Part;

// One packet of a run, in the order of the file. Without parts it is sent whole.
typedef struct {
    int sent, parts, first_part;
} Item;

// A picture to be written: the frame's time, and the number that its file is named by.
typedef struct {
    int64_t pts;
    int number;
} Target;

// Packets from a start on, and the frames wanted of them.
typedef struct {
    int64_t pts, dts;
    int first_item, items, first_target, targets;
} Run;

typedef struct {
    Run *runs;
    Item *items;
    Target *targets;
    Part *parts;
    int run_count, item_count, target_count, part_count, stream;
} Plan;

// Reads the plan that `measure.py` writes; 0 when it is sound.
int plan_read(const char *path, Plan *plan);
void plan_free(Plan *plan);

typedef struct Press Press;

// Makes JPEGs `width` wide, or of the source's size where it is 0.
Press *press_new(int width, int quality);
// Writes one frame to `path`; 0 when that went well.
int press_frame(Press *press, const AVFrame *frame, const char *path);
void press_free(Press *press);
