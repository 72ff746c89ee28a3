"""The rows that are not about peers: the limit, start-up, length, threads, memory, sheets."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import limit, measure
from .contend import QUALITY, Clip, Job, ffmpeg, of_stillframe
from .judge import SAME, luma_thumbs, mean_square
from .points import even

SECTION_MS = 40_000
HOUR_CELLS = 100
CELL_WIDTH = 160


@dataclass(frozen=True)
class Bench:
    """What all rows take: the program, how often, where pictures go."""

    program: Path
    rounds: int
    count: int
    folder: Path

    def job(self, clip: Clip, name: str, times_ms: tuple[int, ...], width: int = 320) -> Job:
        out = self.folder / clip.path.stem / name
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        return Job(clip, times_ms, width, out)

    def grab(self, job: Job, threads: int | None = 1) -> list[str]:
        """The contender's command; `threads` None is the program's own choice."""
        words = of_stillframe(self.program).commands(job)[0]
        place = words.index("--threads")
        return words[:place] + (["--threads", str(threads)] if threads else []) + words[place + 2:]

    def turns(self, commands: dict[str, list[str]], out: Path) -> dict[str, list[measure.Cost]]:
        """Every command once a round, in turns."""
        costs: dict[str, list[measure.Cost]] = {name: [] for name in commands}
        for turn in range(self.rounds):
            names = list(commands)
            for name in names[turn % len(names):] + names[:turn % len(names)]:
                cost = measure.run(commands[name], out / f"{name}.answer")
                if cost.failed:
                    raise SystemExit(f"{name}: {cost.failed}")
                costs[name].append(cost)
        return costs


def cpu(costs: list[measure.Cost]) -> float:
    return statistics.median(cost.cpu_s for cost in costs)


def ratio(ours: list[measure.Cost], theirs: list[measure.Cost], of: str = "cpu_s") -> float:
    return statistics.median(getattr(a, of) / getattr(b, of) for a, b in zip(ours, theirs))


def rss(costs: list[measure.Cost]) -> float:
    return max(cost.rss_mib for cost in costs)


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(*cells: str) -> None:
    row(*cells)
    print("|---" + "|---:" * (len(cells) - 1) + "|", flush=True)


def same_pictures(ours: Job, theirs: Job) -> None:
    """Less work is no limit when it gives other pictures."""
    for number in range(1, len(ours.times_ms) + 1):
        pair = [job.picture(number) for job in (ours, theirs)]
        if not all(path.exists() for path in pair):
            raise SystemExit(f"{ours.clip.path.name}: picture {number} is missing")
        if mean_square(*luma_thumbs(pair)) > SAME:
            raise SystemExit(f"{ours.clip.path.name}: picture {number} is not the same in both")


def beside_limit(bench: Bench, clip: Clip, times_ms: tuple[int, ...], name: str) -> tuple[str, ...]:
    """stillframe, the bare program, their ratio; the bare program's pictures have to be all there."""
    if not limit.PROGRAM.exists():
        raise SystemExit(f"no {limit.PROGRAM}: run benches/peers/setup")
    job = bench.job(clip, name, times_ms)
    bare = bench.job(clip, f"{name}-bare", times_ms)
    listing = bare.out / "plan.txt"
    sent = limit.write_plan(limit.plan_of(bench.program, clip, times_ms), times_ms, listing)
    # stderr and answers go elsewhere than the pictures.
    costs = bench.turns({"stillframe": bench.grab(job), "bare": limit.command(bare, listing)}, bare.out)
    same_pictures(job, bare)
    return (str(sent), f"{cpu(costs['stillframe']):.3f}", f"{cpu(costs['bare']):.3f}",
            f"**{ratio(costs['stillframe'], costs['bare']):.2f}**")


def rows_limit(bench: Bench, found: list[Clip]) -> None:
    head("clip", "N", "packets sent", "stillframe, CPU s", "bare C, CPU s", "ratio")
    for clip in found:
        for count in (1, 10, 30):
            times = even(count, clip.duration_ms - 1000)
            row(clip.path.name, count, *beside_limit(bench, clip, times, f"limit{count}"))


