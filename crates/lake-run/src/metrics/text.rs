//! The text format of Prometheus, version 0.0.4.

use std::fmt::Write as _;

use super::Family;

/// What HTTP calls the format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How a file of ours begins.
const BEGINNING: &str = "# HELP lake_";

/// All families with samples, each of the pipeline.
pub(super) fn write(pipeline: &str, families: &[Family]) -> String {
    let mut text = String::new();
    for family in families.iter().filter(|family| !family.samples.is_empty()) {
        head(&mut text, family.name, family.help);
        samples(&mut text, pipeline, family);
    }
    text
}

/// What a file says when the families of a pipeline are put into it: samples of the same families
/// and the same pipeline go, and all others stay.
///
/// # Errors
/// Says why not, where the file is none of ours.
pub(super) fn merge(before: &str, pipeline: &str, families: &[Family]) -> Result<String, String> {
    if !before.is_empty() && !before.starts_with(BEGINNING) {
        return Err(
            "there is a file that is none of metrics of lake, and stays as it is".to_owned(),
        );
    }
    let own = start(pipeline);
    let mut kept: Vec<Kept<'_>> = Vec::new();
    for line in before.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            kept.push(Kept {
                name,
                help,
                samples: Vec::new(),
            });
        } else if let Some(last) = kept.last_mut()
            && let Some(labels) = line.strip_prefix(last.name)
        {
            let is_known = families.iter().any(|family| family.name == last.name);
            let is_own = labels.strip_prefix(own.as_str());
            let is_own = is_own.is_some_and(|rest| rest.starts_with([',', '}']));
            if !(is_known && is_own) {
                last.samples.push(line);
            }
        }
    }
    let mut text = String::new();
    for family in families {
        let others = kept.iter().filter(|kept| kept.name == family.name);
        let others: Vec<&str> = others
            .flat_map(|kept| kept.samples.iter().copied())
            .collect();
        if family.samples.is_empty() && others.is_empty() {
            continue;
        }
        head(&mut text, family.name, family.help);
        samples(&mut text, pipeline, family);
        lines(&mut text, &others);
    }
    for kept in kept {
        let is_known = families.iter().any(|family| family.name == kept.name);
        if !is_known && !kept.samples.is_empty() {
            // The text was escaped when it was written.
            let _ = writeln!(text, "# HELP {} {}\n# TYPE {0} gauge", kept.name, kept.help);
            lines(&mut text, &kept.samples);
        }
    }
    Ok(text)
}

/// A family as a file has it.
struct Kept<'t> {
    name: &'t str,
    help: &'t str,
    samples: Vec<&'t str>,
}

fn lines(text: &mut String, lines: &[&str]) {
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
}

// Writing to a string cannot fail.

fn head(text: &mut String, name: &str, help: &str) {
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
}

fn samples(text: &mut String, pipeline: &str, family: &Family) {
    for sample in &family.samples {
        let _ = write!(text, "{}{}", family.name, start(pipeline));
        for (name, value) in &sample.labels {
            let _ = write!(text, ",{name}=\"{}\"", escaped(value));
        }
        let _ = writeln!(text, "}} {}", number(sample.value));
    }
}

/// How the labels of a pipeline's samples begin.
fn start(pipeline: &str) -> String {
    format!("{{pipeline=\"{}\"", escaped(pipeline))
}

fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.replace('\n', "\\n")
}

fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        // Also NaN is written so.
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Unit, sample};
    use super::*;

    fn family(name: &'static str, samples: Vec<super::super::Sample>) -> Family {
        Family {
            name,
            help: "In\\two\nlines.",
            unit: Unit::One,
            samples,
        }
    }

    #[test]
    fn labels_and_values_are_written_as_prometheus_reads_them() {
        let checks = family(
            "lake_run_check_failed",
            vec![
                sample([("check", "a \"b\"\\c\nd"), ("severity", "warn")], 1.0),
                sample([("check", "e"), ("severity", "fail")], 0.0),
            ],
        );
        let number = family("lake_run_seconds", vec![sample([], 1_764_561_234.25)]);
        let none = family("lake_table_rows", Vec::new());
        assert_eq!(
            write("utility", &[checks, number, none]),
            "# HELP lake_run_check_failed In\\\\two\\nlines.\n\
             # TYPE lake_run_check_failed gauge\n\
             lake_run_check_failed{pipeline=\"utility\",check=\"a \\\"b\\\"\\\\c\\nd\",severity=\"warn\"} 1\n\
             lake_run_check_failed{pipeline=\"utility\",check=\"e\",severity=\"fail\"} 0\n\
             # HELP lake_run_seconds In\\\\two\\nlines.\n\
             # TYPE lake_run_seconds gauge\n\
             lake_run_seconds{pipeline=\"utility\"} 1764561234.25\n"
        );
        for (value, text) in [
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
            (1e15, "1000000000000000"),
            (0.1, "0.1"),
        ] {
            assert_eq!(super::number(value), text);
        }
    }

    #[test]
    fn what_a_run_does_not_know_stays_in_the_file() {
        let success = family(
            "lake_run_last_success_timestamp_seconds",
            vec![sample([], 1.0)],
        );
        let code = |value| family("lake_run_last_exit_code", vec![sample([], value)]);
        let first = merge("", "utility", &[code(0.0), success]).unwrap();
        let second = merge(&first, "utility", &[code(1.0)]).unwrap();
        assert_eq!(second.matches("# TYPE ").count(), 2, "{second}");
        assert!(second.contains("lake_run_last_exit_code{pipeline=\"utility\"} 1\n"));
        assert!(!second.contains("lake_run_last_exit_code{pipeline=\"utility\"} 0\n"));
        assert!(second.contains(
            "# HELP lake_run_last_success_timestamp_seconds In\\\\two\\nlines.\n\
             # TYPE lake_run_last_success_timestamp_seconds gauge\n\
             lake_run_last_success_timestamp_seconds{pipeline=\"utility\"} 1\n"
        ));
        assert_eq!(merge(&second, "utility", &[code(1.0)]).unwrap(), second);
    }

    #[test]
    fn of_what_a_run_knows_nothing_earlier_stays() {
        let checks = |samples| family("lake_run_check_failed", samples);
        let failed = checks(vec![sample([("check", "fresh")], 1.0)]);
        let first = merge("", "utility", &[failed]).unwrap();
        assert_eq!(merge(&first, "utility", &[checks(Vec::new())]).unwrap(), "");
    }

    #[test]
    fn pipelines_can_share_a_file() {
        let code = |value| family("lake_run_last_exit_code", vec![sample([], value)]);
        let first = merge("", "a", &[code(1.0)]).unwrap();
        let both = merge(&first, "ab", &[code(2.0)]).unwrap();
        let again = merge(&both, "a", &[code(3.0)]).unwrap();
        let lines: Vec<&str> = again.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "lake_run_last_exit_code{pipeline=\"a\"} 3",
                "lake_run_last_exit_code{pipeline=\"ab\"} 2",
            ]
        );
    }

    #[test]
    fn a_file_of_somebody_else_is_not_replaced() {
        let code = family("lake_run_last_exit_code", vec![sample([], 1.0)]);
        merge("root:x:0:0\n", "utility", &[code]).unwrap_err();
    }
}
