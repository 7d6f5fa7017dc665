//! How far a run is, on the terminal of a person who waits for it.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use lake_run::Progress;
use tracing_subscriber::fmt::MakeWriter;

/// How often the line is drawn.
const TICK: Duration = Duration::from_millis(100);
/// What is over sooner is not worth a line.
const PATIENCE: Duration = Duration::from_millis(400);

/// The terminal that log lines and the line of progress share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terminal(MultiProgress);

impl Terminal {
    /// Draws the progress of a run until what this returns is dropped.
    pub(crate) fn watch(&self, progress: Arc<Progress>) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let (bars, stopped) = (self.0.clone(), Arc::clone(&stop));
        let thread = thread::spawn(move || draw(&bars, &progress, &stopped));
        Watch {
            stop,
            thread: Some(thread),
        }
    }
}

/// A line of progress that is being drawn.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A line that could not be drawn is no reason to fail.
            let _ = thread.join();
        }
    }
}

fn draw(bars: &MultiProgress, progress: &Progress, stopped: &AtomicBool) {
    let begun = Instant::now();
    let mut bar: Option<ProgressBar> = None;
    // From the first byte on, so that opening the pipeline does not count as reading slowly.
    let mut reading = None;
    while !stopped.load(Ordering::Relaxed) {
        thread::sleep(TICK);
        if progress.read() > 0 {
            reading.get_or_insert_with(Instant::now);
        }
        if begun.elapsed() < PATIENCE {
            continue;
        }
        let bar = bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{spinner} {msg}");
            let bar = bars.add(ProgressBar::new_spinner());
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        let since = reading.map_or(Duration::ZERO, |first| first.elapsed());
        bar.set_message(line(progress, since));
        bar.tick();
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

/// What is said of a run that has been reading for so long.
fn line(progress: &Progress, reading: Duration) -> String {
    let (read, all, rows) = (progress.read(), progress.bytes(), progress.rows());
    match progress.stage() {
        "standard" if all > 0 && read < all => {
            let seconds = reading.as_secs_f64().max(0.001);
            let mut line = format!(
                "reading: {} of {}, {} rows, {}/s",
                HumanBytes(read),
                HumanBytes(all),
                HumanCount(rows),
                HumanCount((rows as f64 / seconds) as u64),
            );
            // The first moments say nothing about the rest.
            if read > 0 && seconds > 1.0 {
                let left = seconds * (all - read) as f64 / read as f64;
                line = format!("{line}, {} left", duration(left));
            }
            line
        }
        "standard" => format!("writing standard tables: {} rows read", HumanCount(rows)),
        "consumption" => format!(
            "computing consumption tables: {} rows read",
            HumanCount(rows)
        ),
        "open" => "opening the pipeline".to_owned(),
        "discover" => "looking for files".to_owned(),
        stage => stage.to_owned(),
    }
}

/// `8 s`, `3 min 20 s`, `2 h 5 min`.
fn duration(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// Log lines are written above the line of progress, and do not tear it.
impl<'a> MakeWriter<'a> for Terminal {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        Lines(self.clone())
    }
}

/// Writes log lines to stderr.
#[derive(Debug)]
pub(crate) struct Lines(Terminal);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said_in_the_two_largest_units() {
        assert_eq!(duration(0.2), "1 s");
        assert_eq!(duration(200.0), "3 min 20 s");
        assert_eq!(duration(7500.0), "2 h 5 min");
    }

    #[test]
    fn a_run_that_has_not_begun_to_read_says_what_it_does() {
        assert_eq!(line(&Progress::default(), Duration::ZERO), "");
    }
}
