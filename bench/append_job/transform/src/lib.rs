//! Meter readings as they come: every row is appended, and nothing is compared.

use lake_plugin::prelude::*;

/// Meter readings → one row per reading, in a table without a key.
pub fn append() -> Transform {
    Transform::new()
        .input(
            Input::csv("readings")
                .header()
                .column("customer_id", text().required())
                .column("meter_id", text().required())
                .column("start_time", timestamp().required())
                .column("end_time", timestamp().required())
                .column("usage_kwh", decimal(12, 3).required())
                .column("region", text().required()),
        )
        .table(Table::standard("readings").sql("SELECT * FROM readings"))
}

lake_plugin::export!(append);
