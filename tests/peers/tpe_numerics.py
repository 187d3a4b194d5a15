"""Values of the estimates of the strategy `tpe` by scipy, with which its tests compare.

    pip install scipy
    python3 tests/peers/tpe_numerics.py > tests/golden/tpe-numerics.json

A mixture has the widths of Bergstra et al. 2011 with Optuna's limits, worked out here from their definition: the larger
distance to a neighbour (the only one at the ends), within 1 / min(100, n + 2) and 1, and a prior of mean 1/2 and deviation 1.
"""

import json
import sys

import numpy as np
from scipy.stats import norm, truncnorm


def widths(means):
    n = len(means)
    order = np.argsort(means)
    padded = np.concatenate([[0.0], np.array(means)[order], [1.0]])
    gaps = np.diff(padded)
    wide = np.maximum(gaps[:-1], gaps[1:])
    if n >= 2:
        wide[0], wide[-1] = gaps[1], gaps[-2]
    result = np.empty(n)
    result[order] = np.clip(wide, 1 / min(100, n + 2), 1)
    return result


def mixture(means, weights, prior):
    means = np.array(list(means) + [0.5])
    deviations = np.append(widths(means[:-1]), 1.0)
    weights = np.append(weights, prior)
    return means, deviations, weights / weights.sum()


def density(x, means, deviations, weights):
    low, high = -means / deviations, (1 - means) / deviations
    return float(np.sum(weights * truncnorm.pdf(x, low, high, loc=means, scale=deviations)))


def cell(low, high, means, deviations, weights):
    def cdf(x):
        return truncnorm.cdf(x, -means / deviations, (1 - means) / deviations, loc=means, scale=deviations)

    return float(np.sum(weights * (cdf(high) - cdf(low))))


if __name__ == "__main__":
    rng = np.random.default_rng(3)
    mixtures = []
    for n, crowd in [(0, 0), (1, 0), (2, 0), (7, 3), (40, 20), (120, 60), (600, 400)]:
        means = np.concatenate([rng.uniform(size=n - crowd), 0.3 + 0.04 * rng.uniform(size=crowd)])
        weights = rng.uniform(0.1, 1, size=n)
        prior = float(rng.uniform(0.5, 2))
        parts = mixture(means, weights, prior)
        places = np.concatenate([[0.0, 1.0, 0.3, 0.32], rng.uniform(size=8)])
        mixtures.append({
            "means": means.tolist(),
            "weights": weights.tolist(),
            "prior": prior,
            "densities": [[float(x), density(x, *parts)] for x in places],
            "cells": [[i / 9, (i + 1) / 9, cell(i / 9, (i + 1) / 9, *parts)] for i in range(9)],
        })
    masses = []
    for mean, deviation in [(0.5, 1.0), (0.0, 0.3), (1.0, 0.01), (0.2, 0.05), (0.9, 2.0), (0.1, 0.02)]:
        for low, high in [(0.0, 1.0), (0.25, 0.26), (0.9, 1.0), (0.0, 1e-6)]:
            # Through the tail that is nearer, as a difference of numbers near 1 is none.
            a, b = (low - mean) / deviation, (high - mean) / deviation
            value = norm.sf(a) - norm.sf(b) if a > 0 else norm.cdf(b) - norm.cdf(a)
            masses.append([mean, deviation, low, high, float(value)])
    exponentials = [[float(x), float(np.exp(x))] for x in -np.concatenate([[0.0, 1e-9, 0.5, 1, 30, 600], rng.uniform(0, 80, 20)])]
    json.dump({"mixtures": mixtures, "masses": masses, "exponentials": exponentials}, sys.stdout)
    print()
