//! What the compiler says to an author who exports the wrong thing. `TRYBUILD=overwrite` updates
//! what is expected.

#[test]
fn what_cannot_be_exported_does_not_compile_and_the_message_says_why() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
