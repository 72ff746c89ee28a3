//! Alibaba's Node SDKs, unmodified, against the daemon.
//!
//! Owns the list of clients and what each must see. Never runs where they are not installed (`scripts/sdks`).

mod common;

use common::sdk::{Runtime, check_road, check_throttle};

const REFUSED: &[&str] = &["SignatureDoesNotMatch"];

#[test]
fn pop_core_post() {
    check_road(Runtime::Node, "pop_core.js", &["POST"], REFUSED);
}

#[test]
fn pop_core_get() {
    check_road(Runtime::Node, "pop_core.js", &["GET"], REFUSED);
}

#[test]
fn pop_core_with_an_array() {
    check_road(Runtime::Node, "pop_core.js", &["array"], REFUSED);
}

#[test]
fn pop_core_sees_the_throttle() {
    // This client reads no headers: the code is all that it can see.
    check_throttle(Runtime::Node, "pop_core.js", &["POST"], false);
}

#[test]
fn openapi_client_query() {
    check_road(Runtime::Node, "openapi.js", &["client", "query"], REFUSED);
}

#[test]
fn openapi_client_chunked_body() {
    check_road(Runtime::Node, "openapi.js", &["client", "body"], REFUSED);
}

#[test]
fn openapi_core_query() {
    check_road(Runtime::Node, "openapi.js", &["core", "query"], REFUSED);
}

#[test]
fn openapi_core_learns_when_to_come_back() {
    check_throttle(Runtime::Node, "openapi.js", &["core", "query"], true);
}
