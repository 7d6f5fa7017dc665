//! The rule for records written down as simply as possible, one byte at a time
//! and with the whole file in memory.

use lake_reader::Dialect;

/// One record of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) line: i64,
    pub(crate) offset: u64,
    /// Its text without the line end, and without what is cut of a long one.
    pub(crate) raw: Vec<u8>,
    /// The first word of its fault, if it has no readable fields.
    pub(crate) broken: Option<&'static str>,
}

/// One field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// Without quotes and escapes.
    pub(crate) content: Vec<u8>,
    pub(crate) quoted: bool,
    pub(crate) text_after_quote: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    FieldStart,
    Unquoted,
    /// After an escape outside quotes.
    Escaped,
    Quoted,
    /// After an escape inside quotes.
    QuotedEscaped,
    /// After a quote inside quotes.
    MaybeClosed,
}

/// The state after a byte; `None` at the end of the record.
fn step(dialect: &Dialect, state: State, byte: u8) -> Option<State> {
    let quote = dialect.quote == Some(byte);
    let escape = dialect.escape == Some(byte);
    Some(match state {
        State::Escaped => State::Unquoted,
        State::QuotedEscaped => State::Quoted,
        State::Quoted if escape => State::QuotedEscaped,
        State::Quoted if quote => State::MaybeClosed,
        State::Quoted => State::Quoted,
        State::MaybeClosed | State::FieldStart if quote => State::Quoted,
        _ if byte == b'\n' => return None,
        _ if byte == dialect.delimiter => State::FieldStart,
        _ if escape => State::Escaped,
        _ => State::Unquoted,
    })
}

/// All records of a file, the header included.
pub(crate) fn records(file: &[u8], dialect: &Dialect, limit: usize) -> Vec<Record> {
    let mut records = Vec::new();
    let mut start = if file.starts_with(b"\xEF\xBB\xBF") {
        3
    } else {
        0
    };
    while start < file.len() {
        if dialect.comment == Some(file[start]) {
            start = line_end(file, start);
            continue;
        }
        let (end, next, broken) = record(file, dialect, start, limit);
        let mut raw = &file[start..end];
        if broken != Some("record size") {
            raw = without_line_end(raw, dialect);
        }
        if !raw.is_empty() || broken.is_some() {
            records.push(Record {
                line: 1 + line_feeds(&file[..start]),
                offset: start as u64,
                raw: raw.to_vec(),
                broken,
            });
        }
        start = next;
    }
    records
}

/// Where the line feed is that ends a line, and one further.
fn line_end(file: &[u8], from: usize) -> usize {
    let rest = file[from..].iter().position(|&byte| byte == b'\n');
    rest.map_or(file.len(), |at| from + at + 1)
}

/// Where the kept text of a record ends, where the next one starts, and whether
/// it is broken.
fn record(
    file: &[u8],
    dialect: &Dialect,
    start: usize,
    limit: usize,
) -> (usize, usize, Option<&'static str>) {
    let mut state = State::FieldStart;
    let line_end = |from: usize| line_end(file, from);
    let window = file.len().min(start + limit + 1);
    for (at, &byte) in file[..window].iter().enumerate().skip(start) {
        state = match step(dialect, state, byte) {
            Some(state) => state,
            None => return (at + 1, at + 1, None),
        };
    }
    let last = window == file.len();
    let too_long = window - start > limit;
    // A quote at the end of the window was the first of a pair, or would have
    // been; only at the end of the file it certainly closes.
    let open = matches!(state, State::Quoted | State::QuotedEscaped)
        || (state == State::MaybeClosed && !last);
    if open && (line_end(start) <= window && file[line_end(start) - 1] == b'\n' || !too_long) {
        return (line_end(start), line_end(start), Some("quote"));
    }
    if too_long {
        let mut end = start + limit;
        while end > start && file[end] & 0xC0 == 0x80 && start + limit - end < 3 {
            end -= 1;
        }
        return (end, line_end(window), Some("record size"));
    }
    (window, window, None)
}

/// A line end is LF, CRLF, or a CR that was cut off its LF; what is escaped is text.
fn without_line_end<'a>(raw: &'a [u8], dialect: &Dialect) -> &'a [u8] {
    let mut raw = raw;
    for end in [b'\n', b'\r'] {
        if let Some((last, text)) = raw.split_last() {
            let escapes = text.iter().rev();
            let escapes = escapes
                .take_while(|&&byte| dialect.escape == Some(byte))
                .count();
            if *last == end && escapes % 2 == 0 {
                raw = text;
            }
        }
    }
    raw
}

/// The fields of a record that is not broken.
pub(crate) fn fields(raw: &[u8], dialect: &Dialect) -> Vec<Field> {
    let empty = Field {
        content: Vec::new(),
        quoted: false,
        text_after_quote: false,
    };
    let mut fields = vec![empty.clone()];
    let mut state = State::FieldStart;
    for &byte in raw {
        let before = state;
        state = step(dialect, state, byte).unwrap();
        let field = fields.last_mut().unwrap();
        match (before, state) {
            (_, State::FieldStart) => fields.push(empty.clone()),
            (State::FieldStart, State::Quoted) => field.quoted = true,
            (State::Quoted, State::MaybeClosed) => {}
            (_, State::Escaped | State::QuotedEscaped) => {
                field.text_after_quote |= before == State::MaybeClosed;
            }
            (State::MaybeClosed, State::Unquoted) => field.text_after_quote = true,
            _ => field.content.push(byte),
        }
    }
    if state == State::Escaped {
        // Nothing follows it.
        fields.last_mut().unwrap().content.extend(dialect.escape);
    }
    fields
}

fn line_feeds(bytes: &[u8]) -> i64 {
    bytes.iter().filter(|&&byte| byte == b'\n').count() as i64
}
