//! Log lines to standard error: text for people, JSON for machines.
//!
//! Owns the subscriber. Never decides what is worth a line.

use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::service::settings::LogSettings;

/// Changes the filter while the daemon runs.
#[derive(Clone, Debug)]
pub struct LogControl {
    filter: reload::Handle<EnvFilter, Registry>,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
#[error("failed to set up the log: {0}")]
pub struct LogError(String);

/// Starts logging for this process, once.
///
/// # Errors
/// When the filter does not parse or another subscriber is there.
pub fn start(settings: &LogSettings) -> Result<LogControl, LogError> {
    let filter = parse(&settings.filter)?;
    let (filter, control) = reload::Layer::new(filter);
    let registry = tracing_subscriber::registry().with(filter);
    let started = if settings.json {
        let lines = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
        registry.with(lines.with_writer(std::io::stderr)).try_init()
    } else {
        let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let lines = fmt::layer().fmt_fields(on_one_line()).with_ansi(colours);
        registry.with(lines.with_writer(std::io::stderr)).try_init()
    };
    started.map_err(|error| LogError(error.to_string()))?;
    Ok(LogControl { filter: control })
}

impl LogControl {
    /// Swaps the filter.
    ///
    /// # Errors
    /// When it does not parse; the old one stays.
    pub fn set_filter(&self, filter: &str) -> Result<(), LogError> {
        let filter = parse(filter)?;
        self.filter.reload(filter).map_err(|error| LogError(error.to_string()))
    }
}

/// Fields as text. File names and texts of decoders are in them: none may end the line or steer a terminal.
fn on_one_line() -> impl for<'writer> FormatFields<'writer> + 'static {
    let fields = fmt::format::debug_fn(|writer, field, value| {
        if field.name() != "message" {
            write!(writer, "{field}=")?;
        }
        format!("{value:?}").chars().try_for_each(|c| match c.is_control() {
            true => write!(writer, "{}", c.escape_default()),
            false => writer.write_char(c),
        })
    });
    fields.delimited(" ")
}

fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(filter).map_err(|error| LogError(error.to_string()))
}
