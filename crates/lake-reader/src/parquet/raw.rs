//! A row as text: a JSON object of the columns that are read, with the values that the file has.
//!
//! A text that is not UTF-8 is there with its bad bytes, as in any other format.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;

use super::value::text;

/// Appends the object that a row is, without what goes beyond so many bytes.
pub(crate) fn object(batch: &RecordBatch, row: usize, most: usize) -> Vec<u8> {
    let schema = batch.schema();
    let names = schema.fields().iter().map(|field| field.name().as_bytes());
    let mut out = Vec::new();
    fields(names.zip(batch.columns()), row, most, &mut out);
    if out.len() > most {
        // Not in the middle of a character: at most three bytes continue one.
        let ends = (most.saturating_sub(3)..=most).rev();
        let mut ends = ends.filter(|&end| out[end] & 0xC0 != 0x80);
        out.truncate(ends.next().unwrap_or(most));
    }
    out
}

fn fields<'a>(
    fields: impl Iterator<Item = (&'a [u8], &'a ArrayRef)>,
    at: usize,
    most: usize,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    for (position, (name, array)) in fields.enumerate() {
        if position > 0 {
            out.push(b',');
        }
        string(name, out);
        out.push(b':');
        value(array, at, most, out);
    }
    out.push(b'}');
}

fn value(array: &ArrayRef, at: usize, most: usize, out: &mut Vec<u8>) {
    // What is beyond the limit is cut anyway, and may be large.
    if out.len() >= most {
        return;
    }
    if array.is_null(at) {
        return out.extend_from_slice(b"null");
    }
    match array.data_type() {
        DataType::Struct(parts) => {
            let names = parts.iter().map(|field| field.name().as_bytes());
            fields(names.zip(array.as_struct().columns()), at, most, out);
        }
        DataType::List(_) => {
            let elements = array.as_list::<i32>().value(at);
            out.push(b'[');
            for element in 0..elements.len() {
                if element > 0 {
                    out.push(b',');
                }
                value(&elements, element, most, out);
            }
            out.push(b']');
        }
        DataType::Map(_, _) => {
            let entries = array.as_map().value(at);
            let (keys, values) = (entries.column(0), entries.column(1));
            let names: Vec<Vec<u8>> = (0..entries.len()).map(|at| text(keys, at)).collect();
            out.push(b'{');
            for (entry, name) in names.iter().enumerate() {
                if entry > 0 {
                    out.push(b',');
                }
                string(name, out);
                out.push(b':');
                value(values, entry, most, out);
            }
            out.push(b'}');
        }
        DataType::Boolean => out.extend(text(array, at)),
        data_type if data_type.is_numeric() => {
            let number = text(array, at);
            // JSON has no way to write those that are not finite.
            match number.last() {
                Some(byte) if byte.is_ascii_digit() => out.extend(number),
                _ => string(&number, out),
            }
        }
        _ => string(&text(array, at), out),
    }
}

/// A JSON string; bytes that are not UTF-8 stay as they are.
fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0..0x20 => out.extend(format!("\\u{byte:04x}").into_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
