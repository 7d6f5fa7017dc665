//! YAML text to a tree in which every key and value knows where it stands.
//!
//! The tree holds what a pipeline file can say: mappings, scalars and lists.
//! Anchors, aliases, tags and further documents are refused where they stand: a pipeline file should read the same
//! to everybody, also to those who never learned them.

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use crate::fault::Problem;

/// One document, with what is wrong with it as YAML for us.
#[derive(Debug)]
pub(crate) struct Document {
    /// The content; `None` where there is nothing but comments and space.
    pub(crate) root: Option<Node>,
    /// What was refused.
    pub(crate) problems: Vec<Found>,
}

/// A problem at a byte offset of the source.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) at: usize,
    pub(crate) problem: Problem,
}

/// A value.
#[derive(Debug)]
pub(crate) struct Node {
    /// The byte offset at which it starts.
    pub(crate) at: usize,
    pub(crate) content: Content,
}

#[derive(Debug)]
pub(crate) enum Content {
    Scalar(Scalar),
    Mapping(Vec<Entry>),
    List(Vec<Node>),
    /// Something that has been reported and about which nothing else is known.
    Refused,
}

#[derive(Debug)]
pub(crate) struct Scalar {
    /// The text after quotes and escapes.
    pub(crate) text: String,
    pub(crate) kind: Kind,
    /// The byte offset of `text`, where it stands in the source letter by letter.
    pub(crate) verbatim_at: Option<usize>,
}

/// What a scalar is in the core schema of YAML 1.2, which editors apply too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Boolean,
    Number,
    Text,
}

/// One `key: value` of a mapping.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// The byte offset of the key.
    pub(crate) at: usize,
    pub(crate) value: Node,
}

/// Reads the first document of `source`.
///
/// # Errors
///
/// Text that is not YAML; nothing else can be said about it then.
pub(crate) fn read(source: &str) -> Result<Document, Found> {
    let options = granit_parser::options! {
        emit_anchor_events: true,
        emit_unresolved_aliases: true,
    };
    let mut reader = Reader {
        source,
        events: Parser::new_from_str_with_options(source, options),
        problems: Vec::new(),
    };
    let root = reader
        .document()
        .map_err(|error| syntax_fault(source, &error))?;
    Ok(Document {
        root,
        problems: reader.problems,
    })
}

struct Reader<'s, E> {
    source: &'s str,
    events: E,
    problems: Vec<Found>,
}

