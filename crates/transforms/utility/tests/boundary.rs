//! The transform as a host sees it: declared, and called through the boundary.

use std::sync::Arc;

use lake_plugin::Plugin;
use lake_plugin::arrow::array::{ArrayRef, StringArray};

#[test]
fn a_host_can_work_with_what_it_declares() {
    let plugin = Plugin::from_entry(utility::plugin()).unwrap();
    let declaration = plugin.declaration();
    assert_eq!(declaration.name.as_deref(), Some("utility"));
    assert_eq!(declaration.inputs[0].columns.len(), 6);
    assert!(
        declaration.inputs[0]
            .columns
            .iter()
            .all(|column| column.required)
    );
    let tables: Vec<_> = declaration.tables.iter().map(|table| &table.name).collect();
    assert_eq!(tables, ["readings", "daily_usage"]);
}

#[test]
fn meters_are_normalised_through_the_boundary() {
    let plugin = Plugin::from_entry(utility::plugin()).unwrap();
    let meters: ArrayRef = Arc::new(StringArray::from(vec![Some(" m-42 "), None, Some("x")]));
    let expected: ArrayRef = Arc::new(StringArray::from(vec![Some("M0000042"), None, Some("X")]));
    assert_eq!(&plugin.call(0, &[meters], 3).unwrap(), &expected);
}
