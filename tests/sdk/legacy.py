"""aliyun-python-sdk-vod, the SDK before Tea: signs V1, parameters in the query. Usage: legacy.py POST|GET road"""

import json
import sys

from aliyunsdkcore.client import AcsClient
from aliyunsdkvod.request.v20170321.GetJobDetailRequest import GetJobDetailRequest
from aliyunsdkvod.request.v20170321.ListSnapshotsRequest import ListSnapshotsRequest
from aliyunsdkvod.request.v20170321.RegisterMediaRequest import RegisterMediaRequest
from aliyunsdkvod.request.v20170321.SubmitSnapshotJobRequest import SubmitSnapshotJobRequest

import road


class Api:
    def __init__(self, key_id, secret):
        self.client = AcsClient(key_id, secret, "cn-shanghai")

    def ask(self, request):
        request.set_endpoint(road.endpoint())
        request.set_protocol_type("http")
        request.set_method(sys.argv[1])
        return json.loads(self.client.do_action_with_exception(request))

    def register(self, metadata):
        request = RegisterMediaRequest()
        request.set_RegisterMetadatas(metadata)
        request.set_TemplateGroupId("VOD_NO_TRANSCODE")
        answer = self.ask(request)
        media = answer["RegisteredMediaList"][0]
        return media["MediaId"], media["NewRegister"], answer.get("FailedFileURLs", [])

    def submit(self, video):
        # The list decides; the Count beside it must not.
        request = SubmitSnapshotJobRequest()
        request.set_VideoId(video)
        request.set_Count(1)
        request.set_SpecifiedOffsetTimes([0, 1500, 2500])
        request.set_Width("320")
        request.set_Height("180")
        return self.ask(request)["SnapshotJob"]["JobId"]

    def status(self, job):
        request = GetJobDetailRequest()
        request.set_JobId(job)
        request.set_JobType("snapshot")
        return self.ask(request)["SnapshotJobDetail"]["Status"]

    def listing(self, video):
        request = ListSnapshotsRequest()
        request.set_VideoId(video)
        request.set_SnapshotType("NormalSnapshot")
        shown = self.ask(request)["MediaSnapshot"]
        return shown["Total"], [one["Url"] for one in shown["Snapshots"]["Snapshot"]]


road.main("aliyun-python-sdk-vod " + sys.argv[1], Api)
