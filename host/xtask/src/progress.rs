//! One line when a long step starts, with an estimate, and one when it is done.
//!
//! Everything goes to stderr: stdout belongs to what a command prints as its result (`cargo xtask env`).

use std::time::Instant;

/// A step that is being worked on.
pub struct Step {
    name: String,
    started: Instant,
}

impl Step {
    /// Announces a step, with what it costs: `Step::start("libtorch 2.13.0", "540 MB, about a minute")`.
    pub fn start(name: &str, estimate: &str) -> Self {
        eprintln!("xtask: {name}: {estimate} ...");
        Step { name: name.to_owned(), started: Instant::now() }
    }

    /// Says that the step is done, and how long it took.
    pub fn done(self) {
        eprintln!("xtask: {}: done in {:.0?}", self.name, self.started.elapsed());
    }
}

/// A line that is neither the start nor the end of a step.
pub fn note(text: &str) {
    eprintln!("xtask: {text}");
}
