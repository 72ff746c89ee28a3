//! Little-endian reading and writing for the messages on the bridge. *Pure.*
//!
//! Owns the primitive shapes: numbers, flags, texts, counts, options. Never allocates more than the bytes
//! at hand can fill, and never panics whatever the bytes are.

use super::Malformed;

/// Takes values off the front of a message's payload.
pub(super) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(payload: &'a [u8]) -> Reader<'a> {
        Reader { left: payload }
    }

    /// Ends the reading: a message has no bytes that nobody asked for.
    pub fn end(self) -> Result<(), Malformed> {
        if self.left.is_empty() { Ok(()) } else { Err(Malformed::LeftOver) }
    }

    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, left) = self.left.split_at_checked(len).ok_or(Malformed::Cut)?;
        self.left = left;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, left) = self.left.split_first_chunk().ok_or(Malformed::Cut)?;
        self.left = left;
        Ok(*bytes)
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub fn array16(&mut self) -> Result<[u8; 16], Malformed> {
        self.array()
    }

    pub fn array3(&mut self) -> Result<[u8; 3], Malformed> {
        self.array()
    }

    /// A flag is 0 or 1; anything else is damage.
    pub fn bool(&mut self, what: &'static str) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::Value(what)),
        }
    }

    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        if self.bool("option")? { Ok(Some(read(self)?)) } else { Ok(None) }
    }

    /// A text of at most `most` bytes.
    pub fn text(&mut self, most: usize) -> Result<String, Malformed> {
        let len = self.u32()? as usize;
        if len > most {
            return Err(Malformed::TooLong { what: "text", got: len as u64, most: most as u64 });
        }
        let bytes = self.bytes(len)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Malformed::Text)
    }

    /// A list whose items take at least `item_bytes` each: the count is checked against the bytes that are
    /// left before anything is allocated for it.
    pub fn list<T>(
        &mut self,
        item_bytes: usize,
        mut read: impl FnMut(&mut Reader<'a>) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.u32()? as usize;
        if count > self.left.len() / item_bytes.max(1) {
            return Err(Malformed::Cut);
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }
}

/// Puts values behind each other.
#[derive(Default)]
pub(super) struct Writer {
    pub bytes: Vec<u8>,
}

impl Writer {
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Writer, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// A text, cut at a character's border to at most `most` bytes.
    pub fn text(&mut self, text: &str, most: usize) {
        let cut = &text[..text.floor_char_boundary(most)];
        self.count(cut.len());
        self.raw(cut.as_bytes());
    }

    pub fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Writer, &T)) {
        self.count(items.len());
        for item in items {
            write(self, item);
        }
    }

    // A list beyond 32 bits makes a message beyond every limit, which the frame refuses afterwards.
    fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }
}
