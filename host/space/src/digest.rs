//! Identities: BLAKE3 over a canonical encoding that never changes.
//!
//! # Encoding, version 1
//! A text is its length in bytes (u64 little-endian) and its UTF-8 bytes. A list is its length (u64 LE) and its
//! items. A u32, i64 or f64 (as its bits, -0 as 0) is little-endian; a flag is one byte. A space is the text
//! `nasd space 1`, then name, decisions, counts, forbidden:
//! - decision: name, role (its kebab-case text), domain, cell, node, sources, conditions;
//! - domain: a byte 0 `choice` (texts), 1 `levels` (f64s), 2 `integer` (i64, i64, flag), 3 `real` (f64, f64, flag);
//! - condition: decision (u32), options (u32s);
//! - count: decisions (u32s), options (u32s), at-least, at-most (u32).
//!
//! An architecture is the text `nasd architecture 1` and the list of its genes: a byte 0 inactive, 1 choice
//! (u32), 2 integer (i64), 3 real (f64), 4 mixture (list of u32 and f32 as its bits).

use crate::model::{Architecture, Condition, Domain, Gene, Role, SearchSpace};

struct Encoder(blake3::Hasher);

impl Encoder {
    fn new(title: &str) -> Self {
        let mut encoder = Self(blake3::Hasher::new());
        encoder.text(title);
        encoder
    }
    fn byte(&mut self, value: u8) {
        self.0.update(&[value]);
    }
    fn u32(&mut self, value: u32) {
        self.0.update(&value.to_le_bytes());
    }
    fn i64(&mut self, value: i64) {
        self.0.update(&value.to_le_bytes());
    }
    fn f64(&mut self, value: f64) {
        self.0.update(&(value + 0.0).to_bits().to_le_bytes());
    }
    fn length(&mut self, value: usize) {
        self.0.update(&(value as u64).to_le_bytes());
    }
    fn text(&mut self, value: &str) {
        self.length(value.len());
        self.0.update(value.as_bytes());
    }
    fn u32s(&mut self, values: &[u32]) {
        self.length(values.len());
        values.iter().for_each(|value| self.u32(*value));
    }
    fn conditions(&mut self, conditions: &[Condition]) {
        self.length(conditions.len());
        for condition in conditions {
            self.u32(condition.decision);
            self.u32s(&condition.options);
        }
    }
    fn finish(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Operation => "operation",
        Role::Input => "input",
        Role::Skip => "skip",
        Role::Combination => "combination",
        Role::Activation => "activation",
        Role::Width => "width",
        Role::Depth => "depth",
        Role::Kernel => "kernel",
        Role::Stride => "stride",
        Role::Bits => "bits",
        Role::Resolution => "resolution",
        Role::HyperParameter => "hyper-parameter",
        Role::Other => "other",
    }
}

impl SearchSpace {
    /// The space's identity: BLAKE3, 64 hexadecimal digits, of the canonical encoding described in the source
    /// of this module. Equal for equal spaces, names included, on every machine and in every version.
    pub fn digest(&self) -> String {
        let mut encoder = Encoder::new("nasd space 1");
        encoder.text(&self.name);
        encoder.length(self.decisions.len());
        for decision in &self.decisions {
            encoder.text(&decision.name);
            encoder.text(role_name(decision.role));
            match &decision.domain {
                Domain::Choice(options) => {
                    encoder.byte(0);
                    encoder.length(options.len());
                    options.iter().for_each(|option| encoder.text(option));
                }
                Domain::Levels(levels) => {
                    encoder.byte(1);
                    encoder.length(levels.len());
                    levels.iter().for_each(|level| encoder.f64(*level));
                }
                Domain::Integer(range) => {
                    encoder.byte(2);
                    encoder.i64(range.low);
                    encoder.i64(range.high);
                    encoder.byte(range.log_scale.into());
                }
                Domain::Real(range) => {
                    encoder.byte(3);
                    encoder.f64(range.low);
                    encoder.f64(range.high);
                    encoder.byte(range.log_scale.into());
                }
            }
            encoder.u32(decision.place.cell);
            encoder.u32(decision.place.node);
            encoder.u32s(&decision.sources);
            encoder.conditions(&decision.active_when);
        }
        encoder.length(self.counts.len());
        for count in &self.counts {
            encoder.u32s(&count.decisions);
            encoder.u32s(&count.options);
            encoder.u32(count.at_least);
            encoder.u32(count.at_most);
        }
        encoder.length(self.forbidden.len());
        for conditions in &self.forbidden {
            encoder.conditions(conditions);
        }
        encoder.finish()
    }
}

/// An architecture's identity within its space: BLAKE3, 64 hexadecimal digits, of its canonical encoding. Two
/// architectures that build the same network may differ in it.
pub fn architecture_digest(architecture: &Architecture) -> String {
    let mut encoder = Encoder::new("nasd architecture 1");
    encoder.length(architecture.len());
    for gene in architecture {
        match gene {
            Gene::Inactive => encoder.byte(0),
            Gene::Choice(option) => {
                encoder.byte(1);
                encoder.u32(*option);
            }
            Gene::Integer(value) => {
                encoder.byte(2);
                encoder.i64(*value);
            }
            Gene::Real(value) => {
                encoder.byte(3);
                encoder.f64(*value);
            }
            Gene::Mixture(options) => {
                encoder.byte(4);
                encoder.length(options.len());
                for option in options {
                    encoder.u32(option.index);
                    encoder.u32(option.weight.to_bits());
                }
            }
        }
    }
    encoder.finish()
}
