//! Calls of partition functions, spelled so that the engine knows what they read.
//!
//! The engine looks up the tables that SQL names before it plans, and it looks for them where a
//! table can stand; an argument is no such place. So `f(standard.plays)` becomes
//! `f((SELECT * FROM standard.plays))`, with every position where it was.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, ObjectName, Query, SelectItem, SetExpr, TableFactor,
    VisitMut, VisitorMut, WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// Makes a query of every table that is the first argument of a call in a FROM.
pub(crate) fn tables_as_queries(query: &mut Query) {
    // The visitor never stops early.
    let _ = query.visit(&mut Calls);
}

struct Calls;

impl VisitorMut for Calls {
    type Break = ();

    fn pre_visit_table_factor(&mut self, relation: &mut TableFactor) -> ControlFlow<()> {
        let arguments = match relation {
            TableFactor::Table {
                args: Some(arguments),
                ..
            } => &mut arguments.args,
            TableFactor::Function { args, .. } => args,
            _ => return ControlFlow::Continue(()),
        };
        let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) = arguments.first_mut() else {
            return ControlFlow::Continue(());
        };
        let table = match first {
            Expr::Identifier(name) => vec![name.clone()],
            Expr::CompoundIdentifier(names) => names.clone(),
            _ => return ControlFlow::Continue(()),
        };
        if let Some(query) = all_of(ObjectName::from(table)) {
            *first = Expr::Subquery(Box::new(query));
        }
        ControlFlow::Continue(())
    }
}

/// `SELECT * FROM table`, which stands where the table's name does.
fn all_of(table: ObjectName) -> Option<Query> {
    let parser = Parser::new(&GenericDialect {}).try_with_sql("SELECT * FROM a");
    let mut query = *parser.ok()?.parse_query().ok()?;
    let SetExpr::Select(select) = query.body.as_mut() else {
        return None;
    };
    let TableFactor::Table { name, .. } = &mut select.from.first_mut()?.relation else {
        return None;
    };
    *name = table;
    select.select_token = AttachedToken::empty();
    let all = WildcardAdditionalOptions::default();
    select.projection = vec![SelectItem::Wildcard(all)];
    Some(query)
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::Spanned;

    use super::*;

    fn parsed(sql: &str) -> Query {
        let mut parser = Parser::new(&GenericDialect {}).try_with_sql(sql).unwrap();
        *parser.parse_query().unwrap()
    }

    #[test]
    fn a_table_becomes_a_query_of_it_wherever_a_call_stands() {
        let mut query = parsed(
            "WITH c AS (SELECT * FROM f(a.b, 1)) SELECT (SELECT max(x) FROM f(c)) FROM g((SELECT 1), c) \
             JOIN f(c) ON true, LATERAL f(c), d",
        );
        tables_as_queries(&mut query);
        assert_eq!(
            query.to_string(),
            "WITH c AS (SELECT * FROM f((SELECT * FROM a.b), 1)) \
             SELECT (SELECT max(x) FROM f((SELECT * FROM c))) FROM g((SELECT 1), c) \
             JOIN f((SELECT * FROM c)) ON true, LATERAL f((SELECT * FROM c)), d"
        );
    }

    #[test]
    fn the_query_stands_where_the_table_did() {
        let mut query = parsed("SELECT x\nFROM f(a.b, 1)");
        tables_as_queries(&mut query);
        let SetExpr::Select(select) = query.body.as_ref() else {
            panic!("{query}");
        };
        let TableFactor::Table {
            args: Some(arguments),
            ..
        } = &select.from[0].relation
        else {
            panic!("{query}");
        };
        let span = arguments.args[0].span();
        let (start, end) = (span.start, span.end);
        assert_eq!(
            [start.line, start.column, end.line, end.column],
            [2, 8, 2, 11]
        );
    }
}
