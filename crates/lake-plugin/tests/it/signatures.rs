//! Scalar functions with several lists of arguments, and results that are never NULL.

use std::sync::Arc;

use lake_plugin::arrow::array::{
    Array, ArrayRef, DurationMicrosecondArray, Float64Array, Int64Array, StringArray,
    new_null_array,
};
use lake_plugin::prelude::*;
use lake_plugin::{CallError, Declaration, Exported, Plugin};

use crate::c;

fn double(arguments: &Arguments) -> Result<ArrayRef, FunctionError> {
    if arguments.types() == [integer()] {
        let values = arguments.integer(0)?;
        return Ok(Arc::new(Int64Array::from_iter(
            values.iter().map(|value| value.map(|value| value * 2)),
        )));
    }
    if let Ok(values) = arguments.float(0) {
        return Ok(Arc::new(Float64Array::from_iter(
            values.iter().map(|value| value.map(|value| value * 2.0)),
        )));
    }
    Ok(Arc::clone(arguments.array(0)?))
}

fn transform() -> Transform {
    Transform::new()
        .input(Input::csv("a").header().column("b", text()))
        .table(Table::standard("a").sql("SELECT b FROM a"))
        .function(
            Function::scalar("double", [integer()], integer().required(), double)
                .also([float()], float())
                .also([text(), text()], text()),
        )
        .function(Function::scalar(
            "forgets",
            [integer(), integer()],
            text().required(),
            |arguments| Ok(new_null_array(&text().to_arrow(), arguments.rows())),
        ))
        .function(Function::scalar(
            "none",
            [],
            text().required(),
            |arguments| Ok(new_null_array(&text().to_arrow(), arguments.rows())),
        ))
        .function(Function::scalar(
            "longer",
            [duration()],
            duration(),
            |arguments| {
                let values = arguments.duration(0)?.iter();
                let longer = values.map(|value| value.map(|value| value + 1));
                Ok(Arc::new(DurationMicrosecondArray::from_iter(longer)))
            },
        ))
}

static TRANSFORM: Exported = Exported::new("tests", "1.2.3", transform);

const DOUBLE: usize = 0;
const FORGETS: usize = 1;
const NONE: usize = 2;
const LONGER: usize = 3;

fn call(function: usize, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef, CallError> {
    let plugin = Plugin::from_entry(TRANSFORM.entry()).unwrap();
    plugin.call(function, arguments, rows)
}

fn integers(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from_iter(values))
}

#[test]
fn the_types_of_the_arguments_say_which_signature_is_meant() {
    let doubled = call(DOUBLE, &[integers([Some(4), None])], 2).unwrap();
    assert_eq!(&doubled, &integers([Some(8), None]));
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.5]));
    let expected: ArrayRef = Arc::new(Float64Array::from(vec![3.0]));
    assert_eq!(&call(DOUBLE, &[floats], 1).unwrap(), &expected);
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    assert_eq!(
        &call(DOUBLE, &[Arc::clone(&texts), Arc::clone(&texts)], 1).unwrap(),
        &texts
    );
}

#[test]
fn arguments_that_fit_no_signature_are_refused_with_all_of_them() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    assert_eq!(
        call(DOUBLE, &[texts], 1).unwrap_err().to_string(),
        "function `double` cannot be called like this: it takes (integer) or (float) or \
         (text, text), not (Utf8)"
    );
    assert_eq!(
        call(DOUBLE, &[integers([None])], 2)
            .unwrap_err()
            .to_string(),
        "function `double` cannot be called like this: argument 0 has 1 values for 2 rows"
    );
}

#[test]
fn a_required_result_is_null_only_where_an_argument_is() {
    let (first, second) = (
        integers([None, Some(1), None]),
        integers([Some(1), None, None]),
    );
    let result = call(FORGETS, &[first, Arc::clone(&second)], 3).unwrap();
    assert_eq!(result.null_count(), 3);
    let first = integers([None, Some(1), Some(1)]);
    let second = integers([Some(1), None, Some(1)]);
    let error = call(FORGETS, &[first, second], 3).unwrap_err();
    assert!(matches!(error, CallError::Returned { .. }));
    assert_eq!(
        error.to_string(),
        "function `forgets` must return 3 values of type text, but what it returned is wrong: \
         value 2 is NULL, and none of its arguments is; the function declares that its result \
         is required; correct the transform"
    );
    let error = call(NONE, &[], 1).unwrap_err().to_string();
    assert!(
        error.contains("value 0 is NULL, and none of its arguments is"),
        "{error}"
    );
    assert_eq!(call(NONE, &[], 0).unwrap().len(), 0);
}

#[test]
fn a_length_of_time_goes_in_and_comes_out() {
    let given: ArrayRef = Arc::new(DurationMicrosecondArray::from(vec![Some(1), None]));
    let expected: ArrayRef = Arc::new(DurationMicrosecondArray::from(vec![Some(2), None]));
    assert_eq!(&call(LONGER, &[given], 2).unwrap(), &expected);
}

