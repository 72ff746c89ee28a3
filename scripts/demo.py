"""The demo's client: registers a video, submits a job, receives its callback, shows the result.

Usage: demo.py DATA VIDEO JOB_JSON     with STILLFRAME_KEY as `stillframe keys new --json` printed it
Everything goes through alibabacloud_vod20170321, unmodified; only the endpoint differs from the cloud's.
"""

import http.server
import json
import os
import pathlib
import queue
import sys
import threading
import time
import urllib.request

from alibabacloud_tea_openapi import utils_models
from alibabacloud_vod20170321 import models
from alibabacloud_vod20170321.client import Client

PICTURES = 6
PATIENCE_S = 120


def receiver():
    """A web server that puts every callback into a queue; returns both."""
    callbacks = queue.Queue()

    class Take(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            callbacks.put(json.loads(body))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Take)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, callbacks


def event_of(callbacks, job):
    """The SnapshotComplete of one job."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        event = callbacks.get(timeout=max(0.1, deadline - time.monotonic()))
        if event.get("EventType") == "SnapshotComplete" and job in json.dumps(event):
            return event


def client(run, key):
    return Client(
        utils_models.Config(
            access_key_id=key["access_key_id"],
            access_key_secret=key["access_key_secret"],
            endpoint=run["api"],
            protocol="HTTP",
        )
    )


def register(vod, video):
    metadata = json.dumps([{"FileURL": video.as_uri(), "Title": video.name}])
    answer = vod.register_media(
        models.RegisterMediaRequest(register_metadatas=metadata, template_group_id="VOD_NO_TRANSCODE")
    ).body
    if not answer.registered_media_list:
        raise SystemExit(f"the daemon refused {video}")
    return answer.registered_media_list[0].media_id


def submit(vod, video_id):
    """Six pictures spread over the video, and the same six as cells of one sheet."""
    sheet = {"Columns": 3, "Lines": 2, "CellWidth": "320", "Padding": 4, "Margin": 4, "KeepCellPic": "keep"}
    request = models.SubmitSnapshotJobRequest(
        video_id=video_id, count=PICTURES, interval=0, width="1280", sprite_snapshot_config=json.dumps(sheet),
        user_data=json.dumps({"Extend": {"from": "the demo"}}),
    )
    return vod.submit_snapshot_job(request).body.snapshot_job.job_id


def listing(vod, video_id, kind):
    request = models.ListSnapshotsRequest(video_id=video_id, snapshot_type=kind)
    return [one.url for one in vod.list_snapshots(request).body.media_snapshot.snapshots.snapshot]


def show_pictures(data, urls):
    for url in urls:
        body = urllib.request.urlopen(url, timeout=30).read()
        if not body.startswith(b"\xff\xd8\xff"):
            raise SystemExit(f"{url} is no JPEG")
        print(f"  {len(body):>8} bytes  {url}")
    names = [url.rsplit("/", 1)[1] for url in urls]
    for path in sorted(path for path in (data / "objects").rglob("*.jpg") if path.name in names):
        print(f"  {path}")


def cpu_ticks(pid):
    """CPU of a process, and of its children that have ended, in clock ticks."""
    # The name in the second field may hold anything; what follows its bracket is numbers.
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, ended_user, ended_system = map(int, fields[11:15])
    return user + system, ended_user + ended_system


def children(pid):
    return {child for task in pathlib.Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()}


def show_cost(run):
    """What this one job cost: what the daemon counted since it started, and what the kernel did."""
    text = urllib.request.urlopen(f"http://{run['admin']}/metrics", timeout=30).read().decode()
    values = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            values[name] = float(value)
    stages = {
        stage: values.get(f'stillframe_stage_duration_seconds_sum{{stage="{stage}"}}', 0.0)
        for stage in ("open", "plan", "decode", "convert", "encode")
    }
    for stage, seconds in stages.items():
        print(f"  {stage:<10} {seconds * 1000:>9.1f} ms of CPU")
    print(f"  {'all five':<10} {sum(stages.values()) * 1000:>9.1f} ms of CPU")
    waited = values.get("stillframe_job_queue_wait_seconds_sum", 0.0)
    whole = values.get("stillframe_job_end_to_end_seconds_sum", 0.0)
    print(f"  {'in queue':<10} {waited * 1000:>9.1f} ms, and {whole * 1000:.1f} ms from submission to the end")
    # The metric of a process's CPU counts whole seconds; the kernel counts ticks.
    daemon, workers = cpu_ticks(run["pid"]), sum(map(sum, map(cpu_ticks, children(run["pid"]))))
    tick_ms = 1000 / os.sysconf("SC_CLK_TCK")
    print(f"  {'daemon':<10} {daemon[0] * tick_ms:>9.0f} ms of CPU since its start, to {tick_ms:.0f} ms")
    print(f"  {'workers':<10} {workers * tick_ms:>9.0f} ms of CPU in all, their own start with it")


def main(data, video, job_json):
    run = json.loads((data / "run.json").read_text())
    vod = client(run, json.loads(os.environ["STILLFRAME_KEY"]))
    server, callbacks = receiver()
    port = server.server_address[1]
    vod.set_message_callback(
        models.SetMessageCallbackRequest(
            callback_type="HTTP", callback_url=f"http://127.0.0.1:{port}/vod", event_type_list="ALL"
        )
    )
    video_id = register(vod, video)
    print(f"registered  {video} as {video_id}")
    begun = time.monotonic()
    job = submit(vod, video_id)
    print(f"submitted   {job} after {(time.monotonic() - begun) * 1000:.0f} ms")
    job_json.write_text(json.dumps({"video": video_id, "job": job}))
    event = event_of(callbacks, job)
    print(f"called back after {(time.monotonic() - begun) * 1000:.0f} ms: {event['EventType']}, {event['Status']}")
    print(json.dumps(event, indent=2))
    detail = vod.get_job_detail(models.GetJobDetailRequest(job_id=job, job_type="snapshot")).body.snapshot_job_detail
    print(f"GetJobDetail says {detail.status}, {detail.create_time} to {detail.complete_time}")
    pictures = listing(vod, video_id, "NormalSnapshot")
    sheets = listing(vod, video_id, "SpriteSnapshot")
    print(f"\n{len(pictures)} pictures and {len(sheets)} sheet, by URL and as files:")
    show_pictures(data, pictures + sheets)
    print("\nwhat it cost (from /metrics):")
    show_cost(run)
    server.shutdown()
    if detail.status != "Success" or not pictures or not sheets:
        raise SystemExit("the job did not give what was asked")


main(*(pathlib.Path(argument).resolve() for argument in sys.argv[1:4]))
