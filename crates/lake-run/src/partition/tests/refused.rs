//! Calls that do not fit: what is said, and where it points.

use expect_test::{Expect, expect};

use super::{Engine, PLENTY};
use crate::error::RunError;

async fn refused(sql: &str, expected: Expect) {
    let engine = Engine::new(&[], 10, PLENTY);
    let error = engine.plan(sql).await.unwrap_err();
    assert!(matches!(error, RunError::Sql { .. }), "{error:?}");
    expected.assert_eq(&error.to_string());
}

#[tokio::test]
async fn a_function_that_is_not_there_is_named_with_those_that_are() {
    refused(
        "SELECT *\nFROM sessionise(standard.plays, $gap)",
        expect![[r#"
            consumption/sessions, line 2, column 6: there is no function sessionise of a table; did you mean sessionize? There is sessionize(table(userid text, at timestamp), duration), moody(table(userid text, at timestamp), duration), in_order(table(n integer, song text, userid text)), copies(table(userid text), integer), priced(table(userid text), decimal(6, 2))
              2 | FROM sessionise(standard.plays, $gap)
                |      ^^^^^^^^^^"#]],
    )
    .await;
    refused("SELECT * FROM same(standard.plays)", expect![[r#"
        consumption/sessions, line 1, column 15: same is a function of values, not of a table; call it where a value stands
          1 | SELECT * FROM same(standard.plays)
            |               ^^^^"#]]).await;
}

#[tokio::test]
async fn wrong_arguments_are_refused_where_they_stand() {
    for (sql, expected) in [
        (
            "SELECT * FROM sessionize(standard.plays)",
            expect![[r#"
            consumption/sessions, line 1, column 15: sessionize is called with 1 argument, and takes 2: sessionize(table(userid text, at timestamp), duration)
              1 | SELECT * FROM sessionize(standard.plays)
                |               ^^^^^^^^^^"#]],
        ),
        (
            "SELECT * FROM sessionize()",
            expect![[r#"
            consumption/sessions, line 1, column 15: sessionize is called with 0 arguments, and takes 2: sessionize(table(userid text, at timestamp), duration)
              1 | SELECT * FROM sessionize()
                |               ^^^^^^^^^^"#]],
        ),
        (
            "SELECT *\nFROM sessionize(standard.plays, 5)",
            expect![[r#"
                consumption/sessions, line 2, column 33: argument 2 of sessionize is of type duration, which has no value 5 (integer); cast it, or give another value
                  2 | FROM sessionize(standard.plays, 5)
                    |                                 ^"#]],
        ),
        (
            "SELECT * FROM sessionize(standard.plays, $count)",
            expect![[r#"
                consumption/sessions, line 1, column 42: argument 2 of sessionize is of type duration, which has no value 3 (integer); cast it, or give another value
                  1 | SELECT * FROM sessionize(standard.plays, $count)
                    |                                          ^^^^^^"#]],
        ),
        (
            "SELECT *\nFROM copies(standard.plays,\n            $gap)",
            expect![[r#"
                consumption/sessions, line 3, column 13: argument 2 of copies is of type integer, which has no value PT30S (duration); cast it, or give another value
                  3 |             $gap)
                    |             ^^^^"#]],
        ),
        (
            "SELECT * FROM sessionize(standard.plays, INTERVAL '1 month')",
            expect![[r#"
                consumption/sessions, line 1, column 51: argument 2 of sessionize is of type duration, which has no value 1 mons (interval); cast it, or give another value
                  1 | SELECT * FROM sessionize(standard.plays, INTERVAL '1 month')
                    |                                                   ^^^^^^^^^"#]],
        ),
        (
            "SELECT * FROM sessionize(standard.plays, gap => $gap)",
            expect![[r#"
                consumption/sessions, line 1, column 42: sessionize takes its arguments by their place, as sessionize(table(userid text, at timestamp), duration)
                  1 | SELECT * FROM sessionize(standard.plays, gap => $gap)
                    |                                          ^^^^^^^^^^^"#]],
        ),
        (
            "SELECT * FROM copies(standard.plays, userid)",
            expect![[r#"
                consumption/sessions, line 1, column 38: argument 2 of copies is of type integer, and this is no constant; give a value or a parameter, as in $name
                  1 | SELECT * FROM copies(standard.plays, userid)
                    |                                      ^^^^^^"#]],
        ),
        (
            "SELECT * FROM copies(standard.plays, (SELECT max(n) FROM standard.plays))",
            expect![[r#"
                consumption/sessions, line 1, column 39: argument 2 of copies is of type integer, and this is no constant; give a value or a parameter, as in $name
                  1 | SELECT * FROM copies(standard.plays, (SELECT max(n) FROM standard.plays))
                    |                                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#]],
        ),
        (
            "SELECT * FROM copies(standard.plays, date_part('year', now()))",
            expect![[r#"
                consumption/sessions, line 1, column 38: argument 2 of copies is of type integer, and this may differ from run to run; a parameter says what a run is to take
                  1 | SELECT * FROM copies(standard.plays, date_part('year', now()))
                    |                                      ^^^^^^^^^^^^^^^^^^^^^"#]],
        ),
        (
            "SELECT * FROM copies(standard.plays, 1.5)",
            expect![[r#"
                consumption/sessions, line 1, column 38: argument 2 of copies is of type integer, which has no value 1.5 (float); cast it, or give another value
                  1 | SELECT * FROM copies(standard.plays, 1.5)
                    |                                      ^^^"#]],
        ),
        (
            "SELECT * FROM priced(standard.plays, 0.125)",
            expect![[r#"
                consumption/sessions, line 1, column 38: argument 2 of priced is of type decimal(6, 2), which has no value 0.125 (float); cast it, or give another value
                  1 | SELECT * FROM priced(standard.plays, 0.125)
                    |                                      ^^^^^"#]],
        ),
        (
            "SELECT * FROM priced(standard.plays, 123456)",
            expect![[r#"
                consumption/sessions, line 1, column 38: argument 2 of priced is of type decimal(6, 2), which has no value 123456 (integer); cast it, or give another value
                  1 | SELECT * FROM priced(standard.plays, 123456)
                    |                                      ^^^^^^"#]],
        ),
        (
            "SELECT * FROM copies(5, 5)",
            expect![[r#"
            consumption/sessions, line 1, column 22: the first argument of copies is a table, as in copies(standard.…), or a query in parentheses, as in copies((SELECT … FROM …))
              1 | SELECT * FROM copies(5, 5)
                |                      ^"#]],
        ),
        (
            "SELECT * FROM copies(standard.nothing, 5)",
            expect![[r#"
            consumption/sessions, line 1, column 22: there is no table standard.nothing; there is standard.plays
              1 | SELECT * FROM copies(standard.nothing, 5)
                |                      ^^^^^^^^^^^^^^^^"#]],
        ),
        (
            "SELECT * FROM copies((SELECT usrid FROM standard.plays), 5)",
            expect![[r#"
                consumption/sessions, line 1, column 30: there is no column usrid; did you mean userid? The columns are userid, song, at, n
                  1 | SELECT * FROM copies((SELECT usrid FROM standard.plays), 5)
                    |                              ^^^^^"#]],
        ),
    ] {
        refused(sql, expected).await;
    }
}

#[tokio::test]
async fn wrong_columns_are_refused_where_the_table_stands() {
    for (sql, expected) in [
        (
            "SELECT *\nFROM sessionize((SELECT userid, n FROM standard.plays), $gap)",
            expect![[r#"
                consumption/sessions, line 2, column 18: sessionize needs a column at (timestamp), and this has none; it has userid, n; select another one under that name
                  2 | FROM sessionize((SELECT userid, n FROM standard.plays), $gap)
                    |                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#]],
        ),
        (
            "SELECT * FROM sessionize((SELECT userid, song AS at FROM standard.plays), $gap)",
            expect![[r#"
                consumption/sessions, line 1, column 27: sessionize needs column at as timestamp, and it is text; cast it in a query, as in sessionize((SELECT … AS at FROM …))
                  1 | SELECT * FROM sessionize((SELECT userid, song AS at FROM standard.plays), $gap)
                    |                           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#]],
        ),
        (
            "SELECT * FROM copies((SELECT a.userid, b.userid FROM standard.plays AS a \
          JOIN standard.plays AS b ON a.n = b.n), 1)",
            expect![[r#"
                consumption/sessions, line 1, column 23: copies needs one column userid, and this has several; select one of them
                  1 | SELECT * FROM copies((SELECT a.userid, b.userid FROM standard.plays AS a JOIN standard.plays AS b ON a.n = b.n), 1)
                    |                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#]],
        ),
        (
            "SELECT 1 FROM standard.plays AS p WHERE EXISTS \
          (SELECT 1 FROM copies((SELECT userid FROM standard.plays AS q WHERE q.n = p.n), 1))",
            expect![[r#"
                consumption/sessions, line 1, column 71: what copies reads depends on p.n, a column of another table; let it read all rows, and join its result
                  1 | … ROM standard.plays AS p WHERE EXISTS (SELECT 1 FROM copies((SELECT userid FROM standard.plays AS q WHERE q.n = p.n), 1))
                    |                                                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#]],
        ),
    ] {
        refused(sql, expected).await;
    }
}
