//! Partition functions in SQL, with a transform that is linked in.

mod refused;

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::array_value_to_string;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::displayable;
use datafusion::prelude::SessionConfig;
use expect_test::expect;
use lake_plugin::prelude::*;
use lake_plugin::{CallError, Exported};

use super::*;
use crate::parameters::{self, Parameters};
use crate::sql::Sql;

/// Rows of a key, and what their values were when something new began.
struct Sessions {
    gap: i64,
    session: Option<(i64, i64, i64)>,
}

impl Partition for Sessions {
    fn push(&mut self, rows: &Rows<'_>, out: &mut Emit<'_>) -> Result<(), FunctionError> {
        for at in &rows.timestamp("at")? {
            let at = at.ok_or_else(|| FunctionError::new("a play has no time"))?;
            match &mut self.session {
                Some((_, last, plays)) if at - *last <= self.gap => {
                    *last = at;
                    *plays += 1;
                }
                session => {
                    if let Some((start, _, plays)) = session.replace((at, at, 1)) {
                        out.row((start, plays))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Emit<'_>) -> Result<(), FunctionError> {
        match self.session.take() {
            Some((start, _, plays)) => out.row((start, plays)),
            None => Ok(()),
        }
    }
}

/// As many rows as are asked for, all at once.
struct Copies(i64);

impl Partition for Copies {
    fn push(&mut self, _: &Rows<'_>, _: &mut Emit<'_>) -> Result<(), FunctionError> {
        Ok(())
    }

    fn finish(&mut self, out: &mut Emit<'_>) -> Result<(), FunctionError> {
        (0..self.0).try_for_each(|number| out.row((number,)))
    }
}

/// The values of a key in the order in which they come.
#[derive(Default)]
struct Order(Vec<String>);

impl Partition for Order {
    fn push(&mut self, rows: &Rows<'_>, _: &mut Emit<'_>) -> Result<(), FunctionError> {
        let values = rows.integer("n")?;
        let said = |value: Option<i64>| value.map_or("NULL".to_owned(), |value| value.to_string());
        self.0.extend(values.iter().map(said));
        Ok(())
    }

    fn finish(&mut self, out: &mut Emit<'_>) -> Result<(), FunctionError> {
        out.row((self.0.join(" ").as_str(),))
    }
}

fn transform() -> Transform {
    let sessions = |name: &str| {
        Function::partition(name)
            .column("userid", text())
            .column("at", timestamp())
            .key(["userid"])
            .order_by(["at"])
            .argument(duration())
            .returns("start", timestamp())
            .returns("plays", integer())
    };
    let state = |arguments: &Arguments| {
        let gap = arguments.duration(0)?.value(0);
        Ok(Sessions { gap, session: None })
    };
    let order = Function::partition("in_order")
        .column("n", integer())
        .column("song", text())
        .column("userid", text())
        .key(["userid", "song"])
        .order_by(["n"])
        .returns("list", text())
        .state(|_| Ok(Order::default()));
    let copies = Function::partition("copies")
        .column("userid", text())
        .key(["userid"])
        .argument(integer())
        .returns("number", integer())
        .state(|arguments| Ok(Copies(arguments.integer(0)?.value(0))));
    let priced = Function::partition("priced")
        .column("userid", text())
        .key(["userid"])
        .argument(decimal(6, 2))
        .returns("number", integer())
        .state(|_| Ok(Copies(1)));
    Transform::new()
        .input(Input::csv("a").header().column("b", text()))
        .table(Table::standard("a").sql("SELECT b FROM a"))
        .param(param("gap", duration()).default("30s"))
        .param(param("count", integer()).default("3"))
        .function(Function::scalar(
            "same",
            [integer()],
            integer(),
            |arguments: &Arguments| Ok(Arc::new(arguments.integer(0)?.clone())),
        ))
        .function(sessions("sessionize").state(state))
        .function(sessions("moody").volatile().state(state))
        .function(order)
        .function(copies)
        .function(priced)
}

static TRANSFORM: Exported = Exported::new("tests", "1.0.0", transform);

struct Engine {
    session: SessionContext,
    parameters: Parameters,
    calls: Arc<Calls>,
}

/// Rows of plays: user, song, second, number.
type Play = (Option<&'static str>, Option<&'static str>, i64, Option<i64>);

impl Engine {
    /// A session with `plays` in batches of `batch` rows over three partitions.
    fn new(plays: &[Play], batch: usize, memory: usize) -> Self {
        let plugin = Plugin::from_entry(TRANSFORM.entry()).unwrap();
        let mut config = SessionConfig::new()
            .with_target_partitions(3)
            .with_batch_size(batch);
        config.options_mut().sql_parser.collect_spans = true;
        config.options_mut().execution.time_zone = Some("UTC".into());
        config.options_mut().execution.sort_spill_reservation_bytes = memory / 100;
        let runtime = RuntimeEnvBuilder::new().with_memory_limit(memory, 1.0);
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime.build_arc().unwrap())
            .with_default_features()
            .with_query_planner(Arc::new(Planner))
            .build();
        let session = SessionContext::new_with_state(state);
        let calls = crate::functions::register(&session, &plugin);
        register(&session, &plugin, &calls).unwrap();
        crate::shape::register_zones(&session).unwrap();
        let schema = schema();
        let mut partitions = vec![Vec::new(); 3];
        for (place, rows) in plays.chunks(batch).enumerate() {
            partitions[place % 3].push(rows_of(&schema, rows));
        }
        let table = MemTable::try_new(schema, partitions).unwrap();
        session
            .register_table("standard.plays", Arc::new(table))
            .unwrap();
        let parameters = parameters::values(plugin.declaration(), &Default::default()).unwrap();
        Self {
            session,
            parameters,
            calls,
        }
    }

    async fn plan(&self, text: &str) -> crate::error::Result<LogicalPlan> {
        let sql = Sql {
            place: "consumption/sessions".to_owned(),
            text,
        };
        sql.query(&self.session, &self.parameters).await
    }

    async fn batches(&self, sql: &str) -> datafusion::error::Result<Vec<RecordBatch>> {
        let plan = self.plan(sql).await.unwrap();
        let frame = self.session.execute_logical_plan(plan).await?;
        frame.collect().await
    }

    /// The rows of a query, sorted.
    async fn rows(&self, sql: &str) -> Vec<String> {
        let mut rows = self.in_order(sql).await;
        rows.sort();
        rows
    }

    async fn in_order(&self, sql: &str) -> Vec<String> {
        let batches = self.batches(sql).await.unwrap();
        let rows = batches.iter().flat_map(|batch| {
            (0..batch.num_rows()).map(|row| {
                let values = batch.columns().iter();
                let values = values.map(|column| array_value_to_string(column, row).unwrap());
                values.collect::<Vec<_>>().join(",")
            })
        });
        rows.collect()
    }

    async fn optimised(&self, sql: &str) -> String {
        let plan = self.plan(sql).await.unwrap();
        let plan = self.session.state().optimize(&plan).unwrap();
        plan.display_indent().to_string()
    }

    async fn physical(&self, sql: &str) -> String {
        let plan = self.plan(sql).await.unwrap();
        let state = self.session.state();
        let plan = state.create_physical_plan(&plan).await.unwrap();
        displayable(plan.as_ref()).indent(false).to_string()
    }
}

const PLENTY: usize = 256 << 20;

fn schema() -> Arc<Schema> {
    let time = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("userid", DataType::Utf8, true),
        Field::new("song", DataType::Utf8, true),
        Field::new("at", time, true),
        Field::new("n", DataType::Int64, true),
    ]))
}

