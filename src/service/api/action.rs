//! Names of operations. *Pure.*
//!
//! Owns which operations exist, which of them this daemon answers, and how often each may be called
//! (API contract, 1.12). Never knows a parameter.

/// An operation that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    SubmitSnapshotJob,
    ListSnapshots,
    GetJobDetail,
    GetVideoInfo,
    RegisterMedia,
    SetMessageCallback,
    GetMessageCallback,
    DeleteMessageCallback,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Implemented(Action),
    /// Documented for this version of the API, and not answered here.
    Documented,
    Unknown,
}

impl Action {
    /// Every operation that is answered.
    pub const ALL: [Action; 8] = [
        Action::SubmitSnapshotJob,
        Action::ListSnapshots,
        Action::GetJobDetail,
        Action::GetVideoInfo,
        Action::RegisterMedia,
        Action::SetMessageCallback,
        Action::GetMessageCallback,
        Action::DeleteMessageCallback,
    ];

    /// The name on the wire, in logs and in metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Action::SubmitSnapshotJob => "SubmitSnapshotJob",
            Action::ListSnapshots => "ListSnapshots",
            Action::GetJobDetail => "GetJobDetail",
            Action::GetVideoInfo => "GetVideoInfo",
            Action::RegisterMedia => "RegisterMedia",
            Action::SetMessageCallback => "SetMessageCallback",
            Action::GetMessageCallback => "GetMessageCallback",
            Action::DeleteMessageCallback => "DeleteMessageCallback",
        }
    }

    /// Most calls of one account in any sliding second; the submission's is a setting, 0 is none.
    pub fn limit_per_second(self, submit_per_second: u32) -> Option<u32> {
        let limit = match self {
            Action::SubmitSnapshotJob => submit_per_second,
            Action::GetVideoInfo | Action::RegisterMedia => 100,
            Action::ListSnapshots => 30,
            Action::GetJobDetail | Action::SetMessageCallback => 15,
            Action::GetMessageCallback | Action::DeleteMessageCallback => 10,
        };
        (limit > 0).then_some(limit)
    }
}

/// Looks a name up; names are case sensitive.
pub fn named(name: &str) -> Named {
    match Action::ALL.into_iter().find(|a| a.name() == name) {
        Some(action) => Named::Implemented(action),
        None if DOCUMENTED.contains(&name) => Named::Documented,
        None => Named::Unknown,
    }
}

