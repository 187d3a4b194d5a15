//! Shares trainers among searches: a pure queue of jobs and a pool of places to run them.
//!
//! A place is one trainer of a device. Jobs wait per run; when a place is free, the runs of the highest priority
//! that have jobs waiting go first, among them the one with the least served share (start-time fair queueing on
//! device time: each dispatch advances the run's tag by duration / weight, and a run that was idle does not save up
//! credit).

use std::collections::{BTreeMap, VecDeque};

use nasd_protocol::JobId;

/// A trainer, numbered by its owner.
pub type PlaceId = u32;
/// A run, numbered by its owner.
pub type RunId = u64;

/// A job waiting for a place.
#[derive(Clone, Debug, PartialEq)]
struct Waiting {
    job: JobId,
    duration: f64,
}

#[derive(Clone, Debug, Default)]
struct Share {
    weight: f64,
    priority: i32,
    tag: f64,
    queue: VecDeque<Waiting>,
}

/// A decision: run this job there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Where.
    pub place: PlaceId,
    /// Whose.
    pub run: RunId,
    /// What.
    pub job: JobId,
}

/// The scheduler's state.
#[derive(Clone, Debug, Default)]
pub struct Scheduler {
    /// What each place does.
    places: BTreeMap<PlaceId, Option<(RunId, JobId)>>,
    runs: BTreeMap<RunId, Share>,
    virtual_time: f64,
}

impl Scheduler {
    /// A place came up.
    pub fn add_place(&mut self, place: PlaceId) {
        self.places.insert(place, None);
    }

    /// A place is gone; gives the job that was running there.
    pub fn remove_place(&mut self, place: PlaceId) -> Option<(RunId, JobId)> {
        self.places.remove(&place).flatten()
    }

    /// Whether it has this place.
    pub fn has_place(&self, place: PlaceId) -> bool {
        self.places.contains_key(&place)
    }

    /// A run takes part with this weight, before all runs of lower priority.
    pub fn add_run(&mut self, run: RunId, weight: f64, priority: i32) {
        self.runs.insert(run, Share { tag: self.virtual_time, ..Share::default() });
        self.set_share(run, weight, priority);
    }

    /// Change a run's weight and priority; what it was served stays.
    pub fn set_share(&mut self, run: RunId, weight: f64, priority: i32) {
        if let Some(share) = self.runs.get_mut(&run) {
            share.weight = if weight.is_finite() && weight > 0.0 { weight } else { 1.0 };
            share.priority = priority;
        }
    }

    /// A run is over; its waiting jobs are dropped.
    pub fn remove_run(&mut self, run: RunId) {
        self.runs.remove(&run);
    }

    /// A job waits for a place; `duration` in any unit that is the same for all.
    pub fn enqueue(&mut self, run: RunId, job: JobId, duration: f64) {
        let virtual_time = self.virtual_time;
        if let Some(share) = self.runs.get_mut(&run) {
            if share.queue.is_empty() {
                share.tag = share.tag.max(virtual_time);
            }
            share.queue.push_back(Waiting { job, duration });
        }
    }

    /// A waiting job is not wanted any more; gives whether it was waiting.
    pub fn cancel(&mut self, run: RunId, job: JobId) -> bool {
        let Some(share) = self.runs.get_mut(&run) else { return false };
        let before = share.queue.len();
        share.queue.retain(|waiting| waiting.job != job);
        share.queue.len() != before
    }

    /// A place is free again.
    pub fn release(&mut self, place: PlaceId) {
        if let Some(doing) = self.places.get_mut(&place) {
            *doing = None;
        }
    }

    /// What a place does.
    pub fn doing(&self, place: PlaceId) -> Option<(RunId, JobId)> {
        self.places.get(&place).copied().flatten()
    }

    /// A run's jobs under way, and where.
    pub fn running(&self, run: RunId) -> Vec<(PlaceId, JobId)> {
        let of = |(place, doing): (&PlaceId, &Option<(RunId, JobId)>)| match doing {
            Some((owner, job)) if *owner == run => Some((*place, *job)),
            _ => None,
        };
        self.places.iter().filter_map(of).collect()
    }

