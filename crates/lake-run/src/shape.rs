//! Shape: the transform's SQL over this run's rows and over the tables as prepared.
//!
//! The SQL of a standard table says nothing of the system columns; they are
//! carried through its plan beside the columns that it selects.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias, cast, col, lit,
};
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use lake_delta::TableSpec;
use lake_plugin::{TableDeclaration, Zone};

use crate::error::Result;
use crate::parameters::Parameters;
use crate::partition;
use crate::prepare::Declared;
use crate::sql::Sql;

/// The columns that say where a row of an input comes from.
pub(crate) const CARRIED: [&str; 3] = ["received_at", "_file", "_line"];

/// The column that says which rows delete their key.
pub(crate) const DELETED: &str = "_deleted";

/// What is the same for every row of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunColumns {
    /// Microseconds since 1970, UTC.
    pub(crate) loaded_at: i64,
    pub(crate) run: i64,
}

/// A table's SQL as a plan that yields exactly the table's columns.
#[derive(Debug, Clone)]
pub(crate) struct Shaped {
    pub(crate) plan: LogicalPlan,
    pub(crate) spec: TableSpec,
}

/// The name of a table: `zone/name`.
pub(crate) fn table_name(table: &TableDeclaration) -> String {
    format!("{}/{}", table.zone, table.name)
}

/// Plans the SQL of a standard table over an input's rows.
///
/// Where rows can delete, the plan yields [`DELETED`] too: beside the table's columns, or as one
/// of them where the table keeps every version.
pub(crate) async fn standard(
    session: &SessionContext,
    declared: &Declared,
    inputs: &[String],
    columns: RunColumns,
    parameters: &Parameters,
) -> Result<Shaped> {
    let table = &declared.table;
    let sql = Sql::of(table);
    let plan = sql.query(session, parameters).await?;
    let selected: Vec<String> = names(&plan);
    key_determines_partition(table, &plan)?;
    let plan = match &table.delete_when {
        Some(condition) => {
            let condition = Sql {
                place: format!("{}, delete_when", table_name(table)),
                text: condition,
            };
            with_deletions(session, parameters, plan, &condition)?
        }
        None => plan,
    };
    if let Some(input) = in_a_subquery(&plan, inputs) {
        let message = format!(
            "a subquery sees only those rows of {input} that come in the same run, so the table \
             would depend on how files are spread over runs; relate rows in a consumption table"
        );
        return Err(sql.wrong_at(&input, message));
    }
    let plan = carry(plan, inputs, &sql)?;
    let loaded = lit(ScalarValue::TimestampMicrosecond(
        Some(columns.loaded_at),
        Some("UTC".into()),
    ));
    let mut last = vec![loaded.alias("_loaded_at"), lit(columns.run).alias("_run")];
    let mut output: Vec<String> = selected
        .into_iter()
        .filter(|n| !CARRIED.contains(&n.as_str()))
        .collect();
    output.extend(CARRIED.map(str::to_owned));
    let deletes = || table.delete_when.as_ref().map(|_| col(DELETED));
    if declared.is_history {
        last.extend(deletes());
        return finish(table, plan, &output, last, None);
    }
    finish(table, plan, &output, last, deletes())
}

/// Adds to the outermost SELECT whether a row deletes its key: a condition over what that selects
/// from, as a WHERE would be.
fn with_deletions(
    session: &SessionContext,
    parameters: &Parameters,
    plan: LogicalPlan,
    condition: &Sql<'_>,
) -> Result<LogicalPlan> {
    let failed = |e: DataFusionError| condition.failed(&e);
    match plan {
        LogicalPlan::Sort(_) => {
            let exprs = plan.expressions();
            let inner = plan.inputs().into_iter().cloned();
            let inner = inner
                .map(|input| with_deletions(session, parameters, input, condition))
                .collect::<Result<_>>()?;
            plan.with_new_exprs(exprs, inner).map_err(failed)
        }
        LogicalPlan::Projection(projection) => {
            let schema = projection.input.schema();
            let deletes = condition.expression(session, parameters, schema)?;
            let (_, field) = deletes.to_field(schema.as_ref()).map_err(failed)?;
            if *field.data_type() != DataType::Boolean {
                return Err(condition.wrong(format!(
                    "a row deletes or does not, and this is {}",
                    field.data_type()
                )));
            }
            let mut exprs = projection.expr;
            // As in a WHERE, NULL is not true.
            exprs.push(deletes.is_true().alias(DELETED));
            let plan = Projection::try_new(exprs, projection.input).map_err(failed)?;
            Ok(LogicalPlan::Projection(plan))
        }
        other => Err(condition.wrong(format!(
            "the outermost part of the table's SQL is {}, and a SELECT of columns is needed to say \
             which of its rows delete",
            node_name(&other).0
        ))),
    }
}

