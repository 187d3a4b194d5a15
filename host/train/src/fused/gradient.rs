//! The gradient of one variable, as it gathers.
//!
//! What reads a variable seldom hands over a finished map: a sum hands over its own gradient with a factor, a batch
//! normalisation a gradient that also depends on the variable's value. Such parts are put together by whatever needs
//! the gradient, in one pass or on the way.

use std::rc::Rc;

use nasd_kernels::{Term, weighted_sum};
use tch::Tensor;

use super::memory::{Number, count, read, room, shape_of, write};
use crate::error::Result;

/// `gradient * scale`, scale one a channel.
#[derive(Debug)]
pub(super) struct Part<E> {
    pub gradient: Rc<Tensor>,
    pub scale: Vec<E>,
}

/// The sums that a batch normalisation's backward pass needs, one a channel.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    /// Of the gradient.
    pub plain: Vec<f64>,
    /// Of the gradient times the normalised map less its mean.
    pub with_map: Vec<f64>,
}

/// `own + sum of parts + of_value * value + constant`.
#[derive(Debug)]
pub(super) struct Gathering<E> {
    /// Added up by kernels.
    pub own: Option<Tensor>,
    pub parts: Vec<Part<E>>,
    /// Factor of the variable's own value, and constant; empty for 0.
    pub of_value: Vec<f64>,
    pub constant: Vec<f64>,
    /// Of the whole, while it is known.
    pub sums: Option<Sums>,
}

impl<E> Default for Gathering<E> {
    fn default() -> Self {
        Self { own: None, parts: Vec::new(), of_value: Vec::new(), constant: Vec::new(), sums: None }
    }
}

impl<E: Number> Gathering<E> {
    /// Whether nothing came.
    pub fn is_nothing(&self) -> bool {
        self.own.is_none() && self.parts.is_empty()
    }

    /// Add a part; `sums` are the part's.
    pub fn push(&mut self, gradient: &Rc<Tensor>, scale: Vec<E>, sums: Option<Sums>) {
        self.sums = if self.is_nothing() { sums } else { None };
        self.parts.push(Part { gradient: Rc::clone(gradient), scale });
    }

    /// Add `of_value * value + constant`.
    pub fn push_of_value(&mut self, of_value: &[f64], constant: &[f64]) {
        self.sums = None;
        for (kept, new) in [(&mut self.of_value, of_value), (&mut self.constant, constant)] {
            kept.resize(new.len(), 0.0);
            for (kept, new) in kept.iter_mut().zip(new) {
                *kept += new;
            }
        }
    }

    /// Add a finished map.
    pub fn push_map(&mut self, gradient: Tensor) {
        let channels = shape_of(&gradient).map_or(1, |[_, _, channels]| channels);
        self.push(&Rc::new(gradient), vec![E::of(1.0); channels], None);
    }

    /// A map to add to, and whether there is something in it already.
    pub fn accumulator(&mut self, images: usize, shape: [usize; 3]) -> Result<(Tensor, bool)> {
        self.sums = None;
        match self.own.take() {
            Some(own) => Ok((own, true)),
            None => Ok((room::<E>(images, shape)?, false)),
        }
    }

    /// Scale, constant and factor of the value for one part that is all there is.
    pub fn as_one(&self) -> Option<(&Rc<Tensor>, [Vec<E>; 3])> {
        let [part] = self.parts.as_slice() else { return None };
        if self.own.is_some() {
            return None;
        }
        let channels = part.scale.len();
        let rounded = |numbers: &[f64]| match numbers.is_empty() {
            true => vec![E::of(0.0); channels],
            false => numbers.iter().map(|&number| E::of(number)).collect(),
        };
        Some((&part.gradient, [part.scale.clone(), rounded(&self.constant), rounded(&self.of_value)]))
    }

    /// All of it as one map. `value` is the variable's.
    pub fn whole(mut self, value: &Tensor, threads: usize) -> Result<Rc<Tensor>> {
        let is_affine = !self.of_value.is_empty();
        if self.parts.is_empty()
            && !is_affine
            && let Some(own) = self.own.take()
        {
            return Ok(Rc::new(own));
        }
        if let [part] = self.parts.as_slice()
            && self.own.is_none()
            && !is_affine
            && part.scale.iter().all(|&scale| scale == E::of(1.0))
        {
            return Ok(Rc::clone(&part.gradient));
        }
        let Some(shape) = shape_of(value).filter(|[_, _, channels]| E::level(&[*channels]).is_some()) else {
            return self.plain_whole();
        };
        let images = count(value.size().first().copied().unwrap_or_default());
        let (mut out, adds) = self.accumulator(images, shape)?;
        let rounded = |numbers: &[f64]| numbers.iter().map(|&number| E::of(number)).collect::<Vec<E>>();
        let (of_value, constant) = (rounded(&self.of_value), rounded(&self.constant));
        let mut terms = Vec::with_capacity(self.parts.len() + 1);
        for part in &self.parts {
            terms.push(Term { values: read::<E>(&part.gradient)?, scale: &part.scale });
        }
        if is_affine {
            terms.push(Term { values: read(value)?, scale: &of_value });
        }
        weighted_sum(threads, &terms, &constant, write(&mut out)?, shape[2], adds)?;
        Ok(Rc::new(out))
    }

    /// Of what is no map for kernels; its parts have one factor each.
    fn plain_whole(self) -> Result<Rc<Tensor>> {
        let mut sum = self.own;
        for Part { gradient, scale } in &self.parts {
            let factor = scale.first().map_or(1.0, |scale| scale.double());
            let part = gradient.f_mul_scalar(factor)?;
            sum = Some(match sum {
                Some(sum) => sum.f_add(&part)?,
                None => part,
            });
        }
        Ok(Rc::new(sum.unwrap_or_default()))
    }
}
