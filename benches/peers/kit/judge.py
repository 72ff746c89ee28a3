"""Says of every picture whether it shows the right frame, by a decode of the whole clip from its first packet.

Of every frame of the clip a thumbnail and the MD5 of its planes are kept. A picture is right when none of the frames
around the right one looks more like it, or when the one that does looks the same as the right one. Where a contender
tells the MD5 of its frames, that has to agree too.
"""

from __future__ import annotations

import bisect
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .contend import Clip, Job

WIDTH, HEIGHT = 64, 36
PIXELS = WIDTH * HEIGHT
AROUND = 12
# Mean square of grey levels: below it two frames cannot be told apart in a JPEG.
SAME = 0.03
# JFIF's luma from BT.709: y + these shares of Cb and Cr, when a contender converts the matrix as it ought to.
CB_SHARE = 0.587 * -0.187324 + 0.114 * 1.8556
CR_SHARE = 0.299 * 1.5748 + 0.587 * -0.468124


@dataclass(frozen=True)
class Verdict:
    """How many pictures were right, of how many; what was wrong with the others."""

    right: int
    asked: int
    faults: tuple[str, ...] = ()


class Judge:
    """One clip's frames. Making them takes a decode of the whole clip, which is kept below `folder`."""

    def __init__(self, clip: Clip, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.clip = clip
        stat = clip.path.stat()
        stem = f"{clip.path.name}-{stat.st_size}-{int(stat.st_mtime)}"
        self.sums, self.thumbs = folder / f"{stem}.md5", folder / f"{stem}.yuv"
        if not self.sums.exists():
            self._decode()
        self.pts, self.md5, self.ms_per_tick = self._read_sums()
        self.full_range = self._is_full_range()
        frames = self.thumbs.stat().st_size // (PIXELS * 3)
        if frames != len(self.pts):
            raise SystemExit(f"{self.thumbs} holds {frames} frames, not {len(self.pts)}: remove it")

    def _decode(self) -> None:
        making = self.sums.with_suffix(".making")
        as_they_come = ["-map", "0:v:0", "-fps_mode", "passthrough", "-enc_time_base", "-1"]
        subprocess.run(
            ["nice", "-n", "19", "ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y", "-threads", "1",
             "-i", str(self.clip.path), *as_they_come, "-f", "framemd5", str(making), *as_they_come,
             "-vf", f"scale={WIDTH}:{HEIGHT}:flags=area,format=yuv444p", "-f", "rawvideo", str(self.thumbs)],
            check=True,
        )
        making.rename(self.sums)

    def _read_sums(self) -> tuple[list[int], list[str], float]:
        pts, md5, tick_ms = [], [], 1.0
        for line in self.sums.read_text().splitlines():
            if line.startswith("#tb 0:"):
                over, under = line.split(":")[1].split("/")
                tick_ms = 1000 * int(over) / int(under)
            elif not line.startswith("#"):
                fields = [field.strip() for field in line.split(",")]
                pts.append(int(fields[2]))
                md5.append(fields[5])
        return pts, md5, tick_ms

    def _is_full_range(self) -> bool:
        found = subprocess.run(
            ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=color_range", "-of",
             "csv=p=0", str(self.clip.path)], capture_output=True, text=True, check=True,
        )
        return found.stdout.strip() == "pc"

    def right_frame(self, time_ms: int) -> int:
        """The frame on screen at an instant: the last one that began."""
        return max(0, bisect.bisect_right(self.pts, time_ms / self.ms_per_tick + 1e-6) - 1)

    def judge(self, job: Job, told_md5: dict[int, str] | None = None) -> Verdict:
        """Looks at every picture of a job. `told_md5` is by the picture's number."""
        numbers = range(1, len(job.times_ms) + 1)
        there = [number for number in numbers if job.picture(number).exists()]
        pictures = dict(zip(there, luma_thumbs([job.picture(number) for number in there])))
        shown = told_times(job)
        faults = []
        with open(self.thumbs, "rb") as thumbs:
            for number, time_ms in zip(numbers, job.times_ms):
                right = self.right_frame(time_ms)
                # Who tells the time of the frame is held to that; the look of a picture is the weaker witness.
                if number in pictures and number in shown:
                    off = round((shown[number] - self.pts[right]) * self.ms_per_tick)
                    fault = f"a frame {off:+d} ms off" if off else ""
                else:
                    fault = self._fault(thumbs, pictures.get(number), right)
                if not fault and told_md5 is not None:
                    fault = "" if told_md5.get(number) == self.md5[self.right_frame(time_ms)] else "MD5 differs"
                if fault:
                    faults.append(f"{time_ms} ms: {fault}")
        return Verdict(len(job.times_ms) - len(faults), len(job.times_ms), tuple(faults))

    def _fault(self, thumbs, picture: bytes | None, right: int) -> str:
        if picture is None:
            return "no picture"
        first = max(0, right - AROUND)
        thumbs.seek(first * PIXELS * 3)
        frames = thumbs.read((2 * AROUND + 1) * PIXELS * 3)
        count = min(len(frames) // (PIXELS * 3), right + AROUND + 1 - first)
        # Some convert the matrix and some pass luma through: each picture is held against both.
        likes = [[self._luma(frames, place, share) for share in (0.0, 1.0)] for place in range(count)]
        off = [min(mean_square(picture, like) for like in both) for both in likes]
        nearest = min(range(count), key=off.__getitem__)
        apart = mean_square(likes[nearest][0], likes[right - first][0])
        # The wrong frame's own picture would be nearer to that by all that is between the two; matrix, scaling and
        # JPEG speak a little for one or the other too.
        if apart < SAME or off[right - first] - off[nearest] < apart / 4:
            return ""
        return f"{nearest + first - right:+d} frames ({off[nearest]:.2f} against {off[right - first]:.2f})"

    def _luma(self, frames: bytes, place: int, share: float) -> list[float]:
        at = place * PIXELS * 3
        y, cb, cr = (frames[at + k * PIXELS:at + (k + 1) * PIXELS] for k in range(3))
        scale, zero = (1.0, 0.0) if self.full_range else (255 / 219, 16.0)
        if not share:
            return [(value - zero) * scale for value in y]
        swing = 1.0 if self.full_range else 255 / 224
        b, r = share * CB_SHARE * swing, share * CR_SHARE * swing
        return [(a - zero) * scale + b * (c - 128) + r * (d - 128) for a, c, d in zip(y, cb, cr)]


def told_times(job: Job) -> dict[int, int]:
    """The pts that a contender of ours says it saved, by the picture's number."""
    told = job.out / "shown.txt"
    lines = told.read_text(encoding="ascii").splitlines() if told.exists() else []
    return {int(number): int(pts) for number, pts in (line.split() for line in lines)}


def luma_thumbs(pictures: list[Path]) -> list[bytes]:
    """The luma of JPEGs, as small as the thumbnails of frames."""
    if not pictures:
        return []
    made = subprocess.run(
        ["ffmpeg", "-hide_banner", "-loglevel", "error", "-f", "image2pipe", "-c:v", "mjpeg", "-i", "-",
         "-fps_mode", "passthrough", "-vf", f"scale={WIDTH}:{HEIGHT}:flags=area,format=yuvj444p",
         "-f", "rawvideo", "-"],
        input=b"".join(path.read_bytes() for path in pictures), capture_output=True, check=True,
    ).stdout
    return [made[at:at + PIXELS] for at in range(0, len(made), PIXELS * 3)]


def mean_square(one, other) -> float:
    return sum((a - b) * (a - b) for a, b in zip(one, other)) / PIXELS


def told_by_stillframe(answer: Path) -> dict[int, str]:
    """The MD5s that `grab --json --frame-md5` printed, by the picture's number."""
    pictures = json.loads(answer.read_text())["pictures"]
    return {one["ordinal"]: one.get("frame_md5", "") for one in pictures}
