"""DARTS's networks (Liu et al., ICLR 2019, section 2 and appendix A): the one that a genotype stands for, and the
one-shot graph whose edges are mixtures of operations.

A cell has two inputs and four nodes and concatenates the nodes. Every input goes through ReLU, 1x1 convolution and batch
normalisation, or, where the cell before the last was a reduction, through a factorised reduction. The cells at a third
and two thirds of the depth are reductions: they double the channels, and what reads their inputs has stride 2.
"""

import torch
from torch import nn

from layers import Zero, conv, linear, norm, relu_conv_norm

OPERATIONS = [
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
]

DARTS_V2 = {
    "normal": [
        ("sep_conv_3x3", 0),
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 0),
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 1),
        ("skip_connect", 0),
        ("skip_connect", 0),
        ("dil_conv_3x3", 2),
    ],
    "normal_concat": [2, 3, 4, 5],
    "reduce": [
        ("max_pool_3x3", 0),
        ("max_pool_3x3", 1),
        ("skip_connect", 2),
        ("max_pool_3x3", 1),
        ("max_pool_3x3", 0),
        ("skip_connect", 2),
        ("skip_connect", 2),
        ("max_pool_3x3", 1),
    ],
    "reduce_concat": [2, 3, 4, 5],
}


class FactorizedReduce(nn.Module):
    """Halves a map by two 1x1 convolutions of stride 2, the second of them a pixel further."""

    def __init__(self, name, inputs, outputs, affine):
        super().__init__()
        self.first = conv(f"{name}/conv1", inputs, outputs // 2, 1, 2)
        self.second = conv(f"{name}/conv2", inputs, outputs - outputs // 2, 1, 2)
        self.norm = norm(f"{name}/bn", outputs, affine)

    def forward(self, x):
        x = torch.relu(x)
        return self.norm(torch.cat([self.first(x), self.second(x[:, :, 1:, 1:])], 1))


def separable(name, channels, kernel, stride, affine):
    layers = []
    for number, stride in ((1, stride), (2, 1)):
        layers += [
            nn.ReLU(),
            conv(f"{name}/depthwise{number}", channels, channels, kernel, stride, kernel // 2, groups=channels),
            conv(f"{name}/pointwise{number}", channels, channels, 1),
            norm(f"{name}/bn{number}", channels, affine),
        ]
    return nn.Sequential(*layers)


def dilated(name, channels, kernel, stride, affine):
    padding = kernel - 1
    return nn.Sequential(
        nn.ReLU(),
        conv(f"{name}/depthwise", channels, channels, kernel, stride, padding, dilation=2, groups=channels),
        conv(f"{name}/pointwise", channels, channels, 1),
        norm(f"{name}/bn", channels, affine),
    )


def operation(edge, kind, channels, stride, affine, pool_norm):
    """One of `OPERATIONS` on an edge; `pool_norm` puts a batch normalisation without scale behind poolings."""
    name = f"{edge}/{kind}"
    if kind == "none":
        return Zero(stride)
    if kind == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(name, channels, channels, affine)
    if kind in ("max_pool_3x3", "avg_pool_3x3"):
        pool = nn.MaxPool2d(3, stride, 1) if kind[0] == "m" else nn.AvgPool2d(3, stride, 1, count_include_pad=False)
        return nn.Sequential(pool, norm(f"{name}/bn", channels, False)) if pool_norm else pool
    make = separable if kind[0] == "s" else dilated
    return make(name, channels, int(kind[-1]), stride, affine)


class Cell(nn.Module):
    """`edges`: per node a list of (source, module); a module that is a list is a mixture."""

    def __init__(self, name, channels, inputs, reduction, reduced_before, affine, edges):
        super().__init__()
        before, last = inputs
        if reduced_before:
            self.input0 = FactorizedReduce(f"{name}/input0", before, channels, affine)
        else:
            self.input0 = relu_conv_norm(f"{name}/input0", before, channels, 1, affine=affine)
        self.input1 = relu_conv_norm(f"{name}/input1", last, channels, 1, affine=affine)
        self.reduction = reduction
        self.sources = [[source for source, _ in node] for node in edges]
        self.edges = nn.ModuleList(nn.ModuleList(module for _, module in node) for node in edges)

    def forward(self, before, last, mixtures=None):
        """`mixtures`: a vector of weights for each edge, in order."""
        values = [self.input0(before), self.input1(last)]
        mixtures = iter(() if mixtures is None else mixtures)
        for sources, edges in zip(self.sources, self.edges):
            value = 0
            for source, edge in zip(sources, edges):
                x = values[source]
                if isinstance(edge, nn.ModuleList):
                    term = sum(weight * module(x) for weight, module in zip(next(mixtures), edge))
                else:
                    term = edge(x)
                value = value + term
            values.append(value)
        return torch.cat(values[2:], 1)


class AuxiliaryHead(nn.Module):
    """For maps of 8x8."""

    def __init__(self, channels, classes):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(5, 3, 0, count_include_pad=False),
            conv("auxiliary/conv1", channels, 128, 1),
            norm("auxiliary/bn1", 128),
            nn.ReLU(),
            conv("auxiliary/conv2", 128, 768, 2),
            norm("auxiliary/bn2", 768),
            nn.ReLU(),
            nn.Flatten(),
            linear("auxiliary/linear", 768, classes),
        )

    def forward(self, x):
        return self.layers(x)


class Stack(nn.Module):
    """`edges_of(cell name, reduction, channels)` gives a cell's edges."""

    def __init__(self, channels, layers, classes, affine, auxiliary, edges_of, in_channels=3):
        super().__init__()
        self.stem = nn.Sequential(conv("stem/conv", in_channels, 3 * channels, 3, 1, 1), norm("stem/bn", 3 * channels))
        before, last, reduced_before = 3 * channels, 3 * channels, False
        self.cells = nn.ModuleList()
        self.auxiliary = None
        for layer in range(layers):
            reduction = layer in (layers // 3, 2 * layers // 3)
            channels *= 2 if reduction else 1
            name = f"cell{layer}"
            edges = edges_of(name, reduction, channels)
            self.cells.append(Cell(name, channels, (before, last), reduction, reduced_before, affine, edges))
            before, last, reduced_before = last, channels * len(edges), reduction
            if auxiliary and layer == 2 * layers // 3:
                self.auxiliary, self.auxiliary_after = AuxiliaryHead(last, classes), layer
        self.head = linear("head/linear", last, classes)

    def forward(self, x, mixtures=None):
        """Class scores, and in training those of the auxiliary head. `mixtures`: of normal and of reduction cells."""
        before = last = self.stem(x)
        auxiliary = None
        for layer, cell in enumerate(self.cells):
            of_cell = mixtures[cell.reduction] if mixtures else None
            before, last = last, cell(before, last, of_cell)
            if self.training and self.auxiliary is not None and layer == self.auxiliary_after:
                auxiliary = self.auxiliary(last)
        return self.head(last.mean((2, 3))), auxiliary


def network(genotype, channels, layers, classes, auxiliary, in_channels=3):
    """The network of a genotype: two edges a node, scales and shifts learnt."""

    def edges_of(cell, reduction, channels):
        listed = genotype["reduce" if reduction else "normal"]
        nodes = []
        for number in range(len(listed) // 2):
            node = []
            for kind, source in listed[2 * number : 2 * number + 2]:
                stride = 2 if reduction and source < 2 else 1
                edge = f"{cell}/node{number + 2}/edge{source}"
                node.append((source, operation(edge, kind, channels, stride, True, False)))
            nodes.append(node)
        return nodes

    return Stack(channels, layers, classes, True, auxiliary, edges_of, in_channels)


def one_shot(channels, layers, classes, in_channels=3):
    """The search's graph: every edge a mixture of all operations, batch normalisation without scales."""

    def edges_of(cell, reduction, channels):
        nodes = []
        for number in range(2, 6):
            node = []
            for source in range(number):
                stride = 2 if reduction and source < 2 else 1
                edge = f"{cell}/node{number}/edge{source}"
                made = [operation(edge, kind, channels, stride, False, True) for kind in OPERATIONS]
                node.append((source, nn.ModuleList(made)))
            nodes.append(node)
        return nodes

    return Stack(channels, layers, classes, False, False, edges_of, in_channels)
