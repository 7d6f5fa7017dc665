//! The world outside: environment, clock, terminal, threads. Read once, here.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the edge at which settings and the clock are read"
)]

use std::env;
use std::fs;
use std::future::Future;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use lake_kit::{KitError, Machine};
use lake_pipeline::Overrides;
use lake_reader::{LocalFile, Source};
use lake_registry::{Registry, SigningKey, TrustedKeys};
use lake_run::metrics::Target;
use lake_run::{Process, Profile, Releases, Root, Settings, Stores};
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

use crate::args::{Format, Log};
use crate::exit::Failure;
use crate::progress::Terminal;

/// Reads and checks the pipeline file, and adds what the machine says.
pub(crate) fn settings(file: Option<&Path>, overrides: &Overrides) -> Result<Settings, Failure> {
    let working_dir = env::current_dir()
        .map_err(|e| Failure::Failed(format!("the working directory cannot be read: {e}")))?;
    let file = match file {
        Some(file) if is_url(file) => file.to_owned(),
        Some(file) => working_dir.join(file),
        None => only_pipeline(&working_dir)?,
    };
    let unreadable = |e: &dyn std::fmt::Display| {
        Failure::Usage(format!(
            "{}: the pipeline file cannot be read: {e}",
            lake_run::shown(&file.to_string_lossy())
        ))
    };
    let source = match is_url(&file) {
        // With connections of its own: they end with the runtime that they were made on.
        true => block_on(lake_run::raw_text(&stores(), &file.to_string_lossy()))?
            .map_err(|e| unreadable(&e))?,
        false => fs::read_to_string(&file).map_err(|e| unreadable(&e))?,
    };
    let variable = |name: &str| env::var(name).ok();
    let pipeline = lake_pipeline::parse(&source, &file, &working_dir, &variable, overrides)
        .map_err(|faults| Failure::Usage(faults.to_string()))?;
    let stores = stores();
    let root = Root::open(&pipeline.root, &stores).map_err(|e| Failure::Usage(e.to_string()))?;
    Ok(Settings {
        pipeline,
        file,
        stores,
        root,
        cache: cache(),
        profile: if cfg!(debug_assertions) {
            Profile::Dev
        } else {
            Profile::Release
        },
        releases: Releases {
            target: env!("LAKE_TARGET").to_owned(),
            ..Releases::default()
        },
        clock: chrono::Utc::now,
        host: host(),
        threads: threads(),
        progress: Arc::default(),
        process: Process {
            id: process_id(),
            is_running,
        },
        wait: false,
        accept_loss: Vec::new(),
    })
}

/// Object stores, as the environment says how to reach them.
fn stores() -> Stores {
    Stores::new(
        env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }),
    )
}

fn is_url(path: &Path) -> bool {
    path.to_string_lossy().contains("://")
}

/// This process: its number, when it began, and which numbers are meant. The last two are known
/// on Linux.
fn process_id() -> String {
    let pid = std::process::id();
    let began = began(pid).unwrap_or_default();
    let numbers = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{pid}/{began}/{}", numbers.display())
}

