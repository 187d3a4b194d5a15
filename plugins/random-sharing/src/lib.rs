//! Random search with weight sharing (Li and Talwalkar, "Random Search and Reproducibility for Neural
//! Architecture Search", UAI 2019, section 3.2): the baseline that any method on shared weights has to beat.
//!
//! Every weight step is on one uniformly sampled path. Then many samples are evaluated with the shared weights on
//! the same few validation minibatches, and the best of them once more on the whole validation split, as the
//! authors' code does. Nothing is learned about architectures before the end.

mod parameters;

use nas_strategy_sdk::sharing::{self, Evaluation, Phase, Selected, Selection, Session, Supernet};
use nas_strategy_sdk::{
    About, Answer, Architecture, Features, Job, Request, Setup, Strategy, StrategyError, about, export, space,
};
use serde::{Deserialize, Serialize};

pub use parameters::Parameters;

/// The strategy.
pub struct RandomSharing {
    setup: Setup,
    supernet: Supernet,
    selection: Selection,
}

/// What changes during a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    session: Session,
    selected: Selected,
}

impl Strategy for RandomSharing {
    const ABOUT: About = about!();
    const NEEDS: Features = Features::SHARED_WEIGHTS;
    type Parameters = Parameters;
    type State = State;

    fn new(setup: Setup, parameters: Parameters) -> Result<Self, StrategyError> {
        sharing::check_choices(&setup)?;
        sharing::check_objective(&setup)?;
        let Parameters { steps, steps_per_job, training_share, .. } = parameters;
        let supernet = Supernet::new(&setup, steps, steps_per_job, training_share)?;
        let Parameters { validation_batches, batch_norm, recalibration_batches, .. } = parameters;
        let evaluation = Evaluation::new(&setup, validation_batches, batch_norm, recalibration_batches)?;
        let compared = parameters.compare_batch_norm.iter();
        let compared = compared.map(|way| Evaluation::new(&setup, validation_batches, *way, recalibration_batches));
        let compared = compared.collect::<Result<Vec<_>, _>>()?;
        let Parameters { samples, samples_per_job, finalists, kept, .. } = parameters;
        let selection = Selection::new(evaluation, samples, samples_per_job, finalists, kept)?.comparing(compared);
        Ok(Self { setup, supernet, selection })
    }

    fn begin(&self) -> Result<State, StrategyError> {
        Ok(State { session: Session::new(&self.setup), ..State::default() })
    }

    fn ask(&self, state: &mut State, request: &Request) -> Result<Answer, StrategyError> {
        let State { session, selected } = state;
        session.look_around(request);
        if let Some(reason) = session.hopeless() {
            return Ok(Answer::Finished(reason));
        }
        let mut phase = self.supernet.ask(session, request, |_| Ok(space::sample(&[])?))?;
        if phase == Phase::Over {
            let constraints = &self.setup.constraints;
            phase = self.selection.ask(selected, session, request, || Ok(space::sample(constraints)?))?;
        }
        Ok(match phase {
            Phase::Work(proposals) => Answer::Work(proposals),
            Phase::InFlight => Answer::Wait,
            Phase::Over => Answer::Finished(format!("{} samples were evaluated", selected.sampled())),
        })
    }

    fn tell(&self, state: &mut State, job: &Job) -> Result<(), StrategyError> {
        state.session.tell(job);
        self.learn(state, job);
        Ok(())
    }

    fn replay(&self, state: &mut State, job: &Job) -> Result<(), StrategyError> {
        state.session.replay(job);
        self.learn(state, job);
        Ok(())
    }

    fn recommend(&self, state: &State, limit: u32) -> Vec<Architecture> {
        state.selected.best().take(limit as usize).map(|candidate| candidate.architecture.clone()).collect()
    }
}

impl RandomSharing {
    fn learn(&self, state: &mut State, job: &Job) {
        Supernet::chart(job);
        self.selection.learn(&self.setup, &mut state.selected, job);
    }
}

export!(RandomSharing);
