//! Parameters: values that a pipeline sets, and that the transform's SQL reads as `$name`.
//!
//! They are put in after the SQL is parsed and before it is planned, each as a
//! constant of its declared type. So they can stand wherever a constant can,
//! in a LIMIT too, and what does not fit is found with its position; a value
//! never becomes SQL, whatever its text is.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, ObjectNamePart, TimezoneInfo, Value, ValueWithSpan,
    VisitMut, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Span;
use lake_plugin::{ColumnType, Declaration};
use serde::{Deserialize, Serialize};

use crate::sql_error::nearest;

/// The values of a transform's parameters in one run, in the order of the declaration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters {
    values: Vec<(ColumnType, ParameterRecord)>,
}

/// What a parameter was in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterRecord {
    /// The parameter.
    pub name: String,
    /// Its value, as it was written in the pipeline file or in the transform.
    pub value: String,
}

/// A name in SQL that is no parameter.
#[derive(Debug)]
pub(crate) struct Unknown {
    pub(crate) span: Span,
    pub(crate) message: String,
}

/// The values of all parameters of a transform: those that are `given`, and
/// the defaults of the others.
///
/// # Errors
/// In words, every parameter that is unknown, missing, or has a value that
/// its type does not have.
pub(crate) fn values(
    declaration: &Declaration,
    given: &BTreeMap<String, String>,
) -> Result<Parameters, String> {
    let declared = &declaration.parameters;
    let known: Vec<&str> = declared.iter().map(|p| p.name.as_str()).collect();
    let mut problems = Vec::new();
    for name in given.keys().filter(|name| !known.contains(&name.as_str())) {
        problems.push(if known.is_empty() {
            format!("the transform has no parameters; take transform.params.{name} away")
        } else {
            let known_ones = known.join(", ");
            match nearest(name, &known) {
                Some(meant) => format!(
                    "the transform has no parameter {name}; did you mean {meant}? It has {known_ones}"
                ),
                None => format!("the transform has no parameter {name}; it has {known_ones}"),
            }
        });
    }
    let mut values = Vec::new();
    for parameter in declared {
        let Some(text) = given.get(&parameter.name).or(parameter.default.as_ref()) else {
            let about = match parameter.about.as_str() {
                "" => String::new(),
                about => format!(" ({about})"),
            };
            problems.push(format!(
                "the transform needs a value for its parameter {0}{about}, which is {1}; \
                 set transform.params.{0}",
                parameter.name, parameter.parameter_type
            ));
            continue;
        };
        if let Err(problem) = parameter.value(text) {
            problems.push(problem);
        }
        let record = ParameterRecord {
            name: parameter.name.clone(),
            value: text.clone(),
        };
        values.push((parameter.parameter_type, record));
    }
    if problems.is_empty() {
        Ok(Parameters { values })
    } else {
        Err(problems.join("; "))
    }
}

impl Parameters {
    /// What the record of a run says about them.
    pub(crate) fn records(&self) -> Vec<ParameterRecord> {
        self.values
            .iter()
            .map(|(_, record)| record.clone())
            .collect()
    }