fn rows_of(schema: &Arc<Schema>, rows: &[Play]) -> RecordBatch {
    let at = rows.iter().map(|row| row.2 * 1_000_000);
    RecordBatch::try_new(
        Arc::clone(schema),
        vec![
            Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.1).collect::<StringArray>()),
            Arc::new(TimestampMicrosecondArray::from_iter_values(at).with_timezone("UTC")),
            Arc::new(rows.iter().map(|row| row.3).collect::<Int64Array>()),
        ],
    )
    .unwrap()
}

/// Plays that look random and are the same every time.
fn plays(count: u64) -> Vec<Play> {
    let users = [None, Some(""), Some("a"), Some("b"), Some("c"), Some("dd")];
    let songs = [None, Some("x"), Some("y")];
    let mut random: u64 = 7;
    let mut below = |end: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % end
    };
    let mut play = || {
        let second = below(20_000) as i64;
        let number = below(50) as i64;
        let number = (number > 0).then_some(number);
        (
            users[below(users.len())],
            songs[below(songs.len())],
            second,
            number,
        )
    };
    (0..count).map(|_| play()).collect()
}

#[tokio::test]
async fn sessions_are_those_of_window_functions_however_rows_are_cut_into_batches() {
    let expected = "WITH marked AS (
            SELECT userid, at, CASE WHEN at - lag(at) OVER (PARTITION BY userid ORDER BY at)
                <= INTERVAL '30 seconds' THEN 0 ELSE 1 END AS starts
            FROM standard.plays
        ), numbered AS (
            SELECT userid, at, sum(starts)
                OVER (PARTITION BY userid ORDER BY at ROWS UNBOUNDED PRECEDING) AS session
            FROM marked
        )
        SELECT userid, min(at) AS start, count(*) AS plays FROM numbered GROUP BY userid, session";
    let plays = plays(2_000);
    for batch in [1, 2, 7, 100, 8192] {
        let engine = Engine::new(&plays, batch, PLENTY);
        let found = engine
            .rows("SELECT * FROM sessionize(standard.plays, $gap)")
            .await;
        assert_eq!(found, engine.rows(expected).await, "{batch}");
        assert!(found.len() > 500, "{}", found.len());
        let figures = engine.calls.figures();
        let figures = figures.iter().find(|f| f.name == "sessionize").unwrap();
        assert_eq!(figures.rows, 2_000);
    }
}

