"""The contenders: what each one's job looks like as commands, and whether it is there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
PYTHON = HERE.parent.parent / "target/peers/venv/bin/python"
QUALITY = 85
# ffmpeg's scale of MJPEG: about as many bytes as quality 85.
FFMPEG_QUALITY = "3"
# A frame is not asked for at its very border, where rounding decides.
BORDER_S = 0.0001


@dataclass(frozen=True)
class Clip:
    """A file and what the contenders that cannot look by themselves are told about it."""

    path: Path
    rate: float
    duration_ms: int
    width: int
    height: int
    codec: str


@dataclass(frozen=True)
class Job:
    """One contender's task: instants of a clip, pictures numbered from 1 into a folder."""

    clip: Clip
    times_ms: tuple[int, ...]
    width: int
    out: Path

    def picture(self, number: int) -> Path:
        return self.out / f"{number:05d}.jpg"


@dataclass(frozen=True)
class Contender:
    """`commands` are run one after the other; `settle` names the pictures by their instants, unmeasured."""

    name: str
    title: str
    commands: Callable[[Job], list[list[str]]]
    missing: Callable[[], str]
    settle: Callable[[Job], None] = lambda job: None
    exact: bool = True


def of_stillframe(program: Path) -> Contender:
    def commands(job: Job) -> list[list[str]]:
        size = ["--width", str(job.width)] if job.width else []
        return [[str(program), "grab", str(job.clip.path), "--times-ms", ",".join(map(str, job.times_ms)), *size,
                 "--quality", str(QUALITY), "--threads", "1", "--json", "--out", str(job.out)]]

    return Contender("stillframe", "stillframe", commands, lambda: "" if program.exists() else f"no {program}")


def ffmpeg_filter(job: Job, before: str = "") -> list[str]:
    scale = f"scale={job.width}:-2" if job.width else ""
    steps = ",".join(step for step in (before, scale) if step)
    return ["-vf", steps] if steps else []


def ffmpeg(*arguments: str) -> list[str]:
    return ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y", "-threads", "1", *arguments]


def ffmpeg_each(job: Job) -> list[list[str]]:
    """A process a picture. It shows the first frame at or after the time, so the time is moved back by a frame."""
    commands = []
    for number, time_ms in enumerate(job.times_ms, 1):
        back = time_ms / 1000 - 1 / job.clip.rate + BORDER_S
        seek = ["-ss", f"{back:.6f}"] if back > 0 else []
        commands.append(ffmpeg(*seek, "-i", str(job.clip.path), "-map", "0:v:0", "-frames:v", "1", *ffmpeg_filter(job),
                               "-q:v", FFMPEG_QUALITY, str(job.picture(number))))
    return commands


def frame_numbers(job: Job) -> list[int]:
    """Which frame is shown at each instant of a clip of constant rate."""
    return [int(time_ms / 1000 * job.clip.rate + 1e-6) for time_ms in job.times_ms]


def ffmpeg_select(job: Job) -> list[list[str]]:
    """One pass that decodes everything and keeps what was asked for."""
    chosen = "+".join(f"eq(n\\,{number})" for number in sorted(set(frame_numbers(job))))
    return [ffmpeg("-i", str(job.clip.path), "-map", "0:v:0", *ffmpeg_filter(job, f"select={chosen}"),
                   "-fps_mode", "passthrough", "-q:v", FFMPEG_QUALITY, str(job.out / "%05d.jpg"))]


def spread_selected(job: Job) -> None:
    """Instants with the same frame share the one picture that came out."""
    numbers = frame_numbers(job)
    came_out = {number: job.picture(place) for place, number in enumerate(sorted(set(numbers)), 1)}
    bytes_of = {number: path.read_bytes() for number, path in came_out.items() if path.exists()}
    for place, number in enumerate(numbers, 1):
        job.picture(place).unlink(missing_ok=True)
        if number in bytes_of:
            job.picture(place).write_bytes(bytes_of[number])


def in_python(script: str) -> Callable[[Job], list[list[str]]]:
    def commands(job: Job) -> list[list[str]]:
        task = job.out / "job.json"
        height = round(job.clip.height * job.width / job.clip.width)
        size = (job.width, height) if job.width else (job.clip.width, job.clip.height)
        task.write_text(json.dumps({
            "file": str(job.clip.path), "times_ms": job.times_ms, "scaled": job.width > 0, "size": size,
            "out": str(job.out), "quality": QUALITY,
        }))
        return [[str(PYTHON), str(HERE / "contenders" / script), str(task)]]

    return commands


@cache
def module_missing(*names: str) -> str:
    if not PYTHON.exists():
        return "no target/peers/venv: run benches/peers/setup"
    for name in names:
        tried = subprocess.run([PYTHON, "-c", f"import {name}"], capture_output=True, text=True, check=False)
        if tried.returncode:
            last = tried.stderr.strip().splitlines() or ["it does not load"]
            return f"{name}: {last[-1]}"
    return ""


@cache
def ffmpeg_missing() -> str:
    try:
        subprocess.run(["ffmpeg", "-version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return str(error)
    return ""


def all_contenders(program: Path) -> list[Contender]:
    """stillframe comes first: the others are compared with it."""
    return [
        of_stillframe(program),
        Contender("pyav", "PyAV", in_python("pyav_plain.py"), lambda: module_missing("av", "PIL")),
        Contender("pyav-expert", "PyAV, non-reference frames skipped (expert)", in_python("pyav_expert.py"),
                  lambda: module_missing("av", "PIL")),
        Contender("ffmpeg", "ffmpeg -ss, a process a picture, moved back one frame", ffmpeg_each, ffmpeg_missing),
        Contender("ffmpeg-select", "ffmpeg, one pass with select", ffmpeg_select, ffmpeg_missing, spread_selected),
        Contender("torchcodec", "torchcodec, exact", in_python("torchcodec_exact.py"),
                  lambda: module_missing("torchcodec.decoders", "PIL")),
        Contender("opencv", "OpenCV", in_python("opencv.py"), lambda: module_missing("cv2"), exact=False),
    ]
