//! The controller: an LSTM that makes one decision a step (Pham et al., ICML 2018, sections 2.2 and 2.4, and the
//! released code).
//!
//! Inputs are chosen by additive attention over the nodes before; operations by a softmax; skip connections, all
//! those into a node at once, by attention over each of the nodes before. The next step reads what was chosen: the
//! node's memory, the operation's embedding, the mean of the nodes connected to. Every node closes with a step
//! whose memory is what later attention sees of it. The LSTM's memory goes on from cell to cell.
//!
//! Weights are kept in double precision, where Adam moves them, and computed with in single precision.

use nas_strategy_sdk::math::share_of_word;
use nas_strategy_sdk::neural::{Attention, Layout, Linear, Lstm, Matrix, Place, Real, Tape, Vector};
use nas_strategy_sdk::{Architecture, SearchSpace, random};

use crate::Parameters;
use crate::episodes::{Choice, Episode, Inputs, Run};
use crate::plan::{Plan, has_no_rules};

/// Which decisions are limited to what the space opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masking {
    /// Those of a space that writes down rules.
    Written,
    /// All: the space has rules which it does not write down.
    All,
}

/// Episodes under way side by side where nothing is learned from them.
const GROUP: usize = 16;

/// Where the controller's weights lie and how it uses them. The weights themselves are state.
pub struct Controller {
    pub(crate) space: SearchSpace,
    pub(crate) has_no_rules: bool,
    /// Free order, and the space's.
    plans: [Plan; 2],
    pub(crate) size: usize,
    pub(crate) lstm: Lstm,
    pub(crate) attention: Attention,
    /// What a node's first step reads.
    beginning: Place,
    pub(crate) heads: Vec<(Linear, Matrix)>,
    n_weights: usize,
    pub(crate) parameters: Parameters,
}

impl Controller {
    /// Of a space of choices.
    pub fn new(search_space: &SearchSpace, parameters: &Parameters) -> Self {
        let size = parameters.controller_size as usize;
        let plans = [true, false].map(|is_free| Plan::new(search_space, is_free));
        let mut layout = Layout::default();
        let (lstm, attention) = (Lstm::new(&mut layout, size, size), Attention::new(&mut layout, size));
        let beginning = layout.vector(size);
        let [free, _] = &plans;
        let heads = free.heads.iter();
        let heads =
            heads.map(|head| (Linear::new(&mut layout, size, head.n_options), layout.matrix(size, head.n_options)));
        let heads = heads.collect();
        Self {
            space: search_space.clone(),
            has_no_rules: has_no_rules(search_space),
            plans,
            size,
            lstm,
            attention,
            beginning,
            heads,
            n_weights: layout.n_weights(),
            parameters: parameters.clone(),
        }
    }

    /// Number of weights.
    pub fn n_weights(&self) -> usize {
        self.n_weights
    }

    /// Weights at the beginning. Draws.
    pub fn initial_weights(&self) -> Vec<f64> {
        let range = self.parameters.initial_range;
        let mut weights = Vec::with_capacity(self.n_weights);
        while weights.len() < self.n_weights {
            let words = random::fill((self.n_weights - weights.len()).min(65_536) as u32);
            weights.extend(words.into_iter().map(|word| range * (2.0 * share_of_word(word) - 1.0)));
        }
        for ((linear, _), head) in self.heads.iter().zip(&self.plan(Masking::Written).heads) {
            let names = head.convolutions.iter().flatten().copied().chain(std::iter::repeat(false));
            for (bias, is_convolution) in linear.bias.of_mut(&mut weights).iter_mut().zip(names) {
                *bias = if is_convolution { self.parameters.operation_bias } else { 0.0 };
            }
        }
        weights
    }

    pub(crate) fn plan(&self, masking: Masking) -> &Plan {
        let [free, bound] = &self.plans;
        if self.has_no_rules && masking == Masking::Written { free } else { bound }
    }

    /// `count` architectures by chance. Draws a word for each decision of each.
    pub fn sample(&self, weights: &[f64], count: usize, masking: Masking) -> Result<Vec<Architecture>, String> {
        let weights = narrow(weights);
        let mut tape = Tape::new(&weights);
        let inputs = self.inputs(&mut tape);
        let mark = tape.mark();
        let n_decisions = self.space.decisions.len() as u32;
        let mut sampled = Vec::with_capacity(count);
        for first in (0..count).step_by(GROUP) {
            tape.rewind(mark);
            let words: Vec<Vec<u64>> = (first..count).take(GROUP).map(|_| random::fill(n_decisions)).collect();
            let choices = words.iter().map(|words| Choice::Drawn(words));
            let episodes = self.run(&mut tape, &inputs, choices, masking)?;
            sampled.extend(episodes.into_iter().flatten().map(|episode| episode.genes));
        }
        Ok(sampled)
    }

