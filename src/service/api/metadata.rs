//! `RegisterMetadatas` read into plain data. *Pure.*
//!
//! Owns its shape and limits (API contract, 3.8). Never looks at a file.

use serde_json::{Map, Value};

use super::json;

/// Most files of one request.
pub const METADATAS_MAX: usize = 10;
const FILE_URL_BYTES_MAX: usize = 1024;
const TITLE_CHARS_MAX: usize = 128;
const DESCRIPTION_CHARS_MAX: usize = 1024;
const TAGS_MAX: usize = 16;
const TAG_CHARS_MAX: usize = 32;
const COVER_URL_BYTES_MAX: usize = 1024;

/// One file to be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub file_url: String,
    pub title: String,
    pub description: Option<String>,
    pub tags: Option<String>,
    pub cover_url: Option<String>,
    pub cate_id: Option<i64>,
}

/// Reads the parameter.
///
/// # Errors
/// A lowercase fragment that says what is wrong with the first bad entry.
pub fn parse(text: &str) -> Result<Vec<Metadata>, String> {
    let value = json::parse(text)?;
    let entries = value.as_array().ok_or("not an array")?;
    if !(1..=METADATAS_MAX).contains(&entries.len()) {
        return Err(format!("not 1 to {METADATAS_MAX} entries"));
    }
    entries.iter().map(entry).collect()
}

fn entry(value: &Value) -> Result<Metadata, String> {
    let fields = value.as_object().ok_or("an entry is not an object")?;
    let file_url = text(fields, "FileURL")?.ok_or("an entry has no FileURL")?;
    if file_url.len() > FILE_URL_BYTES_MAX {
        return Err(format!("a FileURL is longer than {FILE_URL_BYTES_MAX} bytes"));
    }
    let title = short(fields, "Title", TITLE_CHARS_MAX)?.ok_or("an entry has no Title")?;
    let tags = text(fields, "Tags")?;
    if let Some(tags) = &tags {
        let too_long = tags.split(',').any(|tag| tag.chars().count() > TAG_CHARS_MAX);
        if too_long || tags.split(',').count() > TAGS_MAX {
            return Err(format!("more than {TAGS_MAX} Tags or one above {TAG_CHARS_MAX} characters"));
        }
    }
    let cover_url = text(fields, "CoverURL")?;
    if cover_url.as_ref().is_some_and(|url| url.len() > COVER_URL_BYTES_MAX) {
        return Err(format!("a CoverURL is longer than {COVER_URL_BYTES_MAX} bytes"));
    }
    let cate_id = match fields.get("CateId") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(value) => Some(json::whole(value).ok_or("a CateId is no whole number")?),
    };
    Ok(Metadata {
        file_url,
        title,
        description: short(fields, "Description", DESCRIPTION_CHARS_MAX)?,
        tags,
        cover_url,
        cate_id,
    })
}

fn text(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|t| !t.is_empty())),
        Some(_) => Err(format!("a {name} is not text")),
    }
}

fn short(fields: &Map<String, Value>, name: &str, chars_max: usize) -> Result<Option<String>, String> {
    let found = text(fields, name)?;
    match &found {
        Some(text) if text.chars().count() > chars_max => {
            Err(format!("a {name} is longer than {chars_max} characters"))
        }
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn entries_are_read_whole() {
        let read = parse(
            r#"[{"FileURL":"file:///a.mp4","Title":"t","Tags":"x,y","CateId":"7","Description":"","Other":1},
                {"FileURL":"file:///b.mp4","Title":"u","CateId":8,"CoverURL":null}]"#,
        );
        let first = Metadata {
            file_url: "file:///a.mp4".into(),
            title: "t".into(),
            description: None,
            tags: Some("x,y".into()),
            cover_url: None,
            cate_id: Some(7),
        };
        let second = Metadata {
            file_url: "file:///b.mp4".into(),
            title: "u".into(),
            tags: None,
            cate_id: Some(8),
            ..first.clone()
        };
        assert_eq!(read, Ok(vec![first, second]));
    }

    #[test]
    fn bad_entries_are_refused() {
        let one = r#"{"FileURL":"f","Title":"t"}"#;
        assert!(parse(&format!("[{}]", [one; METADATAS_MAX].join(","))).is_ok());
        assert!(parse(&format!("[{}]", [one; METADATAS_MAX + 1].join(","))).is_err());
        let tags =
            |n: usize| format!(r#"[{{"FileURL":"f","Title":"t","Tags":"{}"}}]"#, vec!["x"; n].join(","));
        assert!(parse(&tags(16)).is_ok());
        assert!(parse(&tags(17)).is_err());
        let long = |name: &str, n: usize| {
            format!(r#"[{{"FileURL":"f","Title":"t","X":0,"{name}":"{}"}}]"#, "é".repeat(n))
                .replace(r#""Title":"t","X":0,"Title""#, r#""Title""#)
        };
        assert!(parse(&long("Title", 128)).is_ok());
        assert!(parse(&long("Title", 129)).is_err());
        assert!(parse(&long("Description", 1025)).is_err());
        assert!(parse(&long("Tags", 33)).is_err());
        for bad in [
            "",
            "x",
            "{}",
            "[]",
            "[1]",
            "[[]]",
            r#"[{}]"#,
            r#"[{"FileURL":"f"}]"#,
            r#"[{"Title":"t"}]"#,
            r#"[{"FileURL":"","Title":"t"}]"#,
            r#"[{"FileURL":"f","Title":""}]"#,
            r#"[{"FileURL":1,"Title":"t"}]"#,
            r#"[{"FileURL":"f","Title":1}]"#,
            r#"[{"FileURL":"f","Title":"t","CateId":"x"}]"#,
            r#"[{"FileURL":"f","Title":"t","Tags":["a"]}]"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(text in "[\\[\\]{}\",:a-zA-Z]{0,80}") {
            drop(parse(&text));
        }
    }
}
