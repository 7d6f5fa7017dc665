//! Raw files in, tables out: the cases in `tests/golden`, through the installed `lake`.

#[test]
fn golden_cases() {
    lake_plugin::golden::check(env!("CARGO_MANIFEST_DIR"));
}