/// When a process began, in ticks since the machine did (proc_pid_stat(5), field 22).
fn began(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program is in parentheses, and can have spaces in it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    // Of a zombie, only the number is left.
    if fields.next() == Some("Z") {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

/// Whether the process of an id is running; `None` where that cannot be seen from here.
fn is_running(id: &str) -> Option<bool> {
    let own = process_id();
    let (pid, rest) = id.split_once('/')?;
    let (then, numbers) = rest.split_once('/')?;
    let (_, own) = own.split_once('/')?;
    let (own_began, own_numbers) = own.split_once('/')?;
    if own_began.is_empty() || numbers != own_numbers {
        return None;
    }
    let now = began(pid.parse().ok()?);
    Some(now.as_deref() == Some(then))
}

/// A path of the command line, from wherever it is used.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|e| Failure::Usage(format!("{}: {e}", path.display())))
}

/// A raw file of the command line, as runs call it.
pub(crate) fn raw_file(path: &str) -> Result<String, Failure> {
    if is_url(Path::new(path)) {
        return Ok(path.to_owned());
    }
    let base = env::current_dir();
    let base = base.map_err(|e| Failure::Usage(format!("{path}: {e}")))?;
    Ok(lake_pipeline::absolute(path, &base).display().to_string())
}

/// Reads in a raw file of the command line, on this machine or in an object store.
pub(crate) fn with_raw_file<T>(
    path: &Path,
    read: impl FnOnce(&dyn Source) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if !is_url(path) {
        return read(&LocalFile(absolute(path)?));
    }
    let runtime = runtime()?;
    let source = runtime.block_on(lake_run::raw_source(&stores(), &path.to_string_lossy()))?;
    read(source.as_ref())
}

/// What the author's kit needs to know of this machine.
pub(crate) fn machine() -> Machine {
    Machine {
        cache: cache(),
        temporary: env::temp_dir(),
        host: host(),
        threads: threads(),
        target: env!("LAKE_TARGET").to_owned(),
    }
}

/// The registry that a flag names, or `LAKE_REGISTRY`.
pub(crate) fn registry(flag: Option<&str>) -> Result<Registry, Failure> {
    registry_if_said(flag)?.ok_or_else(|| {
        Failure::Usage(
            "no registry is named: say where releases are with --registry or LAKE_REGISTRY"
                .to_owned(),
        )
    })
}

/// The registry that a flag names, or `LAKE_REGISTRY`; `None` where neither does.
pub(crate) fn registry_if_said(flag: Option<&str>) -> Result<Option<Registry>, Failure> {
    let Some(place) = flag.map(str::to_owned).or_else(|| said("LAKE_REGISTRY")) else {
        return Ok(None);
    };
    let place = match place.contains("://") {
        true => place,
        false => {
            let base = env::current_dir();
            let base = base.map_err(|e| Failure::Usage(format!("{place}: {e}")))?;
            lake_pipeline::absolute(&place, &base).display().to_string()
        }
    };
    let registry = lake_run::registry(&place, &stores());
    registry
        .map(Some)
        .map_err(|e| Failure::Usage(e.to_string()))
}

/// The keys in the file that a flag names, or `LAKE_TRUSTED_KEYS`; `None` where neither does.
pub(crate) fn trusted_keys(flag: Option<&Path>) -> Result<Option<TrustedKeys>, Failure> {
    let file = flag.map(Path::to_owned);
    let Some(file) = file.or_else(|| said("LAKE_TRUSTED_KEYS").map(PathBuf::from)) else {
        return Ok(None);
    };
    let keys = TrustedKeys::read(&file).map_err(KitError::from)?;
    Ok(Some(keys))
}

/// The private key in the file that a flag or `LAKE_SIGNING_KEY` names, or in
/// `LAKE_SIGNING_KEY_PEM` itself. Nothing of the key is ever said.
pub(crate) fn signing_key(flag: Option<&Path>) -> Result<SigningKey, Failure> {
    let file = flag.map(Path::to_owned);
    if let Some(file) = file.or_else(|| said("LAKE_SIGNING_KEY").map(PathBuf::from)) {
        if file.to_string_lossy().contains("PRIVATE KEY") {
            return Err(Failure::Usage(
                "this is a private key where the path of its file belongs; a key itself goes into \
                 LAKE_SIGNING_KEY_PEM, and nowhere else"
                    .to_owned(),
            ));
        }
        return Ok(SigningKey::read(&file).map_err(KitError::from)?);
    }
    let Some(pem) = said("LAKE_SIGNING_KEY_PEM") else {
        return Err(Failure::Usage(
            "no key signs the release: name its file with --key or LAKE_SIGNING_KEY, or put the key \
             into LAKE_SIGNING_KEY_PEM; `lake plugin key` makes one"
                .to_owned(),
        ));
    };
    SigningKey::parse(&pem).map_err(|e| Failure::Usage(format!("LAKE_SIGNING_KEY_PEM: {e}")))
}

/// 32 bytes that nobody can guess.
pub(crate) fn random() -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|e| Failure::Failed(format!("the system gives no random bytes: {e}")))?;
    Ok(bytes)
}

pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Who calls, as the system knows them; what people read, and nothing believes.
pub(crate) fn user() -> Option<String> {
    said("USER").or_else(|| said("LOGNAME"))
}

/// Where a flag or `LAKE_METRICS` says that metrics go, if anything does.
pub(crate) fn metrics(flag: Option<String>) -> Result<Option<Target>, Failure> {
    let Some(target) = flag.or_else(|| said("LAKE_METRICS")) else {
        return Ok(None);
    };
    let base = env::current_dir();
    let base = base.map_err(|e| Failure::Usage(format!("the working directory: {e}")))?;
    let target = Target::parse(&target, &base).map_err(Failure::Usage)?;
    Ok(Some(target))
}