#[tokio::test]
async fn rows_of_a_key_of_several_columns_come_in_order_with_null_last() {
    let plays = plays(600);
    let expected = "SELECT userid, song,
            array_to_string(array_agg(coalesce(CAST(n AS VARCHAR), 'NULL') ORDER BY n NULLS LAST), ' ')
        FROM standard.plays GROUP BY userid, song";
    for batch in [1, 3, 50] {
        let engine = Engine::new(&plays, batch, PLENTY);
        let found = engine
            .rows("SELECT userid, song, list FROM in_order(standard.plays)")
            .await;
        assert_eq!(found.len(), 18);
        assert_eq!(found, engine.rows(expected).await, "{batch}");
    }
}

#[tokio::test]
async fn a_filter_on_the_key_passes_through_and_one_on_a_result_does_not() {
    let engine = Engine::new(&plays(100), 10, PLENTY);
    let sql = "SELECT userid, plays FROM sessionize(standard.plays, $gap) AS s \
               WHERE userid = 'a' AND plays > 1";
    expect![[r#"
        SubqueryAlias: s
          Filter: sessionize.plays > Int64(1)
            Projection: sessionize.userid, sessionize.plays
              PartitionFunction: sessionize(…, PT30S), key=[userid], order_by=[at]
                Projection: standard.plays.userid AS userid, standard.plays.at AS at
                  Filter: standard.plays.userid = Utf8("a")
                    TableScan: standard.plays projection=[userid, at]"#]]
    .assert_eq(&engine.optimised(sql).await);
    let all = engine
        .rows("SELECT userid, plays FROM sessionize(standard.plays, $gap)")
        .await;
    let some = all
        .into_iter()
        .filter(|row| row.starts_with("a,") && row != "a,1");
    assert_eq!(engine.rows(sql).await, some.collect::<Vec<_>>());
}

#[tokio::test]
async fn the_engine_spreads_and_sorts_by_key_once() {
    let engine = Engine::new(&plays(100), 10, PLENTY);
    let sql = "SELECT userid, count(*) FROM sessionize(standard.plays, $gap) GROUP BY userid";
    expect![[r#"
        ProjectionExec: expr=[userid@0 as userid, count(Int64(1))@1 as count(*)]
          AggregateExec: mode=SinglePartitioned, gby=[userid@0 as userid], aggr=[count(Int64(1))], ordering_mode=Sorted
            ProjectionExec: expr=[userid@0 as userid]
              PartitionFunction: sessionize(…, PT30S), key=[userid], order_by=[at]
                SortExec: expr=[userid@0 ASC NULLS LAST, at@1 ASC NULLS LAST], preserve_partitioning=[true]
                  RepartitionExec: partitioning=Hash([userid@0], 3), input_partitions=3
                    DataSourceExec: partitions=3, partition_sizes=[4, 3, 3]
    "#]].assert_eq(&engine.physical(sql).await);
}

#[tokio::test]
async fn an_order_by_what_is_returned_sorts_what_is_returned() {
    let engine = Engine::new(&plays(3_000), 64, PLENTY);
    let sql = "SELECT userid, list FROM in_order(standard.plays) ORDER BY list";
    let found = engine.in_order(sql).await;
    let lists = found.iter().map(|row| row.split_once(',').unwrap().1);
    assert!(lists.is_sorted(), "{found:?}");
    let sql =
        "SELECT plays, start FROM sessionize(standard.plays, $gap) ORDER BY plays DESC, start";
    let found = engine.in_order(sql).await;
    let plays = found.iter().map(|row| row.split_once(',').unwrap().0);
    let plays: Vec<i64> = plays.map(|plays| plays.parse().unwrap()).collect();
    assert!(plays.is_sorted_by(|a, b| a >= b), "{plays:?}");
}

#[tokio::test]
async fn calls_stand_wherever_a_table_can_and_are_named_in_any_case() {
    let engine = Engine::new(&plays(300), 10, PLENTY);
    let plain = engine
        .rows("SELECT userid, number FROM copies(standard.plays, 2)")
        .await;
    assert_eq!(plain.len(), 12);
    for sql in [
        "SELECT c.user, c.place FROM Copies(standard.plays, 1 + 1) AS c (user, place)",
        "WITH p AS (SELECT * FROM standard.plays) SELECT * FROM copies(p, same(2))",
        "WITH c AS (SELECT * FROM COPIES((SELECT at, userid FROM standard.plays), 2)) SELECT * FROM c",
        "SELECT * FROM copies((SELECT userid FROM copies(standard.plays, 7)), 2)",
        "SELECT a.userid, a.number FROM copies(standard.plays, 2) AS a, LATERAL copies(standard.plays, 1) AS b \
         WHERE a.userid IS NOT DISTINCT FROM b.userid",
        "SELECT userid, number FROM copies(standard.plays, $count) WHERE number < 2",
        "SELECT userid, n - 1 FROM copies(standard.plays, 2) CROSS JOIN (VALUES (1), (2)) AS v (n) \
         WHERE number = 0",
    ] {
        assert_eq!(engine.rows(sql).await, plain, "{sql}");
    }
    let nested = "SELECT userid FROM standard.plays WHERE userid IN \
                  (SELECT userid FROM copies((SELECT * FROM standard.plays WHERE n = 7), 1))";
    let expected = "SELECT userid FROM standard.plays WHERE userid IN \
                    (SELECT userid FROM standard.plays WHERE n = 7)";
    assert_eq!(engine.rows(nested).await, engine.rows(expected).await);
    let series = engine.rows("SELECT * FROM generate_series(1, 3)").await;
    assert_eq!(series, ["1", "2", "3"]);
}

#[tokio::test]
async fn what_a_call_emits_at_once_comes_in_batches_of_the_engine() {
    let engine = Engine::new(&plays(100), 10, PLENTY);
    let batches = engine
        .batches("SELECT number FROM copies(standard.plays, 1234)")
        .await
        .unwrap();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 6 * 1234);
    assert!(batches.iter().all(|batch| batch.num_rows() <= 10));
}

#[tokio::test]
async fn what_a_call_emits_counts_against_the_memory_of_the_run() {
    let engine = Engine::new(&plays(100), 10, 1 << 20);
    let sql = "SELECT userid, number FROM copies(standard.plays, 100000)";
    let error = engine.batches(sql).await.unwrap_err();
    let DataFusionError::ResourcesExhausted(message) = error.find_root() else {
        panic!("{error}");
    };
    assert!(message.contains("function copies"), "{message}");
}

#[tokio::test]
async fn a_function_that_fails_is_named() {
    let engine = Engine::new(&plays(100), 10, PLENTY);
    let sql =
        "SELECT * FROM sessionize((SELECT userid, NULLIF(at, at) AS at FROM standard.plays), $gap)";
    let error = engine.batches(sql).await.unwrap_err();
    let DataFusionError::External(cause) = error.find_root() else {
        panic!("{error}");
    };
    assert!(cause.is::<CallError>(), "{cause}");
    assert_eq!(
        cause.to_string(),
        "function `sessionize`: a play has no time"
    );
}

#[tokio::test]
async fn of_no_rows_a_function_hears_nothing() {
    let engine = Engine::new(&[], 10, PLENTY);
    let sql = "SELECT * FROM copies(standard.plays, 3)";
    assert_eq!(engine.rows(sql).await, [""; 0]);
    assert!(
        engine
            .calls
            .figures()
            .iter()
            .all(|figures| figures.calls == 0)
    );
}

#[tokio::test]
async fn a_volatile_function_makes_a_query_that_is_not_timeless() {
    let engine = Engine::new(&[], 10, PLENTY);
    for (function, expected) in [("sessionize", true), ("moody", false)] {
        let sql = format!("SELECT userid FROM {function}(standard.plays, $gap)");
        let within = format!("SELECT 1 WHERE 'a' IN ({sql})");
        for sql in [sql, within] {
            let plan = engine.plan(&sql).await.unwrap();
            assert_eq!(
                crate::lineage::is_timeless(&plan).unwrap(),
                expected,
                "{sql}"
            );
        }
    }
}

#[tokio::test]
async fn a_value_too_large_for_a_declared_type_fails_and_is_not_cut() {
    let engine = Engine::new(&plays(10), 10, PLENTY);
    let sql = "SELECT list FROM in_order((SELECT userid, song, \
               CAST(n AS BIGINT UNSIGNED) + CAST(9223372036854775807 AS BIGINT UNSIGNED) AS n \
               FROM standard.plays))";
    let error = engine.batches(sql).await.unwrap_err();
    assert!(error.to_string().contains("Can't cast"), "{error}");
}

#[tokio::test]
async fn constants_become_the_declared_type_where_they_are_the_same_value() {
    let engine = Engine::new(&plays(50), 10, PLENTY);
    for (call, shown) in [
        ("priced(standard.plays, 0.25)", "priced(…, 0.25)"),
        ("priced(standard.plays, 3)", "priced(…, 3.00)"),
        ("priced(standard.plays, NULL)", "priced(…, NULL)"),
        ("copies(standard.plays, 2.0)", "copies(…, 2)"),
        ("copies(standard.plays, -5)", "copies(…, -5)"),
        (
            "sessionize(standard.plays, INTERVAL '1 day 2 minutes')",
            "sessionize(…, PT86520S)",
        ),
        ("sessionize(standard.plays, $gap)", "sessionize(…, PT30S)"),
    ] {
        let plan = engine.optimised(&format!("SELECT * FROM {call}")).await;
        assert!(plan.contains(shown), "{plan}");
    }
}

#[tokio::test]
async fn text_of_any_layout_is_text() {
    let engine = Engine::new(&plays(200), 10, PLENTY);
    let plain = engine.rows("SELECT * FROM copies(standard.plays, 1)").await;
    for layout in ["Utf8View", "LargeUtf8", "Dictionary(Int32, Utf8)"] {
        let sql = format!(
            "SELECT * FROM copies((SELECT arrow_cast(userid, '{layout}') AS userid FROM standard.plays), 1)"
        );
        assert_eq!(engine.rows(&sql).await, plain, "{layout}");
    }
}

#[test]
fn a_usage_says_what_a_function_takes_and_an_outcome_what_it_gives() {
    let plugin = Plugin::from_entry(TRANSFORM.entry()).unwrap();
    let functions = &plugin.declaration().partition_functions;
    let said = functions
        .iter()
        .map(|function| format!("{} → {}\n", usage(function), outcome(function)));
    expect![[r#"
        sessionize(table(userid text, at timestamp), duration) → userid text, start timestamp, plays integer; by userid, in the order of at
        moody(table(userid text, at timestamp), duration) → userid text, start timestamp, plays integer; by userid, in the order of at
        in_order(table(n integer, song text, userid text)) → userid text, song text, list text; by userid, song, in the order of n
        copies(table(userid text), integer) → userid text, number integer; by userid
        priced(table(userid text), decimal(6, 2)) → userid text, number integer; by userid
    "#]].assert_eq(&said.collect::<String>());
}
