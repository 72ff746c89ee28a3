"""alibabacloud_vod20170321 2.16, which signs V1 and has no GetJobDetail. Usage: v1.py road"""

from alibabacloud_tea_openapi import models as openapi
from alibabacloud_tea_util import models as util
from alibabacloud_vod20170321 import models
from alibabacloud_vod20170321.client import Client

import road


class Api:
    def __init__(self, key_id, secret):
        self.client = Client(
            openapi.Config(
                access_key_id=key_id, access_key_secret=secret, endpoint=road.endpoint(), protocol="http"
            )
        )

    def register(self, metadata):
        body = self.client.register_media(
            models.RegisterMediaRequest(register_metadatas=metadata, template_group_id="VOD_NO_TRANSCODE")
        ).body
        media = body.registered_media_list[0]
        return media.media_id, media.new_register, body.failed_file_urls or []

    def submit(self, video):
        request = models.SubmitSnapshotJobRequest(video_id=video, count=3, interval=1, width="320", height="180")
        return self.client.submit_snapshot_job(request).body.snapshot_job.job_id

    def status(self, job):
        """By the SDK's own generic call: its generated operations end before GetJobDetail."""
        params = openapi.Params(
            action="GetJobDetail", version="2017-03-21", protocol="HTTP", method="POST", auth_type="AK",
            style="RPC", pathname="/", req_body_type="formData", body_type="json",
        )
        request = openapi.OpenApiRequest(query={"JobId": job, "JobType": "snapshot"})
        answer = self.client.call_api(params, request, util.RuntimeOptions())
        return answer["body"]["SnapshotJobDetail"]["Status"]

    def listing(self, video):
        request = models.ListSnapshotsRequest(video_id=video, snapshot_type="NormalSnapshot")
        shown = self.client.list_snapshots(request).body.media_snapshot
        return shown.total, [one.url for one in shown.snapshots.snapshot]


road.main("alibabacloud_vod20170321 (2.16)", Api)
