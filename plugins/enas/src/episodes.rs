//! Architectures being decided, side by side: each step of the controller is taken for all of them at once, so that its
//! weights are read once.

use nas_strategy_sdk::math::{argmax, drawn, entropy, share_of_word, softmax};
use nas_strategy_sdk::neural::{Memory, Real, Tape, Vector};
use nas_strategy_sdk::{Architecture, Gene, space};

use crate::controller::{Controller, Masking};
use crate::plan::{Cell, Kind, Plan, Step};

/// How it decides.
#[derive(Clone, Copy)]
pub(crate) enum Choice<'a> {
    /// By chance, a word for each decision.
    Drawn(&'a [u64]),
    /// As these genes were.
    Given(&'a [Gene]),
    /// The likeliest.
    Likeliest,
}

/// One decision on a tape.
pub(crate) struct Pick {
    pub(crate) logits: Vector,
    /// Of all its options.
    pub(crate) shares: Vec<f64>,
    pub(crate) chosen: usize,
    /// Of a skip connection.
    pub(crate) is_skip: bool,
}

/// One architecture on a tape.
#[derive(Default)]
pub struct Episode {
    /// What was decided.
    pub genes: Architecture,
    /// Sum of the decisions' entropies, in nats.
    pub entropy: f64,
    /// Natural logarithm of its probability.
    pub log_probability: f64,
    pub(crate) picks: Vec<Pick>,
    /// Nodes that had skip connections to decide.
    pub(crate) n_skipping: usize,
}

/// What the LSTM reads: embeddings as they enter its gates, computed once a tape.
pub(crate) struct Inputs {
    pub(crate) beginning: Vector,
    pub(crate) by_head: Vec<Vec<Vector>>,
}

/// What is known of a node that can be read.
struct Anchor {
    node: u32,
    /// None for a cell's inputs, which are zero.
    hidden: Option<Vector>,
    key: Vector,
}

/// An episode under way.
struct Lane<'t> {
    choice: Choice<'t>,
    memory: Memory,
    /// What the next step reads, as it enters the gates; none: zeros.
    next: Option<Vector>,
    anchors: Vec<Anchor>,
    /// The skip connections into a node that are being decided.
    skips: Skips,
    episode: Episode,
    /// Given genes that do not fit.
    is_out: bool,
}

/// Skip connections into one node.
#[derive(Default)]
struct Skips {
    query: Option<Vector>,
    /// Whether there was one to decide.
    is_any: bool,
    n_connected: u32,
    /// The sum of what they read.
    connected: Option<Vector>,
}

/// Episodes under way side by side: all take the same steps, but for decisions that are inactive in some.
pub(crate) struct Run<'t, 'w, 'c, R> {
    controller: &'c Controller,
    plan: &'c Plan,
    tape: &'t mut Tape<'w, R>,
    inputs: &'t Inputs,
    masking: Masking,
    lanes: Vec<Lane<'t>>,
}

/// A decision to be made in an episode.
struct Pending {
    lane: usize,
    /// The options open to it; none: all.
    open: Option<Vec<u32>>,
}

impl<'t, 'w, 'c, R: Real> Run<'t, 'w, 'c, R> {
    /// An episode for each choice.
    pub(crate) fn new(
        controller: &'c Controller,
        tape: &'t mut Tape<'w, R>,
        inputs: &'t Inputs,
        choices: Vec<Choice<'t>>,
        masking: Masking,
    ) -> Self {
        let n_decisions = controller.space.decisions.len();
        let memory = controller.lstm.begin(tape);
        let lane = |choice| Lane {
            choice,
            memory,
            next: None,
            anchors: Vec::new(),
            skips: Skips::default(),
            episode: Episode { genes: vec![Gene::Inactive; n_decisions], ..Episode::default() },
            is_out: matches!(choice, Choice::Given(genes) if genes.len() != n_decisions),
        };
        let lanes = choices.into_iter().map(lane).collect();
        Self { controller, plan: controller.plan(masking), tape, inputs, masking, lanes }
    }

    /// All decisions of all episodes; none of one where given genes are not those of a stand-alone architecture of the
    /// space.
    pub(crate) fn into_episodes(mut self) -> Result<Vec<Option<Episode>>, String> {
        for (idx, cell) in self.plan.cells.iter().enumerate() {
            self.cell(cell, idx == 0)?;
        }
        Ok(self.lanes.into_iter().map(|lane| (!lane.is_out).then_some(lane.episode)).collect())
    }

