"""Layers with names: `id` is the name under which a weights file knows the layer."""

from torch import nn


def conv(name, inputs, outputs, kernel, stride=1, padding=0, dilation=1, groups=1):
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False)
    layer.id = name
    return layer


def norm(name, channels, affine=True):
    layer = nn.BatchNorm2d(channels, affine=affine)
    layer.id = name
    return layer


def linear(name, inputs, outputs):
    layer = nn.Linear(inputs, outputs)
    layer.id = name
    return layer


def relu_conv_norm(name, inputs, outputs, kernel, stride=1, affine=True):
    """ReLU, convolution that keeps the extent at stride 1, batch normalisation."""
    return nn.Sequential(
        nn.ReLU(),
        conv(f"{name}/conv", inputs, outputs, kernel, stride, kernel // 2),
        norm(f"{name}/bn", outputs, affine),
    )


class Zero(nn.Module):
    """Zeros of the shape that an operation of this stride would give. It reads its input, so that gradients flow."""

    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return x[:, :, :: self.stride, :: self.stride] * 0.0
