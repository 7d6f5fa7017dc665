//! Which type a column's values have, by asking the reader whether it would take them.
//!
//! Each candidate is tried on all values of the sample with the reader itself, so that a type that is
//! suggested here is one that the values really have there.

use lake_reader::{Column, ColumnType, Dialect, Format, Layout, Options, Reader, Rules};

/// Spellings of NULL that files use where they do not leave a field empty.
const NULLS: [&str; 9] = [
    "NULL", "null", "\\N", "NA", "N/A", "n/a", "None", "NaN", "-",
];
/// Forms of dates other than ISO 8601. Where two fit the same values, the first is suggested.
const DATES: [&str; 6] = [
    "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y%m%d",
];
/// What follows a date where there is a time.
const TIMES: [&str; 3] = [" %H:%M:%S", " %H:%M", "T%H:%M:%S"];

/// What is suggested for a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suggestion {
    pub(super) data_type: ColumnType,
    pub(super) rules: Rules,
    /// Other forms of the date that fit as well, so that a person has to choose.
    pub(super) doubts: Vec<&'static str>,
}

impl Suggestion {
    fn plain(data_type: ColumnType) -> Self {
        Self {
            data_type,
            rules: Rules::default(),
            doubts: Vec::new(),
        }
    }
}

/// The narrowest type that all values have; text where none is narrower. Empty values say nothing.
pub(super) fn suggest(values: &[&str]) -> Suggestion {
    let values: Vec<&str> = values.iter().copied().filter(|v| !v.is_empty()).collect();
    let spelled: Vec<&str> = NULLS
        .into_iter()
        .filter(|null| values.iter().any(|value| value.trim() == *null))
        .collect();
    if let Some(found) = narrower(&values) {
        return found;
    }
    let others: Vec<&str> = values
        .iter()
        .copied()
        .filter(|value| !spelled.contains(&value.trim()))
        .collect();
    if !spelled.is_empty()
        && let Some(mut found) = narrower(&others)
    {
        found.rules.nulls = spelled.into_iter().map(str::to_owned).collect();
        return found;
    }
    Suggestion::plain(ColumnType::Text)
}

/// The narrowest type that all values have, and that is not text.
fn narrower(values: &[&str]) -> Option<Suggestion> {
    if values.is_empty() || values.iter().any(|value| value.contains(['\n', '\r'])) {
        return None;
    }
    // Numbers that begin with a zero are names: of places, of products.
    let named = values.iter().any(|value| {
        let digits = value.trim().trim_start_matches(['+', '-']);
        digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit())
    });
    let plain = [
        ColumnType::Boolean,
        ColumnType::Int64,
        ColumnType::Date,
        ColumnType::Timestamp,
    ];
    for data_type in plain {
        if named && data_type == ColumnType::Int64 {
            continue;
        }
        if fits(values, &data_type, &Rules::default()) {
            return Some(Suggestion::plain(data_type));
        }
    }
    if named {
        return dates(values);
    }
    dates(values).or_else(|| numbers(values))
}

/// Dates and timestamps in other forms than ISO 8601.
fn dates(values: &[&str]) -> Option<Suggestion> {
    let mut fitting: Vec<(ColumnType, String, &'static str)> = Vec::new();
    for date in DATES {
        let times = TIMES.map(|time| (ColumnType::Timestamp, format!("{date}{time}"), date));
        let candidates = std::iter::once((ColumnType::Date, date.to_owned(), date)).chain(times);
        for (data_type, format, date) in candidates {
            let rules = Rules {
                formats: vec![format.clone()],
                ..Rules::default()
            };
            if fits(values, &data_type, &rules) {
                fitting.push((data_type, format, date));
            }
        }
    }
    let (data_type, format, _) = fitting.first()?.clone();
    let doubts = fitting.iter().skip(1).map(|(_, _, date)| *date).collect();
    let rules = Rules {
        formats: vec![format],
        ..Rules::default()
    };
    Some(Suggestion {
        data_type,
        rules,
        doubts,
    })
}

/// Exact decimals where there are no exponents, floating point numbers otherwise.
fn numbers(values: &[&str]) -> Option<Suggestion> {
    let forms = [
        (None, None),
        (None, Some(',')),
        (Some(','), None),
        (Some(','), Some('.')),
    ];
    for (decimal_separator, group_separator) in forms {
        let rules = Rules {
            decimal_separator,
            group_separator,
            ..Rules::default()
        };
        let point = decimal_separator.unwrap_or('.');
        let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
        let places = values.iter().map(|value| match value.split_once(point) {
            Some((whole, fraction)) => (digits(whole), digits(fraction)),
            None => (digits(value), 0),
        });
        let (whole, fraction) = places.fold((1, 0), |(w, f), (whole, fraction)| {
            (w.max(whole), f.max(fraction))
        });
        let widths = (u8::try_from(whole + fraction), i8::try_from(fraction));
        if let (Ok(precision @ 1..=38), Ok(scale)) = widths {
            // A file that comes later may have larger numbers than this one.
            let roomy = match precision {
                0..=9 => precision.max(12),
                10..=18 => 18,
                _ => 38,
            };
            let decimal = ColumnType::Decimal {
                precision: roomy.max(precision),
                scale,
            };
            if fits(values, &decimal, &rules) {
                return Some(Suggestion {
                    data_type: decimal,
                    rules,
                    doubts: Vec::new(),
                });
            }
        }
    }
    fits(values, &ColumnType::Float64, &Rules::default())
        .then(|| Suggestion::plain(ColumnType::Float64))
}

/// Whether the reader takes every value.
fn fits(values: &[&str], data_type: &ColumnType, rules: &Rules) -> bool {
    // One field a line, and nothing that could be taken for a second one.
    let dialect = Dialect {
        delimiter: b'\x1F',
        quote: None,
        escape: None,
        comment: None,
        header: false,
    };
    if values.iter().any(|value| value.contains('\x1F')) {
        return false;
    }
    let column = Column::new("value", data_type.clone()).with_rules(rules.clone());
    let layout = Layout::new(Format::Delimited(dialect), vec![column]);
    let lines = values.join("\n").into_bytes();
    let Ok(reader) = Reader::open(&lines, &layout, Options::default()) else {
        return false;
    };
    let mut blocks = std::iter::from_fn(|| reader.next_block());
    blocks.all(|block| block.is_ok_and(|block| block.faults.is_empty()))
}
