//! The backward pass over a tape. Only what is asked is computed.

use std::collections::BTreeMap;
use std::rc::Rc;

use nasd_kernels::{Term, Upstream, gradient_sums};
use tch::Tensor;

use super::forward::with_weights;
use super::gradient::{Gathering, Sums};
use super::memory::{Number, channels_last, count, read, shape_of, write};
use super::tape::{Entry, Norm, Operation, SumTerm, Tape, Value, Variable};
use crate::error::Result;
use crate::gradient::Wanted;
use crate::weights::Weights;

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Gradients of weights by parameter number; in the weights' shape, or flat in the order of the flat tensor.
    pub weights: Vec<(usize, Tensor)>,
    /// Gradients of mixture weights by decision and position.
    pub mixtures: BTreeMap<(u32, usize), f64>,
}

struct Backward<'a, E> {
    weights: &'a Weights,
    wanted: Wanted,
    threads: usize,
    /// For each variable, whether anything wanted depends on its gradient.
    is_needed: Vec<bool>,
    gradients: Vec<Gathering<E>>,
    found: Found,
}

/// All gradients of `loss`, which was computed from the tape's output leaves. The tape is used up, entry by entry.
pub(super) fn backward<E: Number>(tape: Tape<E>, loss: &Tensor, weights: &Weights, wanted: Wanted) -> Result<Found> {
    let Tape { entries, n_variables, threads, outputs } = tape;
    let leaves: Vec<&Tensor> = outputs.iter().map(|(_, leaf)| leaf).collect();
    let of_leaves = match loss.requires_grad() {
        true => Tensor::f_run_backward(&[loss], &leaves, false, false)?,
        false => Vec::new(),
    };
    let is_needed = needed(&entries, n_variables, wanted);
    let mut gradients = Vec::new();
    gradients.resize_with(n_variables, Gathering::default);
    let mut backward = Backward { weights, wanted, threads, is_needed, gradients, found: Found::default() };
    for ((variable, _), gradient) in outputs.iter().zip(of_leaves) {
        if gradient.defined() && backward.is_needed(*variable) {
            backward.gathering(*variable).push_map(channels_last(&gradient)?);
        }
    }
    tch::no_grad(|| -> Result<()> {
        // Popped, so that an entry's maps go as soon as they are used.
        let mut entries = entries;
        while let Some(entry) = entries.pop() {
            let gathering = std::mem::take(backward.gathering(entry.result));
            if !gathering.is_nothing() {
                backward.entry(entry, gathering)?;
            }
        }
        Ok(())
    })?;
    Ok(backward.found)
}

/// For each variable, whether anything that is wanted lies behind it.
fn needed<E>(entries: &[Entry<E>], n_variables: usize, wanted: Wanted) -> Vec<bool> {
    let mut needed = vec![false; n_variables];
    for entry in entries {
        let is = |variable: Variable| needed.get(variable).copied().unwrap_or(false);
        let found = match &entry.operation {
            Operation::Unit { x, filter, matrix, .. } => {
                (wanted.weights && (filter.is_some() || matrix.is_some())) || is(x.variable)
            }
            Operation::Norm { base, learnt, .. } => (wanted.weights && learnt.is_some()) || is(*base),
            Operation::Pool { from, .. } => is(*from),
            Operation::Sum(terms) => {
                terms.iter().any(|term| (wanted.mixtures && term.coefficient.is_some()) || is(term.value.variable))
            }
            Operation::Concat(parts) => parts.iter().any(|(part, _)| part.is_some_and(is)),
            Operation::Plain { leaves, parameters } => {
                (wanted.weights && !parameters.is_empty()) || leaves.iter().any(|(_, variable)| is(*variable))
            }
        };
        if let Some(place) = needed.get_mut(entry.result) {
            *place = found;
        }
    }
    needed
}

