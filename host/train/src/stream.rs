//! A split as an endless, numbered stream of minibatches.
//!
//! Minibatch `n` is a function of (seed, name, n): epoch `n / batches` has a permutation of its own, augmentation a
//! random stream of its own. A position is therefore all there is to save, and taking a minibatch again gives the very
//! same numbers.

use nasd_protocol::trainer::Augmentation;
use nasd_space::{RandomSource, StreamRandom};

use crate::error::{Result, TrainError};
use crate::images::{Images, Minibatch};

/// One split's minibatches.
#[derive(Debug)]
pub struct MinibatchStream {
    images: Images,
    name: &'static str,
    seed: u64,
    batch_size: usize,
    drop_last: bool,
    augmentation: Augmentation,
    position: u64,
    /// The epoch last asked for and its order.
    order: Option<(u64, Vec<u32>)>,
}

impl MinibatchStream {
    /// At its beginning.
    pub fn new(
        images: Images,
        name: &'static str,
        seed: u64,
        batch_size: u32,
        drop_last: bool,
        augmentation: Augmentation,
    ) -> Self {
        let batch_size = (batch_size as usize).max(1);
        Self { images, name, seed, batch_size, drop_last, augmentation, position: 0, order: None }
    }

    /// Minibatches of an epoch; 0 only if there are no images.
    pub fn batches(&self) -> u64 {
        let n = self.images.len();
        let batches = match self.drop_last {
            true => (n / self.batch_size).max(usize::from(n > 0)),
            false => n.div_ceil(self.batch_size),
        };
        batches as u64
    }

    /// Images of the split.
    pub fn n_images(&self) -> usize {
        self.images.len()
    }

    /// Number of the next minibatch.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Go to a position.
    pub fn seek(&mut self, position: u64) {
        self.position = position;
    }

    /// The next minibatch, augmented, and its number.
    pub fn take_next(&mut self) -> Result<(u64, Minibatch)> {
        let number = self.position;
        self.position += 1;
        Ok((number, self.augmented(number)?))
    }

    /// Minibatch number `number`, augmented.
    pub fn augmented(&mut self, number: u64) -> Result<Minibatch> {
        let indices = self.indices(number)?;
        let mut random = StreamRandom::new(self.seed, &format!("augmentation/{}/{number}", self.name));
        self.images.augmented(&indices, &self.augmentation, &mut random)
    }

    /// Minibatch number `number` as it is.
    pub fn plain(&mut self, number: u64) -> Result<Minibatch> {
        let indices = self.indices(number)?;
        self.images.plain(&indices)
    }

    /// The split in its own order, unchanged, in `ceil(n / batch size)` minibatches.
    pub fn fixed(&self, number: u64) -> Result<Minibatch> {
        let indices: Vec<u32> = (0..u32::try_from(self.images.len()).unwrap_or(u32::MAX)).collect();
        self.images.plain(self.part(&indices, number)?)
    }

    /// Minibatches of [`Self::fixed`].
    pub fn n_fixed(&self) -> u64 {
        self.images.len().div_ceil(self.batch_size) as u64
    }

    fn part<'a>(&self, order: &'a [u32], number: u64) -> Result<&'a [u32]> {
        let part = order.chunks(self.batch_size).nth(usize::try_from(number).unwrap_or(usize::MAX));
        part.ok_or_else(|| TrainError::Data(format!("the {} split has no minibatch {number}", self.name)))
    }

    fn indices(&mut self, number: u64) -> Result<Vec<u32>> {
        let batches = self.batches();
        if batches == 0 {
            return Err(TrainError::Data(format!("the {} split is empty", self.name)));
        }
        let epoch = number / batches;
        let order = match self.order.take() {
            Some((of, order)) if of == epoch => order,
            _ => self.permutation(epoch),
        };
        let part = self.part(&order, number % batches).map(<[u32]>::to_vec);
        self.order = Some((epoch, order));
        part
    }

    /// Fisher-Yates.
    fn permutation(&self, epoch: u64) -> Vec<u32> {
        let mut order: Vec<u32> = (0..u32::try_from(self.images.len()).unwrap_or(u32::MAX)).collect();
        let mut random = StreamRandom::new(self.seed, &format!("minibatches/{}/{epoch}", self.name));
        for last in (1..order.len()).rev() {
            let drawn = random.below(last as u64 + 1) as usize;
            order.swap(last, drawn);
        }
        order
    }
}