    /// Every decision the likeliest.
    pub fn likeliest(&self, weights: &[f64], masking: Masking) -> Option<Architecture> {
        let weights = narrow(weights);
        let mut tape = Tape::new(&weights);
        let inputs = self.inputs(&mut tape);
        let episodes = self.run(&mut tape, &inputs, [Choice::Likeliest], masking).ok()?;
        episodes.into_iter().flatten().next().map(|episode| episode.genes)
    }

    /// The gradient of the mean over architectures of `-advantage * ln p`, plus the skip connections' divergence.
    /// `advantage` is asked for each architecture in order; those that are none of this controller's are left out.
    /// None if none is left.
    pub fn gradient<'g>(
        &self,
        weights: &[f64],
        architectures: impl IntoIterator<Item = &'g Architecture>,
        masking: Masking,
        advantage: impl FnMut(usize, &Episode) -> Option<f64>,
    ) -> Option<Vec<f64>> {
        self.gradient_in(&narrow(weights), architectures, masking, advantage)
    }

    fn gradient_in<'g, R: Real>(
        &self,
        weights: &[R],
        architectures: impl IntoIterator<Item = &'g Architecture>,
        masking: Masking,
        mut advantage: impl FnMut(usize, &Episode) -> Option<f64>,
    ) -> Option<Vec<f64>> {
        let mut tape = Tape::new(weights);
        let inputs = self.inputs(&mut tape);
        let choices = architectures.into_iter().map(|genes| Choice::Given(genes));
        let episodes = self.run(&mut tape, &inputs, choices, masking).ok()?;
        let followed = episodes.into_iter().enumerate().filter_map(|(idx, episode)| {
            let episode = episode?;
            Some((advantage(idx, &episode)?, episode))
        });
        let weighted: Vec<(f64, Episode)> = followed.collect();
        let share = 1.0 / weighted.len() as f64;
        let mut seeds: Vec<(Vector, Vec<f64>)> = Vec::new();
        for (advantage, episode) in &weighted {
            for pick in &episode.picks {
                let mut seed: Vec<f64> =
                    pick.shares.iter().map(|probability| share * advantage * probability).collect();
                seed.get_mut(pick.chosen).into_iter().for_each(|slope| *slope -= share * advantage);
                if pick.is_skip && self.parameters.skip_weight > 0.0 {
                    let weight = share * self.parameters.skip_weight / episode.n_skipping.max(1) as f64;
                    for (slope, divergence) in seed.iter_mut().zip(self.divergence_slopes(tape.values(pick.logits))) {
                        *slope += weight * divergence;
                    }
                }
                seeds.push((pick.logits, seed));
            }
        }
        let seeds = seeds.iter().map(|(logits, seed)| (*logits, seed.as_slice()));
        (!weighted.is_empty()).then(|| tape.backward(seeds))
    }

    /// d/d logit of `p ln(p / target)` for the logistic `p` of both outcomes of a skip connection: none, and one.
    fn divergence_slopes<R: Real>(&self, logits: &[R]) -> Vec<f64> {
        let targets = [1.0 - self.parameters.skip_target, self.parameters.skip_target];
        let slope = |(logit, target): (&R, f64)| {
            let p = Real::sigmoid(logit.wide()).clamp(1e-12, 1.0 - 1e-12);
            ((p / target).ln() + 1.0) * p * (1.0 - p)
        };
        logits.iter().zip(targets).map(slope).collect()
    }

    fn inputs<R: Real>(&self, tape: &mut Tape<'_, R>) -> Inputs {
        let mut projected = |place| {
            let embedding = tape.weights(place);
            self.lstm.project(tape, embedding)
        };
        let beginning = projected(self.beginning);
        let heads = self.heads.iter().zip(&self.plan(Masking::All).heads);
        let by_head = heads.map(|((_, embeddings), head)| {
            (0..head.n_options).map(|option| projected(embeddings.column(option))).collect()
        });
        Inputs { beginning, by_head: by_head.collect() }
    }

    /// An episode for each choice; none where given genes are not those of a stand-alone architecture of the space.
    fn run<'t, R: Real>(
        &self,
        tape: &mut Tape<'_, R>,
        inputs: &Inputs,
        choices: impl IntoIterator<Item = Choice<'t>>,
        masking: Masking,
    ) -> Result<Vec<Option<Episode>>, String> {
        Run::new(self, tape, inputs, choices.into_iter().collect(), masking).into_episodes()
    }
}

