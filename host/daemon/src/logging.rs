//! Log lines of a daemon, on stderr: text or JSON, with levels that can be changed while it runs.

use std::sync::Arc;

use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, registry::Registry, reload, util::SubscriberInitExt};

use crate::failure::Failed;

/// Longest directives taken.
const MAX_LEVEL: usize = 1000;
/// What libraries say that a user cannot act on, unless asked for: the drawing library remarks on curves of one point,
/// the store's library prints from threads of its own every failure that it also returns, which nasd then reports.
const QUIET: [&str; 2] = ["usvg=error", "sled=off"];

/// Changes what is logged.
#[derive(Clone)]
pub struct Levels(Arc<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>);

impl Levels {
    /// To `info`, or directives like `nasd=debug,info`; the error says why not.
    pub fn set(&self, level: &str) -> Result<(), String> {
        (self.0)(filter(level)?)
    }
}

/// Levels, or directives, of which the last for a target counts.
pub fn filter(level: &str) -> Result<EnvFilter, String> {
    let wrong = |reason: String| {
        format!(
            "log level {level:?}: {reason}; write error, warn, info, debug, trace, or directives like nasd=debug,info"
        )
    };
    if level.trim().is_empty() || level.len() > MAX_LEVEL {
        return Err(wrong(format!("it has {} characters", level.len())));
    }
    // The library's parser of filters by span and field panics at some texts.
    if let Some(other) = level.chars().find(|c| !c.is_ascii_alphanumeric() && !"_:=,-".contains(*c)) {
        return Err(wrong(format!("{other:?} is in no level and no target")));
    }
    let filter = EnvFilter::builder().with_regex(false).parse(level).map_err(|error| wrong(error.to_string()))?;
    let mut filter = filter;
    for quiet in QUIET.iter().filter(|quiet| !level.contains(target(quiet))) {
        let quiet = quiet.parse().map_err(|error: tracing_subscriber::filter::ParseError| error.to_string())?;
        filter = filter.add_directive(quiet);
    }
    Ok(filter)
}

fn target(directive: &str) -> &str {
    directive.split('=').next().unwrap_or(directive)
}

/// Begin to log.
pub fn start(level: &str, is_json: bool) -> Result<Levels, Failed> {
    let (filter, handle) = reload::Layer::<EnvFilter, Registry>::new(filter(level).map_err(Failed::Configuration)?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if is_json { lines.json().boxed() } else { lines.with_ansi(false).boxed() };
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(Failed::other)?;
    Ok(Levels(Arc::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_targets_are_taken_and_nothing_else_is() {
        for level in ["info", "WARN", "nasd=debug,info", "nasd::serve=trace", "off", "3"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        for level in ["", " ", "loud=very", "a[b]=info", "[{=info", "a=info b", "é", "[\u{e9}{x=1}]", "]["] {
            assert!(filter(level).is_err(), "{level}");
        }
    }
}
