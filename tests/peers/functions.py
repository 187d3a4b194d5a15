"""The test functions of nasd-functions, written a second time from their published definitions (numpy only).

Run as a script it writes reference values at random points, with which the Rust tests compare, and with
`--check` it looks for something below the known minima (minutes):

    python3 tests/peers/functions.py > tests/golden/functions.json

Each function has `suggest(draw)`, which asks `draw` for its parameters by kind and name and gives a dictionary,
and `loss(values)`. `draw` may be an Optuna trial behind an adapter or the random one below.
"""

import json
import math

import numpy as np

ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
A = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]])
P = 1e-4 * np.array([
    [1312, 1696, 5569, 124, 8283, 5886],
    [2329, 4135, 8307, 3736, 1004, 9991],
    [2348, 1451, 3522, 2883, 3047, 6650],
    [4047, 8828, 8732, 5743, 1091, 381],
])


def branin(x):
    return (x[1] - 5.1 / (4 * np.pi**2) * x[0] ** 2 + 5 / np.pi * x[0] - 6) ** 2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x[0]) + 10


def camel(x):
    return (4 - 2.1 * x[0] ** 2 + x[0] ** 4 / 3) * x[0] ** 2 + x[0] * x[1] + (-4 + 4 * x[1] ** 2) * x[1] ** 2


def hartmann6(x):
    return -np.sum(ALPHA * np.exp(-np.sum(A * (x - P) ** 2, axis=1)))


def ackley(x):
    return -20 * np.exp(-0.2 * np.sqrt(np.mean(x**2))) - np.exp(np.mean(np.cos(2 * np.pi * x))) + 20 + np.e


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def rastrigin(x):
    return 10 * len(x) + np.sum(x**2 - 10 * np.cos(2 * np.pi * x))


def levy(x):
    w = 1 + (x - 1) / 4
    wave = np.sin(np.pi * w[0]) ** 2 + (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2)
    return wave + np.sum((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2))


def styblinski_tang(x):
    return 0.5 * np.sum(x**4 - 16 * x**2 + 5 * x)


def michalewicz(x):
    return -np.sum(np.sin(x) * np.sin(np.arange(1, len(x) + 1) * x**2 / np.pi) ** 20)


def beale(x):
    return (1.5 - x[0] + x[0] * x[1]) ** 2 + (2.25 - x[0] + x[0] * x[1] ** 2) ** 2 + (2.625 - x[0] + x[0] * x[1] ** 3) ** 2


class Real:
    """A function of n real numbers in one range each."""

    def __init__(self, function, minimum, ranges):
        self.function, self.minimum, self.ranges = function, minimum, ranges

    def suggest(self, draw):
        return {f"x{i + 1}": draw.real(f"x{i + 1}", low, high) for i, (low, high) in enumerate(self.ranges)}

    def loss(self, values):
        return float(self.function(np.array([values[f"x{i + 1}"] for i in range(len(self.ranges))])))


class TwoChoices:
    minimum = -0.2063256906979755
    surfaces = {
        "rosenbrock": lambda x: rosenbrock(2 * x) / 300,
        "six-hump-camel": lambda x: camel(x * np.array([2, 1])) / 10,
        "beale": lambda x: beale(4.5 * x) / 50,
    }

    def suggest(self, draw):
        options = list(self.surfaces)
        chosen = {name: draw.choice(name, options) for name in ("first", "second")}
        return chosen | {name: draw.real(name, -1, 1) for name in ("x1", "x2")}

    def loss(self, values):
        x = np.array([values["x1"], values["x2"]])
        return float(self.surfaces[values["first"]](x) + self.surfaces[values["second"]](x))


class Tree:
    minimum = 0.1
    heights = {("left", "left"): 0.1, ("left", "right"): 0.2, ("right", "left"): 0.3, ("right", "right"): 0.4}

    def suggest(self, draw):
        sides = ["left", "right"]
        root = draw.choice("root", sides)
        leaf = draw.choice(f"root/{root}", sides)
        return {
            "root": root,
            f"root/{root}": leaf,
            f"shared/{root}": draw.real(f"shared/{root}", 0, 1),
            f"leaf/{root}/{leaf}": draw.real(f"leaf/{root}/{leaf}", -1, 1),
        }

    def loss(self, values):
        root = values["root"]
        leaf = values[f"root/{root}"]
        return values[f"leaf/{root}/{leaf}"] ** 2 + self.heights[root, leaf] + values[f"shared/{root}"]