/// Plans the SQL of a consumption table over tables.
pub(crate) async fn consumption(
    session: &SessionContext,
    table: &TableDeclaration,
    columns: RunColumns,
    parameters: &Parameters,
) -> Result<Shaped> {
    let sql = Sql::of(table);
    let plan = sql.query(session, parameters).await?;
    if let Some(input) = sources(&plan).into_iter().find(|name| !name.contains('/')) {
        let message = format!(
            "it reads {input}, of which a run has the new rows only; \
             read a table instead, as in standard.{input}"
        );
        return Err(sql.wrong_at(&input, message));
    }
    key_determines_partition(table, &plan)?;
    let output = names(&plan);
    let last = vec![lit(columns.run).alias("_run")];
    finish(table, plan, &output, last, None)
}

fn names(plan: &LogicalPlan) -> Vec<String> {
    plan.schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect()
}

/// A row of a key is looked for in one partition only, so the key has to say
/// which: a partition column is part of the key, or computed from columns that
/// the key has as they are.
fn key_determines_partition(table: &TableDeclaration, plan: &LogicalPlan) -> Result<()> {
    if table.key.is_empty() {
        return Ok(());
    }
    let mut top = plan;
    while let (LogicalPlan::Sort(_), [input]) = (top, top.inputs().as_slice()) {
        top = input;
    }
    let selected: Vec<(String, &Expr)> = match top {
        LogicalPlan::Projection(projection) => projection
            .expr
            .iter()
            .map(|expr| (expr.qualified_name().1, expr))
            .collect(),
        _ => Vec::new(),
    };
    let find = |name: &String| {
        selected
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, expr)| *expr)
    };
    let bare: Vec<&Column> = table
        .key
        .iter()
        .filter_map(|name| match find(name)?.clone().unalias_nested().data {
            Expr::Column(_) => find(name)?.column_refs().into_iter().next(),
            _ => None,
        })
        .collect();
    for name in table
        .partition_by
        .iter()
        .filter(|name| !table.key.contains(name))
    {
        let determined = find(name).is_some_and(|expr| {
            let refs = expr.column_refs();
            !refs.is_empty()
                && !expr.is_volatile()
                && refs.iter().all(|column| bare.contains(column))
        });
        if !determined {
            return Err(Sql::of(table).wrong(format!(
                "partition_by names {name}, which the key ({}) does not determine; add it to the key, \
                 or compute it in the outermost SELECT from columns that the key has as they are",
                table.key.join(", ")
            )));
        }
    }
    Ok(())
}

/// Casts every column to what tables hold, and checks that the declared keys are there. `beside`
/// is yielded too, and is no column of the table.
fn finish(
    table: &TableDeclaration,
    plan: LogicalPlan,
    output: &[String],
    last: Vec<Expr>,
    beside: Option<Expr>,
) -> Result<Shaped> {
    let sql = Sql::of(table);
    let failed = |e: DataFusionError| sql.failed(&e);
    let ordering = [
        ("key", &table.key),
        ("refresh_by", &table.refresh_by),
        ("partition_by", &table.partition_by),
        ("newest_by", &table.newest_by),
    ];
    for (what, columns) in ordering {
        if let Some(missing) = columns.iter().find(|column| !output.contains(column)) {
            return Err(sql.wrong(format!(
                "{what} names {missing}, which its SQL does not select; it selects {}",
                output.join(", ")
            )));
        }
    }
    let mut exprs = Vec::new();
    let mut fields = Vec::new();
    for column in output {
        let (qualifier, field) = plan
            .schema()
            .qualified_field_with_unqualified_name(column)
            .map_err(failed)?;
        let stored = stored_type(field.data_type()).ok_or_else(|| {
            let message = format!(
                "column {column} is {}, which a Delta table cannot hold; cast it in the SQL",
                field.data_type()
            );
            sql.wrong_at(column, message)
        })?;
        let expr = Expr::Column(Column::new(qualifier.cloned(), column));
        // The file name stays a dictionary until it is written: it repeats for every row.
        let expr = if *field.data_type() == stored || column == "_file" {
            expr
        } else {
            cast(expr, stored.clone())
        };
        exprs.push(expr.alias(column));
        fields.push(Field::new(column, stored, true));
    }
    for (what, columns) in ordering {
        let is_nested = |field: &&Field| field.data_type().is_nested();
        let mut nested = fields.iter().filter(is_nested).map(Field::name);
        if let Some(column) = nested.find(|name| columns.contains(name)) {
            return Err(sql.wrong(format!(
                "{what} names {column}, which has parts, and rows are not told apart or sorted by \
                 those; select what is meant of it, as in {column}['id'] AS id"
            )));
        }
    }
    for expr in last {
        let (_, field) = expr.to_field(plan.schema().as_ref()).map_err(failed)?;
        fields.push(field.as_ref().clone().with_nullable(true));
        exprs.push(expr);
    }
    exprs.extend(beside);
    let plan = LogicalPlanBuilder::from(plan)
        .project(exprs)
        .map_err(failed)?;
    Ok(Shaped {
        plan: plan.build().map_err(failed)?,
        spec: TableSpec {
            name: table_name(table),
            schema: Arc::new(Schema::new(fields)),
            partition_by: table.partition_by.clone(),
            key: table.key.clone(),
        },
    })
}