impl<E: Number> Backward<'_, E> {
    fn is_needed(&self, variable: Variable) -> bool {
        self.is_needed.get(variable).copied().unwrap_or(false)
    }

    fn gathering(&mut self, variable: Variable) -> &mut Gathering<E> {
        if variable >= self.gradients.len() {
            self.gradients.resize_with(variable + 1, Gathering::default);
        }
        // There is one for each variable now.
        &mut self.gradients[variable]
    }

    fn entry(&mut self, entry: Entry<E>, gathering: Gathering<E>) -> Result<()> {
        let Entry { operation, map, .. } = entry;
        match operation {
            Operation::Unit { x, reading, filter, matrix } => {
                let needs_input = self.is_needed(x.variable);
                let with_weights = self.wanted.weights && (filter.is_some() || matrix.is_some());
                if !with_weights && !needs_input {
                    return Ok(());
                }
                self.unit(&x, reading, [filter, matrix], &map, gathering, [with_weights, needs_input])
            }
            Operation::Norm { base, map, norm, learnt } => self.norm(base, &map, &norm, learnt, gathering),
            Operation::Pool { x, from, pool } => {
                if !self.is_needed(from) {
                    return Ok(());
                }
                let gradient = gathering.whole(&map, self.threads)?;
                let images = count(x.size().first().copied().unwrap_or_default());
                let threads = self.threads;
                let (mut to, adds) = self.gathering(from).accumulator(images, pool.input)?;
                let maps = [read::<E>(&x)?, read(&map)?, read(&gradient)?];
                pool.backward(threads, images, maps, write(&mut to)?, adds)?;
                self.gathering(from).own = Some(to);
                Ok(())
            }
            Operation::Sum(terms) => {
                let gradient = gathering.whole(&map, self.threads)?;
                self.sum(&terms, &gradient)
            }
            Operation::Concat(parts) => {
                let gradient = gathering.whole(&map, self.threads)?;
                let mut start = 0;
                for (variable, channels) in parts {
                    if let Some(variable) = variable.filter(|&variable| self.is_needed(variable)) {
                        let part = channels_last(&gradient.f_narrow(1, start, channels)?)?;
                        self.gathering(variable).push_map(part);
                    }
                    start += channels;
                }
                Ok(())
            }
            Operation::Plain { leaves, parameters } => {
                let gradient = gathering.whole(&map, self.threads)?;
                self.plain(&map, leaves, &parameters, &gradient)
            }
        }
    }

    fn unit(
        &mut self,
        x: &Value<E>,
        reading: nasd_kernels::Reading,
        [filter, matrix]: [Option<usize>; 2],
        out: &Tensor,
        gathering: Gathering<E>,
        [with_own_weights, needs_input]: [bool; 2],
    ) -> Result<()> {
        let whole;
        let (gradient, affine) = match gathering.as_one() {
            Some((gradient, affine)) => (Rc::clone(gradient), Some(affine)),
            None => {
                whole = gathering.whole(out, self.threads)?;
                (whole, None)
            }
        };
        let threads = self.threads;
        let images = count(x.map.size().first().copied().unwrap_or_default());
        let mut to = match needs_input {
            true => Some(self.gathering(x.variable).accumulator(images, shape_of(&x.map).unwrap_or_default())?),
            false => None,
        };
        let of_weights = with_weights(self.weights, x, reading, filter, matrix, |unit, images| {
            let affine = affine.as_ref().map(|all| all.each_ref().map(Vec::as_slice));
            let upstream = Upstream { gradient: read(&gradient)?, affine, value: read(out)? };
            let to =
                to.as_mut().map(|(to, adds)| Ok::<_, crate::error::TrainError>((write(to)?, *adds))).transpose()?;
            Ok(unit.backward(threads, images, read(&x.map)?, upstream, with_own_weights, to)?)
        })?;
        if let Some((to, _)) = to {
            self.gathering(x.variable).own = Some(to);
        }
        for (parameter, gradient) in [(filter, of_weights.filter), (matrix, of_weights.matrix)] {
            if let Some(parameter) = parameter.filter(|_| with_own_weights) {
                self.found.weights.push((parameter, Tensor::f_from_slice(&gradient)?));
            }
        }
        Ok(())
    }

    fn norm(
        &mut self,
        base: Variable,
        map: &Rc<Tensor>,
        norm: &Norm<E>,
        learnt: Option<[usize; 2]>,
        mut gathering: Gathering<E>,
    ) -> Result<()> {
        let wants_learnt = learnt.filter(|_| self.wanted.weights);
        let sums = match gathering.sums.take() {
            Some(sums) => Some(sums),
            None if norm.count.is_none() && wants_learnt.is_none() => None,
            None => {
                let gradient = gathering.whole(map, self.threads)?;
                let sums = self.sums(&gradient, &[(map, &norm.mean)])?;
                gathering = Gathering::default();
                gathering.push(&gradient, vec![E::of(1.0); norm.scale.len()], None);
                sums.into_iter().next()
            }
        };
        if let (Some([factor, addend]), Some(sums)) = (wants_learnt, &sums) {
            let of_factor: Vec<E> =
                sums.with_map.iter().zip(&norm.inverse).map(|(sum, inverse)| E::of(sum * inverse)).collect();
            let of_addend: Vec<E> = sums.plain.iter().map(|&sum| E::of(sum)).collect();
            self.found.weights.push((factor, Tensor::f_from_slice(&of_factor)?));
            self.found.weights.push((addend, Tensor::f_from_slice(&of_addend)?));
        }
        if !self.is_needed(base) {
            return Ok(());
        }
        let scale: Vec<f64> = norm.factor.iter().zip(&norm.inverse).map(|(factor, inverse)| factor * inverse).collect();
        if gathering.own.is_some() {
            let gradient = gathering.whole(map, self.threads)?;
            gathering = Gathering::default();
            gathering.push(&gradient, vec![E::of(1.0); norm.scale.len()], None);
        }
        let to = self.gathering(base);
        for part in &gathering.parts {
            let scaled = part.scale.iter().zip(&scale).map(|(part, scale)| E::of(part.double() * scale)).collect();
            to.push(&part.gradient, scaled, None);
        }
        if let (Some(n), Some(sums)) = (norm.count, sums) {
            let n = n as f64;
            let each = scale.iter().zip(&norm.inverse).zip(&norm.mean).zip(sums.plain.iter().zip(&sums.with_map));
            let (of_value, constant): (Vec<f64>, Vec<f64>) = each
                .map(|(((scale, inverse), mean), (plain, with_map))| {
                    let of_value = -scale * inverse * inverse * with_map / n;
                    (of_value, -scale * plain / n - of_value * mean)
                })
                .unzip();
            self.gathering(base).push_of_value(&of_value, &constant);
        }
        Ok(())
    }

    /// The sums of a gradient with each of some maps.
    fn sums(&self, gradient: &Tensor, maps: &[(&Rc<Tensor>, &[f64])]) -> Result<Vec<Sums>> {
        let channels = shape_of(gradient).map_or(1, |[_, _, channels]| channels);
        let means: Vec<Vec<E>> = maps.iter().map(|(_, mean)| mean.iter().map(|&mean| E::of(mean)).collect()).collect();
        let terms = maps.iter().zip(&means);
        let terms = terms.map(|((map, _), scale)| Ok(Term { values: read::<E>(map)?, scale }));
        let terms = terms.collect::<Result<Vec<_>>>()?;
        let mut sums = gradient_sums(self.threads, read::<E>(gradient)?, &terms, channels)?.into_iter();
        let plain = sums.next().unwrap_or_default();
        // The mean that was taken off is the rounded one.
        let with_maps = sums.zip(maps.iter().zip(&means)).map(|(with_map, ((_, mean), rounded))| {
            let apart = mean.iter().zip(rounded).map(|(mean, rounded)| rounded.double() - mean);
            let with_map = with_map.iter().zip(apart).zip(&plain).map(|((sum, apart), plain)| sum + apart * plain);
            Sums { plain: plain.clone(), with_map: with_map.collect() }
        });
        Ok(with_maps.collect())
    }

    fn sum(&mut self, terms: &[SumTerm<E>], gradient: &Rc<Tensor>) -> Result<()> {
        let channels = shape_of(gradient).map(|[_, _, channels]| channels);
        let is_fast = channels.is_some_and(|channels| E::level(&[channels]).is_some());
        let zeros = vec![0.0; channels.unwrap_or_default()];
        let of_mixture = |term: &SumTerm<E>, wanted: Wanted| term.coefficient.filter(|_| wanted.mixtures);
        let has_sums = |term: &SumTerm<E>| {
            let is_normalised = term.value.norm.is_some() && self.is_needed(term.value.variable);
            is_fast && (is_normalised || of_mixture(term, self.wanted).is_some())
        };
        let has_sums: Vec<bool> = terms.iter().map(has_sums).collect();
        let measured: Vec<(&Rc<Tensor>, &[f64])> = terms
            .iter()
            .zip(&has_sums)
            .filter(|(_, has_sums)| **has_sums)
            .map(|(term, _)| (&term.value.map, term.value.norm.as_ref().map_or(zeros.as_slice(), |norm| &norm.mean)))
            .collect();
        let mut sums = match measured.is_empty() {
            true => Vec::new(),
            false => self.sums(gradient, &measured)?,
        }
        .into_iter();
        for (term, has_sums) in terms.iter().zip(has_sums) {
            let sums = if has_sums { sums.next() } else { None };
            if let Some(coefficient) = of_mixture(term, self.wanted) {
                let number = match (&sums, &term.value.norm) {
                    (Some(sums), None) => sums.with_map.iter().sum(),
                    (Some(Sums { plain, with_map }), Some(norm)) => {
                        let each = plain.iter().zip(with_map).zip(norm.scale.iter().zip(&norm.shift)).zip(&norm.mean);
                        each.map(|(((plain, with_map), (scale, shift)), mean)| {
                            scale.double() * with_map + (scale.double() * mean + shift.double()) * plain
                        })
                        .sum()
                    }
                    (None, _) => gradient.f_mul(&term.value.map)?.f_sum(None::<tch::Kind>)?.f_double_value(&[])?,
                };
                *self.found.mixtures.entry((coefficient.decision, coefficient.position)).or_insert(0.0) += number;
            }
            if self.is_needed(term.value.variable) {
                let weight = term.weight;
                let scaled = sums.filter(|_| term.value.norm.is_some()).map(|sums| Sums {
                    plain: sums.plain.iter().map(|sum| sum * weight).collect(),
                    with_map: sums.with_map.iter().map(|sum| sum * weight).collect(),
                });
                let scale = vec![E::of(weight); channels.unwrap_or(1)];
                self.gathering(term.value.variable).push(gradient, scale, scaled);
            }
        }
        Ok(())
    }

    fn plain(
        &mut self,
        out: &Tensor,
        leaves: Vec<(Tensor, Variable)>,
        parameters: &[usize],
        gradient: &Tensor,
    ) -> Result<()> {
        let weights = self.weights;
        let wanted = parameters.iter().copied().filter(|_| self.wanted.weights);
        let trained: Vec<(usize, &Tensor)> = wanted
            .filter_map(|parameter| Some((parameter, weights.view(parameter)?)))
            .filter(|(_, view)| view.requires_grad())
            .collect();
        let leaves: Vec<_> = leaves.into_iter().filter(|(_, variable)| self.is_needed(*variable)).collect();
        let inputs: Vec<&Tensor> = leaves.iter().map(|(leaf, _)| leaf).chain(trained.iter().map(|(_, t)| *t)).collect();
        if inputs.is_empty() {
            return Ok(());
        }
        let product = tch::with_grad(|| out.f_mul(gradient)?.f_sum(None::<tch::Kind>))?;
        let mut parts = Tensor::f_run_backward(&[product], &inputs, false, false)?.into_iter();
        for ((_, variable), part) in leaves.iter().zip(&mut parts) {
            if part.defined() {
                self.gathering(*variable).push_map(channels_last(&part)?);
            }
        }
        for ((parameter, _), part) in trained.iter().zip(parts) {
            if part.defined() {
                self.found.weights.push((*parameter, part));
            }
        }
        Ok(())
    }
}