    /// Puts the values into parsed SQL, in place of the names.
    ///
    /// # Errors
    /// The first name that is no parameter.
    pub(crate) fn put_into<V: VisitMut>(&self, sql: &mut V) -> Result<(), Unknown> {
        let outcome = visit_expressions_mut(sql, |expr| {
            let Expr::Value(ValueWithSpan {
                value: Value::Placeholder(name),
                span,
            }) = expr
            else {
                return ControlFlow::Continue(());
            };
            let bare = name.strip_prefix('$').unwrap_or(name);
            let found = self.values.iter().find(|(_, value)| value.name == bare);
            let Some((parameter_type, record)) = found else {
                return ControlFlow::Break(Unknown {
                    span: *span,
                    message: self.unknown(name),
                });
            };
            *expr = constant(*parameter_type, &record.value, *span);
            ControlFlow::Continue(())
        });
        match outcome {
            ControlFlow::Break(unknown) => Err(unknown),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    fn unknown(&self, name: &str) -> String {
        let known: Vec<&str> = self.values.iter().map(|(_, v)| v.name.as_str()).collect();
        if known.is_empty() {
            return format!("{name} is no parameter; the transform declares none");
        }
        let known_ones = known.join(", $");
        match nearest(name.trim_start_matches('$'), &known) {
            Some(meant) => format!(
                "{name} is no parameter; did you mean ${meant}? The transform declares ${known_ones}"
            ),
            None => format!("{name} is no parameter; the transform declares ${known_ones}"),
        }
    }
}

/// `CAST('text' AS type)`: the cast is the one that checked the value before.
fn constant(parameter_type: ColumnType, text: &str, span: Span) -> Expr {
    let quoted = |text: &str| {
        Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(text.to_owned()),
            span,
        })
    };
    let data_type = match parameter_type {
        ColumnType::Text => return quoted(text),
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Int32 => DataType::Int(None),
        ColumnType::Int64 => DataType::BigInt(None),
        ColumnType::Float64 => DataType::Double(ExactNumberInfo::None),
        ColumnType::Decimal { precision, scale } => DataType::Decimal(
            ExactNumberInfo::PrecisionAndScale(precision.into(), scale.into()),
        ),
        ColumnType::Date => DataType::Date,
        ColumnType::Timestamp => DataType::Timestamp(Some(6), TimezoneInfo::WithTimeZone),
        ColumnType::Duration => return length(text, span).unwrap_or_else(|| quoted(text)),
    };
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(quoted(text.trim())),
        data_type,
        array: false,
        format: None,
    }
}

/// A length of time. SQL's own is a calendar's, which has no fixed length and compares with no
/// difference of timestamps.
fn length(text: &str, span: Span) -> Option<Expr> {
    let microseconds = lake_plugin::microseconds(text)?;
    let sql = format!("arrow_cast({microseconds}, 'Duration(Microsecond)')");
    let parser = Parser::new(&GenericDialect {}).try_with_sql(&sql);
    let mut expr = parser.ok()?.parse_expr().ok()?;
    // It stands where the parameter does, in the author's text and not in ours.
    let _: ControlFlow<()> = visit_expressions_mut(&mut expr, |part| {
        match part {
            Expr::Value(value) => value.span = span,
            Expr::Function(call) => {
                for part in &mut call.name.0 {
                    if let ObjectNamePart::Identifier(name) = part {
                        name.span = span;
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
    Some(expr)
}

#[cfg(test)]
pub(crate) mod tests {
    use lake_plugin::prelude::*;

    use super::*;

    /// Parameters of every type, with a value each.
    pub(crate) fn some() -> Parameters {
        values(&declaration(), &BTreeMap::new()).unwrap()
    }

    fn declaration() -> Declaration {
        Transform::new()
            .param(param("top", integer()).default("2"))
            .param(param("few", int32()).default("-3"))
            .param(param("share", float()).default("0.5"))
            .param(param("price", decimal(12, 2)).default("1.25"))
            .param(param("region", text()).default("it's north"))
            .param(param("strict", boolean()).default("true"))
            .param(param("since", date()).default("2026-01-31"))
            .param(param("noon", timestamp()).default("2026-01-31T12:00:00Z"))
            .declaration()
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_given_value_is_taken_instead_of_the_default() {
        let values = values(&declaration(), &given(&[("top", "7")])).unwrap();
        let records = values.records();
        let value = |name: &str| &records.iter().find(|r| r.name == name).unwrap().value;
        assert_eq!([value("top"), value("price")], ["7", "1.25"]);
    }

    #[test]
    fn every_wrong_parameter_is_named_at_once() {
        let declaration = Transform::new()
            .param(param("top", integer()))
            .param(param("price", decimal(12, 2)).about("what a kilowatt hour costs"))
            .declaration();
        let message = values(&declaration, &given(&[("tpo", "1"), ("top", "many")])).unwrap_err();
        assert_eq!(
            message,
            "the transform has no parameter tpo; did you mean top? It has top, price; \
             parameter top is integer, and 'many' is none; write it as 42; \
             the transform needs a value for its parameter price (what a kilowatt hour costs), \
             which is decimal(12, 2); set transform.params.price"
        );
        let none = values(&Declaration::default(), &given(&[("top", "1")])).unwrap_err();
        assert_eq!(
            none,
            "the transform has no parameters; take transform.params.top away"
        );
    }
}