/// The type that a Delta table holds a value as; timestamps are UTC microseconds.
fn stored_type(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => stored_type(value)?,
        DataType::Timestamp(_, _) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Date64 => DataType::Date32,
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(_, _)
        | DataType::Date32 => data_type.clone(),
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| stored_part(field.name(), field));
            DataType::Struct(fields.collect::<Option<Fields>>()?)
        }
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::ListView(element)
        | DataType::LargeListView(element)
        | DataType::FixedSizeList(element, _) => {
            DataType::List(Arc::new(stored_part("element", element)?))
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(entry) = entries.data_type() else {
                return None;
            };
            let [key, value] = entry.as_ref() else {
                return None;
            };
            let key = stored_part("key", key)?.with_nullable(false);
            let entry = Fields::from(vec![key, stored_part("value", value)?]);
            let entry = Field::new("key_value", DataType::Struct(entry), false);
            DataType::Map(Arc::new(entry), false)
        }
        _ => return None,
    })
}

/// A part of a nested value as tables hold it: under the name that Parquet and Delta have for it.
fn stored_part(name: &str, part: &Field) -> Option<Field> {
    Some(Field::new(name, stored_type(part.data_type())?, true))
}

/// An input that a subquery of an expression reads, if there is one.
fn in_a_subquery(plan: &LogicalPlan, inputs: &[String]) -> Option<String> {
    let mut scanned = Vec::new();
    let note = |node: &LogicalPlan, scans: &mut Vec<String>| {
        if let LogicalPlan::TableScan(scan) = node {
            scans.push(scan.table_name.table().to_owned());
        }
        Ok(TreeNodeRecursion::Continue)
    };
    // Neither visitor fails.
    let _ = plan.apply_with_subqueries(|node| note(node, &mut scanned));
    let mut outside = Vec::new();
    let _ = plan.apply(|node| note(node, &mut outside));
    for name in outside {
        if let Some(place) = scanned.iter().position(|scan| *scan == name) {
            scanned.remove(place);
        }
    }
    scanned.into_iter().find(|name| inputs.contains(name))
}