#[test]
fn a_required_result_in_c_is_held_against_the_signature_that_was_meant() {
    let plugin = c::load(include_str!("transform.c"), &[]).unwrap();
    let nothing = plugin.declaration().functions.len() - 1;
    let signatures: Vec<_> = plugin.declaration().functions[nothing]
        .signatures()
        .collect();
    let shown: Vec<_> = signatures
        .iter()
        .map(|one| (one.to_string(), one.required))
        .collect();
    let expected = [("(text)", true), ("()", true), ("(integer)", false)];
    assert_eq!(
        shown,
        expected.map(|(arguments, required)| (arguments.to_owned(), required))
    );
    let nulls = plugin.call(nothing, &[integers([Some(1)])], 1).unwrap();
    assert_eq!(nulls.null_count(), 1);
    plugin.call(nothing, &[], 1).unwrap_err();
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    plugin.call(nothing, &[texts], 1).unwrap_err();
}

#[test]
fn a_declaration_without_overloads_and_partition_functions_reads_and_writes_as_before() {
    let before = r#"{"name":"f","arguments":["text"],"returns":"text","volatility":"immutable"}"#;
    let read: lake_plugin::FunctionDeclaration = serde_json::from_str(before).unwrap();
    assert_eq!(read.signatures().count(), 1);
    assert_eq!(serde_json::to_string(&read).unwrap(), before);
    let empty = serde_json::to_value(Declaration::default()).unwrap();
    assert!(empty.get("partition_functions").is_none());
}

#[test]
fn functions_survive_json_with_all_that_they_declare() {
    let partition = Function::partition("p")
        .column("k", text())
        .column("received_at", timestamp())
        .key(["k"])
        .order_by(["received_at"])
        .argument(duration())
        .returns("n", integer())
        .volatile()
        .state(|_| Ok(Silent));
    let declaration = transform().function(partition).declaration();
    assert_eq!(declaration.problems(), []);
    let json = serde_json::to_string(&declaration).unwrap();
    assert_eq!(
        serde_json::from_str::<Declaration>(&json).unwrap(),
        declaration
    );
}

struct Silent;

impl Partition for Silent {
    fn push(&mut self, _: &Rows<'_>, _: &mut Emit<'_>) -> Result<(), FunctionError> {
        Ok(())
    }

    fn finish(&mut self, _: &mut Emit<'_>) -> Result<(), FunctionError> {
        Ok(())
    }
}

#[test]
fn all_nonsense_about_functions_is_found_with_the_fix() {
    let transform = Transform::new()
        .input(Input::csv("a").header().column("gap", duration()))
        .table(Table::standard("a").sql("SELECT gap FROM a"))
        .function(
            Function::scalar("f", [text()], text(), double)
                .also([decimal(0, 0)], decimal(1, 2))
                .also([text()], float()),
        )
        .function(Function::partition("unnest").state(|_| Ok(Silent)))
        .function(
            Function::partition("f")
                .column("k", decimal(0, 0))
                .column("k", text())
                .column("_mine", text())
                .key(["k", "k", "l"])
                .order_by(["m"])
                .argument(decimal(0, 0))
                .returns("k", text())
                .returns("n", decimal(0, 0))
                .returns("n", text())
                .returns("received_at", timestamp())
                .state(|_| Ok(Silent)),
        );
    let found: Vec<String> = transform
        .declaration()
        .problems()
        .iter()
        .map(ToString::to_string)
        .collect();
    let expected = "\
input `a`, column `gap`: lengths of time are for functions, and no table can hold one; write it as integer, and say in its name what it counts
function `f`, overload (decimal(0, 0)), argument 0: decimal(0, 0) has a precision of 0; give it between 1 and 38 digits
function `f`, overload (decimal(0, 0)), result: decimal(1, 2) has 2 digits after the point, of 1 in all; give it a scale between 0 and 1
function `f`, arguments (text): it is there more than once; keep one, or rename the others
function `unnest`: SQL has a function of that name, with another meaning; choose another name
function `unnest`: it has no key, so nobody can say which rows belong together; name the columns that make one: .key([…])
function `unnest`: it returns no columns; name what it emits: .returns(\"name\", text())
function `f`, column `k`: decimal(0, 0) has a precision of 0; give it between 1 and 38 digits
function `f`, column `_mine`: names that begin with _ belong to the host; choose another name
function `f`, column `k`: it is there more than once; keep one, or rename the others
function `f`, key column `l`: it is not among the columns that the function receives; add .column(\"l\", …), or leave it out
function `f`, key column `k`: it is there more than once; keep one, or rename the others
function `f`, order_by column `m`: it is not among the columns that the function receives; add .column(\"m\", …), or leave it out
function `f`, argument 0: decimal(0, 0) has a precision of 0; give it between 1 and 38 digits
function `f`, result `k`: a column of the key has that name, and is put in front of every row anyway; leave it out, or choose another name
function `f`, result `n`: decimal(0, 0) has a precision of 0; give it between 1 and 38 digits
function `f`, result `received_at`: that name belongs to a column that the host adds; choose another name
function `f`, result `n`: it is there more than once; keep one, or rename the others
function `f`: it is there more than once; keep one, or rename the others";
    assert_eq!(found.join("\n"), expected);
}
