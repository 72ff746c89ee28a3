"""The road that every Python SDK walks, and the faults that must reach its caller.

A program gives `main` a name and `connect(key_id, secret)`, which returns an object with register, submit, status and
listing. What happened leaves as one line of JSON on stdout; anything unexpected ends the program with a traceback.

Environment: STILLFRAME_ENDPOINT (host:port), STILLFRAME_ACCESS_KEY_ID, STILLFRAME_ACCESS_KEY_SECRET,
STILLFRAME_VIDEO_URL (file:///...). The last argument is `road` or `throttle`.
"""

import json
import os
import sys
import time

UNKNOWN_VIDEO = "0123456789abcdef0123456789abcdef"
PATIENCE_S = 120
# Well under the 15 GetJobDetail a second that an account has.
BETWEEN_LOOKS_S = 0.25


def endpoint():
    return os.environ["STILLFRAME_ENDPOINT"]


def metadata():
    return json.dumps([{"FileURL": os.environ["STILLFRAME_VIDEO_URL"], "Title": "clip"}])


def fault(error):
    """What a caller of this SDK can read from its exception, whatever the SDK calls it."""
    data = getattr(error, "data", None) or {}
    status = (
        getattr(error, "status_code", None)
        or getattr(error, "statusCode", None)
        or (error.get_http_status() if hasattr(error, "get_http_status") else None)
        or data.get("statusCode")
        or data.get("httpCode")
    )
    code = error.get_error_code() if hasattr(error, "get_error_code") else getattr(error, "code", None)
    return {
        "type": type(error).__name__,
        "code": code,
        "status": int(status) if status is not None else None,
        "retry_after": getattr(error, "retry_after", None),
        "text": str(error),
    }


def fault_of(call):
    try:
        answer = call()
    except Exception as error:  # the point is to see which one comes
        return fault(error)
    raise SystemExit(f"a fault was expected, the answer was {answer!r}")


def road(connect, key_id, secret):
    api = connect(key_id, secret)
    video, new, failed = api.register(metadata())
    job = api.submit(video)
    deadline = time.monotonic() + PATIENCE_S
    status = api.status(job)
    while status == "Processing" and time.monotonic() < deadline:
        time.sleep(BETWEEN_LOOKS_S)
        status = api.status(job)
    total, urls = api.listing(video)
    stranger = connect(key_id, secret + "x")
    return {
        "video": video,
        "new": new,
        "failed_urls": failed,
        "job": job,
        "status": status,
        "total": total,
        "urls": urls,
        "unknown_video": fault_of(lambda: api.submit(UNKNOWN_VIDEO)),
        "wrong_secret": fault_of(lambda: stranger.submit(video)),
    }


def throttle(connect, key_id, secret):
    """Submits until the daemon refuses: its limit is so low that a few in a row must be too many."""
    api = connect(key_id, secret)
    video, _, _ = api.register(metadata())
    for accepted in range(50):
        try:
            api.submit(video)
        except Exception as error:  # the point is to see which one comes
            return {"accepted": accepted, "throttled": fault(error)}
    raise SystemExit("50 submissions in a row were accepted")


def main(sdk, connect):
    walk = {"road": road, "throttle": throttle}[sys.argv[-1]]
    told = walk(connect, os.environ["STILLFRAME_ACCESS_KEY_ID"], os.environ["STILLFRAME_ACCESS_KEY_SECRET"])
    print(json.dumps({"sdk": sdk, **told}))
