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
        self.with_five(name, [argument, 0, 0, 0, 0])
    }

    fn with_two(&self, name: &str, argument: u64, second: u64) -> c_int {
        self.with_five(name, [argument, second, 0, 0, 0])
    }

    fn with_five(&self, name: &str, arguments: [u64; 5]) -> c_int {
        let [a, b, c, d, e] = arguments;
        // SAFETY: these calls take at most five numbers or pointers and return a code; they do not look at the registers
        // of those that they do not take.
        unsafe {
            let call: extern "C" fn(u64, u64, u64, u64, u64) -> c_int =
                std::mem::transmute(self.symbol(name));
            call(a, b, c, d, e)
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

fn load(fake: &cuda::FakeCuda) -> Driver {
    let path = CString::new(fake.path().join("libcuda.so.1").to_str().unwrap()).unwrap();
    // SAFETY: the library is one that these tests built.
    let driver = Driver(unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) });
    assert!(!driver.0.is_null());
    driver
}

#[test]
fn contexts_addresses_and_processes_are_told_apart() {
    let fake = cuda::fake_cuda();
    let driver = load(&fake);
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
    decodes_and_maps(&driver, context);
    assert_eq!(driver.with_one("cuCtxDestroy_v2", context), 700, "it frees all the same");
    fake.assert_nothing_left();
}

fn put<T>(bytes: &mut [u8], offset: usize, value: T) {
    assert!(offset + size_of::<T>() <= bytes.len());
    // SAFETY: within the bytes.
    unsafe { bytes.as_mut_ptr().add(offset).cast::<T>().write_unaligned(value) };
}

// The last, as its end leaves an error that sticks.
fn decodes_and_maps(driver: &Driver, context: u64) {
    let mut info = [0_u8; 176];
    for (offset, value) in [(0, 320_u64), (8, 192), (16, 4), (96, 320), (104, 192), (112, 2)] {
        put(&mut info, offset, value);
    }
    put(&mut info, 24, 4_u32);
    put(&mut info, 28, 1_u32);
    let mut decoder = 0_u64;
    let create = [&raw mut decoder as u64, info.as_ptr() as u64, 0, 0, 0];
    assert_eq!(driver.with_five("cuvidCreateDecoder", create), 201, "no current context");
    assert_eq!(driver.with_one("cuCtxPushCurrent_v2", context), 0);
    assert_eq!(driver.with_five("cuvidCreateDecoder", create), 0);

    let mut picture = [0_u8; 4280];
    let bitstream = *b"any bytes";
    put(&mut picture, 24, 9_u32);
    put(&mut picture, 32, bitstream.as_ptr());
    put(&mut picture, 60, 1_u32);
    let decode = |picture: &[u8]| driver.with_two("cuvidDecodePicture", decoder, picture.as_ptr() as u64);
    assert_eq!(decode(&picture), 0);
    put(&mut picture, 8, 4_u32);
    assert_eq!(decode(&picture), 1, "a surface beyond those of the decoder");

    let (mut address, mut pitch) = (0_u64, 0_u32);
    let map = [decoder, 0, &raw mut address as u64, &raw mut pitch as u64, 0];
    assert_eq!(driver.with_five("cuvidMapVideoFrame64", map), 0);
    let first = address;
    assert_eq!(driver.with_five("cuvidMapVideoFrame64", map), 0);
    assert_eq!(driver.with_five("cuvidMapVideoFrame64", map), 205, "more maps than outputs");
    assert_eq!(pitch, 512);
    let other = driver.context();
    assert_eq!(decode(&picture), 400, "another context than the decoder's");
    assert_eq!(driver.with_one("cuCtxDestroy_v2", other), 0);

    // `CUDA_MEMCPY2D`, to the CPU: 320 wide.
    let mut row = [0_u8; 320];
    let mut copy = |from: u64, height: u64| {
        let mut what = [0_u8; 128];
        for (offset, value) in [(32, from), (48, 512), (104, 320), (112, 320), (120, height)] {
            put(&mut what, offset, value);
        }
        put(&mut what, 16, 2_u32);
        put(&mut what, 72, 1_u32);
        put(&mut what, 80, row.as_mut_ptr());
        driver.with_one("cuMemcpy2D_v2", what.as_ptr() as u64)
    };
    assert_eq!(copy(first + 512 * 287, 1), 0, "the last row of chroma");
    assert_eq!(driver.with_two("cuvidUnmapVideoFrame64", decoder, first), 0);
    assert_eq!(driver.with_two("cuvidUnmapVideoFrame64", decoder, address), 0);
    assert_eq!(driver.with_one("cuvidDestroyDecoder", decoder), 0);
    assert_eq!(copy(first, 1), 700, "it is mapped no more");
    assert_eq!(driver.with_two("cuMemAlloc_v2", &raw mut address as u64, 100), 700, "it sticks");
}
