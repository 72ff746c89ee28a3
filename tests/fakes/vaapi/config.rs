//! What can be decoded, and what is made before the first picture: configurations, surfaces, contexts.
//!
//! Owns these three kinds of objects. Never offers what `caps` does not.

use std::ffi::{c_int, c_uint, c_void};

use crate::caps::{self, Row};
use crate::control::Control;
use crate::pixels::{Shape, Surface, codec};
use crate::state::Context;
use crate::{
    INVALID_CONFIG, INVALID_CONTEXT, INVALID_PARAMETER, INVALID_SURFACE, Kind, OK, RESOLUTION_NOT_SUPPORTED,
    UNSUPPORTED_ENTRYPOINT, UNSUPPORTED_PROFILE, at, call, set,
};

pub const NV12: u32 = 0x3231_564e;
pub const P010: u32 = 0x3031_3050;

const DECODE: c_int = 1;
const RT_FORMAT_10: u32 = 0x100;

/// Profile, codec, depths.
const PROFILES: &[(c_int, u32, &[u32])] = &[
    (0, codec::MPEG2, &[8]),
    (1, codec::MPEG2, &[8]),
    (2, codec::MPEG4, &[8]),
    (3, codec::MPEG4, &[8]),
    (4, codec::MPEG4, &[8]),
    (13, codec::H264, &[8]),
    (6, codec::H264, &[8]),
    (7, codec::H264, &[8]),
    (17, codec::HEVC, &[8]),
    (18, codec::HEVC, &[10]),
    (19, codec::VP9, &[8]),
    (21, codec::VP9, &[10]),
    (32, codec::AV1, &[8, 10]),
];

pub const PROFILES_MAX: c_int = PROFILES.len() as c_int;

/// The rows that a profile offers, with their depths.
fn rows(control: &Control, profile: c_int) -> Vec<(u32, Row)> {
    let known = PROFILES.iter().filter(|entry| entry.0 == profile);
    let depths = known.flat_map(|(_, codec, depths)| depths.iter().map(move |depth| (*codec, *depth)));
    depths.filter_map(|(codec, depth)| Some((depth, caps::offered(control, codec, 1, depth)?))).collect()
}

/// The codec of a profile.
pub fn codec_of(profile: c_int) -> u32 {
    PROFILES.iter().find(|entry| entry.0 == profile).map_or(0, |entry| entry.1)
}

pub extern "C" fn query_profiles(_: *mut c_void, list: *mut c_int, count: *mut c_int) -> c_int {
    call("QueryConfigProfiles", Kind::Work, |call| {
        let offered = PROFILES.iter().filter(|entry| !rows(call.control, entry.0).is_empty());
        let mut n = 0;
        for entry in offered {
            // SAFETY: the caller's list has room for `PROFILES_MAX`.
            unsafe { list.add(n).write(entry.0) };
            n += 1;
        }
        // SAFETY: the caller's variable.
        unsafe { count.write(n as c_int) };
        OK
    })
}

pub extern "C" fn query_entrypoints(
    _: *mut c_void,
    _profile: c_int,
    list: *mut c_int,
    count: *mut c_int,
) -> c_int {
    call("QueryConfigEntrypoints", Kind::Work, |_| {
        // SAFETY: the caller's list has room for one, and the caller's variable.
        unsafe {
            list.write(DECODE);
            count.write(1);
        }
        OK
    })
}

pub extern "C" fn get_attributes(
    _: *mut c_void,
    _profile: c_int,
    _entry: c_int,
    list: *mut c_void,
    count: c_int,
) -> c_int {
    call("GetConfigAttributes", Kind::Work, |_| {
        for n in 0..usize::try_from(count).unwrap_or(0) {
            // SAFETY: the caller's list of pairs; the value of the first kind is the format, others are not supported.
            unsafe {
                let format = at::<u32>(list, 8 * n) == 0;
                set(list, 8 * n + 4, if format { 1 | RT_FORMAT_10 } else { 0x8000_0000 });
            }
        }
        OK
    })
}

pub extern "C" fn create(
    _: *mut c_void,
    profile: c_int,
    entry: c_int,
    _attributes: *mut c_void,
    _count: c_int,
    config: *mut u32,
) -> c_int {
    call("CreateConfig", Kind::Work, |call| {
        let rows = rows(call.control, profile);
        let depth = rows.first().map_or(0, |(depth, _)| *depth);
        call.detail = format!("profile={profile} codec={}", caps::name(codec_of(profile), depth));
        if rows.is_empty() {
            return UNSUPPORTED_PROFILE;
        }
        if entry != DECODE {
            return UNSUPPORTED_ENTRYPOINT;
        }
        let id = call.state.id();
        call.state.configs.insert(id, profile);
        // SAFETY: the caller's variable.
        unsafe { config.write(id) };
        OK
    })
}

