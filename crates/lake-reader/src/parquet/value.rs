//! The values of a Parquet file as text: in faults, and in the raw text of a row.

use arrow::array::types::{
    Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DecimalType,
};
use arrow::array::{Array, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Float16Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use chrono::{DateTime, TimeDelta};

/// A value that is not NULL and has no parts. Whole numbers, decimals and floating point numbers
/// are as JSON writes them, if they are finite; dates and instants are as ISO 8601 does, if they
/// are of a year that it can write.
pub(crate) fn text(array: &dyn Array, at: usize) -> Vec<u8> {
    match array.data_type() {
        DataType::BinaryView => array.as_binary_view().value(at).to_vec(),
        DataType::Boolean => array.as_boolean().value(at).to_string().into_bytes(),
        DataType::Int8 => plain::<Int8Type>(array, at),
        DataType::Int16 => plain::<Int16Type>(array, at),
        DataType::Int32 => plain::<Int32Type>(array, at),
        DataType::Int64 => plain::<Int64Type>(array, at),
        DataType::UInt8 => plain::<UInt8Type>(array, at),
        DataType::UInt16 => plain::<UInt16Type>(array, at),
        DataType::UInt32 => plain::<UInt32Type>(array, at),
        DataType::UInt64 => plain::<UInt64Type>(array, at),
        DataType::Float16 => plain::<Float16Type>(array, at),
        DataType::Float32 => plain::<Float32Type>(array, at),
        DataType::Float64 => plain::<Float64Type>(array, at),
        DataType::Decimal32(..) => decimal::<Decimal32Type>(array, at),
        DataType::Decimal64(..) => decimal::<Decimal64Type>(array, at),
        DataType::Decimal128(..) => decimal::<Decimal128Type>(array, at),
        DataType::Decimal256(..) => decimal::<Decimal256Type>(array, at),
        DataType::Date32 => {
            let days: i32 = value::<Date32Type>(array, at);
            let day = TimeDelta::try_days(days.into())
                .and_then(|days| DateTime::UNIX_EPOCH.checked_add_signed(days));
            match day {
                Some(day) => day.format("%Y-%m-%d").to_string(),
                None => format!("day {days}"),
            }
            .into_bytes()
        }
        DataType::Timestamp(unit, zone) => {
            let (value, per_second) = match unit {
                TimeUnit::Second => (value::<TimestampSecondType>(array, at), 1),
                TimeUnit::Millisecond => (value::<TimestampMillisecondType>(array, at), 1_000),
                TimeUnit::Microsecond => (value::<TimestampMicrosecondType>(array, at), 1_000_000),
                TimeUnit::Nanosecond => {
                    (value::<TimestampNanosecondType>(array, at), 1_000_000_000)
                }
            };
            let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
            let seconds = value.div_euclid(per_second);
            match DateTime::from_timestamp(seconds, nanos as u32) {
                Some(time) => {
                    let zone = if zone.is_some() { "Z" } else { "" };
                    format!("{}{zone}", time.format("%Y-%m-%dT%H:%M:%S%.f"))
                }
                None => format!("second {seconds}"),
            }
            .into_bytes()
        }
        other => other.to_string().into_bytes(),
    }
}

fn value<T: ArrowPrimitiveType>(array: &dyn Array, at: usize) -> T::Native {
    array.as_primitive::<T>().value(at)
}

fn plain<T>(array: &dyn Array, at: usize) -> Vec<u8>
where
    T: ArrowPrimitiveType,
    T::Native: std::fmt::Display,
{
    value::<T>(array, at).to_string().into_bytes()
}

fn decimal<T>(array: &dyn Array, at: usize) -> Vec<u8>
where
    T: ArrowPrimitiveType + DecimalType,
{
    let array: &PrimitiveArray<T> = array.as_primitive();
    T::format_decimal(array.value(at), array.precision(), array.scale()).into_bytes()
}
