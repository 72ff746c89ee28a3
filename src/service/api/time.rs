//! Times as the API writes them. *Pure.*
//!
//! Owns reading and printing `YYYY-MM-DDThh:mm:ssZ` (API contract, 1.3). Never asks what time it is.

/// Unix milliseconds of a UTC time; a fraction of a second is read and dropped below the millisecond.
/// None for any other text, other offsets included.
pub fn parse(text: &str) -> Option<i64> {
    let (seconds, fraction) = match text.strip_suffix('Z')?.split_once('.') {
        Some((seconds, fraction)) => (seconds, Some(fraction)),
        None => (text.strip_suffix('Z')?, None),
    };
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let fits = seconds.len() == shape.len()
        && seconds.bytes().zip(shape).all(|(byte, want)| match want {
            b'd' => byte.is_ascii_digit(),
            other => byte == *other,
        });
    let whole = fraction.is_none_or(|f| (1..=9).contains(&f.len()) && f.bytes().all(|b| b.is_ascii_digit()));
    if !fits || !whole {
        return None;
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(time.as_millisecond())
}

/// The time as the API prints it, seconds only.
pub fn print(unix_ms: i64) -> String {
    let time = jiff::Timestamp::from_second(unix_ms.div_euclid(1000)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_forms_that_clients_send() {
        assert_eq!(parse("1970-01-01T00:00:01Z"), Some(1000));
        assert_eq!(parse("2026-01-02T03:04:05Z"), Some(1_767_323_045_000));
        assert_eq!(parse("2026-01-02T03:04:05.180494069Z"), Some(1_767_323_045_180));
        for bad in [
            "",
            "Z",
            "2026-01-02T03:04:05",
            "2026-01-02 03:04:05Z",
            "2026-01-02t03:04:05Z",
            "2026-01-02T03:04:05z",
            "2026-01-02T03:04:05+00:00",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05.1234567890Z",
            "2026-13-02T03:04:05Z",
            "2026-02-30T03:04:05Z",
            "2026-01-02T25:04:05Z",
            "20260102T030405Z",
            "+002026-01-02T03:04:05Z",
            "1767323045",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(seconds in 0i64..200_000_000_000) {
            let text = print(seconds * 1000 + 999);
            prop_assert_eq!(text.len(), 20);
            prop_assert_eq!(parse(&text), Some(seconds * 1000));
        }

        #[test]
        fn any_text_gives_an_answer(text in ".{0,40}") {
            prop_assert!(parse(&text).is_none_or(|ms| ms.abs() < 1 << 53));
        }
    }
}