    /// Places that do something.
    pub fn n_running(&self) -> usize {
        self.places.values().flatten().count()
    }

    /// Where a job runs.
    pub fn place_of(&self, run: RunId, job: JobId) -> Option<PlaceId> {
        self.places.iter().find(|(_, doing)| **doing == Some((run, job))).map(|(&place, _)| place)
    }

    /// The next job to a free place, if there is one of each.
    pub fn assign(&mut self) -> Option<Assignment> {
        let place = self.places.iter().find(|(_, doing)| doing.is_none()).map(|(&place, _)| place)?;
        let (&run, share) =
            self.runs.iter_mut().filter(|(_, share)| !share.queue.is_empty()).min_by(|(run_a, a), (run_b, b)| {
                b.priority.cmp(&a.priority).then(a.tag.total_cmp(&b.tag)).then(run_a.cmp(run_b))
            })?;
        let waiting = share.queue.pop_front()?;
        self.virtual_time = share.tag;
        share.tag += waiting.duration.max(0.0) / share.weight;
        self.places.insert(place, Some((run, waiting.job)));
        Some(Assignment { place, run, job: waiting.job })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_share_places_by_weight() {
        let mut scheduler = Scheduler::default();
        (0..4).for_each(|place| scheduler.add_place(place));
        scheduler.add_run(1, 1.0, 0);
        scheduler.add_run(2, 3.0, 0);
        for job in 0..1000 {
            scheduler.enqueue(1, job, 1.0);
            scheduler.enqueue(2, job, 1.0);
        }
        let mut served = BTreeMap::new();
        for _ in 0..100 {
            while let Some(assignment) = scheduler.assign() {
                *served.entry(assignment.run).or_insert(0u32) += 1;
            }
            (0..4).for_each(|place| scheduler.release(place));
        }
        assert_eq!(served.values().sum::<u32>(), 400);
        assert!((299..=301).contains(&served[&2]), "{served:?}");
    }

    #[test]
    fn an_idle_run_saves_up_no_credit() {
        let mut scheduler = Scheduler::default();
        scheduler.add_place(0);
        scheduler.add_run(1, 1.0, 0);
        scheduler.add_run(2, 1.0, 0);
        for job in 0..100 {
            scheduler.enqueue(1, job, 1.0);
            scheduler.assign().unwrap();
            scheduler.release(0);
        }
        for job in 100..110 {
            scheduler.enqueue(1, job, 1.0);
            scheduler.enqueue(2, job, 1.0);
        }
        let mut runs = Vec::new();
        for _ in 0..6 {
            runs.push(scheduler.assign().unwrap().run);
            scheduler.release(0);
        }
        assert_eq!(runs.iter().filter(|&&run| run == 2).count(), 3, "{runs:?}");
    }

    #[test]
    fn a_higher_priority_goes_first_whatever_was_served() {
        let mut scheduler = Scheduler::default();
        scheduler.add_place(0);
        scheduler.add_run(1, 100.0, 0);
        scheduler.add_run(2, 1.0, 5);
        for job in 0..3 {
            scheduler.enqueue(1, job, 1.0);
            scheduler.enqueue(2, job, 1.0);
        }
        let mut order = Vec::new();
        while let Some(assignment) = scheduler.assign() {
            order.push(assignment.run);
            scheduler.release(0);
            if order.len() == 2 {
                scheduler.set_share(2, 1.0, -1);
            }
        }
        assert_eq!(order, [2, 2, 1, 1, 1, 2]);
    }

    #[test]
    fn the_job_of_a_lost_place_is_known() {
        let mut scheduler = Scheduler::default();
        scheduler.add_place(3);
        scheduler.add_run(1, 1.0, 0);
        scheduler.enqueue(1, 7, 1.0);
        assert_eq!(scheduler.assign(), Some(Assignment { place: 3, run: 1, job: 7 }));
        assert_eq!(scheduler.remove_place(3), Some((1, 7)));
        assert_eq!(scheduler.assign(), None);
    }
}
