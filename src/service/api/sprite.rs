//! `SpriteSnapshotConfig` read into a sprite spec. *Pure.*
//!
//! Owns defaults, bounds and the one deviation from JSON that is let pass (API contract, 2.3; ambiguities 15 to
//! 17). Never knows a medium: a sheet is refused here only where no medium could make it small enough.

use serde_json::{Map, Value};

use crate::model::limits::{GRID_MAX, JPEG_SIDE_MAX, SIDE_MAX, SIDE_MIN};
use crate::model::spec::{AskedSize, SpriteSpec};

use super::{color, json};

/// Reads the parameter. Returns the spec and whether the single pictures are kept.
/// `picture` is the asked size of the pictures, `sheet_pixels_max` the budget of one sheet.
///
/// # Errors
/// A lowercase fragment that says what is wrong.
pub fn parse(text: &str, picture: AskedSize, sheet_pixels_max: u64) -> Result<(SpriteSpec, bool), String> {
    // The documentation's own example has single quotes.
    let value = json::parse(text).or_else(|e| json::parse(&text.replace('\'', "\"")).map_err(|_| e))?;
    let Value::Object(fields) = value else {
        return Err("not an object".into());
    };
    let number = |name: &str, least: u32, most: u32| number(&fields, name, least, most);
    let sprite = SpriteSpec {
        cell: AskedSize {
            width: number("CellWidth", SIDE_MIN, SIDE_MAX)?,
            height: number("CellHeight", SIDE_MIN, SIDE_MAX)?,
        },
        columns: number("Columns", 1, GRID_MAX)?.unwrap_or(10),
        lines: number("Lines", 1, GRID_MAX)?.unwrap_or(10),
        padding: number("Padding", 0, JPEG_SIDE_MAX)?.unwrap_or(0),
        margin: number("Margin", 0, JPEG_SIDE_MAX)?.unwrap_or(0),
        color: match word(&fields, "Color")? {
            Some(name) => color::parse(name).ok_or("Color is no colour")?,
            None => [0, 0, 0],
        },
    };
    let keep = match word(&fields, "KeepCellPic")? {
        None => true,
        Some(text) if text.eq_ignore_ascii_case("keep") => true,
        Some(text) if text.eq_ignore_ascii_case("delete") => false,
        Some(_) => return Err("KeepCellPic is neither keep nor delete".into()),
    };
    check_sheet(&sprite, picture, sheet_pixels_max)?;
    Ok((sprite, keep))
}

fn number(fields: &Map<String, Value>, name: &str, least: u32, most: u32) -> Result<Option<u32>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(value) => json::whole(value)
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| (least..=most).contains(n))
            .map(Some)
            .ok_or_else(|| format!("{name} is not a number from {least} to {most}")),
    }
}

fn word<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|t| !t.is_empty())),
        Some(_) => Err(format!("{name} is not text")),
    }
}

