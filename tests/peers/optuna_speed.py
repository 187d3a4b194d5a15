"""How long Optuna's TPE sampler takes to propose 1,000 trials over 40 parameters, 24 candidates each.

    python3 tests/peers/optuna_speed.py [TRIALS]

Twenty real numbers, ten on a logarithmic scale and ten choices of four, in memory, with a loss that costs nothing: the
function `mixed-40` of nasd-functions. Prints the seconds of the sampler as it comes and of the univariate one.
"""

import math
import sys
import time

import optuna


def loss(trial):
    total = sum(trial.suggest_float(f"x{i}", -5, 5) ** 2 for i in range(1, 21))
    total += sum((math.log10(trial.suggest_float(f"y{i}", 1e-5, 1e-1, log=True)) + 3) ** 2 for i in range(1, 11))
    return total + sum("abcd".index(trial.suggest_categorical(f"c{i}", list("abcd"))) for i in range(1, 11))


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for kind, options in (("default", {}), ("univariate", {"multivariate": False})):
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, **options))
        start = time.perf_counter()
        study.optimize(loss, n_trials=trials)
        print(f"{kind}: {trials} trials in {time.perf_counter() - start:.1f} s, best {study.best_value:.4g}")