pub extern "C" fn destroy(_: *mut c_void, config: u32) -> c_int {
    call("DestroyConfig", Kind::Free, |call| match call.state.configs.remove(&config) {
        Some(_) => OK,
        None => INVALID_CONFIG,
    })
}

pub extern "C" fn query_surface_attributes(
    _: *mut c_void,
    config: u32,
    list: *mut c_void,
    count: *mut c_uint,
) -> c_int {
    call("QuerySurfaceAttributes", Kind::Work, |call| {
        let Some(profile) = call.state.configs.get(&config) else { return INVALID_CONFIG };
        let rows = rows(call.control, *profile);
        let Some((_, first)) = rows.first() else { return UNSUPPORTED_PROFILE };
        let (min, max) = (first.min, first.max);
        // Least and most width, least and most height, then a format for each depth.
        let mut found: Vec<(u32, u32)> = vec![(2, min.0.into()), (3, max.0), (4, min.1.into()), (5, max.1)];
        found.extend(rows.iter().map(|(depth, _)| (1, if *depth > 8 { P010 } else { NV12 })));
        if !list.is_null() {
            for (n, (kind, value)) in found.iter().enumerate() {
                // SAFETY: the caller's list has room for as many as the first call said.
                unsafe { set(list, 24 * n, [*kind, 1, 1, 0, *value, 0]) };
            }
        }
        // SAFETY: the caller's variable.
        unsafe { count.write(found.len() as c_uint) };
        OK
    })
}

#[allow(clippy::too_many_arguments)]
pub extern "C" fn create_surfaces(
    _: *mut c_void,
    format: c_uint,
    width: c_uint,
    height: c_uint,
    surfaces: *mut u32,
    count: c_uint,
    _attributes: *mut c_void,
    _attributes_count: c_uint,
) -> c_int {
    call("CreateSurfaces", Kind::Work, |call| {
        let depth = if format == RT_FORMAT_10 { 10 } else { 8 };
        call.detail = format!("size={width}x{height} depth={depth} count={count}");
        if width == 0 || height == 0 {
            return INVALID_PARAMETER;
        }
        let shape = Shape { width: width as usize, height: height as usize, depth };
        for n in 0..count as usize {
            let id = call.state.id();
            call.state.surfaces.insert(id, (shape, Surface::default()));
            // SAFETY: the caller's list has room for `count`.
            unsafe { surfaces.add(n).write(id) };
        }
        OK
    })
}

pub extern "C" fn destroy_surfaces(_: *mut c_void, surfaces: *const u32, count: c_int) -> c_int {
    call("DestroySurfaces", Kind::Free, |call| {
        let mut code = OK;
        for n in 0..usize::try_from(count).unwrap_or(0) {
            // SAFETY: the caller's list of `count`.
            if call.state.surfaces.remove(&unsafe { *surfaces.add(n) }).is_none() {
                code = INVALID_SURFACE;
            }
        }
        code
    })
}

#[allow(clippy::too_many_arguments)]
pub extern "C" fn create_context(
    _: *mut c_void,
    config: u32,
    width: c_int,
    height: c_int,
    _flag: c_int,
    _targets: *const u32,
    _targets_count: c_int,
    context: *mut u32,
) -> c_int {
    call("CreateContext", Kind::Work, |call| {
        call.detail = format!("size={width}x{height}");
        let Some(profile) = call.state.configs.get(&config).copied() else { return INVALID_CONFIG };
        let rows = rows(call.control, profile);
        let fits = |(_, row): &(u32, Row)| width as u32 <= row.max.0 && height as u32 <= row.max.1;
        if !rows.iter().any(fits) {
            return RESOLUTION_NOT_SUPPORTED;
        }
        let id = call.state.id();
        call.state.contexts.insert(id, Context { profile, picture: None, first_field: None });
        // SAFETY: the caller's variable.
        unsafe { context.write(id) };
        OK
    })
}

pub extern "C" fn destroy_context(_: *mut c_void, context: u32) -> c_int {
    call("DestroyContext", Kind::Free, |call| match call.state.contexts.remove(&context) {
        Some(_) => OK,
        None => INVALID_CONTEXT,
    })
}