impl<'s, E> Reader<'s, E>
where
    E: Iterator<Item = Result<(Event<'s>, Span), ScanError>>,
{
    fn document(&mut self) -> Result<Option<Node>, ScanError> {
        let mut root = None;
        let mut documents = 0;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents == 2 {
                        self.refuse(
                            offset(&span),
                            Problem::new("a second document starts here")
                                .help("keep one pipeline per file"),
                        );
                        break;
                    }
                }
                event if event.is_node() => root = Some(self.node(event, &span)?),
                _ => {}
            }
        }
        Ok(root)
    }

    fn node(&mut self, event: Event<'s>, span: &Span) -> Result<Node, ScanError> {
        self.refuse_tag(span);
        let content = match event {
            Event::Scalar(text, style, ..) => {
                Content::Scalar(self.scalar(text.into_owned(), style, span))
            }
            Event::MappingStart(..) => Content::Mapping(self.entries()?),
            Event::SequenceStart(..) => Content::List(self.items()?),
            _ => {
                self.refuse_alias(span);
                Content::Refused
            }
        };
        Ok(Node {
            at: offset(span),
            content,
        })
    }

    fn scalar(&self, text: String, style: ScalarStyle, span: &Span) -> Scalar {
        let raw = span.slice(self.source).unwrap_or_default();
        let kind = match style {
            // The parser names a value that is not there "~".
            ScalarStyle::Plain if raw.is_empty() => Kind::Null,
            ScalarStyle::Plain => plain_kind(&text),
            _ => Kind::Text,
        };
        let verbatim_at = [raw, raw.get(1..).unwrap_or_default()]
            .iter()
            .position(|raw| !text.is_empty() && raw.starts_with(&text))
            .map(|quote| offset(span) + quote);
        Scalar {
            text,
            kind,
            verbatim_at,
        }
    }

    fn entries(&mut self) -> Result<Vec<Entry>, ScanError> {
        let mut entries = Vec::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event, &span)?;
            let Some((event, span)) = self.next()? else {
                break;
            };
            let value = self.node(event, &span)?;
            match key.content {
                Content::Scalar(Scalar { text, kind, .. }) if kind != Kind::Null => {
                    entries.push(Entry {
                        key: text,
                        at: key.at,
                        value,
                    });
                }
                Content::Refused => {}
                _ => self.refuse(
                    key.at,
                    Problem::new("this key is not a name").help("write `key: value`"),
                ),
            }
        }
        Ok(entries)
    }

    fn items(&mut self) -> Result<Vec<Node>, ScanError> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            items.push(self.node(event, &span)?);
        }
        Ok(items)
    }

    /// The next event that is part of the tree; anchors are noted on the way.
    fn next(&mut self) -> Result<Option<(Event<'s>, Span)>, ScanError> {
        loop {
            match self.events.next().transpose()? {
                Some((Event::Anchor(_, name), span)) => self.refuse(
                    offset(&span),
                    Problem::new(format!("the anchor `&{name}` is not accepted"))
                        .help("write the value out where it is needed"),
                ),
                other => return Ok(other),
            }
        }
    }

    fn refuse_tag(&mut self, span: &Span) {
        if let Some(tag) = span.tag_span() {
            let name = tag.slice(self.source).unwrap_or_default();
            self.refuse(
                offset(&tag),
                Problem::new(format!("the tag `{name}` is not accepted"))
                    .help("leave it out, or put a value that starts with `!` in quotes"),
            );
        }
    }

    fn refuse_alias(&mut self, span: &Span) {
        let name = span.slice(self.source).unwrap_or_default();
        self.refuse(
            offset(span),
            Problem::new(format!(
                "`{name}` is an alias to YAML, and aliases are not accepted"
            ))
            .help("write the value out; one that starts with `*` needs quotes"),
        );
    }

    fn refuse(&mut self, at: usize, problem: Problem) {
        self.problems.push(Found { at, problem });
    }
}

/// The kind of a scalar without quotes.
fn plain_kind(text: &str) -> Kind {
    match text {
        "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Kind::Boolean,
        _ if is_number(text) => Kind::Number,
        _ => Kind::Text,
    }
}

fn is_number(text: &str) -> bool {
    let digits_of = |prefix, radix| {
        text.strip_prefix(prefix).is_some_and(|digits: &str| {
            !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix))
        })
    };
    digits_of("0x", 16)
        || digits_of("0o", 8)
        || (text.contains(|c: char| c.is_ascii_digit()) && text.parse::<f64>().is_ok())
}

/// What to say about text that is not YAML.
///
/// The usual reason in these files is a cron expression or a glob without
/// quotes; that is said at the value itself, because the parser only notices
/// somewhere behind it.
fn syntax_fault(source: &str, error: &ScanError) -> Found {
    let at = error.marker().byte_offset().unwrap_or(source.len());
    let message = format!("not valid YAML: {}", error.info());
    let before = source.get(..at).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = source.get(line_start..).unwrap_or_default();
    let line = line.lines().next().unwrap_or_default();
    let value = line
        .find(": ")
        .map(|colon| (colon, line[colon + 1..].trim()))
        .filter(|(_, value)| value.starts_with(['*', '&', '!', '%', '@', '`']));
    match value {
        Some((colon, value)) => {
            let shown = value.replace('\\', "\\\\").replace('"', "\\\"");
            let column = line.get(colon + 1..).map_or(0, leading_space) + colon + 1;
            Found {
                at: line_start + column,
                problem: Problem::new(message)
                    .help(format!("put the value in quotes: \"{shown}\"")),
            }
        }
        None => Found {
            at,
            problem: Problem::new(message)
                .help("check the indentation and the quotes here and in the line above"),
        },
    }
}

fn leading_space(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

fn offset(span: &Span) -> usize {
    span.start.byte_offset().unwrap_or_default()
}
