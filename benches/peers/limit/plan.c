// Reads the plan: one line a run, a packet or a target.
//
//   stream INDEX                            the video stream, first of all
//   run PTS DTS                             a run begins at the packet with these times
//   target PTS NUMBER                       the frame with this time goes to the file of this number
//   packet SENT [FROM-TO ...]               the next packet of the run: 1 to send it, and which of its bytes
#include "limit.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// Room for one element more; arrays double, so that reading is linear.
static void *room(void *array, int count, size_t size) {
    if (count & (count - 1)) return array;
    void *larger = realloc(array, (count ? 2 * (size_t)count : 1) * size);
    if (!larger) abort();
    return larger;
}

static void read_parts(char *text, Plan *plan, Item *item) {
    item->first_part = plan->part_count;
    for (char *word = strtok(text, " \n"); word; word = strtok(NULL, " \n")) {
        Part part;
        if (sscanf(word, "%d-%d", &part.from, &part.to) != 2) continue;
        plan->parts = room(plan->parts, plan->part_count, sizeof *plan->parts);
        plan->parts[plan->part_count++] = part;
        item->parts++;
    }
}

static int read_line(char *line, Plan *plan) {
    Run run = {0};
    Target target;
    int sent, used;
    if (sscanf(line, "stream %d", &plan->stream) == 1) return 0;
    if (sscanf(line, "run %" SCNd64 " %" SCNd64, &run.pts, &run.dts) == 2) {
        run.first_item = plan->item_count;
        run.first_target = plan->target_count;
        plan->runs = room(plan->runs, plan->run_count, sizeof run);
        plan->runs[plan->run_count++] = run;
        return 0;
    }
    if (!plan->run_count) return -1;
    Run *last = &plan->runs[plan->run_count - 1];
    if (sscanf(line, "target %" SCNd64 " %d", &target.pts, &target.number) == 2) {
        plan->targets = room(plan->targets, plan->target_count, sizeof target);
        plan->targets[plan->target_count++] = target;
        last->targets++;
        return 0;
    }
    if (sscanf(line, "packet %d%n", &sent, &used) == 1) {
        Item item = {.sent = sent};
        read_parts(line + used, plan, &item);
        plan->items = room(plan->items, plan->item_count, sizeof item);
        plan->items[plan->item_count++] = item;
        last->items++;
        return 0;
    }
    return -1;
}

int plan_read(const char *path, Plan *plan) {
    memset(plan, 0, sizeof *plan);
    FILE *file = fopen(path, "r");
    if (!file) return -1;
    char *line = NULL;
    size_t size = 0;
    int bad = 0;
    while (!bad && getline(&line, &size, file) >= 0) bad = read_line(line, plan);
    free(line);
    fclose(file);
    return bad;
}

void plan_free(Plan *plan) {
    free(plan->runs);
    free(plan->items);
    free(plan->targets);
    free(plan->parts);
}
