"""Where in a clip the pictures are taken: sets of instants with a name, the same in every run."""

from __future__ import annotations

import random
from dataclasses import dataclass

SEED = 20_26
CLUSTER_MS = 10_000


@dataclass(frozen=True)
class Points:
    """Instants in whole milliseconds, ascending, and how wide the pictures are (0: the source's size)."""

    name: str
    times_ms: tuple[int, ...]
    width: int


def even(count: int, duration_ms: int, seed: int = SEED) -> tuple[int, ...]:
    """A random place in each of `count` equal slices: exact multiples would fall on the key frames of a regular GOP."""
    dice = random.Random(f"{seed}-even-{count}")
    slice_ms = duration_ms / count
    return tuple(int(slice_ms * (number + dice.random())) for number in range(count))


def anywhere(count: int, first_ms: int, length_ms: int, name: str, seed: int = SEED) -> tuple[int, ...]:
    """`count` different instants of a stretch."""
    dice = random.Random(f"{seed}-{name}-{count}")
    return tuple(sorted(first_ms + place for place in dice.sample(range(length_ms), count)))


def point_sets(duration_ms: int) -> list[Points]:
    """All sets of a clip. The last second is left out: a container's duration may run past its last picture."""
    usable = max(duration_ms - 1000, 1000)
    cluster = min(CLUSTER_MS, usable)
    sets = [Points(f"even{count}", even(count, usable), 320) for count in (1, 10, 30, 100)]
    sets.append(Points("random30", anywhere(30, 0, usable, "random"), 320))
    middle = (usable - cluster) * 2 // 5
    sets.append(Points("clustered30", anywhere(30, middle, cluster, "clustered"), 320))
    sets.append(Points("source10", even(10, usable), 0))
    return sets
