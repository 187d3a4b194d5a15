//! Search spaces as data: an ordered list of decisions with conditions and rules.
//!
//! An [`Architecture`] is one [`Gene`] per decision. Everything a strategy may ask about a space
//! (sampling, mutation, crossover, neighbours, prefix masks, repair, validity, identity) is answered here,
//! from the [`SearchSpace`] alone, so that no strategy implements rules. Whoever asks often keeps a
//! [`Prepared`] space; the methods on [`SearchSpace`] are for whoever asks once.
//!
//! This crate does no input or output, knows no networks and draws no randomness of its own: the caller
//! passes a [`RandomSource`].

mod check;
mod digest;
mod draw;
mod error;
pub mod model;
mod neighbours;
mod prepared;
pub mod random;
mod show;
mod size;
mod tables;
mod trial;
mod validate;
mod variation;

pub use digest::architecture_digest;
pub use error::{BrokenRule, SpaceError, Violation};
pub use model::*;
pub use prepared::Prepared;
pub use random::{RandomSource, StreamRandom};

/// One call each: these index the rules first. See [`Prepared`] for what they do and for a form to keep.
impl SearchSpace {
    /// Index the rules, for many calls.
    pub fn prepare(&self) -> Result<Prepared<&SearchSpace>, SpaceError> {
        Prepared::new(self)
    }

    /// See [`Prepared::log10_size`]; NaN if the rules name what is not there.
    pub fn log10_size(&self) -> f64 {
        self.prepare().map_or(f64::NAN, |prepared| prepared.log10_size())
    }

    /// See [`Prepared::sample`].
    pub fn sample(&self, random: &mut dyn RandomSource) -> Result<Architecture, SpaceError> {
        self.prepare()?.sample(random)
    }

    /// See [`Prepared::open_options`].
    pub fn open_options(&self, prefix: &[Gene]) -> Result<Vec<u32>, SpaceError> {
        self.prepare()?.open_options(prefix)
    }

    /// See [`Prepared::mutate`].
    pub fn mutate(
        &self,
        random: &mut dyn RandomSource,
        parent: &Architecture,
        changes: u32,
        among: &[u32],
    ) -> Result<Architecture, SpaceError> {
        self.prepare()?.mutate(random, parent, changes, among)
    }

    /// See [`Prepared::crossover`].
    pub fn crossover(
        &self,
        random: &mut dyn RandomSource,
        first: &Architecture,
        second: &Architecture,
    ) -> Result<Architecture, SpaceError> {
        self.prepare()?.crossover(random, first, second)
    }

    /// See [`Prepared::repair`].
    pub fn repair(
        &self,
        random: &mut dyn RandomSource,
        architecture: &Architecture,
    ) -> Result<Architecture, SpaceError> {
        self.prepare()?.repair(random, architecture)
    }

    /// See [`Prepared::neighbours`].
    pub fn neighbours(&self, of: &Architecture, among: &[u32]) -> Result<Vec<Architecture>, SpaceError> {
        self.prepare()?.neighbours(of, among)
    }
}
