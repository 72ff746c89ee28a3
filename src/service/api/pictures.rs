//! Published images over HTTP.
//!
//! Owns the headers of an image answer. Never builds a path: only keys of the known form reach the object store.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;

use crate::model::naming::is_object_key;

use super::ApiContext;
use super::error::{ApiError, Fixed};

/// The key that a request path names, if it has the form of one.
pub fn key(path: &str) -> Option<&str> {
    path.strip_prefix('/').filter(|key| is_object_key(key))
}

/// The image of a key; HEAD gets the headers alone, the connection sees to that.
///
/// # Errors
/// `NoSuchResource` when there is no such image, `ServiceUnavailable` when it cannot be read.
pub async fn answer(context: &ApiContext, key: &str) -> Result<Response<Full<Bytes>>, ApiError> {
    let object = context.objects.read(key).await;
    let object = object.map_err(|e| ApiError::fixed(Fixed::Unavailable, e.to_string()))?;
    let object = object.ok_or_else(|| ApiError::no_such_resource("image"))?;
    Response::builder()
        .status(StatusCode::OK)
        .header("content-type", "image/jpeg")
        .header("content-length", object.bytes.len())
        .header("x-content-type-options", "nosniff")
        .body(Full::new(object.bytes))
        .map_err(|e| ApiError::fixed(Fixed::Internal, e.to_string()))
}
