//! Values that files are made of: the same ones in every run.

use lake_reader::{Column, ColumnType};

use super::cell::{Cell, DAYS, MICROS};

/// Random numbers by SplitMix64 (Steele, Lea and Flood, "Fast Splittable
/// Pseudorandom Number Generators").
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// A sequence of its own for every seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }

    /// True one time in so many.
    pub(super) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of some values.
    pub(super) fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}

/// What may be in texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Texts {
    /// Anything that is Unicode; also nothing at all.
    Any,
    /// Anything that is Unicode: without quotes, no text is what NULL is.
    NotEmpty,
    /// Anything that ISO 8859-1 has.
    Latin1,
    /// What can be written without quotes and escapes: at least one character,
    /// and none that a dialect could give a meaning.
    Plain,
}

/// Rows of random values.
pub(super) fn rows(
    random: &mut Random,
    columns: &[Column],
    texts: Texts,
    count: usize,
) -> Vec<Vec<Cell>> {
    let row = |_| {
        let cells = columns.iter();
        let cells = cells.map(|column| cell(random, &column.data_type, texts));
        cells.collect()
    };
    (0..count).map(row).collect()
}

/// A random value of a type, NULL now and then.
pub(super) fn cell(random: &mut Random, data_type: &ColumnType, texts: Texts) -> Cell {
    if random.one_in(8) {
        return Cell::Null;
    }
    match data_type {
        ColumnType::Text => Cell::Text(text(random, texts)),
        ColumnType::Boolean => Cell::Boolean(random.one_in(2)),
        ColumnType::Int32 => {
            let value = short(random) as i32;
            Cell::Int(i64::from(random.of(&[value, value, i32::MIN, i32::MAX, 0])))
        }
        ColumnType::Int64 => {
            let value = short(random);
            Cell::Int(random.of(&[value, value, i64::MIN, i64::MAX, 0]))
        }
        ColumnType::Float64 => Cell::Float(float(random)),
        ColumnType::Decimal { precision, scale } => {
            let end = 10i128.pow(u32::from(*precision));
            let value = (i128::from(random.bits()) << 64 | i128::from(random.bits())) % end;
            let value = value >> random.below(100);
            Cell::Decimal {
                units: random.of(&[value, value, value, end - 1, 1 - end, 0]),
                scale: u8::try_from(*scale).unwrap(),
            }
        }
        ColumnType::Date => {
            let span = DAYS.end() - DAYS.start() + 1;
            let any = DAYS.start() + random.below(span as usize) as i32;
            let recent = random.below(30_000) as i32;
            Cell::Date(random.of(&[any, recent, *DAYS.start(), *DAYS.end(), 0, -1]))
        }
        ColumnType::Timestamp => {
            let span = (MICROS.end() - MICROS.start()) as u64 + 1;
            let any = MICROS.start() + (random.bits() % span) as i64;
            let recent = (random.bits() % 2_000_000_000_000_000) as i64;
            let second = recent - recent % 1_000_000;
            let tenth = recent - recent % 100_000;
            let special = [*MICROS.start(), *MICROS.end(), -1, 0];
            Cell::Timestamp(random.of(&[any, recent, second, tenth, random.clone().of(&special)]))
        }
        ColumnType::Json => Cell::Json(json(random, TOP)),
        ColumnType::List(element) => Cell::List(
            (0..random.below(4))
                .map(|_| cell(random, &element.data_type, texts))
                .collect(),
        ),
        ColumnType::Map(value) => Cell::Map(
            (0..random.below(4))
                .map(|at| {
                    // Keys of one map are different.
                    let key = format!("{at}{}", text(random, texts));
                    (key, cell(random, &value.data_type, texts))
                })
                .collect(),
        ),
        ColumnType::Struct(fields) => Cell::Struct(
            fields
                .iter()
                .map(|field| {
                    let name = field.name.clone().leak();
                    (&*name, cell(random, &field.data_type, texts))
                })
                .collect(),
        ),
    }
}

/// A number of any length.
fn short(random: &mut Random) -> i64 {
    let shift = random.below(64);
    random.bits() as i64 >> shift
}

