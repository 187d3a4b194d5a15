//! The memory of tensors as slices, for kernels.
//!
//! This is the trainer's only `unsafe`: libtorch's pointer to a tensor's numbers becomes a slice as long as the tensor,
//! after its number format, device and order were asked.

use nasd_kernels::Element;
use tch::{Device, Kind, Tensor};

use crate::error::{Result, TrainError};

/// A number format that both kernels and libtorch have.
pub trait Number: Element + tch::kind::Element + std::fmt::Debug {
    /// libtorch's name of it.
    const NAME: Kind;
}

impl Number for f32 {
    const NAME: Kind = Kind::Float;
}

impl Number for f64 {
    const NAME: Kind = Kind::Double;
}

/// Room for maps, channels-last, logically `[images, channels, height, width]`; what is in it is not defined.
pub(super) fn room<E: Number>(images: usize, [height, width, channels]: [usize; 3]) -> Result<Tensor> {
    let [images, height, width, channels] = [images, height, width, channels].map(extent);
    let room = Tensor::f_empty([images, height, width, channels], (E::NAME, Device::Cpu))?;
    Ok(room.f_permute([0, 3, 1, 2])?)
}

/// The same values channels-last, without a graph; a copy only where they lie otherwise.
pub(super) fn channels_last(tensor: &Tensor) -> Result<Tensor> {
    let tensor = tensor.f_detach()?;
    if tensor.dim() != 4 {
        return Ok(tensor.f_contiguous()?);
    }
    Ok(tensor.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?)
}

/// `[height, width, channels]` of a map, if it is one.
pub(super) fn shape_of(tensor: &Tensor) -> Option<[usize; 3]> {
    match *tensor.size().as_slice() {
        [_, channels, height, width] => Some([height, width, channels].map(count)),
        _ => None,
    }
}

/// The numbers of a tensor, in the order they lie in: maps and filters channels-last, others row by row.
pub(super) fn read<E: Number>(tensor: &Tensor) -> Result<&[E]> {
    let (pointer, length) = place::<E>(tensor)?;
    // SAFETY: `place` says that so many initialised numbers of this format lie there. They live as long as the tensor,
    // and nobody writes to them meanwhile: kernels write to tensors that they were given room for alone (`write`), and
    // weights change only between passes.
    #[allow(unsafe_code)]
    let numbers = unsafe { std::slice::from_raw_parts(pointer, length) };
    Ok(numbers)
}

/// Likewise, to be written; of a tensor that nobody else reads meanwhile.
pub(super) fn write<E: Number>(tensor: &mut Tensor) -> Result<&mut [E]> {
    let (pointer, length) = place::<E>(tensor)?;
    // SAFETY: as in `read`; callers hand over tensors from `room` or accumulators of which they hold the only handle.
    // Any bit pattern is a number, so what `room` left undefined may be seen.
    #[allow(unsafe_code)]
    let numbers = unsafe { std::slice::from_raw_parts_mut(pointer.cast_mut(), length) };
    Ok(numbers)
}

/// Pointer and length.
fn place<E: Number>(tensor: &Tensor) -> Result<(*const E, usize)> {
    let refused = |what: &str| TrainError::Unsupported(format!("a kernel on a tensor {what} ({tensor:?})"));
    if !tensor.defined() || tensor.kind() != E::NAME {
        return Err(refused("of another number format"));
    }
    if tensor.device() != Device::Cpu {
        return Err(refused("that is not in main memory"));
    }
    let is_in_order = match tensor.dim() {
        4 => tensor.f_permute([0, 2, 3, 1])?.is_contiguous(),
        _ => tensor.is_contiguous(),
    };
    if !is_in_order {
        return Err(refused("in another order"));
    }
    let length = tensor.numel();
    let pointer = tensor.data_ptr().cast::<E>().cast_const();
    Ok(if length == 0 { (std::ptr::NonNull::<E>::dangling().as_ptr().cast_const(), 0) } else { (pointer, length) })
}

/// An extent as kernels count.
pub(super) fn count(extent: i64) -> usize {
    usize::try_from(extent).unwrap_or_default()
}

/// An extent as libtorch counts.
pub(super) fn extent(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
