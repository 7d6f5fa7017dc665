//! What is said of bad SQL, word for word.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::DFSchema;
use datafusion::datasource::empty::EmptyTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use expect_test::{Expect, expect};

use super::*;
use crate::parameters;

fn session() -> SessionContext {
    let mut config = SessionConfig::new();
    config.options_mut().sql_parser.collect_spans = true;
    config.options_mut().execution.time_zone = Some("UTC".into());
    let session = SessionContext::new_with_config(config);
    crate::shape::register_zones(&session).unwrap();
    for table in ["readings", "standard.readings", "standard.meters"] {
        let table_of = Arc::new(EmptyTable::new(schema()));
        session.register_table(table, table_of).unwrap();
    }
    session
}

fn schema() -> Arc<Schema> {
    let noon = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("meter_id", DataType::Utf8, true),
        Field::new("start_time", noon, true),
        Field::new("usage_kwh", DataType::Decimal128(12, 3), true),
        Field::new("Region", DataType::Utf8, true),
    ]))
}

#[track_caller]
fn query(text: &str, expected: Expect) {
    let sql = Sql {
        place: "standard/readings".to_owned(),
        text,
    };
    let planned = futures::executor::block_on(sql.query(&session(), &parameters::tests::some()));
    expected.assert_eq(&planned.unwrap_err().to_string());
}

#[track_caller]
fn check(text: &str, expected: Expect) {
    let sql = Sql {
        place: "input readings, check 'usage is fine'".to_owned(),
        text,
    };
    let schema = DFSchema::try_from(schema()).unwrap();
    let planned = sql.expression(&session(), &parameters::tests::some(), &schema);
    expected.assert_eq(&planned.unwrap_err().to_string());
}