/// What texts are put together from.
const PIECES: [&str; 42] = [
    "a",
    "word",
    "two words",
    " ",
    "  ",
    "\t",
    ",",
    ";",
    "|",
    "'",
    "\"",
    "\"\"",
    "\n",
    "\r\n",
    "\r",
    "\n\n",
    "#",
    "\\",
    "\\N",
    "NULL",
    "null",
    "true",
    "-",
    "007",
    "1e5",
    "2024-02-30",
    "é",
    "ß",
    "漢字",
    "🦀",
    "e\u{301}",
    "\u{FEFF}",
    "\u{2028}",
    "\u{85}",
    "\u{7f}",
    "\0",
    "\u{1}",
    "/",
    "\u{10FFFF}",
    "\"\n",
    ",\"",
    "\u{a0}",
];

/// The pieces that no dialect gives a meaning.
const PLAIN_PIECES: [&str; 12] = [
    "a",
    "word",
    "two words",
    "NULL",
    "null",
    "007",
    "1e5",
    "é",
    "漢字",
    "🦀",
    "\u{2028}",
    "-",
];

fn text(random: &mut Random, texts: Texts) -> String {
    let latin = || -> Vec<&str> {
        let is_latin = |piece: &&str| piece.chars().all(|c| c <= '\u{ff}');
        PIECES.into_iter().filter(is_latin).collect()
    };
    let (least, pieces): (usize, &[&str]) = match texts {
        Texts::Latin1 => (0, &latin()),
        Texts::Any => (0, &PIECES),
        Texts::NotEmpty => (1, &PIECES),
        Texts::Plain => (1, &PLAIN_PIECES),
    };
    let most = if random.one_in(200) { 500 } else { 6 };
    let count = least + random.below(most);
    (0..count).map(|_| random.of(pieces)).collect()
}

/// A finite number as JSON writes it.
fn float(random: &mut Random) -> String {
    // Halfway between two floats, or a little beside, is where parsers go wrong; the rest are the
    // ends of what there is.
    const HARD: [&str; 16] = [
        "9007199254740993",
        "9007199254740993.0000000000000000000000000000000000000000000000000001",
        "9007199254740992.9999999999999999999999999999999999999999999999999999",
        "1.00000000000000011102230246251565404236316680908203125",
        "1.00000000000000011102230246251565404236316680908203124",
        "1.00000000000000011102230246251565404236316680908203126",
        "2.2250738585072011e-308",
        "2.2250738585072014e-308",
        "4.9406564584124654e-324",
        "2.4703282292062328e-324",
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "6.631236846766476e-316",
        "3.237883913302901290e-319",
        "-0.0",
        "0",
    ];
    let any = f64::from_bits(random.bits());
    let any = if any.is_finite() { any } else { 0.1 };
    let usual = short(random) as i32;
    let usual = f64::from(usual) / 1000.0;
    match random.below(8) {
        0 => random.of(&HARD).to_owned(),
        1 => format!("{any:e}"),
        2 => format!("{any:E}"),
        3 => format!("{any:.25e}"),
        4 => format!("{usual:.40}"),
        5 => format!("{:.17e}", usual.sqrt().max(0.0)),
        _ => format!("{usual}"),
    }
}

/// How deep a JSON value may be.
const TOP: usize = 3;

/// Any JSON value but null, written in the one way that readers which parse it
/// would write it as well.
fn json(random: &mut Random, depth: usize) -> String {
    const SCALARS: [&str; 10] = [
        "null",
        "1",
        "-20",
        "0",
        "true",
        "false",
        "\"\"",
        "\"a \\\"b\\\" \\\\ \\n\"",
        "\"é 🦀\"",
        "123456789012",
    ];
    match random.below(if depth == 0 { 1 } else { 3 }) {
        1 => {
            let elements = (0..random.below(4)).map(|_| json(random, depth - 1));
            format!("[{}]", elements.collect::<Vec<_>>().join(","))
        }
        2 => {
            let fields =
                (0..random.below(4)).map(|at| format!("\"{at} key\":{}", json(random, depth - 1)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        _ if depth == TOP => random.of(&SCALARS[1..]).to_owned(),
        _ => random.of(&SCALARS).to_owned(),
    }
}
