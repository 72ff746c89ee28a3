"""Turns measurements into Markdown: seconds for stillframe, ratios for the others."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import subprocess
from pathlib import Path

from .contend import PYTHON

ONCE = "¹"


def median_cpu(cell: dict) -> float:
    return statistics.median(cell["cpu_s"])


def ratio(ours: dict, theirs: dict) -> float:
    """The median of what neighbours in time cost: a round is compared with itself alone."""
    pairs = [(a, b) for a, b in zip(ours["cpu_s"], theirs["cpu_s"]) if a and b]
    return statistics.median(a / b for a, b in pairs)


def cell_text(ours: dict | None, cell: dict | None) -> str:
    if cell is None:
        return ""
    if cell.get("failed"):
        return "fails"
    once = ONCE if len(cell["cpu_s"]) == 1 and cell["rounds"] > 1 else ""
    wrong = "" if cell["right"] == cell["asked"] else f" ({cell['right']}/{cell['asked']})"
    if ours is None or ours is cell:
        return f"{median_cpu(cell):.2f} s{once}{wrong}"
    return f"**{ratio(ours, cell):.2f}** · {median_cpu(cell):.2f} s{once}{wrong}"


def table(clip: str, results: dict, titles: dict[str, str], points: list[str]) -> str:
    """One clip. `results` is by contender and points."""
    lines = [f"**{clip}**", "", "| contender | " + " | ".join(points) + " |", "|---|" + "---:|" * len(points)]
    ours = results.get("stillframe", {})
    for name, title in titles.items():
        if name in results:
            cells = (cell_text(ours.get(point), results[name].get(point)) for point in points)
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def first_line(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "not there"


VERSIONS = """
import importlib.metadata as m
names = ["av", "pillow", "torch", "torchcodec", "opencv-python-headless"]
print(", ".join(f"{n} {m.version(n)}" for n in names if any(d.name.lower() == n for d in m.distributions())))
"""


def setting(program: Path) -> dict[str, str]:
    """The machine, the versions and the date."""
    cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.machine())
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "stillframe": first_line([str(program), "--version"]),
        "ffmpeg": first_line(["ffmpeg", "-version"]).split(" Copyright")[0],
        "python": first_line([str(PYTHON), "--version"]) + "; " + first_line([str(PYTHON), "-c", VERSIONS]),
    }


LEGEND = f"""CPU seconds are user and system time of the whole process tree. A peer's cell is **stillframe's CPU over
its own** (below 1: stillframe is cheaper; the median of the rounds' ratios) and its CPU seconds (median). (k/N): right
pictures, where not all were. {ONCE}: one round only. Every contender decodes on one thread and writes JPEGs."""


def document(facts: dict[str, str], tables: list[str], left_out: dict[str, str], rounds: int) -> str:
    lines = [f"- {name}: {value}" for name, value in facts.items()] + [f"- rounds: {rounds}"]
    lines += [f"- left out: {title}, {why}" for title, why in left_out.items()]
    return "\n".join(lines) + "\n\n" + LEGEND + "\n\n" + "\n\n".join(tables) + "\n"