#[test]
fn an_unknown_column_is_shown_with_the_nearest_and_all() {
    query(
        "SELECT meter FROM readings",
        expect![[r#"
        standard/readings, line 1, column 8: there is no column meter; did you mean meter_id? The columns are meter_id, start_time, usage_kwh, Region
          1 | SELECT meter FROM readings
            |        ^^^^^"#]],
    );
    query(
        "SELECT\n  meter_id,\n\tr.meter_di\nFROM readings AS r",
        expect![[r#"
        standard/readings, line 3, column 2: there is no column meter_di in r; did you mean meter_id? The columns are meter_id, start_time, usage_kwh, Region
          3 |  r.meter_di
            |  ^^^^^^^^^^"#]],
    );
    query(
        "SELECT region FROM readings",
        expect![[r#"
        standard/readings, line 1, column 8: there is no column region; names of mixed case are quoted: "Region"; the columns are meter_id, start_time, usage_kwh, Region
          1 | SELECT region FROM readings
            |        ^^^^^^"#]],
    );
    query(
        "SELECT x.meter_id FROM readings AS r",
        expect![[r#"
        standard/readings, line 1, column 8: there is no x here; there is r
          1 | SELECT x.meter_id FROM readings AS r
            |        ^^^^^^^^^^"#]],
    );
    check(
        "usage >= 0",
        expect![[r#"
        input readings, check 'usage is fine', line 1, column 1: there is no column usage; did you mean usage_kwh? The columns are meter_id, start_time, usage_kwh, Region
          1 | usage >= 0
            | ^^^^^"#]],
    );
}

#[test]
fn everything_that_is_wrong_with_a_query_is_said_at_once() {
    query(
        "SELECT meter,\n  sum_kwh FROM readings",
        expect![[r#"
        standard/readings, line 1, column 8: there is no column meter; did you mean meter_id? The columns are meter_id, start_time, usage_kwh, Region
          1 | SELECT meter,
            |        ^^^^^
        line 2, column 3: there is no column sum_kwh; the columns are meter_id, start_time, usage_kwh, Region
          2 |   sum_kwh FROM readings
            |   ^^^^^^^"#]],
    );
}

#[test]
fn an_ambiguous_column_is_shown_with_what_it_can_mean() {
    query(
        "SELECT meter_id FROM standard.readings AS r, standard.meters AS m",
        expect![[r#"
            standard/readings, line 1, column 8: the column meter_id is in several tables; say which: r.meter_id or m.meter_id
              1 | SELECT meter_id FROM standard.readings AS r, standard.meters AS m
                |        ^^^^^^^^"#]],
    );
}

#[test]
fn an_unknown_table_is_shown_with_the_nearest() {
    query(
        "SELECT 1 AS one\nFROM standard.reading",
        expect![[r#"
        standard/readings, line 2, column 6: there is no table standard.reading; did you mean standard.readings? There is readings, standard.meters, standard.readings
          2 | FROM standard.reading
            |      ^^^^^^^^^^^^^^^^"#]],
    );
    query(
        "SELECT 1 AS one FROM weather",
        expect![[r#"
        standard/readings, line 1, column 22: there is no table weather; there is readings, standard.meters, standard.readings
          1 | SELECT 1 AS one FROM weather
            |                      ^^^^^^^"#]],
    );
}

#[test]
fn what_is_no_sql_is_shown_where_it_begins() {
    query(
        "SELEKT meter_id FROM readings",
        expect![[r#"
        standard/readings, line 1, column 1: this is no SQL: expected an SQL statement, found SELEKT
          1 | SELEKT meter_id FROM readings
            | ^^^^^^"#]],
    );
    query(
        "SELECT meter_id\nFROM readings\nWHERE (usage_kwh > 1",
        expect![[r#"
        standard/readings, line 3, column 21: this is no SQL: expected ), found the end
          3 | WHERE (usage_kwh > 1
            |                     ^"#]],
    );
    query(
        "SELECT meter_id FROM readings WHERE meter_id = 'a",
        expect![[r#"
        standard/readings, line 1, column 48: this is no SQL: unterminated string literal
          1 | SELECT meter_id FROM readings WHERE meter_id = 'a
            |                                                ^"#]],
    );
    query(
        "SELECT meter_id, FROM FROM readings",
        expect![[r#"
        standard/readings, line 1, column 23: there is no table from; there is readings, standard.meters, standard.readings
          1 | SELECT meter_id, FROM FROM readings
            |                       ^^^^^^^^^^^^^"#]],
    );
    check(
        "usage_kwh >=",
        expect![[r#"
        input readings, check 'usage is fine', line 1, column 13: this is no SQL: expected an expression, found the end
          1 | usage_kwh >=
            |             ^"#]],
    );
}

#[test]
fn sql_that_is_not_one_query_is_said_to_be_so() {
    query(
        "DROP TABLE readings",
        expect!["standard/readings: the SQL has to be one query: SELECT, or WITH … SELECT"],
    );
    query(
        "SELECT 1; SELECT 2",
        expect!["standard/readings: the SQL has to be one query: SELECT, or WITH … SELECT"],
    );
    query(
        "",
        expect!["standard/readings: the SQL has to be one query: SELECT, or WITH … SELECT"],
    );
}

#[test]
fn a_function_is_shown_with_what_it_takes() {
    query(
        "SELECT sume(usage_kwh) AS x FROM readings",
        expect![[r#"
        standard/readings, line 1, column 8: there is no function sume; did you mean sum?
          1 | SELECT sume(usage_kwh) AS x FROM readings
            |        ^^^^"#]],
    );
    query(
        "SELECT frobnicate(usage_kwh) AS x FROM readings",
        expect![[r#"
        standard/readings, line 1, column 8: there is no function frobnicate; declare it with .function(…), or use one of SQL's
          1 | SELECT frobnicate(usage_kwh) AS x FROM readings
            |        ^^^^^^^^^^"#]],
    );
    query(
        "SELECT meter_id,\n  date_trunc('day', usage_kwh) AS day FROM readings",
        expect![[r#"
            standard/readings, line 2, column 3: date_trunc is called with (text, decimal(12, 3)); it is declared as date_trunc(text, timestamp), or date_trunc(text, Time); cast what does not fit
              2 |   date_trunc('day', usage_kwh) AS day FROM readings
                |   ^^^^^^^^^^"#]],
    );
    query(
        "SELECT upper() AS x FROM readings",
        expect![[r#"
        standard/readings, line 1, column 8: upper is called with (); it is declared as upper(text); cast what does not fit
          1 | SELECT upper() AS x FROM readings
            |        ^^^^^"#]],
    );
}

#[test]
fn types_that_do_not_fit_are_shown_with_what_they_are() {
    check(
        "start_time > usage_kwh",
        expect![[r#"
        input readings, check 'usage is fine', line 1, column 1: timestamp > decimal(12, 3) cannot be compared; cast one side to the type of the other
          1 | start_time > usage_kwh
            | ^^^^^^^^^^^^^^^^^^^^^^"#]],
    );
    query(
        "SELECT meter_id FROM readings WHERE start_time > usage_kwh",
        expect![[r#"
        standard/readings, line 1, column 37: timestamp > decimal(12, 3) cannot be compared; cast one side to the type of the other
          1 | SELECT meter_id FROM readings WHERE start_time > usage_kwh
            |                                     ^^^^^^^^^^^^^^^^^^^^^^"#]],
    );
    query(
        "SELECT start_time + usage_kwh AS x FROM readings",
        expect![[r#"
        standard/readings, line 1, column 8: timestamp + decimal(12, 3) cannot be computed; cast one side to the type of the other
          1 | SELECT start_time + usage_kwh AS x FROM readings
            |        ^^^^^^^^^^^^^^^^^^^^^^"#]],
    );
}

#[test]
fn a_column_that_is_not_grouped_is_shown() {
    query(
        "SELECT meter_id, usage_kwh, count(*) AS n FROM readings GROUP BY meter_id",
        expect![[r#"
            standard/readings, line 1, column 18: usage_kwh is neither in GROUP BY nor in an aggregate; add it to GROUP BY, or say which value is meant, as in max(usage_kwh)
              1 | SELECT meter_id, usage_kwh, count(*) AS n FROM readings GROUP BY meter_id
                |                  ^^^^^^^^^"#]],
    );
}

#[test]
fn parameters_stand_wherever_a_constant_can() {
    let text = "SELECT meter_id, usage_kwh * $price AS x, $few + 1 AS y FROM readings \
                WHERE start_time > $noon AND usage_kwh > $share AND meter_id = $region \
                AND CAST(start_time AS DATE) >= $since AND $strict LIMIT $top";
    let sql = Sql {
        place: "standard/readings".to_owned(),
        text,
    };
    let session = session();
    let parameters = parameters::tests::some();
    let plan = futures::executor::block_on(sql.query(&session, &parameters)).unwrap();
    let plan = session.state().optimize(&plan).unwrap();
    expect![[r#"
        Projection: readings.meter_id, readings.usage_kwh * Decimal128(1.25,12,2) AS x, Int64(-2) AS y
          Limit: skip=0, fetch=2
            Filter: readings.start_time > TimestampMicrosecond(1769860800000000, Some("UTC")) AND readings.usage_kwh > Decimal128(0.500,12,3) AND readings.meter_id = Utf8("it's north") AND CAST(readings.start_time AS Date32) >= Date32("2026-01-31")
              TableScan: readings projection=[meter_id, start_time, usage_kwh]"#]].assert_eq(&plan.to_string());
}

#[test]
fn a_name_that_is_no_parameter_is_shown_with_those_that_are() {
    query(
        "SELECT meter_id FROM readings\nLIMIT $tpo",
        expect![[r#"
        standard/readings, line 2, column 7: $tpo is no parameter; did you mean $top? The transform declares $top, $few, $share, $price, $region, $strict, $since, $noon
          2 | LIMIT $tpo
            |       ^^^^"#]],
    );
    check(
        "usage_kwh >= $1",
        expect![[r#"
        input readings, check 'usage is fine', line 1, column 14: $1 is no parameter; the transform declares $top, $few, $share, $price, $region, $strict, $since, $noon
          1 | usage_kwh >= $1
            |              ^^"#]],
    );
}

#[test]
fn a_long_line_is_shown_around_the_spot() {
    let many = "usage_kwh + ".repeat(40);
    query(
        &format!("SELECT {many} usage + {many} 1 AS x FROM readings"),
        expect![[r#"
        standard/readings, line 1, column 489: there is no column usage; did you mean usage_kwh? The columns are meter_id, start_time, usage_kwh, Region
          1 | … sage_kwh + usage_kwh + usage_kwh + usage_kwh + usage_kwh +  usage + usage_kwh + usage_kwh + usage_kwh + usage_kwh + usage_kwh …
            |                                                               ^^^^^"#]],
    );
}
