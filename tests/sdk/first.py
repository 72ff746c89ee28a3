"""alibabacloud_vod20170321 1.0.1: signs V1, common parameters in the query, the others in a form body. Usage: first.py road"""

from alibabacloud_tea_rpc.models import Config
from alibabacloud_tea_util.models import RuntimeOptions
from alibabacloud_vod20170321 import models
from alibabacloud_vod20170321.client import Client

import road


class Api:
    def __init__(self, key_id, secret):
        self.client = Client(
            Config(
                access_key_id=key_id, access_key_secret=secret, endpoint=road.endpoint(), protocol="http",
                type="access_key", region_id="cn-shanghai",
            )
        )

    def register(self, metadata):
        answer = self.client.register_media(
            models.RegisterMediaRequest(register_metadatas=metadata, template_group_id="VOD_NO_TRANSCODE")
        )
        media = answer.registered_media_list[0]
        return media.media_id, media.new_register, answer.failed_file_urls or []

    def submit(self, video):
        request = models.SubmitSnapshotJobRequest(video_id=video, count=3, interval=1, width="320", height="180")
        return self.client.submit_snapshot_job(request).snapshot_job.job_id

    def status(self, job):
        """By the SDK's own generic call: its generated operations end before GetJobDetail."""
        parameters = {"JobId": job, "JobType": "snapshot"}
        answer = self.client.do_request(
            "GetJobDetail", "HTTP", "POST", "2017-03-21", "AK", None, parameters, RuntimeOptions()
        )
        return answer["SnapshotJobDetail"]["Status"]

    def listing(self, video):
        request = models.ListSnapshotsRequest(video_id=video, snapshot_type="NormalSnapshot")
        shown = self.client.list_snapshots(request).media_snapshot
        return shown.total, [one.url for one in shown.snapshots.snapshot]


road.main("alibabacloud_vod20170321 (1.0)", Api)