class Tuning:
    minimum = 0.0

    def suggest(self, draw):
        values = {"optimizer": draw.choice("optimizer", ["sgd", "adam"]), "rate": draw.log("rate", 1e-5, 1e1)}
        if values["optimizer"] == "sgd":
            values["momentum"] = draw.real("momentum", 0, 0.99)
        else:
            values["forgetting"] = draw.log("forgetting", 1e-5, 1e-1)
        values["batch"] = draw.integer("batch", 8, 1024, True)
        values["layers"] = draw.integer("layers", 1, 8, False)
        values["decay"] = draw.log("decay", 1e-6, 1e-1)
        values["schedule"] = draw.choice("schedule", ["constant", "step", "cosine"])
        return values

    def loss(self, v):
        batch = math.log2(v["batch"] / 128)
        if v["optimizer"] == "sgd":
            own = 0.02 + 0.15 * math.log10(v["rate"] / (0.1 * v["batch"] / 128)) ** 2 + 2 * (v["momentum"] - 0.9) ** 2
        else:
            own = 0.15 * math.log10(v["rate"] / (1e-3 * math.sqrt(v["batch"] / 128))) ** 2
            own += 0.05 * math.log10(v["forgetting"] / 1e-3) ** 2
        schedule = {"constant": 0.05, "step": 0.02, "cosine": 0.0}[v["schedule"]]
        return own + 0.02 * batch**2 + 0.03 * abs(v["layers"] - 5) + 0.03 * math.log10(v["decay"] / 1e-4) ** 2 + schedule


FUNCTIONS = {
    "branin": Real(branin, 0.39788735772973816, [(-5, 10), (0, 15)]),
    "six-hump-camel": Real(camel, -1.0316284534898774, [(-3, 3), (-2, 2)]),
    "hartmann6": Real(hartmann6, -3.322368011415515, [(0, 1)] * 6),
    "ackley": Real(ackley, 0.0, [(-32.768, 32.768)] * 5),
    "rosenbrock": Real(rosenbrock, 0.0, [(-5, 10)] * 4),
    "rastrigin": Real(rastrigin, 0.0, [(-5.12, 5.12)] * 4),
    "levy": Real(levy, 0.0, [(-10, 10)] * 4),
    "styblinski-tang": Real(styblinski_tang, -195.8308285188571, [(-5, 5)] * 5),
    "michalewicz": Real(michalewicz, -4.687658179088148, [(0, math.pi)] * 5),
    "two-choices": TwoChoices(),
    "tree": Tree(),
    "tuning": Tuning(),
}


class Random:
    """Draws for `suggest`."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def real(self, _, low, high):
        return float(self.rng.uniform(low, high))

    def log(self, _, low, high):
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def integer(self, _, low, high, log):
        return int(self.rng.integers(low, high + 1))

    def choice(self, _, options):
        return options[self.rng.integers(len(options))]


def least(function, seed):
    """The least loss that random search followed by local descent finds: a check of the minimum."""
    from scipy.optimize import minimize

    draw, best = Random(seed), math.inf
    for _ in range(3000):
        values = function.suggest(draw)
        best = min(best, function.loss(values))
    if isinstance(function, Real):
        low, high = np.array(function.ranges).T
        for _ in range(400):
            start = draw.rng.uniform(low, high)
            found = minimize(function.function, start, bounds=function.ranges)
            best = min(best, float(found.fun))
    return best


if __name__ == "__main__":
    import sys

    for name, function in FUNCTIONS.items() if "--check" in sys.argv else ():
        print(f"{name}: known {function.minimum:.12g}, least found {least(function, 0):.12g}", file=sys.stderr)
    points = {}
    for name, function in FUNCTIONS.items():
        draw = Random(7)
        values = [function.suggest(draw) for _ in range(8)]
        points[name] = [{"values": value, "loss": function.loss(value)} for value in values]
    json.dump(points, sys.stdout, indent=1)
    print()
