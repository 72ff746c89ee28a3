"""Which clips there are, and what is known about them beforehand."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from .contend import Clip

SUFFIXES = {".mp4", ".webm", ".mkv", ".mov", ".ts"}


def look(path: Path) -> Clip:
    """Asks ffprobe; the benches' clips have a constant rate and begin at 0."""
    found = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v:0", "-of", "json", "-show_entries",
         "stream=width,height,codec_name,r_frame_rate:format=duration,start_time", str(path)],
        capture_output=True, text=True, check=True,
    )
    facts = json.loads(found.stdout)
    stream, container = facts["streams"][0], facts["format"]
    if abs(float(container["start_time"])) > 1e-6:
        raise SystemExit(f"{path} does not begin at 0: the contenders would not mean the same instants")
    over, under = map(int, stream["r_frame_rate"].split("/"))
    return Clip(path, over / under, int(float(container["duration"]) * 1000), stream["width"], stream["height"],
                stream["codec_name"])


def find(folder: Path, words: str | None) -> list[Clip]:
    """The clips of a folder whose names hold one of the words; without words all but the long ones."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and not path.name.startswith("making-"))
    if words:
        paths = [path for path in paths if any(word in path.name for word in words.split(","))]
    else:
        paths = [path for path in paths if not path.name.startswith("long_")]
    if not paths:
        raise SystemExit(f"no such clips in {folder}: make them with benches/peers/corpus")
    return [look(path) for path in paths]
