//! The display that libavutil asks for, and the start of the driver that libva then loads.
//!
//! Owns the two structures that libva shares with a display and a driver, by their offsets. Never looks at the node: any
//! open file will do.

use std::ffi::{CStr, c_char, c_int, c_void};

use crate::{Kind, OK, UNIMPLEMENTED, at, call, config, control, image, picture, set};

unsafe extern "C" {
    fn calloc(count: usize, size: usize) -> *mut c_void;
    fn free(memory: *mut c_void);
    fn strdup(text: *const c_char) -> *mut c_char;
    fn setenv(name: *const c_char, value: *const c_char, overwrite: c_int) -> c_int;
    fn dlopen(file: *const c_char, mode: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

const NOW: c_int = 2;
const NAME: &CStr = c"double";
const VENDOR: &CStr = c"A test double";

// `VADisplayContext`.
const DISPLAY_DRIVER: usize = 16;
const DISPLAY_IS_VALID: usize = 24;
const DISPLAY_DESTROY: usize = 32;
const DISPLAY_DRIVER_NAME: usize = 40;
const DISPLAY_CANDIDATES: usize = 104;
const DISPLAY_NAME_BY_INDEX: usize = 112;
// `VADriverContext`.
const DRIVER_TABLE: usize = 8;
const DRIVER_VERSION: usize = 52;
const DRIVER_MOST: usize = 60;
const DRIVER_VENDOR: usize = 88;
const DRIVER_DRM: usize = 104;
const DRIVER_DISPLAY_TYPE: usize = 120;

const DISPLAY_TYPE_RENDER_NODE: u64 = 0x31;

/// The function that libva has under this name.
fn of_libva(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: libva is loaded already, as libavutil needs it.
    let found = unsafe { dlsym(dlopen(c"libva.so.2".as_ptr(), NOW), name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

#[unsafe(no_mangle)]
pub extern "C" fn vaGetDisplayDRM(node: c_int) -> *mut c_void {
    let mut display = std::ptr::null_mut();
    let code = call("GetDisplay", Kind::Work, |call| {
        call.detail = format!("node={node}");
        display = opened(node).unwrap_or(std::ptr::null_mut());
        if display.is_null() { crate::OPERATION_FAILED } else { OK }
    });
    if code == OK { display } else { std::ptr::null_mut() }
}

fn opened(node: c_int) -> Option<*mut c_void> {
    let (new_display, new_driver) = (of_libva(c"va_newDisplayContext")?, of_libva(c"va_newDriverContext")?);
    let folder = std::ffi::CString::new(control::folder().to_str()?).ok()?;
    // SAFETY: libva's own constructors; what is written are fields of what they made, and `drm_state`, which has 40 bytes.
    // The environment is this process's, and the driver beside this library is the one to load.
    unsafe {
        let new_display: extern "C" fn() -> *mut c_void = std::mem::transmute(new_display);
        let new_driver: extern "C" fn(*mut c_void) -> *mut c_void = std::mem::transmute(new_driver);
        let display = new_display();
        set(display, DISPLAY_IS_VALID, is_valid as *const c_void);
        set(display, DISPLAY_DESTROY, destroy as *const c_void);
        set(display, DISPLAY_DRIVER_NAME, driver_name as *const c_void);
        set(display, DISPLAY_CANDIDATES, candidates as *const c_void);
        set(display, DISPLAY_NAME_BY_INDEX, name_by_index as *const c_void);
        let driver = new_driver(display);
        let drm = calloc(1, 40);
        set(drm, 0, node);
        set(drm, 4, 3_i32);
        set(driver, DRIVER_DRM, drm);
        set(driver, DRIVER_DISPLAY_TYPE, DISPLAY_TYPE_RENDER_NODE);
        setenv(c"LIBVA_DRIVERS_PATH".as_ptr(), folder.as_ptr(), 1);
        setenv(c"LIBVA_DRIVER_NAME".as_ptr(), NAME.as_ptr(), 1);
        Some(display)
    }
}

extern "C" fn is_valid(display: *mut c_void) -> c_int {
    // SAFETY: libva hands on the display.
    c_int::from(!unsafe { at::<*mut c_void>(display, DISPLAY_DRIVER) }.is_null())
}

extern "C" fn destroy(display: *mut c_void) {
    // SAFETY: libva hands on the display for the last time; all three came from `calloc`.
    unsafe {
        let driver = at::<*mut c_void>(display, DISPLAY_DRIVER);
        free(at(driver, DRIVER_DRM));
        free(driver);
        free(display);
    }
}

extern "C" fn driver_name(_display: *mut c_void, name: *mut *mut c_char) -> c_int {
    // SAFETY: the caller's variable; the caller frees.
    unsafe { name.write(strdup(NAME.as_ptr())) };
    OK
}

extern "C" fn candidates(_display: *mut c_void, count: *mut c_int) -> c_int {
    // SAFETY: the caller's variable.
    unsafe { count.write(1) };
    OK
}

extern "C" fn name_by_index(display: *mut c_void, name: *mut *mut c_char, _index: c_int) -> c_int {
    driver_name(display, name)
}

extern "C" fn absent() -> c_int {
    call("absent", Kind::Work, |_| UNIMPLEMENTED)
}

extern "C" fn terminate(_driver: *mut c_void) -> c_int {
    let code = call("Terminate", Kind::Free, |_| OK);
    control::log("alive", code, crate::state::State::lock().living());
    code
}

/// The driver's entry: libva looks for the newest of its own minor versions and goes down to this one.
#[unsafe(export_name = "__vaDriverInit_1_0")]
pub extern "C" fn initialize(driver: *mut c_void) -> c_int {
    call("Initialize", Kind::Work, |call| {
        call.state.displays += 1;
        // In the order of `VADriverVTable`.
        let mut table = [absent as *const c_void; 59];
        let entries: &[(usize, *const c_void)] = &[
            (0, terminate as *const c_void),
            (1, config::query_profiles as *const c_void),
            (2, config::query_entrypoints as *const c_void),
            (3, config::get_attributes as *const c_void),
            (4, config::create as *const c_void),
            (5, config::destroy as *const c_void),
            (8, config::destroy_surfaces as *const c_void),
            (9, config::create_context as *const c_void),
            (10, config::destroy_context as *const c_void),
            (11, picture::create_buffer as *const c_void),
            (13, image::map_buffer as *const c_void),
            (14, image::unmap_buffer as *const c_void),
            (15, picture::destroy_buffer as *const c_void),
            (16, picture::begin as *const c_void),
            (17, picture::render as *const c_void),
            (18, picture::end as *const c_void),
            (19, image::sync_surface as *const c_void),
            (23, image::query_formats as *const c_void),
            (24, image::create as *const c_void),
            (25, image::derive as *const c_void),
            (26, image::destroy as *const c_void),
            (28, image::get as *const c_void),
            (45, config::create_surfaces as *const c_void),
            (46, config::query_surface_attributes as *const c_void),
        ];
        for (place, entry) in entries {
            table[*place] = *entry;
        }
        // SAFETY: `VADriverContext`, whose table libva has allocated and gives room for more than these.
        unsafe {
            let to = at::<*mut *const c_void>(driver, DRIVER_TABLE);
            to.copy_from_nonoverlapping(table.as_ptr(), table.len());
            set(driver, DRIVER_VERSION, [1_i32, 0]);
            // Profiles, entry points, attributes, image formats, subpicture formats, display attributes.
            set(driver, DRIVER_MOST, [config::PROFILES_MAX, 1, 1, 2, 1, 1]);
            set(driver, DRIVER_VENDOR, VENDOR.as_ptr());
        }
        OK
    })
}
