//! Which dialect a delimited text is written in, by trying the usual ones.

use std::collections::BTreeMap;

use lake_reader::Dialect;

/// The delimiters that are tried, the more usual one first where two fit as well.
const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];
/// How many records are looked at.
const RECORDS: usize = 1_000;

/// The records of a sample as one dialect cuts them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) dialect: Dialect,
    /// The first record, where it names the columns.
    pub(super) names: Option<Vec<String>>,
    /// The other records that have as many fields as most have.
    pub(super) records: Vec<Vec<String>>,
}

/// What somebody who looks at a file knows better than a guess.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    /// The delimiter.
    pub delimiter: Option<u8>,
    /// The quote; `Some(None)` is none.
    pub quote: Option<Option<u8>>,
    /// Whether the first record names the columns.
    pub header: Option<bool>,
    /// What starts a line that is no record.
    pub comment: Option<u8>,
}

/// Cuts a sample by the dialect under which most records have the same number of fields, and as
/// many as possible.
pub(super) fn cut(sample: &str, known: Known) -> Table {
    let quotes: Vec<Option<u8>> = match known.quote {
        Some(quote) => vec![quote],
        None => vec![Some(b'"'), None, Some(b'\'')],
    };
    let delimiters = match &known.delimiter {
        Some(delimiter) => std::slice::from_ref(delimiter),
        None => &DELIMITERS,
    };
    let comment = known.comment.or_else(|| starts_with_a_comment(sample));
    let mut best: Option<(usize, Dialect, Vec<Vec<String>>)> = None;
    for &delimiter in delimiters {
        for &quote in &quotes {
            let dialect = Dialect {
                delimiter,
                quote,
                escape: None,
                comment,
                header: false,
            };
            let records = records(sample, dialect);
            let score = score(&records) * 4 + usize::from(uses(sample, dialect));
            if best.as_ref().is_none_or(|(most, ..)| score > *most) {
                best = Some((score, dialect, records));
            }
        }
    }
    let (dialect, mut records) = match best {
        Some((_, dialect, records)) => (dialect, records),
        None => (Dialect::CSV, Vec::new()),
    };
    let header = known.header.unwrap_or_else(|| names_columns(&records));
    let names = (header && !records.is_empty()).then(|| records.remove(0));
    let width = names
        .as_ref()
        .map_or_else(|| usual_width(&records), |names| names.len());
    records.retain(|record| record.len() == width);
    Table {
        dialect: Dialect { header, ..dialect },
        names,
        records,
    }
}

/// Whether quotes enclose fields: a quote that never does is better taken for text.
fn uses(sample: &str, dialect: Dialect) -> bool {
    let encloses = |quote: u8| {
        let mut before = b'\n';
        sample.bytes().any(|byte| {
            let opens = byte == quote && (before == b'\n' || before == dialect.delimiter);
            before = byte;
            opens
        })
    };
    match dialect.quote {
        Some(b'"') => true,
        Some(quote) => encloses(quote) && !encloses(b'"'),
        None => false,
    }
}

/// How well a dialect fits: records of the usual width, times the fields they have beyond one.
fn score(records: &[Vec<String>]) -> usize {
    let width = usual_width(records);
    let usual = records.iter().filter(|record| record.len() == width);
    let share = usual.count() * 1_000 / records.len().max(1);
    // Nine of ten records decide; among those that pass, more fields are better evidence.
    match share {
        900.. => share * width.saturating_sub(1),
        _ => share * width.saturating_sub(1) / 10,
    }
}

/// The number of fields that most records have.
fn usual_width(records: &[Vec<String>]) -> usize {
    let mut widths: BTreeMap<usize, usize> = BTreeMap::new();
    for record in records {
        *widths.entry(record.len()).or_default() += 1;
    }
    let most = widths.into_iter().max_by_key(|(_, count)| *count);
    most.map_or(0, |(width, _)| width)
}

