//! What callers are told when something is wrong. *Pure.*
//!
//! Owns codes, HTTP statuses and public texts (API contract, 1.11, 1.7, 2.6): clients and their logs match on them.
//! Never shows a caller the internal text, and never holds a secret or a signature in it.

use std::borrow::Cow;

use super::params::ParamError;

/// One refused request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {internal}")]
pub struct ApiError {
    pub code: Cow<'static, str>,
    pub status: u16,
    /// For the caller.
    pub message: String,
    /// For the log.
    pub internal: String,
    /// Milliseconds; the caller is asked to wait so long.
    pub retry_after_ms: Option<u64>,
}

/// Codes whose text is fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixed {
    IncompleteSignature,
    KeyNotFound,
    KeyInactive,
    NonceUsed,
    TimestampExpired,
    TimestampFormat,
    TokenMismatch,
    TokenMalformed,
    Throttling,
    ThrottlingUser,
    ActionNotFound,
    InvalidVersion,
    MethodNotSupported,
    OperationNotSupported,
    Internal,
    Unavailable,
    VideoNotFound,
    BodyTooLarge,
    BodyTooSlow,
}

impl Fixed {
    /// Status, code and public text.
    fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Fixed::IncompleteSignature => {
                (400, "IncompleteSignature", "The request signature does not conform to Aliyun standards.")
            }
            Fixed::KeyNotFound => (404, "InvalidAccessKeyId.NotFound", "Specified access key is not found."),
            Fixed::KeyInactive => (400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled."),
            Fixed::NonceUsed => (400, "SignatureNonceUsed", "Specified signature nonce was used already."),
            Fixed::TimestampExpired => {
                (400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")
            }
            Fixed::TimestampFormat => {
                (400, "InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted.")
            }
            Fixed::TokenMismatch => (
                400,
                "InvalidSecurityToken.MismatchWithAccessKey",
                "Specified SecurityToken mismatch with the AccessKey.",
            ),
            Fixed::TokenMalformed => {
                (400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.")
            }
            Fixed::Throttling => (400, "Throttling", "Request was denied due to request throttling."),
            Fixed::ThrottlingUser => {
                (400, "Throttling.User", "Request was denied due to user flow throttling.")
            }
            Fixed::ActionNotFound => (
                404,
                "InvalidAction.NotFound",
                "Specified api is not found, please check your url and method.",
            ),
            Fixed::InvalidVersion => (400, "InvalidVersion", "Specified parameter Version is not valid."),
            Fixed::MethodNotSupported => (405, "UnsupportedHTTPMethod", "This http method is not supported."),
            Fixed::OperationNotSupported => {
                (400, "UnsupportedOperation", "The specified action is not supported.")
            }
            Fixed::Internal => {
                (500, "InternalError", "The request processing has failed due to some unknown error.")
            }
            Fixed::Unavailable => (
                503,
                "ServiceUnavailable",
                "The request has failed due to a temporary failure of the server.",
            ),
            Fixed::VideoNotFound => (404, "InvalidVideo.NotFound", "The video does not exist."),
            Fixed::BodyTooLarge => {
                (413, "InvalidParameter", "The specified parameter \"Body\" is not valid.")
            }
            Fixed::BodyTooSlow => (408, "InvalidParameter", "The specified parameter \"Body\" is not valid."),
        }
    }
}

impl ApiError {
    /// A code with its fixed text; `internal` goes to the log.
    pub fn fixed(fixed: Fixed, internal: impl Into<String>) -> ApiError {
        let (status, code, message) = fixed.row();
        ApiError::new(status, code, message, internal)
    }

    fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
        internal: impl Into<String>,
    ) -> ApiError {
        ApiError {
            code: code.into(),
            status,
            message: message.into(),
            internal: internal.into(),
            retry_after_ms: None,
        }
    }

    /// A business parameter that is mandatory and not there.
    pub fn missing_parameter(name: &str) -> ApiError {
        let message = format!(
            "The input parameter \"{name}\" that is mandatory for processing this request is not supplied."
        );
        ApiError::new(400, "MissingParameter", message, format!("{name} is missing"))
    }

    /// A common parameter (API contract, 1.3) that is not there; the code carries its name.
    pub fn missing_common(name: &'static str) -> ApiError {
        let message = format!("{name} is mandatory for this action.");
        ApiError::new(400, format!("Missing{name}"), message, format!("{name} is missing"))
    }

