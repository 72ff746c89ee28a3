"""Runs commands and says what they cost: CPU of the whole process tree, wall time, peak memory."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """What a job cost; `cpu_s` is user and system time of every process of it, `rss_mib` the largest one's peak."""

    cpu_s: float
    wall_s: float
    rss_mib: float
    failed: str = ""

    def plus(self, other: Cost) -> Cost:
        return Cost(
            self.cpu_s + other.cpu_s, self.wall_s + other.wall_s, max(self.rss_mib, other.rss_mib),
            self.failed or other.failed,
        )


def run(command: list[str], output: Path | None = None) -> Cost:
    """One command to its end. The kernel adds up the CPU of all descendants that were waited for."""
    complaints = Path(os.devnull) if output is None else output.with_suffix(".stderr")
    answers = Path(os.devnull) if output is None else output
    begun = time.monotonic()
    with open(complaints, "wb") as errors, open(answers, "wb") as answer:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=answer, stderr=errors)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    failed = ""
    if child.returncode:
        lines = [] if output is None else complaints.read_text(errors="replace").strip().splitlines()
        failed = f"exit {child.returncode}: {lines[-1] if lines else command[0]}"
    return Cost(usage.ru_utime + usage.ru_stime, time.monotonic() - begun, usage.ru_maxrss / 1024, failed)


def run_all(commands: list[list[str]], output: Path | None = None) -> Cost:
    """Commands one after the other, as one job."""
    total = Cost(0.0, 0.0, 0.0)
    for command in commands:
        total = total.plus(run(command, output))
        if total.failed:
            break
    return total
