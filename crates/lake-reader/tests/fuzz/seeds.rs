//! Good files of every format, which are spoiled afterwards.

use std::io::Write as _;
use std::sync::Arc;

use lake_reader::{
    Ambiguous, Column, ColumnType, Dialect, Encoding, ExtraColumns, Format, Layout, MissingColumns,
    Nonexistent, Rules, Whitespace, Zone,
};

/// A file and what it means.
#[derive(Debug)]
pub(crate) struct Seed {
    pub(crate) layout: Layout,
    pub(crate) file: Vec<u8>,
}

impl Seed {
    /// Whether the offsets of its records are those of its bytes, and its records have raw texts.
    pub(crate) fn is_plain(&self) -> bool {
        self.layout.encoding == Encoding::Utf8 && self.layout.format != Format::Parquet
    }
}

pub(crate) fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let csv = Dialect::CSV;
    let dialects = [
        csv,
        Dialect {
            header: false,
            ..csv
        },
        Dialect::TSV,
        Dialect {
            delimiter: b';',
            quote: Some(b'\''),
            ..csv
        },
        Dialect {
            escape: Some(b'\\'),
            ..csv
        },
        Dialect {
            quote: None,
            escape: Some(b'\\'),
            header: false,
            ..csv
        },
        Dialect {
            comment: Some(b'#'),
            ..csv
        },
    ];
    for dialect in dialects {
        let format = Format::Delimited(dialect);
        seeds.push(seed(
            format,
            Encoding::Utf8,
            delimited(dialect).into_bytes(),
        ));
    }
    let format = Format::Delimited(csv);
    let text = delimited(csv);
    seeds.push(seed(format, Encoding::Utf8, gzip(text.as_bytes())));
    seeds.push(seed(
        format,
        Encoding::Utf8,
        zstd::encode_all(text.as_bytes(), 3).unwrap(),
    ));
    let utf_16 = |f: fn(u16) -> [u8; 2]| -> Vec<u8> {
        let units = std::iter::once(0xFEFF).chain(text.encode_utf16());
        units.flat_map(f).collect()
    };
    seeds.push(seed(format, Encoding::Utf16, utf_16(u16::to_le_bytes)));
    seeds.push(seed(format, Encoding::Utf16Be, utf_16(u16::to_be_bytes)));
    seeds.push(seed(format, Encoding::Latin1, text.into_bytes()));

    let lines = objects().join("\n");
    let array = format!("[\n{}\n]\n", objects().join(",\n"));
    seeds.push(nested(Format::NdJson, lines.clone().into_bytes()));
    seeds.push(nested(Format::Json, array.clone().into_bytes()));
    seeds.push(nested(Format::Json, lines.into_bytes()));
    seeds.push(nested(Format::Json, gzip(array.as_bytes())));
    seeds
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    // Two members, as concatenated files have.
    for half in text.chunks(text.len().div_ceil(2)) {
        let mut encoder = flate2::write::GzEncoder::new(&mut file, flate2::Compression::fast());
        encoder.write_all(half).unwrap();
        encoder.finish().unwrap();
    }
    file
}

fn seed(format: Format, encoding: Encoding, file: Vec<u8>) -> Seed {
    Seed {
        layout: Layout {
            encoding,
            missing_columns: MissingColumns::Null,
            ..Layout::new(format, columns())
        },
        file,
    }
}

fn columns() -> Vec<Column> {
    let decimal = ColumnType::Decimal {
        precision: 9,
        scale: 2,
    };
    let zone = Zone {
        name: "Europe/Berlin".parse().unwrap(),
        ambiguous: Ambiguous::Reject,
        nonexistent: Nonexistent::Reject,
    };
    vec![
        Column::new("id", ColumnType::Int64).required(),
        Column::new("name", ColumnType::Text).required(),
        Column::new("amount", decimal),
        Column::new("share", ColumnType::Float64),
        Column::new("good", ColumnType::Boolean).with_rules(Rules {
            true_values: vec!["yes".to_owned()],
            false_values: vec!["no".to_owned()],
            nulls: vec!["NULL".to_owned()],
            whitespace: Whitespace::Trim,
            ..Rules::default()
        }),
        Column::new("day", ColumnType::Date),
        Column::new("at", ColumnType::Timestamp).with_rules(Rules {
            zone: Some(zone),
            ..Rules::default()
        }),
    ]
}

fn delimited(dialect: Dialect) -> String {
    let delimiter = char::from(dialect.delimiter).to_string();
    let quote = |text: &str| match dialect.quote {
        Some(quote) => {
            let quote = char::from(quote).to_string();
            format!("{quote}{}{quote}", text.replace(&quote, &quote.repeat(2)))
        }
        None => text.replace([',', '\n', '\t'], " "),
    };
    let mut records = Vec::new();
    if dialect.header {
        records.push(["id", "name", "amount", "share", "good", "day", "at"].join(&delimiter));
    }
    for n in 0..12 {
        let name = match n % 4 {
            0 => quote("line\nfeed, \"quoted\" and 'quoted'"),
            1 => "Zoë".to_owned(),
            2 => quote(""),
            _ => "plain".to_owned(),
        };
        if n == 5 && dialect.comment.is_some() {
            records.push("# a comment, \"with a quote".to_owned());
        }
        let fields = [
            n.to_string(),
            name,
            format!("-{n}.25"),
            "1.5e3".to_owned(),
            ["yes", "no", "NULL"][n % 3].to_owned(),
            "2024-02-29".to_owned(),
            format!("2026-10-25 0{}:30:00", n % 4),
        ];
        records.push(fields.join(&delimiter));
    }
    records.join("\n")
}

fn nested(format: Format, file: Vec<u8>) -> Seed {
    let text = |name: &str| Column::new(name, ColumnType::Text);
    let user = vec![
        text("name").required(),
        Column::new("age", ColumnType::Int32),
        Column::new("tags", ColumnType::List(Arc::new(text("element")))),
    ];
    let amount = ColumnType::Decimal {
        precision: 9,
        scale: 2,
    };
    let columns = vec![
        Column::new("id", ColumnType::Int64).required(),
        Column::new("user", ColumnType::Struct(user.into())),
        Column::new(
            "amounts",
            ColumnType::Map(Arc::new(Column::new("value", amount))),
        ),
        Column::new("at", ColumnType::Timestamp),
        Column::new("rest", ColumnType::Json),
    ];
    let layout = Layout {
        extra_columns: ExtraColumns::Warn,
        ..Layout::new(format, columns)
    };
    Seed { layout, file }
}

fn objects() -> Vec<String> {
    let object = |n: i32| {
        format!(
            r#"{{"id": {n}, "user": {{"name": "Zo\u00eb \ud83d\ude00 \"{n}\"", "age": {n}, "tags": ["a", null, "{{[,"]}},
 "amounts": {{"eur": 1.25, "usd": -0.5}}, "at": "2026-01-0{}T00:00:00Z", "rest": [1, {{"x": [true, false, null]}}], "more": 1e3}}"#,
            n % 9 + 1
        )
    };
    (0..8).map(|n| object(n).replace('\n', "")).collect()
}