    /// A parameter whose value is wrong.
    pub fn invalid_parameter(name: &str, internal: impl Into<String>) -> ApiError {
        let message = format!("The specified parameter \"{name}\" is not valid.");
        ApiError::new(400, "InvalidParameter", message, internal)
    }

    /// Something that a caller named does not exist.
    pub fn no_such_resource(what: &str) -> ApiError {
        let message = format!("The specified resource {what} does not exist.");
        ApiError::new(404, "NoSuchResource", message, format!("no {what}"))
    }

    /// The video's state does not allow the operation.
    pub fn illegal_status(status: &str, audit: &str) -> ApiError {
        let message = format!(
            "Status of the video is illegal. Currently Video Status is {status} and AuditStatus is {audit}."
        );
        ApiError::new(400, "Forbidden.IllegalStatus", message, format!("the video is {status}"))
    }

    /// A V1 signature that does not match. Old clients split the text at the colon and compare what follows.
    pub fn mismatch_v1(string_to_sign: &str) -> ApiError {
        let message = format!(
            "Specified signature is not matched with our calculation. server string to sign is:{string_to_sign}"
        );
        ApiError::new(400, "SignatureDoesNotMatch", message, "the V1 signature does not match")
    }

    /// A V3 signature that does not match.
    pub fn mismatch_v3(string_to_sign: &str, canonical_request: &str) -> ApiError {
        let message = format!(
            "Specified signature does not match our calculation. server StringToSign is [{string_to_sign}] \
             server CanonicalRequest is [{canonical_request}]"
        );
        ApiError::new(400, "SignatureDoesNotMatch", message, "the V3 signature does not match")
    }

    /// Over the account's rate.
    pub fn throttled(retry_after_ms: u64) -> ApiError {
        let mut error = ApiError::fixed(Fixed::ThrottlingUser, "over the account's rate");
        // The header's value must be positive for clients to see it.
        error.retry_after_ms = Some(retry_after_ms.max(1));
        error
    }

    /// True when the caller is not who he says, for the metric.
    pub fn is_auth_failure(&self) -> bool {
        let code = self.code.as_ref();
        code.starts_with("InvalidAccessKeyId.")
            || code.starts_with("InvalidSecurityToken.")
            || code.starts_with("InvalidTimeStamp.")
            || matches!(
                code,
                "SignatureDoesNotMatch"
                    | "IncompleteSignature"
                    | "SignatureNonceUsed"
                    | "MissingAccessKeyId"
                    | "MissingSecurityToken"
            )
    }
}

impl From<ParamError> for ApiError {
    fn from(error: ParamError) -> ApiError {
        let name = match &error {
            ParamError::Encoding(_) => "QueryString",
            ParamError::Twice(name) => name,
        };
        ApiError::invalid_parameter(name, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_that_clients_match_on() {
        let check = |error: ApiError, status: u16, code: &str, message: &str| {
            assert_eq!((error.status, error.code.as_ref(), error.message.as_str()), (status, code, message));
        };
        check(
            ApiError::missing_parameter("VideoId"),
            400,
            "MissingParameter",
            "The input parameter \"VideoId\" that is mandatory for processing this request is not supplied.",
        );
        check(
            ApiError::missing_common("AccessKeyId"),
            400,
            "MissingAccessKeyId",
            "AccessKeyId is mandatory for this action.",
        );
        check(
            ApiError::invalid_parameter("Width", "x"),
            400,
            "InvalidParameter",
            "The specified parameter \"Width\" is not valid.",
        );
        check(
            ApiError::no_such_resource("j"),
            404,
            "NoSuchResource",
            "The specified resource j does not exist.",
        );
        check(
            ApiError::fixed(Fixed::VideoNotFound, ""),
            404,
            "InvalidVideo.NotFound",
            "The video does not exist.",
        );
    }

    #[test]
    fn a_v1_mismatch_can_be_split_at_its_colon() {
        let error = ApiError::mismatch_v1("POST&%2F&a%3Db");
        assert_eq!(error.message.split(':').nth(1), Some("POST&%2F&a%3Db"));
        assert!(!error.internal.contains("POST"));
    }

    #[test]
    fn waiting_times_are_positive() {
        assert_eq!(ApiError::throttled(0).retry_after_ms, Some(1));
    }
}