// A side that only the medium tells is at least SIDE_MIN, whatever the medium.
fn check_sheet(sprite: &SpriteSpec, picture: AskedSize, sheet_pixels_max: u64) -> Result<(), String> {
    let cell = match sprite.cell {
        AskedSize { width: None, height: None } if picture.width.is_some() && picture.height.is_some() => {
            picture
        }
        asked => asked,
    };
    let side = |cell: Option<u32>, count: u32| {
        let (cell, count) = (u64::from(cell.unwrap_or(SIDE_MIN)), u64::from(count));
        2 * u64::from(sprite.margin) + count * cell + (count - 1) * u64::from(sprite.padding)
    };
    let (width, height) = (side(cell.width, sprite.columns), side(cell.height, sprite.lines));
    let side_max = u64::from(JPEG_SIDE_MAX);
    if width > side_max || height > side_max {
        return Err(format!("a sheet of {width}x{height} is beyond what a JPEG can hold"));
    }
    if width * height > sheet_pixels_max {
        return Err(format!("a sheet of {width}x{height} is above {sheet_pixels_max} pixels"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limits::SHEET_PIXELS_MAX;
    use proptest::prelude::*;

    const NO_SIZE: AskedSize = AskedSize { width: None, height: None };

    fn spec(text: &str) -> Result<(SpriteSpec, bool), String> {
        parse(text, NO_SIZE, SHEET_PIXELS_MAX)
    }

    #[test]
    fn an_empty_object_is_every_default() {
        let defaults =
            SpriteSpec { cell: NO_SIZE, columns: 10, lines: 10, padding: 0, margin: 0, color: [0, 0, 0] };
        for text in
            ["{}", r#"{"Columns":"","Color":"","KeepCellPic":"","Unknown":[1]}"#, r#"{"Columns":null}"#]
        {
            assert_eq!(spec(text), Ok((defaults.clone(), true)), "{text}");
        }
    }

    #[test]
    fn strings_numbers_and_single_quotes_mean_the_same() {
        let expected = SpriteSpec {
            cell: AskedSize { width: Some(160), height: Some(90) },
            columns: 5,
            lines: 2,
            padding: 2,
            margin: 4,
            color: [255, 255, 255],
        };
        for text in [
            r#"{"CellWidth":160,"CellHeight":90,"Columns":5,"Lines":2,"Padding":2,"Margin":4,"Color":"white","KeepCellPic":"delete"}"#,
            r##"{"CellWidth":"160","CellHeight":"90","Columns":"5","Lines":"2","Padding":"2","Margin":"4","Color":"#FFFFFF","KeepCellPic":"Delete"}"##,
            r"{'CellWidth':'160','CellHeight':'90','Columns':'5','Lines':'2','Padding':'2','Margin':'4','Color':'White','KeepCellPic':'delete'}",
        ] {
            assert_eq!(spec(text), Ok((expected.clone(), false)), "{text}");
        }
    }

    #[test]
    fn bad_values_of_each_field_are_refused() {
        let numbers = ["-1", "1.5", "\"x\"", "[]", "{}", "true", "99999999999", "\" 5\"", "\"+5\""];
        for name in ["CellWidth", "CellHeight", "Columns", "Lines", "Padding", "Margin"] {
            for value in numbers {
                let text = format!("{{\"{name}\":{value}}}");
                assert!(spec(&text).is_err(), "{text}");
            }
        }
        for text in [
            "",
            "x",
            "[]",
            "\"{}\"",
            "{",
            r#"{"CellWidth":7}"#,
            r#"{"CellWidth":4097}"#,
            r#"{"CellHeight":0}"#,
            r#"{"Columns":0}"#,
            r#"{"Lines":10001}"#,
            r#"{"Color":"random"}"#,
            r#"{"Color":7}"#,
            r#"{"Color":"bleu"}"#,
            r#"{"KeepCellPic":"yes"}"#,
            r#"{"KeepCellPic":true}"#,
        ] {
            assert!(spec(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sheets_that_no_medium_makes_small_enough_are_refused() {
        let picture = AskedSize { width: Some(1280), height: Some(720) };
        let check = |text, picture, good: bool| {
            assert_eq!(parse(text, picture, SHEET_PIXELS_MAX).is_ok(), good, "{text}");
        };
        check(r#"{"Columns":3,"Lines":10}"#, picture, true);
        check("{}", picture, false); // 12800 x 7200
        check("{}", NO_SIZE, true); // the medium tells
        check(r#"{"CellWidth":160,"CellHeight":90}"#, picture, true);
        check(r#"{"CellWidth":160,"Columns":409,"Lines":1}"#, NO_SIZE, true);
        check(r#"{"CellWidth":160,"Columns":410,"Lines":1}"#, NO_SIZE, false); // 65600 wide
        check(r#"{"Columns":8192,"Lines":1}"#, NO_SIZE, false); // 65536 wide at the least
        check(r#"{"Columns":8191,"Lines":1}"#, NO_SIZE, true);
        check(r#"{"Columns":2,"Lines":1,"Padding":65520}"#, NO_SIZE, false);
        check(r#"{"Columns":1,"Lines":1,"Margin":32764}"#, NO_SIZE, false);
        let cells = r#"{"CellWidth":800,"CellHeight":800,"Columns":10,"Lines":10}"#;
        check(cells, NO_SIZE, true); // 64 megapixels exactly
        assert!(parse(cells, NO_SIZE, SHEET_PIXELS_MAX - 1).is_err());
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(text in "[\\[\\]{}\"',:a-zA-Z0-9#]{0,80}") {
            drop(spec(&text));
        }

        #[test]
        fn what_is_accepted_is_within_its_bounds(
            columns in 0u32..12_000, lines in 0u32..12_000, cell in 0u32..5000, padding in 0u32..70_000
        ) {
            let text = format!(r#"{{"Columns":{columns},"Lines":"{lines}","CellWidth":{cell},"Padding":{padding}}}"#);
            if let Ok((sprite, _)) = spec(&text) {
                prop_assert!(sprite.columns * cell + (sprite.columns - 1) * padding <= JPEG_SIDE_MAX);
                prop_assert!((SIDE_MIN..=SIDE_MAX).contains(&cell));
                prop_assert_eq!((sprite.columns, sprite.lines), (columns, lines));
            }
        }
    }
}
