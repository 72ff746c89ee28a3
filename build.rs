//! Build script: finds the C libraries that no crate finds for us.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    link_zimg();
}

/// Links zimg, the scaler (Debian: `libzimg-dev`), where pkg-config says it is.
fn link_zimg() {
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    let said = Command::new("pkg-config").args(["--libs", "zimg >= 2.9"]).output();
    let flags = match said {
        Ok(out) if out.status.success() => String::from_utf8_lossy(&out.stdout).into_owned(),
        Ok(out) => fail(&format!("zimg was not found: {}", String::from_utf8_lossy(&out.stderr).trim())),
        Err(e) => fail(&format!("pkg-config cannot be run: {e}")),
    };
    for flag in flags.split_whitespace() {
        if let Some(dir) = flag.strip_prefix("-L") {
            println!("cargo:rustc-link-search=native={dir}");
        } else if let Some(lib) = flag.strip_prefix("-l") {
            println!("cargo:rustc-link-lib={lib}");
        }
    }
}

/// Ends the build with a sentence that says what to install.
fn fail(reason: &str) -> ! {
    println!("cargo:warning={reason}; install libzimg-dev and pkg-config");
    std::process::exit(1)
}