/// Whether a first record names columns: every field says something, none of it twice, and none is
/// a number or starts with a digit.
fn names_columns(records: &[Vec<String>]) -> bool {
    let Some(first) = records.first() else {
        return false;
    };
    let mut names: Vec<&str> = first.iter().map(|name| name.trim()).collect();
    let sayable = names.iter().all(|name| {
        let first = name.chars().next();
        first.is_some_and(|c| c.is_alphabetic() || c == '_') && name.len() <= 128
    });
    names.sort_unstable();
    names.dedup();
    let distinct = names.len() == first.len();
    // A file of nothing but words has no header where its first record comes again.
    let again = records.iter().skip(1).any(|record| record == first);
    sayable && distinct && !again
}

fn starts_with_a_comment(sample: &str) -> Option<u8> {
    sample.starts_with("# ").then_some(b'#')
}

/// The records of a sample, unquoted. A record that the sample cuts off is left out.
fn records(sample: &str, dialect: Dialect) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    let mut rest = sample;
    while records.len() < RECORDS && !rest.is_empty() {
        if let Some(comment) = dialect.comment
            && rest.as_bytes().first() == Some(&comment)
        {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        let Some((record, length)) = record(rest, dialect) else {
            // An open quote: the line is not evidence, and the next one may be.
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        };
        rest = rest.get(length..).unwrap_or_default();
        if record.len() > 1 || record.iter().any(|field| !field.is_empty()) {
            records.push(record);
        }
    }
    records
}

/// The first record of a text, and how long it is.
fn record(text: &str, dialect: Dialect) -> Option<(Vec<String>, usize)> {
    let delimiter = char::from(dialect.delimiter);
    let quote = dialect.quote.map(char::from);
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut at_start = true;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let Some(field) = fields.last_mut() else {
            break;
        };
        let is_quote = Some(character) == quote;
        match character {
            _ if quoted && is_quote => {
                let pair = characters.next_if(|(_, next)| Some(*next) == quote);
                match pair {
                    Some(_) => field.push(character),
                    None => quoted = false,
                }
            }
            _ if quoted => field.push(character),
            _ if at_start && is_quote => {
                quoted = true;
                at_start = false;
            }
            '\n' => {
                if field.ends_with('\r') {
                    field.pop();
                }
                return Some((fields, at + 1));
            }
            _ if character == delimiter => {
                fields.push(String::new());
                at_start = true;
            }
            _ => {
                field.push(character);
                at_start = false;
            }
        }
    }
    (!quoted).then_some((fields, text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialect_of(sample: &str) -> (char, Option<char>, bool) {
        let Dialect {
            delimiter,
            quote,
            header,
            ..
        } = cut(sample, Known::default()).dialect;
        (char::from(delimiter), quote.map(char::from), header)
    }

    #[test]
    fn the_usual_dialects_are_told_apart() {
        let expect = |sample, dialect| assert_eq!(dialect_of(sample), dialect, "{sample}");
        expect("a,b\n1,2\n3,4\n", (',', Some('"'), true));
        expect("a;b\n1,5;2\n3,5;4\n", (';', Some('"'), true));
        expect("a|b|c\n1|2|3\n", ('|', Some('"'), true));
        expect(
            "u1\t2009-05-04T23:08:57Z\tx\nu2\t2009-05-04\t\n",
            ('\t', Some('"'), false),
        );
        expect("a,b\n'x,y',1\n'z,w',2\n", (',', Some('\''), true));
        expect("a,b\n\"x,y\",1\n\"z\nw\",2\n", (',', Some('"'), true));
    }

    #[test]
    fn one_column_is_a_file_too() {
        let table = cut("name\nx\ny\n", Known::default());
        assert_eq!(table.names, Some(vec!["name".to_owned()]));
        assert_eq!(table.records.len(), 2);
    }

    #[test]
    fn a_header_is_names_and_nothing_else() {
        assert!(!dialect_of("1,2\n3,4\n").2);
        assert!(!dialect_of("a,a\n1,2\n").2);
        assert!(!dialect_of("x,y\nx,y\nz,w\n").2);
        assert!(!dialect_of("2026-01-01,x\n").2);
    }

    #[test]
    fn what_is_known_is_not_guessed() {
        let known = Known {
            delimiter: Some(b';'),
            header: Some(false),
            ..Known::default()
        };
        let table = cut("a,b;c\n1,2;3\n", known);
        assert_eq!((table.dialect.delimiter, table.names), (b';', None));
        assert_eq!(table.records, [["a,b", "c"], ["1,2", "3"]]);
    }
}
