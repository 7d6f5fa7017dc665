//! One spelling for each product: ` blue mug ` and `BLUE-MUG` are both `BLUE-MUG`.

use std::sync::Arc;

use lake_plugin::arrow::array::{ArrayRef, StringArray};

/// The code of every product; NULL stays NULL.
pub(crate) fn codes(products: &StringArray) -> ArrayRef {
    let codes = products.iter().map(|product| product.map(code));
    Arc::new(codes.collect::<StringArray>())
}

/// Upper-case words with a dash between them.
fn code(product: &str) -> String {
    let words: Vec<&str> = product.split_whitespace().collect();
    words.join("-").to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_product_are_one() {
        for spelling in ["blue mug", " Blue  Mug ", "BLUE-MUG"] {
            assert_eq!(code(spelling), "BLUE-MUG", "{spelling:?}");
        }
    }
}
