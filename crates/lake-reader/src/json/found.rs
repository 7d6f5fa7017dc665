//! What is found wrong with a record while it is parsed: faults that learn their path on the way
//! out.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::syntax::Kind;
use crate::column::{Column, ColumnType};
use crate::fault::{Fault, check, shown};
use crate::values::reason::Reason;

/// The wrong values of one record.
#[derive(Debug, Default)]
pub(crate) struct Found {
    wrong: Vec<Wrong>,
}

/// One wrong value.
#[derive(Debug)]
struct Wrong {
    /// Where it is: the innermost step first.
    steps: Vec<Step>,
    check: &'static str,
    value: String,
    says: Says,
}

/// One step into a nested value.
#[derive(Debug)]
pub(crate) enum Step {
    Name(String),
    Index(usize),
}

/// What there is to say of a wrong value.
#[derive(Debug)]
enum Says {
    /// A whole sentence about the value.
    Value(String),
    /// The end of a sentence that starts with the path.
    Path(Cow<'static, str>),
}

impl Found {
    pub(crate) fn count(&self) -> usize {
        self.wrong.len()
    }

    pub(crate) fn clear(&mut self) {
        self.wrong.clear();
    }

    /// Whether something is not UTF-8.
    pub(crate) fn has_bad_text(&self) -> bool {
        self.wrong.iter().any(|wrong| wrong.check == check::UTF_8)
    }

    /// What was found since there were `earlier` is one step further inside.
    #[cold]
    pub(crate) fn inside(&mut self, earlier: usize, step: impl Fn() -> Step) {
        for wrong in &mut self.wrong[earlier..] {
            wrong.steps.push(step());
        }
    }

    /// A required value is not there, or as good as that.
    #[cold]
    pub(crate) fn required(&mut self, why: &'static str) {
        self.push(check::REQUIRED, String::new(), Says::Path(why.into()));
    }

    /// A required value is a spelling of NULL.
    #[cold]
    pub(crate) fn required_is(&mut self, spelling: &[u8]) {
        let value = shown(spelling);
        let says = format!("is required, and '{value}' stands for NULL");
        self.push(check::REQUIRED, value, Says::Path(says.into()));
    }

    /// An object has one name more than once.
    #[cold]
    pub(crate) fn duplicate(&mut self, value: &[u8]) {
        let says = Says::Path("is there more than once".into());
        self.push(check::JSON, shown(value), says);
    }

    /// An object has a field that nobody declared, and must not.
    #[cold]
    pub(crate) fn undeclared(&mut self, value: &[u8]) {
        let says = Says::Path("is not declared".into());
        self.push(check::FIELDS, shown(value), says);
    }

    /// A value does not parse as its type.
    #[cold]
    pub(crate) fn malformed(&mut self, value: &[u8], column: &Column, reason: Reason) {
        let value = shown(value);
        let message = reason.about(&value, column);
        self.push(check::TYPE, value, Says::Value(message));
    }

    /// A value is of a kind that its type cannot be made from.
    #[cold]
    pub(crate) fn conflict(&mut self, value: &[u8], wanted: &ColumnType, kind: Kind) {
        let value = shown(value);
        let article = match wanted {
            ColumnType::Int32 | ColumnType::Int64 => "an ",
            ColumnType::Text => "",
            _ => "a ",
        };
        let kind = kind.described();
        let message = format!("'{value}' is not {article}{wanted}: it is {kind}");
        self.push(check::TYPE, value, Says::Value(message));
    }

    /// A value has bytes that are not UTF-8.
    #[cold]
    pub(crate) fn not_utf_8(&mut self, value: &[u8]) {
        let value = shown(value);
        let message = format!("'{value}' is not UTF-8; its bad bytes are shown as \\xNN");
        self.push(check::UTF_8, value, Says::Value(message));
    }

    /// A value has half of a surrogate pair.
    #[cold]
    pub(crate) fn lone_surrogate(&mut self, raw: &[u8]) {
        let value = shown(raw);
        let message = format!("'{value}' has half of a surrogate pair, which is no character");
        self.push(check::UTF_8, value, Says::Value(message));
    }

    fn push(&mut self, check: &'static str, value: String, says: Says) {
        self.wrong.push(Wrong {
            steps: Vec::new(),
            check,
            value,
            says,
        });
    }

    /// Takes everything out, as faults of this row. The outermost step of each is `column_of` a
    /// name; it is none if that is not declared.
    pub(crate) fn take(
        &mut self,
        row: u32,
        column_of: impl Fn(&str) -> Option<usize>,
    ) -> impl Iterator<Item = Fault> {
        self.wrong.drain(..).map(move |wrong| {
            let column = match wrong.steps.last() {
                Some(Step::Name(name)) => column_of(name),
                _ => None,
            };
            let message = match wrong.says {
                Says::Path(end) => format!("'{}' {end}", path(&wrong.steps)),
                Says::Value(message) if wrong.steps.len() > 1 => {
                    format!("{}: {message}", path(&wrong.steps))
                }
                Says::Value(message) => message,
            };
            Fault {
                row,
                column,
                check: wrong.check,
                value: wrong.value,
                message,
            }
        })
    }
}

/// `payload.items[3].price`, from the inside out.
fn path(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps.iter().rev() {
        // Writing to a string cannot fail.
        let _ = match step {
            Step::Name(name) if path.is_empty() => path.write_str(name),
            Step::Name(name) => write!(path, ".{name}"),
            Step::Index(index) => write!(path, "[{index}]"),
        };
    }
    path
}
