//! Which networks were proposed: so that none is proposed twice at the same time, or ever.
//!
//! Networks are compared by the space's identity, so two encodings of one network are one. An identity costs
//! a call of the host, more than a proposal in a large space: it is asked for only when there is something to
//! compare with. A search on one slot that allows repetition in time never asks.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Architecture, Job, JobId, Request, StrategyError, Work, fingerprint, history, space};

/// Which repetitions of a network may be proposed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Repetition {
    /// Any.
    Allowed,
    /// Any of a network that is not in flight. On one slot the same as `allowed`.
    #[default]
    NotInFlight,
    /// None: each network is proposed once in a search.
    Never,
}

/// What was proposed or told. Part of a strategy's state: 9 bytes of a snapshot for each job where repetition
/// is ruled out, otherwise only what is in flight.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    in_flight: BTreeMap<JobId, Proposed>,
    ever: BTreeSet<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Proposed {
    /// None for work on shared weights.
    architecture: Option<Architecture>,
    identity: Option<u64>,
}

/// 64 bits of a network's identity: that two of a million networks share them has odds of 1 to 37 million.
pub fn identity(architecture: &Architecture) -> Result<u64, StrategyError> {
    Ok(fingerprint(space::identity(architecture)?.as_bytes()))
}

impl Seen {
    /// To be called first in every `ask`: learns of jobs in flight which another instance asked for.
    pub fn look_around(&mut self, repetition: Repetition, request: &Request) -> Result<(), StrategyError> {
        if repetition == Repetition::Allowed {
            return Ok(());
        }
        // What the host does not name any more it will not tell either.
        if self.in_flight.len() > request.in_flight.len() {
            self.in_flight.retain(|id, _| request.in_flight.contains(id));
        }
        for id in &request.in_flight {
            if self.in_flight.contains_key(id) {
                continue;
            }
            let architecture = match history::get(*id).map(|job| job.proposal.work) {
                Some(Work::Train(training)) => Some(training.architecture),
                _ => None,
            };
            let identity = match &architecture {
                Some(architecture) if repetition == Repetition::Never => Some(identity(architecture)?),
                _ => None,
            };
            self.ever.extend(identity);
            self.in_flight.insert(*id, Proposed { architecture, identity });
        }
        Ok(())
    }

    /// Whether to propose it as job `id`; if so it is in flight from now on.
    pub fn admit(
        &mut self,
        repetition: Repetition,
        id: JobId,
        architecture: &Architecture,
    ) -> Result<bool, StrategyError> {
        let identity = match repetition {
            Repetition::Allowed => return Ok(true),
            Repetition::NotInFlight if self.in_flight.is_empty() => None,
            Repetition::NotInFlight => {
                if self.in_flight.values().any(|other| other.architecture.as_ref() == Some(architecture)) {
                    return Ok(false);
                }
                let wanted = identity(architecture)?;
                for other in self.in_flight.values_mut() {
                    if other.identity()? == Some(wanted) {
                        return Ok(false);
                    }
                }
                Some(wanted)
            }
            Repetition::Never => {
                let wanted = identity(architecture)?;
                if !self.ever.insert(wanted) {
                    return Ok(false);
                }
                Some(wanted)
            }
        };
        // Where nothing is repeated the identity says it all.
        let architecture = (repetition != Repetition::Never).then(|| architecture.clone());
        self.in_flight.insert(id, Proposed { architecture, identity });
        Ok(true)
    }

    /// To be called with every job told, in `replay` as well.
    pub fn told(&mut self, repetition: Repetition, job: &Job) {
        let own = self.in_flight.remove(&job.id);
        // Its own are known since they were proposed. What the space cannot identify it will not propose either.
        if repetition == Repetition::Never
            && own.is_none()
            && let Work::Train(training) = &job.proposal.work
        {
            self.ever.extend(identity(&training.architecture).ok());
        }
    }

    /// Jobs in flight that it knows of.
    pub fn n_in_flight(&self) -> usize {
        self.in_flight.len()
    }
}

impl Proposed {
    fn identity(&mut self) -> Result<Option<u64>, StrategyError> {
        if let (None, Some(architecture)) = (self.identity, &self.architecture) {
            self.identity = Some(identity(architecture)?);
        }
        Ok(self.identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Host, one_max, trained};
    use crate::{Gene, Proposal};

    fn genes(bits: [u32; 2]) -> Architecture {
        bits.map(Gene::Choice).to_vec()
    }

    fn job(id: JobId, bits: [u32; 2]) -> Job {
        Job { id, proposal: Proposal::train(genes(bits), 1), outcome: Some(trained(0.5)), cost: 1.0 }
    }

    fn request(in_flight: &[JobId]) -> Request {
        Request { slots: 1, next_id: 9, in_flight: in_flight.to_vec(), jobs_left: None, budget_used: 0.0 }
    }

    /// Whether 01 is admitted beside 00 and 01 in flight, after 01 ended, and a second time after that.
    fn admitted(repetition: Repetition) -> [bool; 3] {
        Host::new(&one_max(2), 0).install();
        let mut seen = Seen::default();
        assert!(seen.admit(repetition, 0, &genes([0, 0])).unwrap());
        assert!(seen.admit(repetition, 1, &genes([0, 1])).unwrap());
        let beside = seen.admit(repetition, 2, &genes([0, 1])).unwrap();
        seen.told(repetition, &job(1, [0, 1]));
        seen.told(repetition, &job(2, [0, 1]));
        [beside, seen.admit(repetition, 3, &genes([0, 1])).unwrap(), seen.admit(repetition, 4, &genes([0, 1])).unwrap()]
    }

    #[test]
    fn a_network_is_repeated_as_far_as_allowed() {
        assert_eq!(admitted(Repetition::Allowed), [true, true, true]);
        assert_eq!(admitted(Repetition::NotInFlight), [false, true, false]);
        assert_eq!(admitted(Repetition::Never), [false, false, false]);
    }

    #[test]
    fn jobs_in_flight_of_another_instance_are_looked_up_once() {
        for repetition in [Repetition::NotInFlight, Repetition::Never] {
            let mut host = Host::new(&one_max(2), 0);
            host.jobs.insert(5, Job { outcome: None, ..job(5, [1, 1]) });
            host.install();
            let mut seen = Seen::default();
            seen.look_around(repetition, &request(&[5])).unwrap();
            assert!(!seen.admit(repetition, 9, &genes([1, 1])).unwrap());
            let before = seen.clone();
            seen.look_around(repetition, &request(&[5])).unwrap();
            assert_eq!(seen, before);
            seen.told(repetition, &job(5, [1, 1]));
            assert_eq!(seen.admit(repetition, 9, &genes([1, 1])).unwrap(), repetition == Repetition::NotInFlight);
        }
    }

    #[test]
    fn networks_told_of_another_strategy_are_known() {
        Host::new(&one_max(2), 0).install();
        let mut seen = Seen::default();
        seen.told(Repetition::Never, &job(0, [1, 0]));
        assert!(!seen.admit(Repetition::Never, 1, &genes([1, 0])).unwrap());
    }
}
