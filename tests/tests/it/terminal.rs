//! What a person sees who waits for a run at a terminal.

use std::fmt::Write as _;

use lake_tests::{Lake, csv, reading, workspace};

/// Runs a command on a terminal of its own, and prints what that shows.
const ON_A_TERMINAL: &str = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";

/// As many rows as take an unoptimised build more than a moment.
const ROWS: u32 = 400_000;

fn large(lake: &Lake) -> u64 {
    let mut lines = String::from(&csv([reading(1, 1, 1, 0, "1")]));
    for row in 0..ROWS {
        let line = reading(row % 1_000, row / 600, 1 + row % 25, row / 25 % 24, "1.5");
        let _ = writeln!(lines, "{line}");
    }
    lake.put("a.csv", 0, &lines);
    lines.len() as u64
}

#[test]
fn a_run_at_a_terminal_shows_bytes_rows_and_what_it_does_and_none_of_it_elsewhere() {
    let lake = Lake::new();
    large(&lake);
    let python = workspace().join(".venv/bin/python");
    let launcher = [python.to_str().unwrap(), "-c", ON_A_TERMINAL];
    let run = [
        "run",
        lake.pipeline().to_str().unwrap(),
        "--set",
        "limits.rejected=100%",
    ];
    let ended = lake.below(&launcher, &run);
    ended
        .assert(0, &[])
        .assert_prints(&["reading: ", " rows, ", "/s", "writing standard tables"]);

    let quiet = Lake::new();
    large(&quiet);
    let ended = quiet.run(&["--set", "limits.rejected=100%"]);
    assert!(!ended.stderr.contains("reading: "), "{}", ended.stderr);
}
