//! The rule for records written down as simply as possible, one byte at a time
//! and with the whole file in memory.

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

#[derive(Clone, Copy, PartialEq)]
enum State {
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quote inside quotes.
    MaybeClosed,
}

/// All records of a file, the header included.
pub(crate) fn records(file: &[u8], limit: usize) -> Vec<Record> {
    let mut records = Vec::new();
    let mut start = if file.starts_with(b"\xEF\xBB\xBF") {
        3
    } else {
        0
    };
    while start < file.len() {
        let (end, next, broken) = record(file, start, limit);
        let mut raw = &file[start..end];
        if broken != Some("record size") {
            raw = raw.strip_suffix(b"\n").unwrap_or(raw);
            raw = raw.strip_suffix(b"\r").unwrap_or(raw);
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

/// Where the kept text of a record ends, where the next one starts, and whether
/// it is broken.
fn record(file: &[u8], start: usize, limit: usize) -> (usize, usize, Option<&'static str>) {
    let mut state = State::FieldStart;
    let line_end = |from: usize| {
        let rest = file[from..].iter().position(|&byte| byte == b'\n');
        rest.map_or(file.len(), |at| from + at + 1)
    };
    let window = file.len().min(start + limit + 1);
    for (at, &byte) in file[..window].iter().enumerate().skip(start) {
        state = match (state, byte) {
            (State::Quoted, b'"') => State::MaybeClosed,
            (State::Quoted, _) | (State::MaybeClosed, b'"') => State::Quoted,
            (State::FieldStart, b'"') => State::Quoted,
            (_, b'\n') => return (at + 1, at + 1, None),
            (_, b',') => State::FieldStart,
            _ => State::Unquoted,
        };
    }
    let last = window == file.len();
    let too_long = window - start > limit;
    // A quote at the end of the window was the first of a pair, or would have
    // been; only at the end of the file it certainly closes.
    let open = state == State::Quoted || (state == State::MaybeClosed && !last);
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

fn line_feeds(bytes: &[u8]) -> i64 {
    bytes.iter().filter(|&&byte| byte == b'\n').count() as i64
}
