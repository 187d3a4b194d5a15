//! Spaces in few words.

use nasd_space::{Condition, Decision, Domain, IntegerRange, Place, RealRange, Role, SearchSpace};

/// A space under construction; decisions in order.
pub(crate) struct Builder(SearchSpace);

impl Builder {
    pub(crate) fn new(name: &str) -> Self {
        Self(SearchSpace { name: name.to_owned(), decisions: Vec::new(), counts: Vec::new(), forbidden: Vec::new() })
    }

    fn push(mut self, name: &str, domain: Domain) -> Self {
        self.0.decisions.push(Decision {
            name: name.to_owned(),
            role: Role::HyperParameter,
            domain,
            place: Place::default(),
            sources: Vec::new(),
            active_when: Vec::new(),
        });
        self
    }

    pub(crate) fn real(self, name: &str, low: f64, high: f64) -> Self {
        self.push(name, Domain::Real(RealRange { low, high, log_scale: false }))
    }

    pub(crate) fn log(self, name: &str, low: f64, high: f64) -> Self {
        self.push(name, Domain::Real(RealRange { low, high, log_scale: true }))
    }

    pub(crate) fn integer(self, name: &str, low: i64, high: i64, log_scale: bool) -> Self {
        self.push(name, Domain::Integer(IntegerRange { low, high, log_scale }))
    }

    pub(crate) fn choice(self, name: &str, options: &[&str]) -> Self {
        self.push(name, Domain::Choice(options.iter().map(|option| (*option).to_owned()).collect()))
    }

    /// The last decision is active while the choice `parameter` is `option`. Of no effect where there is none such.
    pub(crate) fn when(mut self, parameter: &str, option: &str) -> Self {
        let found = self.0.decisions.iter().zip(0u32..).find_map(|(decision, idx)| match &decision.domain {
            Domain::Choice(options) if decision.name == parameter => {
                options.iter().position(|name| name == option).map(|option| (idx, option as u32))
            }
            _ => None,
        });
        if let (Some((decision, option)), Some(last)) = (found, self.0.decisions.last_mut()) {
            last.active_when.push(Condition { decision, options: vec![option] });
        }
        self
    }

    /// `x1` to `xn`, all real within the same range.
    pub(crate) fn reals(self, n: usize, low: f64, high: f64) -> Self {
        (1..=n).fold(self, |builder, idx| builder.real(&format!("x{idx}"), low, high))
    }

    pub(crate) fn done(self) -> SearchSpace {
        self.0
    }
}
