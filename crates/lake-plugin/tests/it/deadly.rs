//! What native code can do to its process, and no check of a host prevents: each case runs in a
//! process of its own, and what happens there is what the crate's documentation says.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use lake_plugin::arrow::array::AsArray;
use lake_plugin::arrow::datatypes::Int64Type;
use lake_plugin::{Host, Plugin};

use crate::liar::{call_with, liar, numbers};

/// Set in the process that a test starts: the test that runs in it.
const CHILD: &str = "LAKE_TEST_CHILD";

/// What a process prints that outlives its transform.
const LIVES: &str = "the process lives";

/// The same test in a process of its own, or `None` in that process, after `body`.
fn child(test: &str, body: impl FnOnce()) -> Option<Command> {
    if std::env::var_os(CHILD).is_some_and(|child| child == test) {
        body();
        println!("{LIVES}");
        return None;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "--nocapture", &format!("deadly::{test}")])
        .env(CHILD, test)
        .stdin(Stdio::null());
    Some(command)
}

fn call(function: &str) -> Plugin {
    struct Deaf;
    impl Host for Deaf {}
    let plugin = liar(&[]).unwrap();
    let result = call_with(&plugin, &Deaf, function, numbers());
    println!("{function} returned {result:?}");
    drop(result);
    plugin
}

fn said(output: &Output) -> String {
    format!(
        "{:?}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Asserts that the process was ended by a signal, or by a sanitizer that saw why.
#[track_caller]
fn dies(test: &str, function: &str) {
    let Some(mut command) = child(test, || drop(call(function))) else {
        return;
    };
    let output = command.output().unwrap();
    let said = said(&output);
    let sanitized = said.contains("AddressSanitizer");
    assert!(output.status.signal().is_some() || sanitized, "{said}");
    assert!(!said.contains(LIVES), "{said}");
}

#[test]
fn a_thread_that_ends_inside_a_call_ends_the_process() {
    dies(
        "a_thread_that_ends_inside_a_call_ends_the_process",
        "ends_its_thread",
    );
}

#[test]
fn a_transform_can_abort_the_process() {
    dies("a_transform_can_abort_the_process", "aborts");
}

#[test]
fn a_write_to_where_nothing_is_ends_the_process() {
    dies(
        "a_write_to_where_nothing_is_ends_the_process",
        "writes_anywhere",
    );
}

#[test]
fn recursion_without_end_ends_the_process() {
    dies("recursion_without_end_ends_the_process", "recurses");
}

#[test]
fn arguments_that_are_released_twice_end_the_process() {
    dies(
        "arguments_that_are_released_twice_end_the_process",
        "releases_twice",
    );
}

#[test]
fn a_result_that_was_released_before_it_is_returned_ends_the_process() {
    dies(
        "a_result_that_was_released_before_it_is_returned_ends_the_process",
        "returns_the_released",
    );
}

#[test]
fn a_buffer_that_is_shorter_than_claimed_ends_the_process() {
    dies(
        "a_buffer_that_is_shorter_than_claimed_ends_the_process",
        "too_short",
    );
}

#[test]
fn a_transform_can_exit_with_a_code_of_its_own() {
    let test = "a_transform_can_exit_with_a_code_of_its_own";
    let Some(mut command) = child(test, || drop(call("exits"))) else {
        return;
    };
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
}

#[test]
fn a_transform_that_never_returns_is_waited_for() {
    let test = "a_transform_that_never_returns_is_waited_for";
    let Some(mut command) = child(test, || drop(call("blocks"))) else {
        return;
    };
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let ended = process.try_wait().unwrap();
    process.kill().unwrap();
    let output = process.wait_with_output().unwrap();
    let said = said(&output);
    assert_eq!(ended, None, "{said}");
    assert!(!said.contains("returned"), "{said}");
}

#[test]
fn a_transform_reads_what_the_process_can_read() {
    let test = "a_transform_reads_what_the_process_can_read";
    let body = || {
        struct Deaf;
        impl Host for Deaf {}
        let plugin = liar(&[]).unwrap();
        let known = call_with(&plugin, &Deaf, "reads_secrets", numbers()).unwrap();
        println!("known: {}", known.as_primitive::<Int64Type>().value(0));
    };
    let Some(mut command) = child(test, body) else {
        return;
    };
    let output = command.env("LAKE_TEST_SECRET", "swordfish").output();
    let said = said(&output.unwrap());
    assert!(said.contains("known: 1"), "{said}");
    assert!(said.contains(LIVES), "{said}");
}