fn narrow(weights: &[f64]) -> Vec<f32> {
    weights.iter().map(|weight| *weight as f32).collect()
}

#[cfg(test)]
mod tests {
    use nas_strategy_sdk::Role;
    use nas_strategy_sdk::testing::{Host, Row, choice_space, edges_cell};

    use nas_strategy_sdk::{Gene, space};

    use super::*;

    fn small() -> Parameters {
        Parameters { controller_size: 6, initial_range: 0.6, operation_bias: 0.5, ..Parameters::default() }
    }

    /// Two nodes with two inputs, and a second cell; then a layer with skip connections.
    fn everything() -> SearchSpace {
        let operations = ["sep_conv_3x3", "max_pool_3x3", "skip_connect"];
        let mut rows: Vec<Row> = Vec::new();
        for cell in 0..2 {
            rows.push(("in0", Role::Input, (cell, 2), &["0", "1"]));
            rows.push(("op0", Role::Operation, (cell, 2), &operations));
            rows.push(("in1", Role::Input, (cell, 3), &["0", "1", "2"]));
            rows.push(("op1", Role::Operation, (cell, 3), &operations));
        }
        rows.push(("layer0", Role::Operation, (2, 0), &operations));
        rows.push(("layer1", Role::Operation, (2, 1), &operations));
        rows.push(("skip1/0", Role::Skip, (2, 1), &["off", "on"]));
        rows.push(("layer2", Role::Operation, (2, 2), &operations));
        rows.push(("skip2/0", Role::Skip, (2, 2), &["off", "on"]));
        rows.push(("skip2/1", Role::Skip, (2, 2), &["off", "on"]));
        rows.push(("layer3", Role::Operation, (2, 3), &operations));
        let mut space = choice_space(&rows);
        let sources: [(usize, &[u32]); 7] =
            [(0, &[0, 1]), (2, &[0, 1, 2]), (4, &[0, 1]), (6, &[0, 1, 2]), (10, &[0]), (12, &[0]), (13, &[1])];
        for (idx, (decision, read)) in sources.into_iter().enumerate() {
            space.decisions[decision].sources = read.to_vec();
            assert!(idx < 7);
        }
        for (idx, decision) in space.decisions.iter_mut().enumerate() {
            decision.name = format!("{idx}/{}", decision.name);
        }
        space
    }

    /// The loss whose gradient is taken, in double precision.
    fn loss(controller: &Controller, weights: &[f64], architectures: &[Architecture], advantages: &[f64]) -> f64 {
        let mut tape = Tape::new(weights);
        let inputs = controller.inputs(&mut tape);
        let mut sum = 0.0;
        for (genes, advantage) in architectures.iter().zip(advantages) {
            let episodes = controller.run(&mut tape, &inputs, [Choice::Given(genes)], Masking::Written).unwrap();
            let episode = episodes[0].as_ref().unwrap();
            let mut divergence = 0.0;
            for pick in episode.picks.iter().filter(|pick| pick.is_skip) {
                for (logit, target) in tape.values(pick.logits).iter().zip([0.6, 0.4]) {
                    let p = 1.0 / (1.0 + (-logit).exp());
                    divergence += p * (p / target).ln();
                }
            }
            sum -= advantage * episode.log_probability;
            sum += controller.parameters.skip_weight * divergence / episode.n_skipping.max(1) as f64;
        }
        sum / architectures.len() as f64
    }

