//! How many of a strategy's log lines go to the daemon's own log: a strategy that says too much must not drown what
//! others say. The journal keeps every line.

use std::time::{Duration, Instant};

/// Lines let through in a [`WINDOW`].
const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(1);

/// Counts one run's lines.
#[derive(Debug, Default)]
pub struct Throttle {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Throttle {
    /// Whether a line at this time is let through; if so, how many were left out before it.
    pub fn let_through(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            (self.since, self.lines) = (Some(now), 0);
        }
        if self.lines >= LINES {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }

    /// Lines left out since the last that was let through.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_lines_a_second_pass_and_the_next_says_how_many_did_not() {
        let (mut throttle, begun) = (Throttle::default(), Instant::now());
        let passed = (0..1000).filter(|_| throttle.let_through(begun).is_some()).count();
        assert_eq!((passed, throttle.left_out()), (20, 980));
        assert_eq!(throttle.let_through(begun + WINDOW), Some(980));
        assert_eq!(throttle.let_through(begun + WINDOW), Some(0));
        assert_eq!(throttle.left_out(), 0);
    }
}
