//! The transform's functions as the query engine calls them, and what their calls take.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use lake_plugin::{CallError, FunctionDeclaration, Host, Level, Plugin};

use crate::record::{FunctionRecord, MetricRecord};

/// Makes the transform's functions callable from SQL; gives what their calls will take.
pub(crate) fn register(session: &SessionContext, plugin: &Plugin) -> Arc<Calls> {
    let calls = Arc::new(Calls::new(plugin));
    for (index, function) in plugin.declaration().functions.iter().enumerate() {
        session.register_udf(ScalarUDF::new_from_impl(ScalarFunction {
            plugin: plugin.clone(),
            calls: Arc::clone(&calls),
            index,
            signature: signature(function),
            declaration: function.clone(),
        }));
    }
    calls
}

/// What the engine says for a declared volatility.
pub(crate) fn volatility(declared: lake_plugin::Volatility) -> Volatility {
    match declared {
        lake_plugin::Volatility::Immutable => Volatility::Immutable,
        lake_plugin::Volatility::Stable => Volatility::Stable,
        lake_plugin::Volatility::Volatile => Volatility::Volatile,
    }
}

fn signature(function: &FunctionDeclaration) -> Signature {
    let lists = function.signatures().map(|signature| {
        let arguments: Vec<DataType> = signature.arguments.iter().map(|t| t.to_arrow()).collect();
        match arguments.is_empty() {
            true => TypeSignature::Nullary,
            false => TypeSignature::Exact(arguments),
        }
    });
    Signature::one_of(lists.collect(), volatility(function.volatility))
}

/// The calls of one attempt at a run: how many, how long, and what they said.
#[derive(Debug)]
pub(crate) struct Calls {
    functions: Vec<Figures>,
    metrics: Mutex<BTreeMap<String, f64>>,
    stopped: AtomicBool,
}

#[derive(Debug)]
struct Figures {
    name: String,
    calls: AtomicU64,
    rows: AtomicU64,
    nanoseconds: AtomicU64,
}

/// Asks functions that are still running to stop when the attempt they run for has ended.
#[derive(Debug)]
pub(crate) struct StopOnDrop(pub(crate) Arc<Calls>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }
}

impl Calls {
    fn new(plugin: &Plugin) -> Self {
        let declaration = plugin.declaration();
        let scalar = declaration.functions.iter().map(|f| &f.name);
        let partition = declaration.partition_functions.iter().map(|f| &f.name);
        let figures = |name: &String| Figures {
            name: name.clone(),
            calls: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
        };
        Self {
            functions: scalar.chain(partition).map(figures).collect(),
            metrics: Mutex::default(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Makes a call with `rows` rows and takes down what it takes. `function` counts scalar
    /// functions first and partition functions after them.
    pub(crate) fn time<T>(&self, function: usize, rows: usize, call: impl FnOnce(&Self) -> T) -> T {
        let begun = Instant::now();
        let result = call(self);
        if let Some(figures) = self.functions.get(function) {
            let taken = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            figures.calls.fetch_add(1, Ordering::Relaxed);
            figures.rows.fetch_add(rows as u64, Ordering::Relaxed);
            figures.nanoseconds.fetch_add(taken, Ordering::Relaxed);
        }
        result
    }

    pub(crate) fn figures(&self) -> Vec<FunctionRecord> {
        let figures = self.functions.iter().map(|figures| FunctionRecord {
            name: figures.name.clone(),
            calls: figures.calls.load(Ordering::Relaxed),
            rows: figures.rows.load(Ordering::Relaxed),
            seconds: figures.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9,
        });
        figures.collect()
    }

    pub(crate) fn metrics(&self) -> Vec<MetricRecord> {
        let metrics = self.metrics.lock();
        let metrics = metrics.unwrap_or_else(PoisonError::into_inner);
        let record = |(name, value): (&String, &f64)| MetricRecord {
            name: name.clone(),
            value: *value,
        };
        metrics.iter().map(record).collect()
    }
}

impl Host for Calls {
    fn log(&self, level: Level, message: &str) {
        match level {
            Level::Error => tracing::error!("{message}"),
            Level::Warn => tracing::warn!("{message}"),
            Level::Info => tracing::info!("{message}"),
            Level::Debug => tracing::debug!("{message}"),
        }
    }

    fn metric(&self, name: &str, value: f64) {
        let metrics = self.metrics.lock();
        let mut metrics = metrics.unwrap_or_else(PoisonError::into_inner);
        *metrics.entry(name.to_owned()).or_insert(0.0) += value;
    }

    fn is_cancelled(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

/// A scalar function of a transform, called through its library.
#[derive(Debug)]
struct ScalarFunction {
    plugin: Plugin,
    calls: Arc<Calls>,
    index: usize,
    declaration: FunctionDeclaration,
    signature: Signature,
}

impl PartialEq for ScalarFunction {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.declaration == other.declaration
    }
}

impl Eq for ScalarFunction {}

impl Hash for ScalarFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.declaration.name.hash(state);
        self.index.hash(state);
    }
}

impl ScalarFunction {
    /// What the function returns for arguments of these types, and whether that is never NULL
    /// where no argument is.
    fn returns(&self, arguments: &[DataType]) -> Result<(DataType, bool)> {
        let mut signatures = self.declaration.signatures();
        let called = signatures.find(|signature| {
            let declared = signature.arguments.iter().map(|t| t.to_arrow());
            declared.eq(arguments.iter().cloned())
        });
        let called = called.ok_or_else(|| {
            DataFusionError::Plan(format!(
                "function {} does not take these types: {arguments:?}",
                self.declaration.name
            ))
        })?;
        Ok((called.returns.to_arrow(), called.required))
    }
}

impl ScalarUDFImpl for ScalarFunction {
    fn name(&self) -> &str {
        &self.declaration.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(self.returns(arguments)?.0)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let (data_type, required) = self.returns(&types)?;
        let nullable = !required || args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), data_type, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        // Values that are all constant come as arrays of one row.
        let rows = arrays.first().map_or(rows, |array| array.len());
        let called: std::result::Result<ArrayRef, CallError> =
            self.calls.time(self.index, rows, |host| {
                self.plugin.call_with(host, self.index, &arrays, rows)
            });
        let array = called.map_err(|e| DataFusionError::External(Box::new(e)))?;
        let constant = |arg: &ColumnarValue| matches!(arg, ColumnarValue::Scalar(_));
        if args.args.iter().all(constant) && array.len() == 1 {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &array, 0,
            )?));
        }
        Ok(ColumnarValue::Array(array))
    }
}