// Of version 2017-03-21, so that a client learns "not here" apart from "no such thing".
const DOCUMENTED: &[&str] = &[
    "AddAITemplate",
    "AddCategory",
    "AddEditingProject",
    "AddEditingProjectMaterials",
    "AddTranscodeTemplateGroup",
    "AddVodDomain",
    "AddVodStorageForApp",
    "AddVodTemplate",
    "AddWatermark",
    "AttachAppPolicyToIdentity",
    "BatchGetMediaInfos",
    "BatchSetVodDomainConfigs",
    "BatchStartVodDomain",
    "BatchStopVodDomain",
    "CancelUrlUploadJobs",
    "ChangeResourceGroup",
    "CreateAppInfo",
    "CreateAudit",
    "CreateUploadAttachedMedia",
    "CreateUploadImage",
    "CreateUploadVideo",
    "DecryptKMSDataKey",
    "DeleteAIImageInfos",
    "DeleteAITemplate",
    "DeleteAppInfo",
    "DeleteAttachedMedia",
    "DeleteCategory",
    "DeleteDynamicImage",
    "DeleteEditingProject",
    "DeleteEditingProjectMaterials",
    "DeleteImage",
    "DeleteMezzanines",
    "DeleteMultipartUpload",
    "DeleteStream",
    "DeleteTranscodeTemplateGroup",
    "DeleteVideo",
    "DeleteVodDomain",
    "DeleteVodSpecificConfig",
    "DeleteVodTemplate",
    "DeleteWatermark",
    "DescribeMediaDistribution",
    "DescribePlayTopVideos",
    "DescribePlayUserAvg",
    "DescribePlayUserTotal",
    "DescribePlayVideoStatis",
    "DescribeVodAIData",
    "DescribeVodCertificateList",
    "DescribeVodDomainBpsData",
    "DescribeVodDomainBpsDataByLayer",
    "DescribeVodDomainCertificateInfo",
    "DescribeVodDomainConfigs",
    "DescribeVodDomainDetail",
    "DescribeVodDomainHitRateData",
    "DescribeVodDomainLog",
    "DescribeVodDomainMax95BpsData",
    "DescribeVodDomainQpsData",
    "DescribeVodDomainRealTimeBpsData",
    "DescribeVodDomainRealTimeByteHitRateData",
    "DescribeVodDomainRealTimeDetailData",
    "DescribeVodDomainRealTimeHttpCodeData",
    "DescribeVodDomainRealTimeQpsData",
    "DescribeVodDomainRealTimeReqHitRateData",
    "DescribeVodDomainRealTimeTrafficData",
    "DescribeVodDomainReqHitRateData",
    "DescribeVodDomainSrcBpsData",
    "DescribeVodDomainSrcTrafficData",
    "DescribeVodDomainTrafficData",
    "DescribeVodDomainUsageData",
    "DescribeVodEditingUsageData",
    "DescribeVodMediaPlayData",
    "DescribeVodPlayerCollectData",
    "DescribeVodPlayerDimensionData",
    "DescribeVodPlayerMetricData",
    "DescribeVodRangeDataByLocateAndIspService",
    "DescribeVodRefreshQuota",
    "DescribeVodRefreshTasks",
    "DescribeVodSSLCertificateList",
    "DescribeVodStorageData",
    "DescribeVodTieringStorageData",
    "DescribeVodTieringStorageRetrievalData",
    "DescribeVodTranscodeData",
    "DescribeVodUserDomains",
    "DescribeVodUserVipsByDomain",
    "DescribeVodVerifyContent",
    "DetachAppPolicyFromIdentity",
    "GenerateDownloadSecretKey",
    "GenerateKMSDataKey",
    "GetAIImageJobs",
    "GetAIMediaAuditJob",
    "GetAITemplate",
    "GetAIVideoTagResult",
    "GetAppInfos",
    "GetAppPlayKey",
    "GetAttachedMediaInfo",
    "GetAuditHistory",
    "GetCategories",
    "GetDailyPlayRegionStatis",
    "GetDefaultAITemplate",
    "GetDigitalWatermarkExtractResult",
    "GetEditingProject",
    "GetEditingProjectMaterials",
    "GetImageInfo",
    "GetImageInfos",
    "GetMediaAiAnalysis",
    "GetMediaAuditAudioResultDetail",
    "GetMediaAuditResult",
    "GetMediaAuditResultDetail",
    "GetMediaAuditResultTimeline",
    "GetMediaDNAResult",
    "GetMediaRefreshJobs",
    "GetMezzanineInfo",
    "GetPlayInfo",
    "GetTask",
    "GetTranscodeSummary",
    "GetTranscodeTask",
    "GetTranscodeTemplateGroup",
    "GetURLUploadInfos",
    "GetUploadDetails",
    "GetVideoInfos",
    "GetVideoList",
    "GetVideoPlayAuth",
    "GetVodTemplate",
    "GetWatermark",
    "GetWorkflowTask",
    "ListAIImageInfo",
    "ListAIJob",
    "ListAITemplate",
    "ListAppInfo",
    "ListAppPoliciesForIdentity",
    "ListAuditSecurityIp",
    "ListDynamicImage",
    "ListJobInfo",
    "ListLiveRecordVideo",
    "ListTranscodeTask",
    "ListTranscodeTemplateGroup",
    "ListVodTemplate",
    "ListWatermark",
    "MoveAppResource",
    "PreloadVodObjectCaches",
    "ProduceEditingProjectVideo",
    "RefreshMediaPlayUrls",
    "RefreshUploadVideo",
    "RefreshVodObjectCaches",
    "ReportUploadProgress",
    "RestoreMedia",
    "SearchEditingProject",
    "SearchMedia",
    "SetAppPlayKey",
    "SetAuditSecurityIp",
    "SetCrossdomainContent",
    "SetDefaultAITemplate",
    "SetDefaultTranscodeTemplateGroup",
    "SetDefaultWatermark",
    "SetEditingProjectMaterials",
    "SetVodDomainCertificate",
    "SetVodDomainSSLCertificate",
    "SubmitAIImageAuditJob",
    "SubmitAIImageJob",
    "SubmitAIJob",
    "SubmitAIMediaAuditJob",
    "SubmitDigitalWatermarkExtractJob",
    "SubmitDynamicImageJob",
    "SubmitMediaDNADeleteJob",
    "SubmitPreprocessJobs",
    "SubmitTranscodeJobs",
    "SubmitWorkflowJob",
    "UpdateAITemplate",
    "UpdateAppInfo",
    "UpdateAttachedMediaInfos",
    "UpdateCategory",
    "UpdateEditingProject",
    "UpdateImageInfos",
    "UpdateMediaStorageClass",
    "UpdateTranscodeTemplateGroup",
    "UpdateVideoInfo",
    "UpdateVideoInfos",
    "UpdateVodDomain",
    "UpdateVodTemplate",
    "UpdateWatermark",
    "UploadMediaByURL",
    "UploadStreamByURL",
    "VerifyVodDomainOwner",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_three_ways() {
        for action in Action::ALL {
            assert_eq!(named(action.name()), Named::Implemented(action));
            assert!(!DOCUMENTED.contains(&action.name()));
        }
        for documented in ["SubmitDynamicImageJob", "GetTask", "DescribeVodDomainLog", "SetAppPlayKey"] {
            assert_eq!(named(documented), Named::Documented, "{documented}");
        }
        assert!(DOCUMENTED.is_sorted_by(|a, b| a < b), "each name once, in order");
        for unknown in ["", "submitsnapshotjob", "SubmitSnapshotJob ", "DeleteSnapshots", "Frobnicate"] {
            assert_eq!(named(unknown), Named::Unknown, "{unknown:?}");
        }
    }

    #[test]
    fn limits_are_the_published_ones() {
        assert_eq!(Action::SubmitSnapshotJob.limit_per_second(30), Some(30));
        assert_eq!(Action::SubmitSnapshotJob.limit_per_second(0), None);
        assert_eq!(Action::GetJobDetail.limit_per_second(0), Some(15));
        assert_eq!(Action::GetVideoInfo.limit_per_second(1), Some(100));
    }
}
