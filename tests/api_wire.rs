//! Every recorded request of a real SDK is read and verified; every signed byte counts.
//!
//! `data/requests` holds what unmodified SDKs sent, header lines and body as they came (API contract, appendix A).

use std::fs;
use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use stillframe::model::spec::Points;
use stillframe::service::api::action::Action;
use stillframe::service::api::error::ApiError;
use stillframe::service::api::request::{self, Incoming, SignedRequest};
use stillframe::service::api::response::Format;
use stillframe::service::api::{spec, time};
use stillframe::service::settings::CaptureSettings;

const SECRET: &str = "testsecret";
const WINDOW: Duration = Duration::from_secs(15 * 60);

#[derive(Clone, Debug)]
struct Recorded {
    name: String,
    method: String,
    query: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Recorded {
    fn load(path: &Path) -> Recorded {
        let text = fs::read_to_string(path).unwrap();
        let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
        let mut lines = head.lines();
        let mut first = lines.next().unwrap().split(' ');
        let (method, target) = (first.next().unwrap(), first.next().unwrap());
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap());
        }
        // A chunked body was recorded with its one chunk's length in front and the last chunk behind.
        let body = if headers.contains_key("transfer-encoding") {
            let (length, rest) = body.split_once('\n').unwrap();
            rest[..usize::from_str_radix(length, 16).unwrap()].to_owned()
        } else {
            body.trim_end_matches('\n').to_owned()
        };
        if let Some(length) = headers.get("content-length") {
            assert_eq!(length.to_str().unwrap(), body.len().to_string(), "{}", path.display());
        }
        Recorded {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            method: method.to_owned(),
            query: target.strip_prefix('/').unwrap().trim_start_matches('?').to_owned(),
            headers,
            body: body.into_bytes(),
        }
    }

    fn named(name: &str) -> Recorded {
        all().into_iter().find(|r| r.name.starts_with(name)).unwrap()
    }

    fn incoming(&self) -> Incoming<'_> {
        Incoming { method: &self.method, query: &self.query, headers: &self.headers, body: &self.body }
    }

    fn read(&self) -> Result<SignedRequest, ApiError> {
        request::read(&self.incoming())
    }

    /// Read and signed with the secret.
    fn accepted(&self) -> bool {
        self.read().and_then(|r| r.check_signature(SECRET)).is_ok()
    }

    fn is_v3(&self) -> bool {
        self.headers.contains_key("authorization")
    }

    /// When the client says that it was sent.
    fn date_ms(&self) -> i64 {
        let query = stillframe::service::api::params::Params::parse(&self.query).unwrap();
        let body = std::str::from_utf8(&self.body).unwrap();
        let body = stillframe::service::api::params::Params::parse(body).unwrap();
        let header = self.headers.get("x-acs-date").and_then(|v| v.to_str().ok());
        time::parse(header.or(query.get("Timestamp")).or(body.get("Timestamp")).unwrap()).unwrap()
    }
}

fn all() -> Vec<Recorded> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/requests");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert_eq!(paths.len(), 26);
    paths.iter().map(|path| Recorded::load(path)).collect()
}

fn capture() -> CaptureSettings {
    CaptureSettings {
        jpeg_quality: 85,
        count_max: 1000,
        interval_without_count_to_end: false,
        frame_pixels_max: 36_000_000,
        sheet_pixels_max: 64_000_000,
    }
}

#[test]
fn every_recorded_request_verifies_at_its_own_date() {
    let mut verified = 0;
    for recorded in all() {
        let name = &recorded.name;
        if name.contains("addvodtemplate-3") {
            assert_eq!(recorded.read().unwrap_err().code, "UnsupportedOperation");
            continue;
        }
        let read = recorded.read().unwrap_or_else(|e| panic!("{name}: {e}"));
        read.check_signature(SECRET).unwrap_or_else(|e| panic!("{name}: {}", e.message));
        read.check_clock(recorded.date_ms(), WINDOW).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(read.check_signature("other").is_err(), "{name}");
        let temporary = name.contains("legacy-python-sts");
        assert_eq!(read.key_id, if temporary { "STS.id" } else { "testid" }, "{name}");
        assert_eq!(read.token.is_some(), name.contains("-sts"), "{name}");
        assert!(read.nonce.len() >= 32, "{name}");
        assert_eq!(request::format(&recorded.incoming()), Format::Json, "{name}");
        verified += 1;
    }
    assert_eq!(verified, 25);
}

