//! One running strategy: its calls, each within the limits, each error named.
//!
//! A trap leaves a WebAssembly instance in an unknown state, so the first one is the last: every later call
//! answers [`CallError::Dead`]. The same holds when a call's future is dropped half-way. Nothing here decides
//! what happens next; the run does (roll back, restore, give up).

use nasd_protocol::{Answer, Descriptor, Job, JobId, Point, Request, Setup, Snapshot, Verdict};
use nasd_space::Architecture;
use wasmtime::{Store, Trap};

use crate::bindings::{SearchStrategy, SearchStrategyPre, exported};
use crate::convert;
use crate::error::{Call, CallError};
use crate::host::{CallStatistics, HostState};
use crate::limits::Limits;
use crate::validate::{self, SetupFacts};

/// An instance of a strategy. Calls take `&mut self`: one at a time.
pub struct Instance {
    store: Store<HostState>,
    guest: SearchStrategy,
    limits: Limits,
    facts: Option<SetupFacts>,
    /// Why no further call is possible.
    dead: Option<String>,
    last_call: CallStatistics,
}

impl Instance {
    pub(crate) async fn new(
        mut store: Store<HostState>,
        ready: &SearchStrategyPre<HostState>,
        limits: &Limits,
    ) -> Result<Self, CallError> {
        let host_error = |error: wasmtime::Error| CallError::Host { message: format!("{error:#}") };
        store.fuel_async_yield_interval(Some(limits.yield_every.max(1))).map_err(host_error)?;
        store.set_fuel(limits.fuel_per_call).map_err(host_error)?;
        store.data_mut().begin(Call::Instantiate);
        match ready.instantiate_async(&mut store).await {
            Ok(guest) => Ok(Self {
                store,
                guest,
                limits: limits.clone(),
                facts: None,
                dead: None,
                last_call: CallStatistics::default(),
            }),
            Err(error) => Err(failure(store.data_mut(), Call::Instantiate, limits, &error)),
        }
    }

    /// What the strategy says of itself.
    pub async fn describe(&mut self) -> Result<Descriptor, CallError> {
        self.begin(Call::Describe)?;
        let result = self.guest.nas_strategy_strategy().call_describe(&mut self.store).await;
        let descriptor = convert::host_descriptor(self.finish(Call::Describe, result)?);
        // A panic logs before it traps, so logging alone does not trap; but a call that went well is pure.
        if let Some(import) = self.store.data().first_import {
            return Err(CallError::ForbiddenImport { call: Call::Describe, import });
        }
        validate::descriptor(&descriptor, &self.limits)?;
        Ok(descriptor)
    }

    /// Begin a search, or take one over that [`Instance::replay`] then tells.
    pub async fn start(&mut self, setup: &Setup) -> Result<(), CallError> {
        self.begin(Call::Start)?;
        self.facts = Some(SetupFacts::new(setup));
        let setup = convert::guest_setup(setup);
        let result = self.guest.nas_strategy_strategy().call_start(&mut self.store, &setup).await;
        self.finish_fallible(Call::Start, result)
    }

    /// Go on from a snapshot; once, instead of [`Instance::start`].
    pub async fn restore(&mut self, setup: &Setup, snapshot: &Snapshot) -> Result<(), CallError> {
        self.begin(Call::Restore)?;
        self.facts = Some(SetupFacts::new(setup));
        let (setup, snapshot) = (convert::guest_setup(setup), convert::guest_snapshot(snapshot));
        let result = self.guest.nas_strategy_strategy().call_restore(&mut self.store, &setup, &snapshot).await;
        self.finish(Call::Restore, result)?
            .map_err(|error| CallError::RestoreRefused(convert::host_restore_refusal(error)))
    }

    /// Told jobs of a search that this instance takes over, in the order they were told; may be called in pages.
    pub async fn replay(&mut self, jobs: &[Job]) -> Result<(), CallError> {
        self.begin(Call::Replay)?;
        let jobs: Vec<_> = jobs.iter().map(convert::guest_job).collect();
        let result = self.guest.nas_strategy_strategy().call_replay(&mut self.store, &jobs).await;
        self.finish_fallible(Call::Replay, result)
    }

    /// More work. The answer keeps to the request; whether its architectures keep to the space is the caller's to check.
    pub async fn ask(&mut self, request: &Request) -> Result<Answer, CallError> {
        self.begin(Call::Ask)?;
        let guest_request = convert::guest_request(request);
        let result = self.guest.nas_strategy_strategy().call_ask(&mut self.store, &guest_request).await;
        let answer = convert::host_answer(self.finish_fallible(Call::Ask, result)?);
        validate::answer(&answer, request, self.facts.as_ref(), &self.limits)?;
        Ok(answer)
    }

