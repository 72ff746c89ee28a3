//! Finds field pairs of H.264 (PAFF) with FFmpeg's own parser.
//!
//! Owns the parser and the memory of an unpaired first field. Never parses anything but whole packets.

#![allow(unsafe_code)]

use std::ptr;

use ffmpeg_next::codec::{Context, Parameters};
use ffmpeg_next::ffi;

use crate::model::media::Field;

/// Tells first and second fields apart.
pub struct FieldParser {
    parser: *mut ffi::AVCodecParserContext,
    context: Context,
    /// The parity of a first field that waits for its second.
    first: Option<ffi::AVPictureStructure>,
}

impl FieldParser {
    /// None when FFmpeg has no such parser.
    pub fn new(parameters: &Parameters) -> Option<FieldParser> {
        let context = Context::from_parameters(parameters.clone()).ok()?;
        // SAFETY: the parser is closed in `drop`; its flags may be set before the first packet.
        let parser = unsafe {
            let parser = ffi::av_parser_init((*parameters.as_ptr()).codec_id as i32);
            if parser.is_null() {
                return None;
            }
            (*parser).flags |= ffi::PARSER_FLAG_COMPLETE_FRAMES;
            parser
        };
        Some(FieldParser { parser, context, first: None })
    }

    /// After a seek no first field waits.
    pub fn restart(&mut self) {
        self.first = None;
    }

    /// What the packet holds.
    pub fn read(&mut self, data: &[u8]) -> Field {
        use ffi::AVPictureStructure::{AV_PICTURE_STRUCTURE_BOTTOM_FIELD, AV_PICTURE_STRUCTURE_TOP_FIELD};
        // SAFETY: a packet's payload is followed by FFmpeg's padding; the outputs are not used.
        let structure = unsafe {
            let (mut out, mut out_size) = (ptr::null_mut(), 0);
            ffi::av_parser_parse2(
                self.parser,
                self.context.as_mut_ptr(),
                &mut out,
                &mut out_size,
                data.as_ptr(),
                i32::try_from(data.len()).unwrap_or(0),
                ffi::AV_NOPTS_VALUE,
                ffi::AV_NOPTS_VALUE,
                0,
            );
            (*self.parser).picture_structure
        };
        if structure != AV_PICTURE_STRUCTURE_TOP_FIELD && structure != AV_PICTURE_STRUCTURE_BOTTOM_FIELD {
            self.first = None;
            return Field::Frame;
        }
        match self.first.take() {
            Some(first) if first != structure => Field::Second,
            _ => {
                self.first = Some(structure);
                Field::First
            }
        }
    }
}

impl Drop for FieldParser {
    fn drop(&mut self) {
        // SAFETY: made by `av_parser_init`, closed once.
        unsafe { ffi::av_parser_close(self.parser) }
    }
}
