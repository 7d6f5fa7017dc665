//! Meter readings, validated, and daily usage per customer.

mod meter;

use lake_plugin::prelude::*;

/// Meter readings → one row per reading, and one per customer and UTC day.
///
/// A customer has many readings a day, so `daily_usage` has the date in its key, and the start of
/// the first and of the last reading beside it.
pub fn utility() -> Transform {
    Transform::new()
        .input(
            Input::csv("readings")
                .header()
                .column("customer_id", text().required())
                .column("meter_id", text().required())
                .column("start_time", timestamp().required())
                .column("end_time", timestamp().required())
                .column("usage_kwh", decimal(12, 3).required())
                .column("region", text().required())
                .check("usage is not negative", "usage_kwh >= 0")
                .check("reading ends after it starts", "end_time > start_time")
                .check("not in the future", "start_time <= received_at")
                .check(
                    "region is known",
                    "region IN ('north', 'south', 'east', 'west', 'centre')",
                ),
        )
        .table(
            Table::standard("readings")
                .sql(include_str!("readings.sql"))
                .key(["meter_id", "start_time"])
                .partition_by(["usage_date"]),
        )
        .table(
            Table::consumption("daily_usage")
                .sql(include_str!("daily_usage.sql"))
                .key(["customer_id", "usage_date"])
                .refresh_by(["usage_date"]),
        )
        .function(Function::scalar(
            "normalise_meter",
            [text()],
            text().required(),
            |arguments| Ok(meter::normalise(arguments.text(0)?)),
        ))
}

lake_plugin::export!(utility);
