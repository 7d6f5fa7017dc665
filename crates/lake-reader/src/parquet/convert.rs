//! Which types of a file become which declared ones, and how.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    i256,
};

use super::cells::Cells;
use crate::column::ColumnType;
use crate::fault::Fault;
use crate::json;
use crate::values::decimal::Decimal;
use crate::values::parser::Parser;
use crate::values::reason::Reason;
use crate::values::time;

/// Makes an array of the declared type; NULL is what has a fault.
pub(crate) type Convert = fn(&Cells<'_>, &mut Vec<Fault>) -> ArrayRef;

/// Chooses by the type of whole numbers.
macro_rules! whole_numbers {
    ($found:expr, $convert:ident) => {
        match $found {
            DataType::Int8 => Some($convert::<Int8Type> as Convert),
            DataType::Int16 => Some($convert::<Int16Type>),
            DataType::Int32 => Some($convert::<Int32Type>),
            DataType::Int64 => Some($convert::<Int64Type>),
            DataType::UInt8 => Some($convert::<UInt8Type>),
            DataType::UInt16 => Some($convert::<UInt16Type>),
            DataType::UInt32 => Some($convert::<UInt32Type>),
            DataType::UInt64 => Some($convert::<UInt64Type>),
            _ => None,
        }
    };
}

/// How values of a type of the file become values of a declared type; none if they do not.
pub(crate) fn conversion(wanted: &ColumnType, found: &DataType) -> Option<Convert> {
    if matches!(found, DataType::BinaryView) {
        return parsing(wanted);
    }
    match wanted {
        ColumnType::Boolean => {
            matches!(found, DataType::Boolean).then_some(|cells, faults| cells.booleans(faults))
        }
        ColumnType::Int32 => whole_numbers!(found, int32),
        ColumnType::Int64 => whole_numbers!(found, int64),
        ColumnType::Float64 => match found {
            DataType::Float16 => Some(float::<Float16Type>),
            DataType::Float32 => Some(float::<Float32Type>),
            DataType::Float64 => Some(float::<Float64Type>),
            _ => None,
        },
        ColumnType::Decimal { .. } => match found {
            DataType::Decimal32(..) => Some(decimal::<Decimal32Type>),
            DataType::Decimal64(..) => Some(decimal::<Decimal64Type>),
            DataType::Decimal128(..) => Some(decimal::<Decimal128Type>),
            DataType::Decimal256(..) => Some(decimal::<Decimal256Type>),
            _ => whole_numbers!(found, whole_decimal),
        },
        ColumnType::Date => matches!(found, DataType::Date32).then_some(date),
        ColumnType::Timestamp => match found {
            DataType::Timestamp(TimeUnit::Second, _) => Some(instant::<TimestampSecondType>),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Some(instant::<TimestampMillisecondType>)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Some(instant::<TimestampMicrosecondType>)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                Some(instant::<TimestampNanosecondType>)
            }
            _ => None,
        },
        ColumnType::Text
        | ColumnType::Json
        | ColumnType::Struct(_)
        | ColumnType::List(_)
        | ColumnType::Map(_) => None,
    }
}

/// What a column of the file can be declared as, for somebody who has declared something else.
pub(crate) fn possible(found: &DataType) -> &'static str {
    match found {
        DataType::BinaryView => "text, or as what its texts say",
        DataType::Boolean => "boolean",
        DataType::Float16 | DataType::Float32 | DataType::Float64 => "float64",
        DataType::Date32 => "date",
        DataType::Timestamp(..) => "timestamp",
        DataType::Struct(_) => "struct",
        DataType::List(_) => "list",
        DataType::Map(..) => "map",
        _ if found.is_decimal() => "decimal",
        _ if found.is_integer() => "int32, int64 or decimal",
        _ => "nothing: its type cannot be read",
    }
}

