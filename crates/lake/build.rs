//! Tells the binary which target it is built for: a release has one library for each.
#![expect(
    clippy::disallowed_methods,
    reason = "this is how cargo talks to a build script"
)]

fn main() {
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=LAKE_TARGET={target}");
    println!("cargo::rerun-if-changed=build.rs");
}