def rows_start(bench: Bench, found: list[Clip]) -> None:
    head("clip", "instant", "packets sent", "stillframe, CPU s", "bare C, CPU s", "ratio")
    for clip in found:
        key_ms = limit.key_before(bench.program, clip, clip.duration_ms // 2)
        row(clip.path.name, f"{key_ms} ms", *beside_limit(bench, clip, (key_ms,), "start"))


def rows_long(bench: Bench, found: list[Clip]) -> None:
    """Both files repeat one section: the same places of it, at other repeats, cost the same to decode."""
    short, long = sorted(found, key=lambda clip: clip.duration_ms)[:: max(1, len(found) - 1)][:2]
    short_times = even(10, short.duration_ms - 1000)
    repeats = long.duration_ms // SECTION_MS
    long_times = tuple(
        (number * repeats // 10) * SECTION_MS + time_ms % SECTION_MS for number, time_ms in enumerate(short_times)
    )
    jobs = {"short": bench.job(short, "long", short_times), "long": bench.job(long, "long", long_times)}
    costs = bench.turns({name: bench.grab(job) for name, job in jobs.items()}, bench.folder)
    stats = {name: json.loads((bench.folder / f"{name}.answer").read_text())["stats"] for name in jobs}
    if stats["short"]["packets_decoded"] != stats["long"]["packets_decoded"]:
        print(f"not the same work: {stats['short']['packets_decoded']} and {stats['long']['packets_decoded']} packets\n")
    head("file", "packets decoded", "CPU s", "peak MiB")
    for name, clip in (("short", short), ("long", long)):
        row(clip.path.name, stats[name]["packets_decoded"], f"{cpu(costs[name]):.3f}", f"{rss(costs[name]):.0f}")
    row("ratio", "", f"**{ratio(costs['long'], costs['short']):.2f}**",
        f"**{rss(costs['long']) / rss(costs['short']):.2f}**")


def rows_threads(bench: Bench, found: list[Clip]) -> None:
    head("clip", "1 thread, wall s", "2 threads, wall s", "faster", "CPU, 2 over 1")
    for clip in found:
        job = bench.job(clip, "threads", even(30, clip.duration_ms - 1000))
        costs = bench.turns({"one": bench.grab(job, 1), "two": bench.grab(job, 2)}, bench.folder)
        walls = (statistics.median(cost.wall_s for cost in costs[name]) for name in ("one", "two"))
        row(clip.path.name, *(f"{wall:.2f}" for wall in walls), f"**{ratio(costs['one'], costs['two'], 'wall_s'):.2f}**",
            f"{ratio(costs['two'], costs['one']):.2f}")


def rows_memory(bench: Bench, found: list[Clip]) -> None:
    counts = (1, 10, 100)
    head("clip", *(f"N = {count}, {threads}" for threads in ("1 thread", "all threads") for count in counts))
    for clip in found:
        cells = []
        for threads in (1, None):
            for count in counts:
                job = bench.job(clip, "memory", even(count, clip.duration_ms - 1000))
                costs = bench.turns({"grab": bench.grab(job, threads)}, bench.folder)
                cells.append(f"{rss(costs['grab']):.0f}")
        row(clip.path.name, *cells)
    print("\nPeak resident memory in MiB, 320 wide.")


def sheet(bench: Bench, job: Job, cells: int, grid: dict, threads: int = 1) -> list[str]:
    """A grab that gives sheets alone."""
    wish = json.dumps({"KeepCellPic": "delete", **grid})
    return [str(bench.program), "grab", str(job.clip.path), "--count", str(cells), "--sprite", wish, "--quality",
            str(QUALITY), "--threads", str(threads), "--json", "--out", str(job.out)]


def rows_sprite(bench: Bench, found: list[Clip]) -> None:
    for clip in found:
        job = bench.job(clip, "sprite", ())
        step_s = clip.duration_ms / 1000 / HOUR_CELLS
        tile = f"fps=1/{step_s:.6f},scale={CELL_WIDTH}:-2,tile=10x10"
        grid = {"Columns": 10, "Lines": 10, "CellWidth": str(CELL_WIDTH)}
        ends = ["-vf", tile, "-frames:v", "1", "-q:v", "3"]
        commands = {
            "stillframe": sheet(bench, job, HOUR_CELLS, grid),
            "ffmpeg, all frames": ffmpeg("-i", str(clip.path), *ends, str(job.out / "all.jpg")),
            "ffmpeg, key frames alone": ffmpeg("-skip_frame", "nokey", "-i", str(clip.path), *ends,
                                               str(job.out / "keys.jpg")),
        }
        costs = bench.turns(commands, job.out)
        print(f"{clip.path.name}: {HOUR_CELLS} cells, {CELL_WIDTH} wide. Key frames alone show other instants.\n")
        head("how", "CPU s", "stillframe's CPU over it", "peak MiB")
        for name in commands:
            row(name, f"{cpu(costs[name]):.2f}", f"**{ratio(costs['stillframe'], costs[name]):.2f}**",
                f"{rss(costs[name]):.0f}")


def rows_cells(bench: Bench, found: list[Clip]) -> None:
    grid = {"Columns": 10, "Lines": 10, "CellWidth": str(CELL_WIDTH), "Padding": 1, "Margin": 3}
    head("clip", "cells", "sheets", "CPU s", "peak MiB")
    for clip in found:
        for cells in (100, bench.count):
            job = bench.job(clip, f"cells{cells}", ())
            costs = bench.turns({"grab": sheet(bench, job, cells, grid)}, bench.folder)
            sheets = len(list(job.out.glob("sprite-*.jpg")))
            row(clip.path.name, cells, sheets, f"{cpu(costs['grab']):.2f}", f"{rss(costs['grab']):.0f}")


DEFAULT_CLIPS = {"long": "long_1080p_10min,long_1080p_10h", "sprite": "long_1080p_1h", "cells": "long_1080p_1h",
                 "start": "1080p_gop250,hevc,av1_1080p_3min,vp9"}

ALL: dict[str, Callable[[Bench, list[Clip]], None]] = {
    "limit": rows_limit, "start": rows_start, "long": rows_long, "threads": rows_threads, "memory": rows_memory,
    "sprite": rows_sprite, "cells": rows_cells,
}