    /// A finished job.
    pub async fn tell(&mut self, job: &Job) -> Result<(), CallError> {
        self.begin(Call::Tell)?;
        let job = convert::guest_job(job);
        let result = self.guest.nas_strategy_strategy().call_tell(&mut self.store, &job).await;
        self.finish_fallible(Call::Tell, result)
    }

    /// Whether a training under way goes on.
    pub async fn judge(&mut self, job: JobId, reached: &Point) -> Result<Verdict, CallError> {
        self.begin(Call::Judge)?;
        let report = exported::ProgressReport { job, reached: convert::guest_point(reached) };
        let result = self.guest.nas_strategy_strategy().call_judge(&mut self.store, &report).await;
        Ok(self.finish(Call::Judge, result)?.into())
    }

    /// What the strategy would hand out now, best first, at most `limit`.
    pub async fn recommend(&mut self, limit: u32) -> Result<Vec<Architecture>, CallError> {
        self.begin(Call::Recommend)?;
        let result = self.guest.nas_strategy_strategy().call_recommend(&mut self.store, limit).await;
        let architectures: Vec<_> =
            self.finish(Call::Recommend, result)?.into_iter().map(convert::host_architecture).collect();
        validate::recommendation(&architectures, limit)?;
        Ok(architectures)
    }

    /// The strategy's state.
    pub async fn save(&mut self) -> Result<Snapshot, CallError> {
        self.begin(Call::Save)?;
        let result = self.guest.nas_strategy_strategy().call_save(&mut self.store).await;
        Ok(convert::host_snapshot(self.finish_fallible(Call::Save, result)?))
    }

    /// Words drawn so far from the strategy's random stream.
    pub fn random_position(&self) -> u64 {
        self.store.data().random_position()
    }

    /// Put the strategy's random stream at a position (resuming, rewinding to a call's start).
    pub fn seek_random(&mut self, position: u64) {
        self.store.data_mut().seek_random(position);
    }

    /// What the last call used.
    pub fn last_call(&self) -> CallStatistics {
        self.last_call.clone()
    }

    /// Whether further calls can succeed.
    pub fn is_alive(&self) -> bool {
        self.dead.is_none()
    }

    fn begin(&mut self, call: Call) -> Result<(), CallError> {
        if let Some(cause) = &self.dead {
            return Err(CallError::Dead { cause: cause.clone() });
        }
        self.store
            .set_fuel(self.limits.fuel_per_call)
            .map_err(|error| CallError::Host { message: format!("{error:#}") })?;
        self.store.data_mut().begin(call);
        // Stays if the call's future is dropped before `finish`.
        self.dead = Some(format!("its call of {call} was abandoned half-way"));
        Ok(())
    }

    fn finish<T>(&mut self, call: Call, result: wasmtime::Result<T>) -> Result<T, CallError> {
        let left = self.store.get_fuel().unwrap_or(0);
        self.last_call = self.store.data().statistics(self.limits.fuel_per_call.saturating_sub(left));
        match result {
            Ok(value) => {
                self.dead = None;
                Ok(value)
            }
            Err(error) => {
                let error = failure(self.store.data_mut(), call, &self.limits, &error);
                self.dead = Some(error.to_string());
                Err(error)
            }
        }
    }

    fn finish_fallible<T>(
        &mut self,
        call: Call,
        result: wasmtime::Result<Result<T, exported::StrategyError>>,
    ) -> Result<T, CallError> {
        self.finish(call, result)?.map_err(|error| CallError::Refused { call, refusal: convert::host_refusal(error) })
    }
}

/// The name of what went wrong: first the host's own reasons, then wasmtime's.
fn failure(state: &mut HostState, call: Call, limits: &Limits, error: &wasmtime::Error) -> CallError {
    if let Some(stop) = state.stop.take() {
        return stop;
    }
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::OutOfFuel) {
        return CallError::OutOfFuel { call, limit: limits.fuel_per_call };
    }
    let reason = error.root_cause().to_string();
    // wasmtime keeps the type of this error to itself.
    if reason.contains("fuel allocated for hostcalls has been exhausted") {
        return CallError::ResultTooLarge { call, limit: limits.result_bytes };
    }
    // A guest refused memory usually ends in an `unreachable`, like any panic: the refusal is the better name.
    if let Some(denied) = state.denied.take() {
        return denied;
    }
    if trap.is_none() && call == Call::Instantiate {
        return CallError::Host { message: format!("{error:#}") };
    }
    CallError::Trapped { call, reason, panic: state.last_error_line.take() }
}
