//! A transform for the tests, written as any author writes one.

use std::sync::Arc;

use lake_plugin::arrow::array::{
    Array, Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use lake_plugin::prelude::*;

/// Values of every layout that crosses the boundary, taken apart and put together again.
fn old_arrow() -> Transform {
    Transform::new()
        .input(Input::csv("a").header().column("b", text()))
        .table(Table::standard("a").sql("SELECT b FROM a"))
        .function(Function::scalar("arrow", [], text(), |arguments| {
            let version = lake_plugin::arrow::ARROW_VERSION;
            Ok(Arc::new(StringArray::from(vec![version; arguments.rows()])))
        }))
        .function(Function::scalar("same", [text()], text(), |arguments| {
            Ok(Arc::clone(arguments.array(0)?))
        }))
        .function(Function::scalar("shout", [text()], text(), |arguments| {
            let values = arguments.text(0)?.iter();
            let loud: StringArray = values.map(|value| value.map(str::to_uppercase)).collect();
            Ok(Arc::new(loud))
        }))
        .function(Function::scalar(
            "tail",
            [integer()],
            integer(),
            |arguments| {
                // A result that is a slice itself: its offset crosses the boundary.
                let values = arguments.integer(0)?;
                let longer: Int64Array = [None, Some(0)].into_iter().chain(values).collect();
                Ok(Arc::new(longer.slice(2, values.len())))
            },
        ))
        .function(Function::scalar(
            "negate",
            [decimal(12, 3)],
            decimal(12, 3),
            |arguments| {
                let values = arguments.decimal(0)?.iter();
                let negated: Decimal128Array = values.map(|value| value.map(|v| -v)).collect();
                Ok(Arc::new(negated.with_precision_and_scale(12, 3)?))
            },
        ))
        .function(Function::scalar(
            "next_day",
            [timestamp()],
            timestamp(),
            |arguments| {
                let values = arguments.timestamp(0)?.iter();
                let later: TimestampMicrosecondArray = values
                    .map(|value| value.map(|instant| instant + 86_400_000_000))
                    .collect();
                Ok(Arc::new(later.with_timezone("UTC")))
            },
        ))
        .function(Function::scalar(
            "negative",
            [boolean()],
            boolean(),
            |arguments| {
                let values = arguments.boolean(0)?.iter();
                let negative: lake_plugin::arrow::array::BooleanArray =
                    values.map(|value| value.map(|value| !value)).collect();
                Ok(Arc::new(negative))
            },
        ))
        .function(Function::scalar("short", [text()], text(), |arguments| {
            Ok(arguments.array(0)?.slice(1, arguments.rows() - 1))
        }))
        .function(Function::scalar("boom", [text()], text(), |arguments| {
            panic!("cannot do {} rows", arguments.rows())
        }))
        .function(Function::scalar("strange_panic", [text()], text(), |_| {
            struct Grenade;
            impl Drop for Grenade {
                fn drop(&mut self) {
                    panic!("and again");
                }
            }
            std::panic::panic_any(Grenade)
        }))
        .function(Function::scalar("waits", [text()], text(), |arguments| {
            arguments.log(Level::Info, "waiting");
            while !arguments.is_cancelled() {
                std::thread::yield_now();
            }
            Err(FunctionError::cancelled())
        }))
}

lake_plugin::export!(old_arrow);
