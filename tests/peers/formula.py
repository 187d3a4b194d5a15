"""Reproducible numbers: a value is a function of a name and an index, in any language.

Weights, images, labels and probes come from here, so golden files hold results alone. The name is hashed by FNV-1a
(64 bits), the index goes through the finaliser of SplitMix64 (Steele et al. 2014), and the upper 53 bits make a number
of [0, 1). host/train/tests/parity/formula.rs is the same in Rust.
"""

import math

import numpy
import torch

GOLDEN_GAMMA = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1


def name_hash(name):
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) & MASK
    return state


def unit(name, count):
    """`count` numbers of [0, 1), float64."""
    with numpy.errstate(over="ignore"):
        index = numpy.arange(1, count + 1, dtype=numpy.uint64)
        state = numpy.uint64(name_hash(name)) + index * numpy.uint64(GOLDEN_GAMMA)
        state = (state ^ (state >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        state = state ^ (state >> numpy.uint64(31))
    return torch.from_numpy((state >> numpy.uint64(11)).astype(numpy.float64) * 2.0**-53)


def signed(name, shape):
    """Numbers of [-1, 1) in a tensor of `shape`, row by row, float64."""
    return (2 * unit(name, math.prod(shape)) - 1).reshape(shape)


def images(number, batch, shape):
    """Minibatch `number`: `[batch, channels, height, width]` with mean 0 and variance 1, float64."""
    return signed(f"images/{number}", (batch, *shape)) * math.sqrt(3)


def labels(number, batch, classes):
    """Its classes, `[batch]`."""
    return (unit(f"labels/{number}", batch) * classes).floor().long()


def mixture(number, decision, options):
    """Weights of one decision at step `number`: positive, sum 1."""
    raw = 0.1 + unit(f"mixture/{number}/{decision}", options)
    return raw / raw.sum()


@torch.no_grad()
def fill(model):
    """Set weights and running statistics of every module that has an `id`, in the module's own precision.

    Convolution and linear weights have variance 1 / fan-in; scales and running variances lie around 1, shifts, biases
    and running means around 0.
    """
    for module in identified(model):
        for suffix, tensor in tensors(module):
            name = f"{module.id}.{suffix}"
            value = signed(name, tuple(tensor.shape))
            if tensor.dim() > 1:
                value *= math.sqrt(3 / math.prod(tensor.shape[1:]))
            elif suffix == "running_var" or (suffix == "weight" and tensor.dim() == 1):
                value = 1 + 0.2 * value
            else:
                value *= 0.2
            tensor.copy_(value)


def identified(model):
    return [module for module in model.modules() if hasattr(module, "id")]


def tensors(module):
    """Weights, then running statistics, by name."""
    yield from module.named_parameters(recurse=False)
    for suffix in ("running_mean", "running_var"):
        if getattr(module, suffix, None) is not None:
            yield suffix, getattr(module, suffix)
