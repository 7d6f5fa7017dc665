//! The transform that the `boundary` example loads and measures.

use lake_plugin::prelude::*;

#[path = "boundary/functions.rs"]
mod functions;

fn transform() -> Transform {
    Transform::new()
        .input(Input::csv("a").header().column("b", text()))
        .table(Table::standard("a").sql("SELECT b FROM a"))
        .function(Function::scalar(
            "same_integer",
            [integer()],
            integer(),
            |arguments| Ok(functions::same(arguments.array(0)?)),
        ))
        .function(Function::scalar(
            "same_text",
            [text()],
            text(),
            |arguments| Ok(functions::same(arguments.array(0)?)),
        ))
        .function(Function::scalar(
            "add_one",
            [integer()],
            integer(),
            |arguments| Ok(functions::add_one(arguments.array(0)?)),
        ))
        .function(Function::scalar(
            "normalise",
            [text()],
            text(),
            |arguments| Ok(functions::normalise(arguments.array(0)?)),
        ))
}

lake_plugin::export!(transform);
