"""NAS-Bench-201's network (Dong and Yang, ICLR 2020, section 2.1): a stem, three stages of equal cells at C, 2C and 4C
channels, residual blocks of stride 2 between them, a head. In a cell four nodes; each adds one operation on each
node before it.
"""

from torch import nn

from layers import Zero, conv, linear, norm, relu_conv_norm

OPERATIONS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]


def parse(cell):
    """`|op~0|+|op~0|op~1|+...` as lists of operations, a list a node."""
    nodes = []
    for number, text in enumerate(cell.split("+")):
        edges = [edge.split("~") for edge in text.strip("|").split("|")]
        assert [int(source) for _, source in edges] == list(range(number + 1)), cell
        nodes.append([operation for operation, _ in edges])
    return nodes


def operation(name, kind, channels):
    if kind == "none":
        return Zero(1)
    if kind == "skip_connect":
        return nn.Identity()
    if kind == "avg_pool_3x3":
        return nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    return relu_conv_norm(f"{name}/{kind}", channels, channels, {"nor_conv_1x1": 1, "nor_conv_3x3": 3}[kind])


class Cell(nn.Module):
    def __init__(self, name, nodes, channels):
        super().__init__()
        # Node 0 is the input.
        self.nodes = nn.ModuleList(
            nn.ModuleList(
                operation(f"{name}/node{node}/edge{source}", kind, channels) for source, kind in enumerate(kinds)
            )
            for node, kinds in enumerate(nodes, 1)
        )

    def forward(self, x):
        values = [x]
        for edges in self.nodes:
            values.append(sum(edge(value) for edge, value in zip(edges, values)))
        return values[-1]


class Reduction(nn.Module):
    def __init__(self, name, inputs, outputs):
        super().__init__()
        self.first = relu_conv_norm(f"{name}/conv_a", inputs, outputs, 3, 2)
        self.second = relu_conv_norm(f"{name}/conv_b", outputs, outputs, 3)
        self.short = nn.Sequential(nn.AvgPool2d(2, 2), conv(f"{name}/shortcut/conv", inputs, outputs, 1))

    def forward(self, x):
        return self.short(x) + self.second(self.first(x))


class Network(nn.Module):
    def __init__(self, cell, channels, cells_per_stage, classes, in_channels=3):
        super().__init__()
        nodes = parse(cell)
        body = [conv("stem/conv", in_channels, channels, 3, 1, 1), norm("stem/bn", channels)]
        number = 0
        for stage in range(3):
            if stage > 0:
                body.append(Reduction(f"cell{number}", channels, 2 * channels))
                channels, number = 2 * channels, number + 1
            for _ in range(cells_per_stage):
                body.append(Cell(f"cell{number}", nodes, channels))
                number += 1
        body += [norm("head/bn", channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        self.body = nn.Sequential(*body, linear("head/linear", channels, classes))

    def forward(self, x):
        """Class scores, and nothing for the auxiliary head."""
        return self.body(x), None
