//! Ways of a driver that the ffmpeg command cannot show: the double is loaded into this process and into children of it.
//!
//! Owns the loading. Never calls what would stop the tests.

#![allow(unsafe_code)]

use std::ffi::{CString, c_int, c_void};

use crate::common::fake::cuda;

struct Driver(*mut c_void);

impl Driver {
    fn symbol(&self, name: &str) -> *mut c_void {
        let name_c = CString::new(name).unwrap();
        // SAFETY: the library is open.
        let symbol = unsafe { libc::dlsym(self.0, name_c.as_ptr()) };
        assert!(!symbol.is_null(), "{name}");
        symbol
    }

    fn with_one(&self, name: &str, argument: u64) -> c_int {
        // SAFETY: these calls take one number or pointer and return a code.
        unsafe {
            let call: extern "C" fn(u64) -> c_int = std::mem::transmute(self.symbol(name));
            call(argument)
        }
    }

    fn with_two(&self, name: &str, argument: u64, second: u64) -> c_int {
        // SAFETY: these calls take two numbers or pointers and return a code.
        unsafe {
            let call: extern "C" fn(u64, u64) -> c_int = std::mem::transmute(self.symbol(name));
            call(argument, second)
        }
    }

    fn context(&self) -> u64 {
        let mut context = 0_u64;
        // SAFETY: the call writes one pointer.
        let code = unsafe {
            let call: extern "C" fn(*mut u64, u32, c_int) -> c_int =
                std::mem::transmute(self.symbol("cuCtxCreate_v2"));
            call(&raw mut context, 0, 0)
        };
        assert_eq!(code, 0);
        context
    }
}

#[test]
fn contexts_addresses_and_processes_are_told_apart() {
    let fake = cuda::fake_cuda();
    let path = CString::new(fake.path().join("libcuda.so.1").to_str().unwrap()).unwrap();
    // SAFETY: the library is one that these tests built.
    let driver = Driver(unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) });
    assert!(!driver.0.is_null());
    let mut address = 0_u64;
    let place = &raw mut address as u64;

    assert_eq!(driver.with_two("cuMemAlloc_v2", place, 100), 3, "before cuInit");
    assert_eq!(driver.with_one("cuInit", 0), 0);
    assert_eq!(driver.with_two("cuMemAlloc_v2", place, 100), 201, "no current context");
    let context = driver.context();
    assert_eq!(driver.with_two("cuMemAlloc_v2", place, 100), 0);
    // No processor takes it: the upper bits are neither all set nor all clear.
    assert!(!matches!(address >> 47, 0 | 0x1_ffff), "{address:x}");
    assert_eq!(driver.with_one("cuMemFree_v2", address + 1), 1);

    // Which context is current is a matter of the thread.
    let elsewhere = std::thread::scope(|scope| {
        let (symbol, place) = (driver.symbol("cuMemAlloc_v2") as usize, place);
        let thread = scope.spawn(move || {
            // SAFETY: as in `with_two`; the address is not written, as the call fails.
            let call: extern "C" fn(u64, u64) -> c_int = unsafe { std::mem::transmute(symbol) };
            call(place, 100)
        });
        thread.join().unwrap()
    });
    assert_eq!(elsewhere, 201);

    // SAFETY: the child calls the double, which takes locks that no other thread of this test has, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let codes = [driver.with_one("cuInit", 0), driver.with_one("cuMemFree_v2", address)];
        // SAFETY: ends the child without running what the parent registered.
        unsafe { libc::_exit(if codes == [3, 3] { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child that was just made.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "after a fork the driver answered");

    assert_eq!(driver.with_one("cuMemFree_v2", address), 0);
    assert_eq!(driver.with_one("cuCtxPopCurrent_v2", place), 0);
    assert_eq!(driver.with_one("cuCtxPopCurrent_v2", place), 201);
    assert_eq!(driver.with_one("cuCtxPushCurrent_v2", context + 1), 201);
    assert_eq!(driver.with_one("cuCtxDestroy_v2", context), 0);
    fake.assert_nothing_left();
}
