"""The bare C program beside stillframe: it is given the plan, which costs it nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from .contend import QUALITY, Clip, Job

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = ROOT / "target/peers/limit"


def plan_of(program: Path, clip: Clip, times_ms: tuple[int, ...]) -> dict:
    """What `stillframe plan --json` says."""
    answer = subprocess.run(
        [str(program), "plan", str(clip.path), "--times-ms", ",".join(map(str, times_ms)), "--json"],
        capture_output=True, text=True, check=True,
    )
    plan = json.loads(answer.stdout)
    if plan.get("linear"):
        raise SystemExit(f"{clip.path.name} is decoded from its first packet on: there is no plan to follow")
    return plan


def write_plan(plan: dict, times_ms: tuple[int, ...], path: Path) -> int:
    """The plan in the bare program's words; says how many packets are sent."""
    numbers = {time_ms: number for number, time_ms in enumerate(times_ms, 1)}
    lines, sent = [f"stream {plan['media']['stream']}"], 0
    for run in plan["runs"]:
        first = run["packets"][0]
        lines.append(f"run {first['pts']} {first['dts'] if first['dts'] is not None else first['pts']}")
        for target in run["targets"]:
            lines += [f"target {target['pts']} {numbers[asked]}" for asked in target["asked_ms"]]
        for packet in run["packets"]:
            parts = " ".join(f"{begin}-{end}" for begin, end in packet.get("parts") or [])
            lines.append(f"packet {int(packet['sent'])} {parts}".rstrip())
            sent += packet["sent"]
    path.write_text("\n".join(lines) + "\n")
    return sent


def command(job: Job, plan: Path) -> list[str]:
    return [str(PROGRAM), str(job.clip.path), str(plan), str(job.out), str(job.width), str(QUALITY)]


def key_before(program: Path, clip: Clip, time_ms: int) -> int:
    """The instant of a key frame shown at or before `time_ms`: its run begins with it."""
    plan = plan_of(program, clip, (time_ms,))
    over, under = map(int, plan["media"]["time_base"].split("/"))
    ticks = plan["runs"][0]["packets"][0]["pts"] - plan["media"]["start_pts"]
    # The first whole millisecond at which it is on screen.
    return -(-ticks * over * 1000 // under)