/// What a pipeline is called whose file has faults: as it says itself, or as the file is called.
pub(crate) fn pipeline_by_file(file: Option<&Path>) -> Option<String> {
    let file = match file {
        Some(file) => file.to_owned(),
        None => only_pipeline(&env::current_dir().ok()?).ok()?,
    };
    let source = fs::read_to_string(&file).unwrap_or_default();
    let stem = || Some(file.file_stem()?.to_string_lossy().into_owned());
    lake_pipeline::name_at_a_glance(&source).or_else(stem)
}

/// A variable that says something.
fn said(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// Whether golden cases are written instead of compared: where `cargo test` starts lake, a flag
/// cannot say so.
pub(crate) fn update_golden() -> bool {
    let said = env::var("LAKE_UPDATE_GOLDEN").unwrap_or_default();
    !matches!(said.as_str(), "" | "0" | "false" | "no")
}

/// The file that is meant where none is named.
fn only_pipeline(working_dir: &Path) -> Result<PathBuf, Failure> {
    let directory = working_dir.join("pipelines");
    let mut found: Vec<PathBuf> = fs::read_dir(&directory)
        .map_err(|_| {
            Failure::Usage("name a pipeline file: there is no directory pipelines/ here".to_owned())
        })?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml"))
        .collect();
    found.sort();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::Usage(
            "name a pipeline file: pipelines/ holds none".to_owned(),
        )),
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            Err(Failure::Usage(format!(
                "name a pipeline file, one of {}",
                names.join(", ")
            )))
        }
    }
}

/// Where built transforms are kept: `LAKE_CACHE`, or the user's cache directory.
fn cache() -> PathBuf {
    if let Some(path) = env::var_os("LAKE_CACHE") {
        return PathBuf::from(path);
    }
    let user = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    user.unwrap_or_else(env::temp_dir).join("lake")
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn host() -> String {
    env::var("HOSTNAME")
        .ok()
        .or_else(|| fs::read_to_string("/etc/hostname").ok())
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}

/// This program, as it was called: what can be typed again.
pub(crate) fn program() -> String {
    env::args().next().unwrap_or_else(|| "lake".to_owned())
}

/// The columns that a table may take; `None` where nobody looks at a terminal.
pub(crate) fn terminal_width() -> Option<usize> {
    if let Ok(columns) = env::var("COLUMNS")
        && let Ok(columns) = columns.parse()
    {
        return Some(columns);
    }
    if !io::stdout().is_terminal() {
        return None;
    }
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
}

/// Whether somebody looks at stderr who may like to see how far a run is.
pub(crate) fn shows_progress(log: &Log) -> bool {
    io::stderr().is_terminal() && !log.quiet && log.log_format == Format::Text
}

/// Log lines go to stderr, so that stdout is the result and nothing else.
pub(crate) fn start_logging(log: &Log, terminal: &Terminal) {
    let level = match (log.quiet, log.verbose) {
        (true, _) => "error",
        (false, 0) => "info",
        (false, 1) => "debug",
        (false, _) => "trace",
    };
    let filter = if log.verbose > 1 {
        EnvFilter::new("trace")
    } else {
        EnvFilter::new(format!(
            "error,lake={level},lake_run={level},lake_delta={level}"
        ))
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(terminal.clone());
    match log.log_format {
        Format::Text => lines
            .without_time()
            .with_target(false)
            .with_ansi(io::stderr().is_terminal())
            .init(),
        Format::Json => lines.json().init(),
    }
}

/// A panic on any thread but the main one is caught by whoever waits for that
/// thread and becomes an error; its trace is for `-v`.
pub(crate) fn log_caught_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() == Some("main") {
            print(panic);
        } else {
            tracing::debug!("{panic}");
        }
    }));
}

/// Runs one future to its end, on as many threads as there are cores.
pub(crate) fn block_on<F: Future>(future: F) -> Result<F::Output, Failure> {
    Ok(runtime()?.block_on(future))
}

/// The same, for what nobody waits for longer: what is still asked of the system, such as the address
/// of a host, is left behind.
pub(crate) fn block_on_alone<F: Future>(future: F) -> Result<F::Output, Failure> {
    let runtime = runtime()?;
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(output)
}

fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.map_err(|e| Failure::Failed(format!("no threads can be started: {e}")))
}
