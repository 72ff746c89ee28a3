//! Just enough of a Rust reader for the tidy rules: what is code, what is text, what is test.
//!
//! Owns the split of a source into those parts. Never judges; never needs the source to compile.

/// A source taken apart. `code` is as long as the source: comments, strings and test items are blanks in it.
pub struct Source {
    pub code: String,
    /// String literals outside test items, with the line each begins on.
    pub strings: Vec<(usize, String)>,
    /// The `//!` lines at the top, without the marks.
    pub header: Vec<String>,
    /// Lines that are not in test items.
    pub lines: usize,
}

/// Takes a source apart.
pub fn read(text: &str) -> Source {
    let (mut code, strings) = blank_comments_and_strings(text);
    let tests = blank_test_items(&mut code);
    let line_of = |at: usize| text[..at].matches('\n').count() + 1;
    let strings = strings
        .into_iter()
        .filter(|(at, _)| !tests.iter().any(|range| range.contains(at)))
        .map(|(at, string)| (line_of(at), string))
        .collect();
    let header =
        text.lines().map_while(|line| line.strip_prefix("//!")).map(|line| line.trim().to_owned()).collect();
    let test_lines: usize = tests.iter().map(|range| text[range.clone()].matches('\n').count()).sum();
    let code = String::from_utf8(code).unwrap();
    Source { code, strings, header, lines: text.lines().count() - test_lines }
}

fn blank(code: &mut [u8], range: std::ops::Range<usize>) {
    for byte in &mut code[range] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn blank_comments_and_strings(text: &str) -> (Vec<u8>, Vec<(usize, String)>) {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut strings = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let after_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let end = if rest.starts_with(b"//") {
            at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            at + block_comment(rest)
        } else if let Some((skip, hashes)) = raw_string(rest).filter(|_| !after_word) {
            let close = format!("\"{}", "#".repeat(hashes));
            let length = text[at + skip..].find(&close).unwrap_or(text.len() - at - skip);
            strings.push((at, text[at + skip..at + skip + length].to_owned()));
            at + skip + length + close.len()
        } else if rest[0] == b'"' {
            let length = quoted(rest, b'"');
            strings.push((at, text[at + 1..(at + length).saturating_sub(1).max(at + 1)].to_owned()));
            at + length
        } else if rest[0] == b'\'' && is_char(rest) {
            at + quoted(rest, b'\'')
        } else {
            at += 1;
            continue;
        };
        let end = end.min(bytes.len());
        blank(&mut code, at..end);
        at = end;
    }
    // Characters beyond ASCII outside comments and strings are whole in `code`; inside they were blanked bytewise.
    (code, strings)
}

/// Length of a `/* */`, nested ones included.
fn block_comment(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// For `r"`, `r#"`, `br#"`, `cr"`: bytes up to and with the quote, and the number of hashes.
fn raw_string(rest: &[u8]) -> Option<(usize, usize)> {
    let prefix = usize::from(matches!(rest[0], b'b' | b'c'));
    if rest.get(prefix) != Some(&b'r') {
        return None;
    }
    let hashes = rest[prefix + 1..].iter().take_while(|b| **b == b'#').count();
    let quote = prefix + 1 + hashes;
    (rest.get(quote) == Some(&b'"')).then_some((quote + 1, hashes))
}

/// Length of a literal in quotes, with both quotes and its escapes.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// `'a'`, `'\n'`, `'é'`, and not the lifetime `'a`.
fn is_char(rest: &[u8]) -> bool {
    match rest.get(1) {
        Some(b'\\') => true,
        Some(first) if first.is_ascii() => rest.get(2) == Some(&b'\''),
        Some(_) => true,
        None => false,
    }
}

/// Blanks every item under `#[cfg(test)]`; returns their ranges.
fn blank_test_items(code: &mut [u8]) -> Vec<std::ops::Range<usize>> {
    const MARK: &[u8] = b"#[cfg(test)]";
    let mut ranges = Vec::new();
    let mut from = 0;
    while let Some(at) = code[from..].windows(MARK.len()).position(|w| w == MARK).map(|at| from + at) {
        let (mut end, mut depth) = (at + MARK.len(), 0i32);
        while end < code.len() {
            match code[end] {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                b';' if depth == 0 => break,
                _ => {}
            }
            if code[end] == b'}' && depth <= 0 {
                break;
            }
            end += 1;
        }
        let range = at..(end + 1).min(code.len());
        blank(code, range.clone());
        from = range.end;
        ranges.push(range);
    }
    ranges
}

/// Every path that the code names: `use` trees one leaf each, and paths in expressions; with their lines.
pub fn paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut inline = code.as_bytes().to_vec();
    for (at, _) in code.match_indices("use ") {
        let starts_item = code[..at].chars().next_back().is_none_or(|c| c.is_whitespace() || c == ')');
        let Some(length) = code[at..].find(';').filter(|_| starts_item) else { continue };
        let line = code[..at].matches('\n').count() + 1;
        flatten("", &code[at + 4..at + length], &mut |leaf| found.push((line, leaf)));
        blank(&mut inline, at..at + length);
    }
    let inline = String::from_utf8(inline).unwrap();
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for (line, row) in (1..).zip(inline.lines()) {
        for word in row.split(|c| !is_part(c)).filter(|word| word.contains("::")) {
            found.push((line, word.trim_matches(':').to_owned()));
        }
    }
    found
}

fn flatten(prefix: &str, tree: &str, take: &mut impl FnMut(String)) {
    let tree = tree.trim();
    let Some((head, inner)) = tree.split_once('{') else {
        let name = tree.split_whitespace().next().unwrap_or_default();
        return take(format!("{prefix}{name}"));
    };
    let inner = inner.rsplit_once('}').map_or(inner, |(inner, _)| inner);
    let prefix = format!("{prefix}{}", head.trim());
    let (mut depth, mut begin) = (0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                flatten(&prefix, &inner[begin..at], take);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if !inner[begin..].trim().is_empty() {
        flatten(&prefix, &inner[begin..], take);
    }
}
