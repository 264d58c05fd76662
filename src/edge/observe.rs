//! Foghorn's own log: pretty for people, JSON lines for machines, always on standard error so that what a command
//! prints on standard output stays clean.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Pretty,
    Json,
}

/// How Foghorn logs.
#[derive(Clone, Debug)]
pub struct LogConfig {
    pub format: LogFormat,
    /// A level (`info`) or a filter (`info,foghorn::edge=debug`). The variable `FOGHORN_LOG` overrides it.
    pub level: String,
    /// Put on every line, such as `production`.
    pub environment: String,
    pub color: bool,
}

/// Installs the log for the process. Does nothing when one is installed already (tests).
///
/// # Errors
/// The filter cannot be read; the text says which part.
pub fn init(config: &LogConfig) -> Result<(), String> {
    let text = std::env::var("FOGHORN_LOG").unwrap_or_else(|_| config.level.clone());
    let filter = EnvFilter::try_new(&text).map_err(|error| {
        format!("`{text}` is not a log level or filter ({error}); write `info`, or `info,foghorn::edge=debug`")
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    let installed = match config.format {
        LogFormat::Pretty => {
            let color = config.color && std::io::stderr().is_terminal();
            let layer = tracing_subscriber::fmt::layer()
                .with_ansi(color)
                .with_target(false)
                .with_writer(std::io::stderr)
                .with_span_events(FmtSpan::NONE);
            registry.with(layer).try_init()
        }
        LogFormat::Json => registry.with(json::Layer::new(&config.environment)).try_init(),
    };
    drop(installed); // a second call in one process (tests) keeps the first log
    Ok(())
}

/// One JSON object a line with `service`, `version` and `environment` on each, as log pipelines want them.
mod json {
    use std::fmt;
    use std::io::Write;

    use serde_json::{Map, Value};
    use tracing::field::{Field, Visit};
    use tracing_subscriber::layer::Context;
    use tracing_subscriber::registry::LookupSpan;

    use crate::edge::clock;

    pub struct Layer {
        environment: String,
    }

    impl Layer {
        pub fn new(environment: &str) -> Self {
            Layer { environment: environment.to_owned() }
        }
    }

    impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Layer {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            let mut line = Map::new();
            line.insert("time".into(), clock::now().to_string().into());
            line.insert("level".into(), event.metadata().level().as_str().to_ascii_lowercase().into());
            line.insert("target".into(), event.metadata().target().into());
            event.record(&mut Fields(&mut line));
            line.insert("service".into(), "foghorn".into());
            line.insert("version".into(), env!("CARGO_PKG_VERSION").into());
            line.insert("environment".into(), self.environment.clone().into());
            let mut text = Value::Object(line).to_string();
            text.push('\n');
            // Nobody is left to tell when standard error is closed.
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        }
    }

    struct Fields<'a>(&'a mut Map<String, Value>);

    impl Visit for Fields<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.0.insert(field.name().into(), format!("{value:?}").into());
        }
        fn record_str(&mut self, field: &Field, value: &str) {
            self.0.insert(field.name().into(), value.into());
        }
        fn record_i64(&mut self, field: &Field, value: i64) {
            self.0.insert(field.name().into(), value.into());
        }
        fn record_u64(&mut self, field: &Field, value: u64) {
            self.0.insert(field.name().into(), value.into());
        }
        fn record_f64(&mut self, field: &Field, value: f64) {
            self.0.insert(field.name().into(), value.into());
        }
        fn record_bool(&mut self, field: &Field, value: bool) {
            self.0.insert(field.name().into(), value.into());
        }
    }
}