#[test]
fn every_recorded_submission_is_the_job_that_was_meant() {
    let mut submissions = 0;
    for recorded in all() {
        let Ok(read) = recorded.read() else { continue };
        if read.action != Action::SubmitSnapshotJob || recorded.name.starts_with("05") {
            continue;
        }
        let spec = spec::parse(&read.params, &capture()).unwrap_or_else(|e| panic!("{}: {e}", recorded.name));
        let expected = match &recorded.name[..2] {
            "01" | "02" | "03" | "04" => Points::List(vec![0, 1500, 30000]),
            "07" | "08" => Points::Even { offset_ms: 0, count: 5 },
            _ => Points::List(vec![0, 1500]),
        };
        assert_eq!(spec.points, expected, "{}", recorded.name);
        assert_eq!(read.params.get("UserData"), Some(r#"{"Extend":{"k":"中 文*~+/"}}"#), "{}", recorded.name);
        assert_eq!(read.params.get("VideoId"), Some("d3e680e618708efbf2cae7cc9312abcd"), "{}", recorded.name);
        submissions += 1;
    }
    assert_eq!(submissions, 21);
}

#[test]
fn the_other_operations_are_read() {
    let action = |name| Recorded::named(name).read().unwrap().action;
    assert_eq!(action("06-python-3-12-1-listsnapshots-getjobdetail-addvodtemplate-1"), Action::ListSnapshots);
    assert_eq!(action("06-python-3-12-1-listsnapshots-getjobdetail-addvodtemplate-2"), Action::GetJobDetail);
    assert_eq!(action("23-rust-crate-post-then-get-2"), Action::GetVideoInfo);
    let template = Recorded::named("05").read().unwrap();
    assert_eq!(template.params.get("SnapshotTemplateId"), Some("f5b228fe693bf55bd87b789"));
}

#[test]
fn one_flipped_byte_in_the_query_is_refused() {
    for name in ["01", "03", "09", "10", "16", "18", "23-rust-crate-post-then-get-1"] {
        let recorded = Recorded::named(name);
        for at in 0..recorded.query.len() {
            let mut other = recorded.clone();
            let mut bytes = other.query.into_bytes();
            bytes[at] ^= 1;
            let Ok(query) = String::from_utf8(bytes) else { continue };
            // Hex digits of an escape mean the same in both cases: only a change of meaning must be refused.
            let meant = |q: &str| stillframe::service::api::params::Params::parse(q).ok();
            if meant(&query) == meant(&recorded.query) {
                continue;
            }
            other.query = query;
            assert!(!other.accepted(), "{name}: byte {at} of {}", other.query);
        }
    }
}

#[test]
fn one_flipped_byte_in_a_signed_header_is_refused() {
    for name in ["01", "02", "16", "17", "21"] {
        let recorded = Recorded::named(name);
        let authorization = recorded.headers["authorization"].to_str().unwrap().to_owned();
        let signed =
            authorization.split("SignedHeaders=").nth(1).unwrap().split(',').next().unwrap().to_owned();
        for header in signed.split(';') {
            let value = recorded.headers[header].as_bytes().to_vec();
            for at in 0..value.len() {
                let mut other = recorded.clone();
                let mut bytes = value.clone();
                bytes[at] ^= 1;
                let Ok(changed) = HeaderValue::from_bytes(&bytes) else { continue };
                other.headers.insert(header.parse::<HeaderName>().unwrap(), changed);
                assert!(!other.accepted(), "{name}: byte {at} of {header}");
            }
        }
        for at in 0..authorization.len() {
            let mut other = recorded.clone();
            let mut bytes = authorization.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(changed) = HeaderValue::from_bytes(&bytes) else { continue };
            other.headers.insert("authorization", changed);
            // The key id is not under the signature; another id has another secret.
            let other_key = other.read().is_ok_and(|r| r.key_id != "testid");
            assert!(other_key || !other.accepted(), "{name}: byte {at} of authorization");
        }
    }
}

#[test]
fn one_flipped_byte_in_a_form_body_is_refused() {
    for name in ["08", "12", "14", "17"] {
        let recorded = Recorded::named(name);
        for at in 0..recorded.body.len() {
            let mut other = recorded.clone();
            other.body[at] ^= 1;
            let meant = |body: &[u8]| {
                std::str::from_utf8(body)
                    .ok()
                    .and_then(|b| stillframe::service::api::params::Params::parse(b).ok())
            };
            // V3 hashes the bytes themselves, V1 what they mean.
            if !recorded.is_v3() && meant(&other.body) == meant(&recorded.body) {
                continue;
            }
            assert!(!other.accepted(), "{name}: byte {at}");
        }
    }
}

#[test]
fn another_method_is_another_request() {
    for recorded in all().into_iter().filter(|r| !r.name.contains("addvodtemplate-3")) {
        let mut other = recorded.clone();
        other.method = if recorded.method == "GET" { "POST".into() } else { "GET".into() };
        assert!(!other.accepted(), "{}", recorded.name);
        for method in ["HEAD", "PUT", "DELETE", "OPTIONS", "get"] {
            other.method = method.into();
            let error = other.read().unwrap_err();
            assert_eq!((error.code.as_ref(), error.status), ("UnsupportedHTTPMethod", 405));
        }
    }
}

#[test]
fn unsigned_headers_may_change() {
    for name in ["01", "03", "09", "12", "16", "17"] {
        let mut recorded = Recorded::named(name);
        recorded.headers.insert("accept-encoding", HeaderValue::from_static("gzip"));
        recorded.headers.insert("connection", HeaderValue::from_static("close"));
        recorded.headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
        assert!(recorded.accepted(), "{name}");
    }
}

#[test]
fn a_v3_body_must_have_the_hash_that_was_signed() {
    let mut recorded = Recorded::named("16");
    recorded.body = b"VideoId2=x".to_vec();
    let error = recorded.read().and_then(|r| r.check_signature(SECRET)).unwrap_err();
    assert_eq!((error.code.as_ref(), error.status), ("SignatureDoesNotMatch", 400));
}

#[test]
fn what_v3_must_sign_is_demanded() {
    for name in ["01", "17"] {
        for left_out in
            ["host", "x-acs-action", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"]
        {
            let mut recorded = Recorded::named(name);
            let text =
                recorded.headers["authorization"].to_str().unwrap().replace(&format!("{left_out};"), "");
            recorded.headers.insert("authorization", text.parse().unwrap());
            let error = recorded.read().unwrap_err();
            assert_eq!((error.code.as_ref(), error.status), ("IncompleteSignature", 400), "{left_out}");
        }
        let mut recorded = Recorded::named(name);
        recorded.headers.insert("x-acs-more", HeaderValue::from_static("1"));
        assert_eq!(recorded.read().unwrap_err().code, "IncompleteSignature");
    }
}

#[test]
fn missing_headers_and_parameters_have_their_codes() {
    let v3 = |header: &str| {
        let mut recorded = Recorded::named("01");
        recorded.headers.remove(header);
        recorded.read().unwrap_err().code.into_owned()
    };
    assert_eq!(v3("x-acs-action"), "MissingAction");
    assert_eq!(v3("x-acs-version"), "MissingVersion");
    assert_eq!(v3("x-acs-date"), "MissingTimestamp");
    assert_eq!(v3("x-acs-signature-nonce"), "MissingSignatureNonce");
    assert_eq!(v3("x-acs-content-sha256"), "IncompleteSignature");
    assert_eq!(v3("host"), "IncompleteSignature");
    assert_eq!(v3("authorization"), "MissingAccessKeyId");
    let v1 = |name: &str, value: Option<&str>| {
        let mut recorded = Recorded::named("09");
        let pairs = recorded.query.split('&').filter(|p| !p.starts_with(&format!("{name}=")));
        let mut query = pairs.collect::<Vec<_>>().join("&");
        if let Some(value) = value {
            query.push_str(&format!("&{name}={value}"));
        }
        recorded.query = query;
        recorded.read().unwrap_err().code.into_owned()
    };
    // The headers repeat both; parameters are what V1 signs.
    assert_eq!(v1("Action", None), "MissingAction");
    assert_eq!(v1("Version", None), "MissingVersion");
    for name in
        ["AccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "SignatureNonce", "Timestamp"]
    {
        assert_eq!(v1(name, None), format!("Missing{name}"));
        assert_eq!(v1(name, Some("")), format!("Missing{name}"));
    }
    assert_eq!(v1("SignatureMethod", Some("HMAC-SHA256")), "InvalidParameter");
    assert_eq!(v1("SignatureVersion", Some("2.0")), "InvalidParameter");
    assert_eq!(v1("Format", Some("YAML")), "InvalidParameter");
    assert_eq!(v1("Version", Some("2017-03-22")), "InvalidVersion");
    assert_eq!(v1("Action", Some("Nothing")), "InvalidAction.NotFound");
    assert_eq!(v1("Action", Some("SubmitAIJob")), "UnsupportedOperation");
    assert_eq!(v1("AccessKeyId", Some("STS.x")), "MissingSecurityToken");
    let mut twice = Recorded::named("09");
    twice.query.push_str("&Count=5");
    assert_eq!(twice.read().unwrap_err().code, "InvalidParameter");
    let mut split = Recorded::named("08");
    split.query.push_str("&Count=5");
    assert_eq!(split.read().unwrap_err().code, "InvalidParameter");
}

#[test]
fn a_mismatch_echoes_what_had_to_be_signed() {
    let v1 = Recorded::named("09").read().unwrap().check_signature("other").unwrap_err();
    let echoed = v1.message.split(':').nth(1).unwrap();
    assert!(echoed.starts_with("POST&%2F&AccessKeyId%3Dtestid%26Action%3DSubmitSnapshotJob"), "{echoed}");
    assert_eq!(v1.message.matches(':').count(), 1);
    let v3 = Recorded::named("01").read().unwrap().check_signature("other").unwrap_err();
    assert!(v3.message.contains("server StringToSign is [ACS3-HMAC-SHA256\n"));
    assert!(v3.message.contains("server CanonicalRequest is [POST\n/\nCount=5&"));
    for error in [v1, v3] {
        assert!(
            !error.internal.contains("testid%26") && !error.internal.contains("Count"),
            "{}",
            error.internal
        );
    }
}

#[test]
fn the_clock_may_be_off_by_a_window() {
    for name in ["01", "09", "23-rust-crate-post-then-get-1"] {
        let recorded = Recorded::named(name);
        let (read, sent) = (recorded.read().unwrap(), recorded.date_ms());
        let minutes = |n: i64| n * 60_000;
        for off in [0, minutes(14), minutes(-14), minutes(15), minutes(-15)] {
            assert_eq!(read.check_clock(sent + off, WINDOW), Ok(()), "{name} {off}");
        }
        for off in [minutes(16), minutes(-16), minutes(15) + 1000, minutes(-15) - 1000] {
            let error = read.check_clock(sent + off, WINDOW).unwrap_err();
            assert_eq!(
                (error.code.as_ref(), error.status),
                ("InvalidTimeStamp.Expired", 400),
                "{name} {off}"
            );
        }
    }
    let mut malformed = Recorded::named("01");
    malformed.headers.insert("x-acs-date", HeaderValue::from_static("Mon, 23 Nov 2026 23:59:29 GMT"));
    let error = malformed.read().unwrap().check_clock(0, WINDOW).unwrap_err();
    assert_eq!(error.code, "InvalidTimeStamp.Format");
}

#[test]
fn tokens_are_never_good_yet() {
    for (name, code) in [
        ("02", "InvalidSecurityToken.MismatchWithAccessKey"),
        ("11", "InvalidSecurityToken.Malformed"),
        ("15", "InvalidSecurityToken.MismatchWithAccessKey"),
    ] {
        let error = Recorded::named(name).read().unwrap().check_token().unwrap_err();
        assert_eq!((error.code.as_ref(), error.status), (code, 400), "{name}");
    }
    assert_eq!(Recorded::named("01").read().unwrap().check_token(), Ok(()));
}

#[test]
fn the_answer_has_the_format_that_was_asked_for() {
    let format = |recorded: &Recorded| request::format(&recorded.incoming());
    let with = |value: &str| {
        let mut recorded = Recorded::named("09");
        recorded.query = recorded.query.replace("Format=JSON", value);
        recorded
    };
    assert_eq!(format(&with("Format=XML")), Format::Xml);
    assert_eq!(format(&with("Format=xml")), Format::Xml);
    assert_eq!(format(&with("Format=json")), Format::Json);
    assert_eq!(format(&with("Format=")), Format::Xml); // a bare V1 request
    assert_eq!(format(&with("Format=YAML")), Format::Json);
    let mut v3 = Recorded::named("01");
    v3.query.push_str("&Format=XML");
    assert_eq!(format(&v3), Format::Json);
    let mut unsigned = Recorded::named("01");
    unsigned.headers.remove("authorization");
    assert_eq!(format(&unsigned), Format::Json);
}
