//! Columns of Parquet files, as other writers store them.

use lake_reader::{Column, ColumnType};

use super::cell::{Cell, columns, decimals};

/// A column, and the type that it is stored as, by the name that Arrow's Python
/// package has for it; none if it is stored as what it is declared as.
pub(super) type Stored = (Column, Option<&'static str>);

/// Columns that are stored as other types than those they are declared as.
pub(super) fn stored_otherwise() -> Vec<Stored> {
    let whole = [
        "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "string",
    ];
    let fractions = ["float32", "string", "large_string"];
    let exact = ["decimal(9, 2)", "decimal(30, 2)", "int32", "string"];
    let instants = [
        "timestamp[s]",
        "timestamp[ms]",
        "timestamp[us]",
        "timestamp[ns]",
        "timestamp[s, UTC]",
        "timestamp[ms, UTC]",
        "timestamp[ns, Europe/Berlin]",
    ];
    let texts = ["large_string", "binary", "large_binary", "dictionary"];
    let all = [
        (ColumnType::Int64, &whole[..]),
        (ColumnType::Int32, &whole[..7]),
        (ColumnType::Float64, &fractions),
        (decimals(38, 5), &exact),
        (ColumnType::Timestamp, &instants),
        (ColumnType::Text, &texts),
        (ColumnType::Boolean, &["string"]),
        (ColumnType::Date, &["string"]),
    ];
    let mut found = Vec::new();
    for (data_type, stored) in all {
        for stored in stored {
            let column = columns([("", data_type.clone())]).remove(0);
            let name = format!("{data_type} as {stored}");
            found.push((Column { name, ..column }, Some(*stored)));
        }
    }
    found
}

/// The value that is left of `cell` when it is stored so.
pub(super) fn fitted(cell: Cell, stored: Option<&str>) -> Cell {
    let Some(stored) = stored else {
        return cell;
    };
    match cell {
        Cell::Int(value) => Cell::Int(match stored {
            "int8" => i64::from(value as i8),
            "int16" => i64::from(value as i16),
            "int32" => i64::from(value as i32),
            "uint8" => i64::from(value as u8),
            "uint16" => i64::from(value as u16),
            // What is declared may be int32 or int64: both have these.
            "uint32" => i64::from(value as u32 >> 1),
            "uint64" => value & i64::MAX,
            _ => value,
        }),
        Cell::Float(text) if stored == "float32" => {
            let nearest: f32 = text.parse().unwrap();
            let nearest = if nearest.is_finite() {
                nearest
            } else {
                f32::MAX
            };
            Cell::Float(format!("{:e}", f64::from(nearest)))
        }
        Cell::Decimal { units, scale } => {
            let all_places = 10i128.pow(5);
            let units = match stored {
                "decimal(9, 2)" => units % 10i128.pow(9) * 1000,
                "decimal(30, 2)" => units % 10i128.pow(30) * 1000,
                "int32" => i128::from(units as i32) * all_places,
                _ => units,
            };
            Cell::Decimal { units, scale }
        }
        Cell::Timestamp(micros) => {
            // The instants that 64 bits of nanoseconds have.
            let nanosecond_micros = i64::MAX / 1000;
            Cell::Timestamp(match stored {
                s if s.contains("[s") => micros - micros.rem_euclid(1_000_000),
                s if s.contains("[ms") => micros - micros.rem_euclid(1000),
                s if s.contains("[ns") || s == "int96" => micros % nanosecond_micros,
                _ => micros,
            })
        }
        other => other,
    }
}
