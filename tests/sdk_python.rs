//! Alibaba's Python SDKs, unmodified, against the daemon.
//!
//! Owns the list of versions and what each must see. Never runs where they are not installed (`scripts/sdks`).

mod common;

use common::sdk::{Runtime, check_road, check_throttle};

const REFUSED: &[&str] = &["SignatureDoesNotMatch"];
/// The legacy core compares the daemon's string to sign with its own and may name the secret as the fault.
const REFUSED_LEGACY: &[&str] = &["SignatureDoesNotMatch", "InvalidAccessKeySecret"];

#[test]
fn current_v3() {
    check_road(Runtime::Python("current"), "current.py", &["v3"], REFUSED);
}

#[test]
fn current_forced_to_v1() {
    check_road(Runtime::Python("current"), "current.py", &["v1"], REFUSED);
}

#[test]
fn current_learns_when_to_come_back() {
    check_throttle(Runtime::Python("current"), "current.py", &["v3"], true);
}

#[test]
fn release_2_16() {
    check_road(Runtime::Python("v1"), "v1.py", &[], REFUSED);
}

#[test]
fn release_1_0() {
    check_road(Runtime::Python("first"), "first.py", &[], REFUSED);
}

#[test]
fn legacy_core_post() {
    check_road(Runtime::Python("legacy"), "legacy.py", &["POST"], REFUSED_LEGACY);
}

#[test]
fn legacy_core_get() {
    check_road(Runtime::Python("legacy"), "legacy.py", &["GET"], REFUSED_LEGACY);
}
