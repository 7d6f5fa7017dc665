//! Orders become sales per day and product.
//!
//! [`transform`] says what the data means: columns, checks, tables. Their SQL is in the files
//! beside this one, and what SQL cannot say well is a function in Rust, as in `product.rs`.

mod product;

use lake_plugin::prelude::*;

/// Orders → one row per order, and one per day and product.
pub fn transform() -> Transform {
    Transform::new()
        .input(
            Input::csv("orders")
                .header()
                .column("order_id", integer().required())
                .column("product", text().required())
                .column("quantity", integer().required())
                .column("price", decimal(12, 2).required())
                .column("ordered_at", timestamp().required())
                .column("note", text())
                .check("quantity is positive", "quantity > 0")
                .check("price is not negative", "price >= 0")
                .check("not in the future", "ordered_at <= received_at"),
        )
        .table(
            Table::standard("orders")
                .sql(include_str!("orders.sql"))
                .key(["order_id"]),
        )
        .table(
            Table::consumption("daily_sales")
                .sql(include_str!("daily_sales.sql"))
                .key(["day", "product"])
                .refresh_by(["day"]),
        )
        .function(Function::scalar(
            "product_code",
            [text()],
            text(),
            |arguments| Ok(product::codes(arguments.text(0)?)),
        ))
}

lake_plugin::export!(transform);
