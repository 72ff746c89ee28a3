"""What the Python contenders share: their task, and a JPEG from pixels."""

import json
import sys
from pathlib import Path


class Job:
    """The task that the runner wrote."""

    def __init__(self) -> None:
        task = json.loads(Path(sys.argv[1]).read_text())
        self.file: str = task["file"]
        self.times_ms: list[int] = task["times_ms"]
        self.scaled: bool = task["scaled"]
        self.width, self.height = task["size"]
        self.quality: int = task["quality"]
        self.out = Path(task["out"])

    def tell(self, place: int, pts: int) -> None:
        """For the judge: the time of the frame in the picture at `place`."""
        with open(self.out / "shown.txt", "a", encoding="ascii") as shown:
            print(place + 1, pts, file=shown)

    def path(self, place: int) -> str:
        """Where the picture of the instant at `place` goes."""
        return str(self.out / f"{place + 1:05d}.jpg")
