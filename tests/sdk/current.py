"""alibabacloud_vod20170321, the current SDK. Usage: current.py v3|v1 road|throttle"""

import sys

from alibabacloud_tea_openapi import utils_models
from alibabacloud_vod20170321 import models
from alibabacloud_vod20170321.client import Client

import road


class Api:
    def __init__(self, key_id, secret):
        config = utils_models.Config(
            access_key_id=key_id, access_key_secret=secret, endpoint=road.endpoint(), protocol="HTTP"
        )
        if sys.argv[1] == "v1":
            config.signature_algorithm = "v2"  # the SDK's word for signature V1
        self.client = Client(config)

    def register(self, metadata):
        body = self.client.register_media(
            models.RegisterMediaRequest(register_metadatas=metadata, template_group_id="VOD_NO_TRANSCODE")
        ).body
        media = body.registered_media_list[0]
        return media.media_id, media.new_register, body.failed_file_urls or []

    def submit(self, video):
        # The list decides; the Count beside it must not.
        request = models.SubmitSnapshotJobRequest(
            video_id=video, count=1, specified_offset_times=[0, 1500, 2500], width="320", height="180"
        )
        return self.client.submit_snapshot_job(request).body.snapshot_job.job_id

    def status(self, job):
        request = models.GetJobDetailRequest(job_id=job, job_type="snapshot")
        return self.client.get_job_detail(request).body.snapshot_job_detail.status

    def listing(self, video):
        request = models.ListSnapshotsRequest(video_id=video, snapshot_type="NormalSnapshot")
        shown = self.client.list_snapshots(request).body.media_snapshot
        return shown.total, [one.url for one in shown.snapshots.snapshot]


road.main("alibabacloud_vod20170321 (current)", Api)
