//! The section of a version in a changelog.

use std::fmt::Write as _;

use chrono::NaiveDate;
use semver::Version;

/// What a new changelog begins with.
const TITLE: &str = "# Changelog\n";

/// A changelog with the section of a version.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Changelog {
    pub(super) text: String,
    /// What the section says, without its heading.
    pub(super) section: String,
}

/// A part of a changelog: a heading of the second level and what is below it, or what comes before
/// all of them.
struct Part<'t> {
    /// What the heading says; `None` before the first.
    heading: Option<&'t str>,
    /// All of it, with the heading.
    text: &'t str,
    /// What is below the heading.
    body: &'t str,
}

/// Adds the section of a version: what stands below `## Unreleased`, and then the first lines of
/// commits. A section that somebody has written for this version stays as it is.
pub(super) fn with(
    before: Option<&str>,
    version: &Version,
    date: NaiveDate,
    subjects: &[String],
) -> Changelog {
    let before = before.unwrap_or(TITLE);
    let parts = parts(before);
    let own = version.to_string();
    if let Some(part) = parts.iter().find(|part| names(part, &own)) {
        return Changelog {
            text: before.to_owned(),
            section: part.body.trim().to_owned(),
        };
    }
    let unreleased = parts.iter().find(|part| names(part, "unreleased"));
    let mut section = unreleased.map_or("", |part| part.body).trim().to_owned();
    if !section.is_empty() && !subjects.is_empty() {
        section.push_str("\n\n");
    }
    for subject in subjects {
        // Writing to a string cannot fail.
        let _ = writeln!(section, "- {subject}");
    }
    let section = section.trim_end().to_owned();
    let new = format!("## {version} - {date}\n\n{section}\n");
    let mut text = String::new();
    let mut is_written = false;
    for part in &parts {
        let is_unreleased = names(part, "unreleased");
        // Before the newest section, or where the unreleased one was.
        let is_here = is_unreleased || (unreleased.is_none() && part.heading.is_some());
        if is_here && !is_written {
            if is_unreleased {
                let heading = part.text.lines().next().unwrap_or_default();
                let _ = writeln!(text, "{heading}\n");
            }
            let _ = writeln!(text, "{new}");
            is_written = true;
        }
        if !is_unreleased {
            text.push_str(part.text);
        }
    }
    if !is_written {
        text = format!("{}\n\n{new}", text.trim_end());
    }
    let text = format!("{}\n", text.trim_end());
    Changelog { text, section }
}

/// Whether a part is about this version, as `## 1.2.0`, `## [1.2.0] - 2026-11-20` or `## v1.2.0`.
fn names(part: &Part<'_>, what: &str) -> bool {
    let word = part
        .heading
        .and_then(|heading| heading.split_whitespace().next());
    word.is_some_and(|word| {
        let word = word.trim_start_matches('[').trim_end_matches([']', ':']);
        word.eq_ignore_ascii_case(what) || word.strip_prefix('v') == Some(what)
    })
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut starts = vec![0];
    let mut place = 0;
    let mut is_code = false;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if !is_code && line.starts_with("## ") && place > 0 {
            starts.push(place);
        }
        place += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let ranges = starts.iter().zip(ends);
    let parts = ranges.filter_map(|(start, end)| {
        let text = text.get(*start..end)?;
        let (first, body) = text.split_once('\n').unwrap_or((text, ""));
        let heading = first.strip_prefix("## ");
        Some(Part {
            heading,
            text,
            body: heading.map_or(text, |_| body),
        })
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: Option<&str>, subjects: &[&str], expected: &str) -> Changelog {
        let version = Version::new(1, 1, 0);
        let date = NaiveDate::from_ymd_opt(2026, 12, 1).unwrap();
        let subjects: Vec<String> = subjects.iter().map(|s| (*s).to_owned()).collect();
        let changelog = with(before, &version, date, &subjects);
        assert_eq!(changelog.text, expected);
        changelog
    }

    #[test]
    fn a_changelog_that_is_not_there_is_made() {
        let made = check(
            None,
            &["Two", "One"],
            "# Changelog\n\n## 1.1.0 - 2026-12-01\n\n- Two\n- One\n",
        );
        assert_eq!(made.section, "- Two\n- One");
    }

    #[test]
    fn the_newest_section_comes_first() {
        check(
            Some("# Changes\n\nOf all kinds.\n\n## 1.0.0 - 2026-11-01\n\n- The first release.\n"),
            &["Two"],
            "# Changes\n\nOf all kinds.\n\n## 1.1.0 - 2026-12-01\n\n- Two\n\n\
             ## 1.0.0 - 2026-11-01\n\n- The first release.\n",
        );
        check(
            Some("# Changes"),
            &["Two"],
            "# Changes\n\n## 1.1.0 - 2026-12-01\n\n- Two\n",
        );
    }

    #[test]
    fn what_is_unreleased_becomes_the_section_and_its_heading_stays() {
        let moved = check(
            Some(
                "# Changes\n\n## [Unreleased]\n\n### Added\n- Regions.\n\n```\n## no heading\n```\n\n\
                 ## 1.0.0\n\n- One\n",
            ),
            &["Add regions"],
            "# Changes\n\n## [Unreleased]\n\n## 1.1.0 - 2026-12-01\n\n### Added\n- Regions.\n\n\
             ```\n## no heading\n```\n\n- Add regions\n\n## 1.0.0\n\n- One\n",
        );
        assert!(moved.section.starts_with("### Added\n- Regions."));
        check(
            Some("## Unreleased\n- Regions.\n"),
            &[],
            "## Unreleased\n\n## 1.1.0 - 2026-12-01\n\n- Regions.\n",
        );
    }

    #[test]
    fn a_section_that_somebody_has_written_stays() {
        let text = "# Changes\n\n## [1.1.0] - soon\n\n- By hand.\n\n## 1.0.0\n";
        let kept = check(Some(text), &["Two"], text);
        assert_eq!(kept.section, "- By hand.");
    }
}
