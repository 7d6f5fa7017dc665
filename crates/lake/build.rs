//! Tells the binary which target it is built for: a release has one library for each.

fn main() {
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=LAKE_TARGET={target}");
    println!("cargo::rerun-if-changed=build.rs");
}