    fn cell(&mut self, cell: &Cell, is_first: bool) -> Result<(), String> {
        let beginning = Some(self.inputs.beginning);
        for lane in &mut self.lanes {
            lane.anchors.clear();
            lane.next = beginning;
        }
        for node in &cell.inputs {
            self.step(&self.standing());
            self.anchor(*node, false);
        }
        for node in &cell.nodes {
            let mut is_closed = false;
            for step in &node.steps {
                is_closed = match step {
                    Step::One(decision) => self.one(*decision, is_first).map(|()| false)?,
                    Step::Skips(decisions) => self.skips(decisions).map(|()| true)?,
                };
            }
            if is_closed {
                self.anchor(node.node, true);
            } else {
                self.step(&self.standing());
                self.anchor(node.node, true);
                self.lanes.iter_mut().for_each(|lane| lane.next = beginning);
            }
        }
        Ok(())
    }

    /// The episodes that go on.
    fn standing(&self) -> Vec<usize> {
        (0..self.lanes.len()).filter(|idx| self.lanes.get(*idx).is_some_and(|lane| !lane.is_out)).collect()
    }

    /// Some of each of some episodes.
    fn of<T>(&self, who: &[usize], what: impl Fn(&Lane<'_>) -> T) -> Vec<T> {
        who.iter().filter_map(|idx| self.lanes.get(*idx)).map(what).collect()
    }

    /// Enter something for each of some episodes.
    fn enter<T>(&mut self, who: &[usize], what: impl IntoIterator<Item = T>, enter: impl Fn(&mut Lane<'_>, T)) {
        for (idx, what) in who.iter().zip(what) {
            self.lanes.get_mut(*idx).into_iter().zip([what]).for_each(|(lane, what)| enter(lane, what));
        }
    }

    fn step(&mut self, who: &[usize]) {
        let (next, memories) = (self.of(who, |lane| lane.next), self.of(who, |lane| lane.memory));
        let memories = self.controller.lstm.steps(self.tape, &next, &memories);
        self.enter(who, memories, |lane, memory| lane.memory = memory);
    }

    /// A node that can be read from now on, by what the memory is.
    fn anchor(&mut self, node: u32, is_read: bool) {
        let who = self.standing();
        let hidden = self.of(&who, |lane| lane.memory.hidden);
        let keys = self.controller.attention.keys(self.tape, &hidden);
        let anchors = hidden.into_iter().zip(keys);
        self.enter(&who, anchors, |lane, (hidden, key)| {
            lane.anchors.push(Anchor { node, hidden: is_read.then_some(hidden), key });
        });
    }

    /// Where a decision is to be made. Given genes that have it otherwise are out.
    fn pending(&mut self, decision: usize) -> Result<Vec<Pending>, String> {
        let mut pending = Vec::new();
        for lane in self.standing() {
            let open = self.open(lane, decision);
            let Some(lane_of) = self.lanes.get_mut(lane) else { continue };
            match (open, lane_of.choice) {
                (Ok(Some(open)), _) => pending.push(Pending { lane, open }),
                (Ok(None), Choice::Given(genes)) => lane_of.is_out |= genes.get(decision) != Some(&Gene::Inactive),
                (Ok(None), _) => {}
                (Err(_), Choice::Given(_)) => lane_of.is_out = true,
                (Err(problem), _) => return Err(problem),
            }
        }
        Ok(pending)
    }

    /// A decision with a step of its own. An inactive one takes none.
    fn one(&mut self, decision: usize, is_first: bool) -> Result<(), String> {
        let controller = self.controller;
        let pending = self.pending(decision)?;
        let Some(kind) = self.plan.kinds.get(decision).copied() else { return Ok(()) };
        let who: Vec<usize> = pending.iter().map(|pending| pending.lane).collect();
        self.step(&who);
        let hidden = self.of(&who, |lane| lane.memory.hidden);
        let parameters = &controller.parameters;
        let logits: Vec<Vector> = match kind {
            Kind::Input | Kind::Skip => {
                let queries = controller.attention.queries(self.tape, &hidden);
                let scored = who.iter().zip(queries).map(|(lane, query)| {
                    let keys = self.keys(*lane, decision);
                    let scores = keys.into_iter().map(|key| controller.attention.score(self.tape, key, query));
                    let scores = scores.collect();
                    let scores = self.tape.joined(scores);
                    self.shaped(scores, parameters.tanh_constant)
                });
                scored.collect()
            }
            Kind::Options { head } => {
                let Some((linear, _)) = controller.heads.get(head) else { return Ok(()) };
                let is_operation = self.plan.heads.get(head).is_some_and(|head| head.convolutions.is_some());
                let reduce = if is_operation { parameters.operation_tanh_reduce } else { 1.0 };
                let logits = linear.apply_all(self.tape, &hidden).into_iter().map(|logits| {
                    let shaped = self.shaped(logits, parameters.tanh_constant / reduce);
                    if is_first { self.leaning(shaped, head) } else { shaped }
                });
                logits.collect()
            }
        };
        let (mut reading, mut read) = (Vec::new(), Vec::new());
        for (pending, logits) in pending.iter().zip(logits) {
            let Some(chosen) = self.pick(pending, decision, logits, false) else { continue };
            let inputs = self.inputs;
            let Some(lane) = self.lanes.get_mut(pending.lane) else { continue };
            match kind {
                Kind::Options { head } => {
                    lane.next = inputs.by_head.get(head).and_then(|options| options.get(chosen)).copied();
                }
                Kind::Input | Kind::Skip => {
                    let source = controller.space.decisions.get(decision).and_then(|d| d.sources.get(chosen)).copied();
                    let hidden = source.and_then(|node| lane.anchor_of(node)).and_then(|anchor| anchor.hidden);
                    lane.next = None;
                    hidden.iter().for_each(|_| reading.push(pending.lane));
                    read.extend(hidden);
                }
            }
        }
        let projected = controller.lstm.project_all(self.tape, &read);
        self.enter(&reading, projected, |lane, projected| lane.next = Some(projected));
        Ok(())
    }

    /// All skip connections into a node, after one step.
    fn skips(&mut self, decisions: &[usize]) -> Result<(), String> {
        let controller = self.controller;
        let who = self.standing();
        self.step(&who);
        let hidden = self.of(&who, |lane| lane.memory.hidden);
        let queries = controller.attention.queries(self.tape, &hidden);
        self.enter(&who, queries, |lane, query| lane.skips = Skips { query: Some(query), ..Skips::default() });
        for decision in decisions {
            for pending in self.pending(*decision)? {
                let Some(query) = self.lanes.get(pending.lane).and_then(|lane| lane.skips.query) else { continue };
                let Some(key) = self.keys(pending.lane, *decision).first().copied() else { continue };
                let score = controller.attention.score(self.tape, key, query);
                let against = self.tape.scaled(score, -1.0);
                let logits = self.tape.joined(vec![against, score]);
                let logits = self.shaped(logits, controller.parameters.tanh_constant);
                let chosen = self.pick(&pending, *decision, logits, true);
                let Some(lane) = self.lanes.get_mut(pending.lane) else { continue };
                lane.skips.is_any = true;
                if chosen == Some(1) {
                    lane.skips.n_connected += 1;
                    let source = controller.space.decisions.get(*decision).and_then(|d| d.sources.first()).copied();
                    let hidden = source.and_then(|node| lane.anchor_of(node)).and_then(|anchor| anchor.hidden);
                    if let Some(hidden) = hidden {
                        let sum = lane.skips.connected.map_or(hidden, |sum| self.tape.sum(sum, hidden));
                        lane.skips.connected = Some(sum);
                    }
                }
            }
        }
        let (mut reading, mut read) = (Vec::new(), Vec::new());
        for idx in self.standing() {
            let Some(lane) = self.lanes.get_mut(idx) else { continue };
            let skips = std::mem::take(&mut lane.skips);
            lane.episode.n_skipping += usize::from(skips.is_any);
            lane.next = None;
            if let Some(sum) = skips.connected {
                reading.push(idx);
                read.push(self.tape.scaled(sum, 1.0 / f64::from(1 + skips.n_connected)));
            }
        }
        let projected = controller.lstm.project_all(self.tape, &read);
        self.enter(&reading, projected, |lane, projected| lane.next = Some(projected));
        Ok(())
    }

    /// Of the nodes that a decision's options read.
    fn keys(&mut self, lane: usize, decision: usize) -> Vec<Vector> {
        let controller = self.controller;
        let sources = controller.space.decisions.get(decision).map(|d| d.sources.as_slice()).unwrap_or_default();
        let known = |node: &u32| self.lanes.get(lane).and_then(|lane| lane.anchor_of(*node)).map(|anchor| anchor.key);
        let keys: Vec<Option<Vector>> = sources.iter().map(known).collect();
        let size = controller.size;
        keys.into_iter()
            .map(|key| key.unwrap_or_else(|| self.tape.constants((0..size).map(|_| R::default()))))
            .collect()
    }

    /// Temperature and `constant * tanh`.
    fn shaped(&mut self, logits: Vector, constant: f64) -> Vector {
        let temperature = self.controller.parameters.temperature;
        let cooled = if temperature > 0.0 { self.tape.scaled(logits, 1.0 / temperature) } else { logits };
        if constant > 0.0 {
            let squashed = self.tape.tanh(cooled);
            self.tape.scaled(squashed, constant)
        } else {
            cooled
        }
    }

    /// The first cell's fixed bias towards convolutions.
    fn leaning(&mut self, logits: Vector, head: usize) -> Vector {
        let lean = self.controller.parameters.first_cell_bias;
        let convolutions = self.plan.heads.get(head).and_then(|head| head.convolutions.as_deref()).unwrap_or_default();
        if lean == 0.0 || convolutions.is_empty() {
            return logits;
        }
        let bias = convolutions.iter().map(|is_convolution| R::of(if *is_convolution { lean } else { -lean }));
        let bias = self.tape.constants(bias);
        self.tape.sum(logits, bias)
    }

    /// The options open to a decision: none at all if it is inactive, no list if all are.
    #[allow(clippy::type_complexity)]
    fn open(&self, lane: usize, decision: usize) -> Result<Option<Option<Vec<u32>>>, String> {
        let own = self.controller.space.decisions.get(decision);
        let (Some(own), Some(lane)) = (own, self.lanes.get(lane)) else { return Ok(None) };
        if !space::is_active(own, &lane.episode.genes) {
            return Ok(None);
        }
        if self.controller.has_no_rules && self.masking == Masking::Written {
            return Ok(Some(None));
        }
        let open = space::open_options(lane.episode.genes.get(..decision).unwrap_or_default())?;
        Ok((!open.is_empty()).then_some(Some(open)))
    }

    /// Decides, and enters it. Given genes for which that cannot be are out.
    fn pick(&mut self, pending: &Pending, decision: usize, logits: Vector, is_skip: bool) -> Option<usize> {
        let lane = self.lanes.get_mut(pending.lane)?;
        let picked = lane.pick(self.tape.values(logits), decision, pending.open.as_deref());
        lane.is_out |= picked.is_none();
        let (chosen, shares) = picked?;
        lane.episode.picks.push(Pick { logits, shares, chosen, is_skip });
        Some(chosen)
    }
}

impl Lane<'_> {
    fn anchor_of(&self, node: u32) -> Option<&Anchor> {
        self.anchors.iter().rev().find(|anchor| anchor.node == node)
    }

    /// Makes a decision. Gives also the probabilities of all its options.
    fn pick<R: Real>(&mut self, logits: &[R], decision: usize, open: Option<&[u32]>) -> Option<(usize, Vec<f64>)> {
        let is_open = |option: usize| open.is_none_or(|open| open.contains(&(option as u32)));
        let wide = logits.iter().enumerate();
        let masked: Vec<f64> =
            wide.map(|(option, logit)| if is_open(option) { logit.wide() } else { f64::NEG_INFINITY }).collect();
        let shares = softmax(&masked);
        let chosen = match self.choice {
            Choice::Drawn(words) => drawn(&shares, share_of_word(words.get(decision).copied()?)),
            Choice::Given(genes) => genes.get(decision)?.chosen()? as usize,
            Choice::Likeliest => argmax(&shares)?,
        };
        let share = *shares.get(chosen)?;
        if share <= 0.0 {
            return None;
        }
        self.episode.log_probability += share.ln();
        self.episode.entropy += entropy(&shares);
        *self.episode.genes.get_mut(decision)? = Gene::Choice(chosen as u32);
        Some((chosen, shares))
    }
}
