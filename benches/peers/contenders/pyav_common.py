"""PyAV as one uses it who wants the frame on screen at each instant: one seek for each GOP that is touched."""

import math
from collections.abc import Iterator

import av
from av.video.frame import VideoFrame
from job import Job


def groups(container, stream, wanted: list[int]) -> Iterator[tuple[int, list[int]]]:
    """Places of `wanted` (ascending timestamps) by the key frame that decoding has to begin at."""
    found: list[tuple[int, list[int]]] = []
    for place, pts in enumerate(wanted):
        target = pts
        while True:
            container.seek(max(target, 0), stream=stream, backward=True)
            packet = next(packet for packet in container.demux(stream))
            # A key frame is shown some frames after its decoding time: one that is too late belongs to the next GOP.
            if packet.pts <= pts or packet.dts is None or target <= 0:
                break
            target = packet.dts - 1
        # A seek goes by the time of showing, so that is what the key frame is known by.
        if found and found[-1][0] == packet.pts:
            found[-1][1].append(place)
        else:
            found.append((packet.pts, [place]))
    yield from found


def save(job: Job, frame: VideoFrame, place: int) -> None:
    job.tell(place, frame.pts)
    frame.to_image(width=job.width, height=job.height).save(job.path(place), quality=job.quality)


def grab(job: Job, near_frames: int | None) -> None:
    """All pictures. With `near_frames`, frames that nothing refers to are skipped until so many before an instant."""
    with av.open(job.file) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        start = stream.start_time or 0
        wanted = [math.floor(ms / 1000 / stream.time_base + 1e-6) + start for ms in job.times_ms]
        # dav1d is told once, at its opening, what to skip: it would skip the wanted frames as well.
        skips = near_frames and stream.codec_context.codec.canonical_name != "av1"
        near = int(near_frames / stream.average_rate / stream.time_base) if skips else None
        for key, places in groups(container, stream, wanted):
            container.seek(key, stream=stream, backward=True)
            decode(job, container, stream, wanted, places, near)


def decode(job: Job, container, stream, wanted: list[int], places: list[int], near: int | None) -> None:
    """Decodes one GOP up to its last instant; the frame on screen is the last one that began."""
    codec = stream.codec_context
    todo = iter(places)
    place = next(todo)
    shown: VideoFrame | None = None
    for packet in container.demux(stream):
        if near is not None and packet.pts is not None:
            codec.skip_frame = "NONREF" if packet.pts < wanted[place] - near else "DEFAULT"
        for frame in packet.decode():
            while frame.pts > wanted[place]:
                # Before the first frame there is nothing but it.
                save(job, shown or frame, place)
                following = next(todo, None)
                if following is None:
                    return
                place = following
            shown = frame
    while shown is not None:
        save(job, shown, place)
        following = next(todo, None)
        if following is None:
            return
        place = following
