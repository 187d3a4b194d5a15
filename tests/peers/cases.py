"""What is compared. A case names a space of configs/spaces with its settings; the golden file carries it along, so the
other side needs no second list.
"""

import darts

# NAS-Bench-201's best cell on CIFAR-10, and one with every operation.
BEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
EVERY = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|avg_pool_3x3~2|"

# NAS-Bench-201's recipe (Dong and Yang, table 1), and that of DARTS's search and evaluation (appendix A).
NESTEROV = {
    "learning-rate": 0.1,
    "final-learning-rate": 0.0,
    "momentum": 0.9,
    "nesterov": True,
    "weight-decay": 5e-4,
    "clip": 1e9,
    "label-smoothing": 0.0,
    "auxiliary-weight": 0.0,
}
DARTS = NESTEROV | {
    "learning-rate": 0.025,
    "final-learning-rate": 0.001,
    "nesterov": False,
    "weight-decay": 3e-4,
    "clip": 5.0,
}
EVALUATION = DARTS | {"clip": 2.0, "label-smoothing": 0.1, "auxiliary-weight": 0.4}


def case(name, space, settings, recipe, architecture=None, **changes):
    return {
        "name": name,
        "space": space,
        "settings": settings,
        "architecture": architecture,
        "mixtures": architecture is None,
        "unrolled": False,
        "recipe": recipe,
        "precision": "float64",
        "input": [3, 8, 8],
        "classes": 10,
        "batch": 4,
        "steps": 100,
        "epochs": 10,
        "updates_per_epoch": 10,
    } | changes


SMALL_BENCH = {"stack.channels": "4", "stack.cells-per-stage": "1"}
REAL_BENCH = {"stack.channels": "16", "stack.cells-per-stage": "5"}
SMALL_NETWORK = {"stack.channels": "2", "stack.layers": "4", "stack.auxiliary": "true"}
REAL_NETWORK = {"stack.channels": "36", "stack.layers": "20", "stack.auxiliary": "true"}
SMALL_SEARCH = {"one-shot.channels": "2", "one-shot.layers": "3"}
REAL_SEARCH = {"one-shot.channels": "16", "one-shot.layers": "8"}
REAL = {"input": [3, 32, 32], "batch": 2, "steps": 1}
SINGLE = REAL | {"batch": 8, "precision": "float32", "steps": 0}

CASES = [
    case("nas-bench-201-best", "nas-bench-201", SMALL_BENCH, NESTEROV, BEST),
    case("nas-bench-201-every-operation", "nas-bench-201", SMALL_BENCH, NESTEROV, EVERY),
    case("darts-v2", "darts-cnn", SMALL_NETWORK, EVALUATION, darts.DARTS_V2, input=[3, 32, 32]),
    case("darts-one-shot", "darts-cnn", SMALL_SEARCH, DARTS),
    case("darts-one-shot-unrolled", "darts-cnn", SMALL_SEARCH, DARTS, unrolled=True, steps=3, updates_per_epoch=1),
    case("nas-bench-201-real-size", "nas-bench-201", REAL_BENCH, NESTEROV, BEST, **REAL),
    case("darts-v2-real-size", "darts-cnn", REAL_NETWORK, EVALUATION, darts.DARTS_V2, **REAL),
    case("darts-one-shot-real-size", "darts-cnn", REAL_SEARCH, DARTS, **REAL),
    case("nas-bench-201-single", "nas-bench-201", REAL_BENCH, NESTEROV, BEST, **SINGLE),
    case("darts-v2-single", "darts-cnn", REAL_NETWORK, EVALUATION, darts.DARTS_V2, **SINGLE),
    case("darts-one-shot-single", "darts-cnn", REAL_SEARCH, DARTS, **SINGLE),
]