    #[test]
    fn its_gradient_agrees_with_finite_differences_weight_by_weight() {
        let space = everything();
        Host::new(&space, 1).install();
        let controller = Controller::new(&space, &small());
        let mut weights = controller.initial_weights();
        let architectures = controller.sample(&weights, 3, Masking::Written).unwrap();
        let advantages = [0.7, -0.4, 0.2];
        let gradient =
            controller.gradient_in(&weights, &architectures, Masking::Written, |idx, _| Some(advantages[idx])).unwrap();
        let step = 1e-6;
        let mut n_moving = 0;
        for idx in 0..weights.len() {
            let before = weights[idx];
            weights[idx] = before + step;
            let up = loss(&controller, &weights, &architectures, &advantages);
            weights[idx] = before - step;
            let down = loss(&controller, &weights, &architectures, &advantages);
            weights[idx] = before;
            let numeric = (up - down) / (2.0 * step);
            assert!((gradient[idx] - numeric).abs() < 1e-8, "weight {idx}: {} for {numeric}", gradient[idx]);
            n_moving += usize::from(numeric.abs() > 1e-5);
        }
        assert!(n_moving > weights.len() / 2, "{n_moving} of {} weights matter", weights.len());
        // What strategies use is the same in single precision.
        let narrow =
            controller.gradient(&weights, &architectures, Masking::Written, |idx, _| Some(advantages[idx])).unwrap();
        assert!(narrow.iter().zip(&gradient).all(|(narrow, wide)| (narrow - wide).abs() < 1e-5));
    }

    #[test]
    fn samples_come_as_often_as_their_probability_says() {
        let space = choice_space(&[
            ("a", Role::Operation, (0, 0), &["conv", "pool"]),
            ("b", Role::Operation, (0, 1), &["conv", "pool", "none"]),
        ]);
        Host::new(&space, 2).install();
        let controller = Controller::new(&space, &small());
        let weights = controller.initial_weights();
        let n_samples = 6_000;
        let sampled = controller.sample(&weights, n_samples, Masking::Written).unwrap();
        let mut total = 0.0;
        for (first, second) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
            let genes = vec![Gene::Choice(first), Gene::Choice(second)];
            let mut probability = 0.0;
            controller.gradient(&weights, [&genes], Masking::Written, |_, episode| {
                probability = episode.log_probability.exp();
                Some(0.0)
            });
            let share = sampled.iter().filter(|sample| **sample == genes).count() as f64 / n_samples as f64;
            assert!((share - probability).abs() < 5.0 * (probability / n_samples as f64).sqrt(), "{genes:?}");
            total += probability;
        }
        assert!((total - 1.0).abs() < 1e-6);
    }

    #[test]
    fn everything_sampled_obeys_the_spaces_rules_and_can_be_followed() {
        let space = edges_cell(2, 4, &["none", "skip_connect", "sep_conv_3x3"]);
        Host::new(&space, 3).install();
        let controller = Controller::new(&space, &small());
        let weights = controller.initial_weights();
        let sampled = controller.sample(&weights, 20, Masking::Written).unwrap();
        assert_eq!(sampled.len(), 20);
        for genes in sampled.iter().chain(&controller.likeliest(&weights, Masking::Written)) {
            space::check(genes).unwrap();
            assert!(controller.gradient(&weights, [genes], Masking::Written, |_, _| Some(1.0)).is_some());
        }
        // Every node has all its edges here, which no rule allows.
        let full = vec![Gene::Choice(2); space.decisions.len()];
        assert!(controller.gradient(&weights, [&full], Masking::Written, |_, _| Some(1.0)).is_none());
        assert!(controller.gradient(&weights, [&Vec::new()], Masking::Written, |_, _| Some(1.0)).is_none());
    }

    #[test]
    fn operations_begin_with_the_bias_towards_convolutions_of_the_released_code() {
        let operations = ["sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "skip_connect"];
        let space = choice_space(&[("op", Role::Operation, (0, 0), &operations)]);
        Host::new(&space, 4).install();
        let controller = Controller::new(&space, &Parameters::default());
        let weights = controller.initial_weights();
        let probability = |option| {
            let mut probability = 0.0;
            controller.gradient(&weights, [&vec![Gene::Choice(option)]], Masking::Written, |_, episode| {
                probability = episode.log_probability.exp();
                Some(0.0)
            });
            probability
        };
        // Convolutions: 1.1 / 2.5 * tanh(10) + 0.25; the others about -0.25.
        let (convolution, other) = (0.69f64.exp(), (-0.25f64).exp());
        let expected = convolution / (2.0 * convolution + 3.0 * other);
        assert!((probability(0) - expected).abs() < 0.01, "{} for {expected}", probability(0));
        assert!((probability(1) - expected).abs() < 0.01);
    }
}
