//! How the values of a column are written, where that is not the usual way.

/// How the values of a column are written. The default is what [the crate](crate) says of each type.
///
/// What is declared here and has no meaning for the type of the column is not looked at. What
/// contradicts itself is refused when a file is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Spellings of NULL, compared as they are in the file (after [`Whitespace`] is dealt with).
    /// An empty field is NULL in any case. In delimited text, a quoted `"NA"` is the text `NA`,
    /// as a quoted empty field is the empty text, unless `"NA"` is declared with its quotes; in
    /// columns of other types, quotes make no difference.
    pub nulls: Vec<String>,
    /// What happens to spaces and tabs around a value.
    pub whitespace: Whitespace,
    /// Spellings of true, compared without regard to case; if both this and
    /// [`false_values`](Self::false_values) are empty, they are `true` and `false`.
    pub true_values: Vec<String>,
    /// Spellings of false.
    pub false_values: Vec<String>,
    /// The forms that dates and timestamps may have, in the notation of `strftime` as
    /// [`chrono::format::strftime`] documents it; the first that fits counts. Empty: ISO 8601.
    ///
    /// A form without a time of day means midnight; a date may be written with a time of day if
    /// that is midnight. Timestamps also have `epoch_s`, `epoch_ms` and `epoch_us`: the seconds,
    /// milliseconds and microseconds since 1970-01-01 UTC, with a fraction down to microseconds.
    /// `%Z` is refused, because names of zones do not say their offset.
    pub formats: Vec<String>,
    /// What times without a zone mean. None: they are UTC.
    pub zone: Option<Zone>,
    /// What is between the whole part of a decimal or floating point number and its fraction.
    /// None: a point.
    pub decimal_separator: Option<char>,
    /// What may be between groups of three digits of a number. None: nothing.
    pub group_separator: Option<char>,
}

/// What happens to spaces and tabs around a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Whitespace {
    /// They are part of text, and ignored around values of any other type.
    #[default]
    ByType,
    /// They are never part of a value.
    Trim,
    /// They are always part of a value: around a number, they are a fault.
    Keep,
}

/// A time zone for times that do not name one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone {
    /// The zone, from the IANA time zone database.
    pub name: chrono_tz::Tz,
    /// What a time is that the clock shows twice, when it is set back.
    pub ambiguous: Ambiguous,
    /// What a time is that the clock skips, when it is set forward.
    pub nonexistent: Nonexistent,
}

/// What a time is that the clock shows twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ambiguous {
    /// A fault: nobody can know.
    #[default]
    Reject,
    /// The first of the two instants.
    Earliest,
    /// The second of the two instants.
    Latest,
}

/// What a time is that the clock skips.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Nonexistent {
    /// A fault: there was no such time.
    #[default]
    Reject,
    /// As far after the change as the time is after the last one before it: 02:30 becomes 03:30
    /// where the clock goes from 02:00 to 03:00.
    Shift,
}
