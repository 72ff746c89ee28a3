//! Bodies of answers: JSON or XML. *Pure.*
//!
//! Owns both shapes of success and error (API contract, 1.8 and 1.9). Never knows an operation's fields.

use quick_xml::escape::escape;
use serde_json::{Map, Value};

use super::error::ApiError;

/// How the caller wants to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Xml,
}

impl Format {
    /// The exact text: SDKs compare the XML one byte for byte.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Json => "application/json;charset=utf-8",
            Format::Xml => "text/xml;charset=utf-8",
        }
    }
}

const XML_HEAD: &str = "<?xml version='1.0' encoding='UTF-8'?>";

/// The body of a success; `fields` are those beside RequestId.
pub fn success(format: Format, action: &str, request_id: &str, fields: Map<String, Value>) -> String {
    match format {
        Format::Json => {
            let mut all = Map::new();
            all.insert("RequestId".into(), request_id.into());
            all.extend(fields);
            Value::Object(all).to_string()
        }
        Format::Xml => {
            let root = format!("{action}Response");
            let mut text = format!("{XML_HEAD}<{root}>");
            element(&mut text, "RequestId", &Value::from(request_id));
            for (name, value) in &fields {
                element(&mut text, name, value);
            }
            text.push_str(&format!("</{root}>"));
            text
        }
    }
}

/// The body of an error. `host` is the request's own host, `request_id` tells it from others in the log.
pub fn failure(format: Format, error: &ApiError, request_id: &str, host: &str) -> String {
    let link =
        format!("https://api.aliyun.com/troubleshoot?q={}&product=vod&requestId={request_id}", error.code);
    match format {
        Format::Json => {
            let fields: Map<String, Value> = [
                ("RequestId", request_id),
                ("HostId", host),
                ("Code", &error.code),
                ("Message", &error.message),
                ("Recommend", &link),
            ]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Value::from(value)))
            .collect();
            Value::Object(fields).to_string()
        }
        Format::Xml => {
            let mut text = format!("{XML_HEAD}<Error>");
            for (name, value) in [
                ("RequestId", request_id),
                ("HostId", host),
                ("Code", &error.code),
                ("Message", &error.message),
            ] {
                element(&mut text, name, &Value::from(value));
            }
            // A code holds letters and dots only, so the section cannot be closed early.
            text.push_str(&format!("<Recommend><![CDATA[{link}]]></Recommend></Error>"));
            text
        }
    }
}

// Names are ours and valid XML names; arrays become repeated elements of that name.
fn element(text: &mut String, name: &str, value: &Value) {
    if let Value::Array(items) = value {
        for item in items {
            element(text, name, item);
        }
        return;
    }
    text.push_str(&format!("<{name}>"));
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                element(text, name, value);
            }
        }
        Value::String(value) => text.push_str(&xml_text(value)),
        Value::Null => {}
        other => text.push_str(&other.to_string()),
    }
    text.push_str(&format!("</{name}>"));
}

// XML 1.0 has no way to write most control characters; they are replaced.
fn xml_text(value: &str) -> String {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    let clean: String = value.chars().map(|c| if allowed(c) { c } else { '\u{fffd}' }).collect();
    escape(clean).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const ID: &str = "6F1C0B52-9D3E-5A77-8E21-0C4B7A9D1E33";

    fn fields(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn success_in_both_shapes() {
        let snapshot_job = fields(json!({"SnapshotJob": {"JobId": "3b1f"}}));
        assert_eq!(
            success(Format::Xml, "SubmitSnapshotJob", ID, snapshot_job.clone()),
            format!(
                "<?xml version='1.0' encoding='UTF-8'?><SubmitSnapshotJobResponse><RequestId>{ID}</RequestId>\
                 <SnapshotJob><JobId>3b1f</JobId></SnapshotJob></SubmitSnapshotJobResponse>"
            )
        );
        let body: Value =
            serde_json::from_str(&success(Format::Json, "SubmitSnapshotJob", ID, snapshot_job)).unwrap();
        assert_eq!(body, json!({"RequestId": ID, "SnapshotJob": {"JobId": "3b1f"}}));
    }

    #[test]
    fn arrays_repeat_their_inner_name() {
        let list =
            fields(json!({"Snapshots": {"Snapshot": [{"Index": 1}, {"Index": 2}]}, "Gone": [], "T": true}));
        assert_eq!(
            success(Format::Xml, "A", "r", list),
            "<?xml version='1.0' encoding='UTF-8'?><AResponse><RequestId>r</RequestId>\
             <Snapshots><Snapshot><Index>1</Index></Snapshot><Snapshot><Index>2</Index></Snapshot></Snapshots>\
             <T>true</T></AResponse>"
        );
    }

    #[test]
    fn errors_in_both_shapes() {
        let error = ApiError::invalid_parameter("A<b>&", "secret reason");
        let text = failure(Format::Json, &error, ID, "h:1");
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["Code"], "InvalidParameter");
        assert_eq!(body["Message"], "The specified parameter \"A<b>&\" is not valid.");
        assert_eq!((&body["HostId"], &body["RequestId"]), (&json!("h:1"), &json!(ID)));
        assert!(!text.contains("secret reason"));
        let text = failure(Format::Xml, &error, ID, "h:1");
        assert!(text.starts_with(&format!(
            "<?xml version='1.0' encoding='UTF-8'?><Error><RequestId>{ID}</RequestId><HostId>h:1</HostId>"
        )));
        assert!(text.contains("&quot;A&lt;b&gt;&amp;&quot;"));
        assert!(text.ends_with("]]></Recommend></Error>"));
    }

    proptest! {
        #[test]
        fn any_text_survives_in_json_and_keeps_xml_whole(text in "\\PC*|.*") {
            let value = fields(json!({"V": text}));
            let body: Value = serde_json::from_str(&success(Format::Json, "A", "r", value.clone())).unwrap();
            prop_assert_eq!(&body["V"], &json!(text));
            let xml = success(Format::Xml, "A", "r", value);
            let inner = xml.split("<V>").nth(1).unwrap().strip_suffix("</V></AResponse>").unwrap();
            prop_assert!(!inner.contains('<') && !inner.contains('\0'));
            let clean = text.chars().all(|c| c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}'));
            if clean {
                prop_assert_eq!(quick_xml::escape::unescape(inner).unwrap(), text);
            }
        }
    }
}