/// The type of a column of the file, as people know it.
pub(crate) fn described(found: &DataType) -> String {
    match found {
        DataType::BinaryView => "text".to_owned(),
        DataType::Struct(_) => "struct".to_owned(),
        DataType::List(element) => format!("list of {}", described(element.data_type())),
        DataType::Map(..) => "map".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}

/// How texts become values of a declared type, as they do in any other format.
fn parsing(wanted: &ColumnType) -> Option<Convert> {
    /// The parser of a column is that of its type.
    macro_rules! parser {
        ($parser:ident, $parse:ident, $native:ty) => {
            Some(|cells, faults| match &cells.values.parser {
                Parser::$parser(parser) => {
                    cells.parsed::<$native>(faults, |text| parser.$parse(text))
                }
                _ => cells.parsed::<$native>(faults, |_| Err(Reason::Malformed)),
            })
        };
    }
    match wanted {
        ColumnType::Text => Some(|cells, faults| cells.texts(faults, |_| Ok(()))),
        ColumnType::Json => {
            Some(|cells, faults| cells.texts(faults, |text| json::validate(text.as_bytes())))
        }
        ColumnType::Boolean => Some(|cells, faults| match &cells.values.parser {
            Parser::Boolean(parser) => cells.parsed_booleans(faults, |text| parser.parse(text)),
            _ => cells.parsed_booleans(faults, |_| Err(Reason::Malformed)),
        }),
        ColumnType::Int32 => parser!(Int32, int32, Int32Type),
        ColumnType::Int64 => parser!(Int64, int64, Int64Type),
        ColumnType::Float64 => parser!(Float64, parse, Float64Type),
        ColumnType::Decimal { .. } => parser!(Decimal, parse, Decimal128Type),
        ColumnType::Date => parser!(Date, parse, Date32Type),
        ColumnType::Timestamp => parser!(Timestamp, parse, TimestampMicrosecondType),
        ColumnType::Struct(_) | ColumnType::List(_) | ColumnType::Map(_) => None,
    }
}

fn int32<S>(cells: &Cells<'_>, faults: &mut Vec<Fault>) -> ArrayRef
where
    S: ArrowPrimitiveType,
    S::Native: TryInto<i32>,
{
    cells.converted::<S, Int32Type>(faults, |value| value.try_into().map_err(|_| Reason::Range))
}

fn int64<S>(cells: &Cells<'_>, faults: &mut Vec<Fault>) -> ArrayRef
where
    S: ArrowPrimitiveType,
    S::Native: TryInto<i64>,
{
    cells.converted::<S, Int64Type>(faults, |value| value.try_into().map_err(|_| Reason::Range))
}

fn float<S>(cells: &Cells<'_>, faults: &mut Vec<Fault>) -> ArrayRef
where
    S: ArrowPrimitiveType,
    S::Native: Into<f64>,
{
    cells.converted::<S, Float64Type>(faults, |value| {
        let value: f64 = value.into();
        value.is_finite().then_some(value).ok_or(Reason::NotFinite)
    })
}

fn whole_decimal<S>(cells: &Cells<'_>, faults: &mut Vec<Fault>) -> ArrayRef
where
    S: ArrowPrimitiveType,
    S::Native: Into<i128>,
{
    let decimal = wanted_decimal(cells);
    cells.converted::<S, Decimal128Type>(faults, |value| decimal.rescaled(value.into(), 0))
}

/// The digits of a decimal of the file, if 128 bits are enough for them.
pub(crate) trait Digits {
    fn digits(self) -> Result<i128, Reason>;
}

impl Digits for i32 {
    fn digits(self) -> Result<i128, Reason> {
        Ok(self.into())
    }
}

impl Digits for i64 {
    fn digits(self) -> Result<i128, Reason> {
        Ok(self.into())
    }
}

impl Digits for i128 {
    fn digits(self) -> Result<i128, Reason> {
        Ok(self)
    }
}

impl Digits for i256 {
    fn digits(self) -> Result<i128, Reason> {
        self.to_i128().ok_or(Reason::Range)
    }
}

fn decimal<S>(cells: &Cells<'_>, faults: &mut Vec<Fault>) -> ArrayRef
where
    S: ArrowPrimitiveType,
    S::Native: Digits,
{
    let found_scale = match *cells.array.data_type() {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => scale,
        _ => 0,
    };
    let decimal = wanted_decimal(cells);
    cells.converted::<S, Decimal128Type>(faults, |value| {
        decimal.rescaled(value.digits()?, found_scale)
    })
}

fn wanted_decimal(cells: &Cells<'_>) -> Decimal {
    match cells.column.data_type {
        ColumnType::Decimal { precision, scale } => Decimal::new(precision, scale),
        _ => Decimal::new(1, 0),
    }
}

fn date(cells: &Cells<'_>, faults: &mut Vec<Fault>) -> ArrayRef {
    cells.converted::<Date32Type, Date32Type>(faults, |day| {
        let is_possible = (time::FIRST_DAY..=time::LAST_DAY).contains(&day);
        is_possible.then_some(day).ok_or(Reason::Range)
    })
}

/// Instants; where the file says that they are not in UTC, what clocks showed in the declared zone.
fn instant<S>(cells: &Cells<'_>, faults: &mut Vec<Fault>) -> ArrayRef
where
    S: ArrowPrimitiveType<Native = i64>,
{
    let (unit, is_utc) = match cells.array.data_type() {
        DataType::Timestamp(unit, zone) => (*unit, zone.is_some()),
        _ => (TimeUnit::Microsecond, true),
    };
    let clocks = match &cells.values.parser {
        Parser::Timestamp(clocks) if !is_utc => Some(clocks),
        _ => None,
    };
    cells.converted::<S, TimestampMicrosecondType>(faults, |value| {
        let micros = time::within_years(microseconds(value, unit)?)?;
        clocks.map_or(Ok(micros), |clocks| clocks.shown(micros))
    })
}

fn microseconds(value: i64, unit: TimeUnit) -> Result<i64, Reason> {
    match unit {
        TimeUnit::Second => value.checked_mul(1_000_000).ok_or(Reason::YearInUtc),
        TimeUnit::Millisecond => value.checked_mul(1_000).ok_or(Reason::YearInUtc),
        TimeUnit::Microsecond => Ok(value),
        TimeUnit::Nanosecond if value % 1_000 != 0 => Err(Reason::SubMicrosecond),
        TimeUnit::Nanosecond => Ok(value / 1_000),
    }
}
