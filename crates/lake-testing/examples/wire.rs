//! A proxy in front of a store that answers every request so many milliseconds later, for benchmarks:
//! `wire 127.0.0.1:9000 50`. It says where it is, and ends with its standard input.
#![expect(
    clippy::print_stdout,
    reason = "this is how its user hears where it is"
)]

use std::error::Error;
use std::io::{self, Read};
use std::time::Duration;

use lake_testing::Wire;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(upstream), Some(milliseconds)) = (arguments.next(), arguments.next()) else {
        return Err("usage: wire ADDRESS MILLISECONDS".into());
    };
    let wire = Wire::start(upstream.parse()?)?;
    wire.delay(Duration::from_millis(milliseconds.parse()?));
    println!("{}", wire.url());
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