/// Adds the system columns of the driving input to what a plan yields.
fn carry(plan: LogicalPlan, inputs: &[String], sql: &Sql<'_>) -> Result<LogicalPlan> {
    let failed = |e: DataFusionError| sql.failed(&e);
    match plan {
        LogicalPlan::TableScan(scan) => {
            let name = scan.table_name.table();
            if inputs.iter().any(|input| input == name) {
                return Ok(LogicalPlan::TableScan(scan));
            }
            let message = format!(
                "it reads {}, which is not an input; a standard table selects from one input ({})",
                scan.table_name,
                inputs.join(", ")
            );
            Err(sql.wrong_at(name, message))
        }
        LogicalPlan::Projection(projection) => {
            let inner = carry(Arc::unwrap_or_clone(projection.input), inputs, sql)?;
            let mut exprs = projection.expr;
            for name in CARRIED {
                let chosen = exprs.iter().any(|expr| {
                    expr.schema_name().to_string() == name || expr.qualified_name().1 == name
                });
                if !chosen {
                    exprs.push(carried(inner.schema(), name).map_err(failed)?);
                }
            }
            let projection = Projection::try_new(exprs, Arc::new(inner)).map_err(failed)?;
            Ok(LogicalPlan::Projection(projection))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let inner = carry(Arc::unwrap_or_clone(alias.input), inputs, sql)?;
            let alias = SubqueryAlias::try_new(Arc::new(inner), alias.alias).map_err(failed)?;
            Ok(LogicalPlan::SubqueryAlias(alias))
        }
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Window(_) => {
            let exprs = plan.expressions();
            let inner = plan.inputs().into_iter().cloned();
            let inner = inner
                .map(|input| carry(input, inputs, sql))
                .collect::<Result<_>>()?;
            plan.with_new_exprs(exprs, inner).map_err(failed)
        }
        other => {
            if let Some(function) = partition::called(&other) {
                let message = format!(
                    "a standard table keeps the origin of every row, which {} cannot pass on: \
                     its rows are made of many; call it in a consumption table",
                    function.name
                );
                return Err(sql.wrong_at(&function.name, message));
            }
            let (name, word) = node_name(&other);
            let message = format!(
                "a standard table keeps the origin of every row, which {name} cannot pass on; \
                 select rows here, and compute over them in a consumption table"
            );
            Err(sql.wrong_at(word, message))
        }
    }
}

fn carried(schema: &DFSchema, name: &str) -> DataFusionResult<Expr> {
    let (qualifier, _) = schema.qualified_field_with_unqualified_name(name)?;
    Ok(match qualifier {
        Some(_) => Expr::Column(Column::new(qualifier.cloned(), name)),
        None => col(name),
    })
}

/// What a message calls a node, and the word by which it stands in the SQL.
fn node_name(plan: &LogicalPlan) -> (&'static str, &'static str) {
    match plan {
        LogicalPlan::Aggregate(_) => ("GROUP BY or an aggregate", "GROUP"),
        LogicalPlan::Join(_) => ("a join", "JOIN"),
        LogicalPlan::Union(_) => ("UNION", "UNION"),
        LogicalPlan::Distinct(_) => ("DISTINCT", "DISTINCT"),
        LogicalPlan::Limit(_) => ("LIMIT", "LIMIT"),
        LogicalPlan::Unnest(_) => ("UNNEST", "UNNEST"),
        _ => ("this SQL", ""),
    }
}

/// The input that drives a standard table: what its rows are rows of.
pub(crate) fn driving_input(plan: &LogicalPlan) -> Option<String> {
    let mut node = plan;
    while let Some(input) = node.inputs().first().copied() {
        node = input;
    }
    match node {
        LogicalPlan::TableScan(scan) => Some(scan.table_name.table().to_owned()),
        _ => None,
    }
}

/// Whether a column of a plan over one input is that input's column of the same name.
pub(crate) fn passes_on(plan: &LogicalPlan, column: &str) -> bool {
    let mut name = column.to_owned();
    let mut node = plan;
    loop {
        if let LogicalPlan::Projection(projection) = node {
            let exprs = projection.expr.iter();
            let mut selected = exprs.filter(|expr| expr.qualified_name().1 == name);
            match selected
                .next()
                .map(|expr| expr.clone().unalias_nested().data)
            {
                Some(Expr::Column(column)) => name = column.name,
                _ => return false,
            }
        }
        match node.inputs().first().copied() {
            Some(input) => node = input,
            None => return name == column,
        }
    }
}

/// The tables that a plan reads, as `schema.table`.
pub(crate) fn sources(plan: &LogicalPlan) -> Vec<String> {
    let mut found = Vec::new();
    // The visitor never fails.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let name = match scan.table_name.schema() {
                Some(zone) => format!("{zone}/{}", scan.table_name.table()),
                None => scan.table_name.table().to_owned(),
            };
            if !found.contains(&name) {
                found.push(name);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// The schemas of the zones, which SQL names as in `standard.readings`.
pub(crate) fn register_zones(session: &SessionContext) -> DataFusionResult<()> {
    use datafusion::catalog::MemorySchemaProvider;
    let catalog = session.catalog("datafusion").ok_or_else(|| {
        DataFusionError::Internal("the session has no default catalog".to_owned())
    })?;
    for zone in [Zone::Standard.name(), Zone::Consumption.name(), "rejection"] {
        catalog.register_schema(zone, Arc::new(MemorySchemaProvider::new()))?;
    }
    Ok(())
}
