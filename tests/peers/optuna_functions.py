"""Optuna's TPE sampler on the test functions: 30 seeds of 100 trials each.

    pip install optuna scipy
    python3 tests/peers/optuna_functions.py > tests/golden/optuna-functions.csv

One line a run: function, sampler, seed, regret (the best loss of its trials less the known minimum). `default` is the
sampler as it comes (Optuna 5.0: multivariate), `univariate` has `multivariate=False`.
"""

import csv
import sys

import optuna

from functions import FUNCTIONS

SEEDS, TRIALS = 30, 100


class Draw:
    """`suggest` of functions.py through a trial."""

    def __init__(self, trial):
        self.trial = trial

    def real(self, name, low, high):
        return self.trial.suggest_float(name, low, high)

    def log(self, name, low, high):
        return self.trial.suggest_float(name, low, high, log=True)

    def integer(self, name, low, high, log):
        return self.trial.suggest_int(name, low, high, log=log)

    def choice(self, name, options):
        return self.trial.suggest_categorical(name, options)


def regret(function, sampler, trials):
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: function.loss(function.suggest(Draw(trial))), n_trials=trials)
    return study.best_value - function.minimum


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["function", "sampler", "seed", "regret"])
    for name, function in FUNCTIONS.items():
        for kind, options in (("default", {}), ("univariate", {"multivariate": False})):
            for seed in range(SEEDS):
                sampler = optuna.samplers.TPESampler(seed=seed, **options)
                out.writerow([name, kind, seed, repr(float(regret(function, sampler, TRIALS)))])
        sys.stdout.flush()
