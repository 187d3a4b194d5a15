"""Parameters and FLOPs of random architectures, by PyTorch modules and hooks, against `nasd space cost`.

FLOPs are multiply-adds of convolutions and linear layers; NAS-Bench-201 adds the linear layer's bias and counts weights
that lead nowhere, as its table does. The program is named by the environment variable NASD.
"""

import json
import os
import random
import subprocess
import sys

import torch
from torch import nn

import darts
import nas_bench_201

SAMPLES = 8


def count(model, linear_bias):
    """Parameters and FLOPs of one image of 3x32x32, without and of the auxiliary head."""
    params, flops = [0, 0], [0, 0]

    def hook(layer, inputs, output):
        head = layer.id.startswith("auxiliary")
        params[head] += sum(parameter.numel() for parameter in layer.parameters())
        if isinstance(layer, nn.Conv2d):
            flops[head] += output[0].numel() * layer.weight[0].numel()
        elif isinstance(layer, nn.Linear):
            flops[head] += layer.weight.numel() + (layer.bias.numel() if linear_bias else 0)

    hooks = [layer.register_forward_hook(hook) for layer in model.modules() if hasattr(layer, "id")]
    with torch.no_grad():
        model.train()(torch.zeros(2, 3, 32, 32))
    for each in hooks:
        each.remove()
    return {"params": params[0], "flops": flops[0], "auxiliary_params": params[1], "auxiliary_flops": flops[1]}


def genotype(generator):
    """Two different inputs a node, any operation but `none`."""
    cells = {}
    for kind in ("normal", "reduce"):
        cells[kind] = []
        for node in range(2, 6):
            for source in sorted(generator.sample(range(node), 2)):
                cells[kind].append((generator.choice(darts.OPERATIONS[1:]), source))
        cells[f"{kind}_concat"] = [2, 3, 4, 5]
    return cells


def cell(generator):
    nodes = [[f"{generator.choice(nas_bench_201.OPERATIONS)}~{source}" for source in range(n)] for n in (1, 2, 3)]
    return "+".join("|" + "|".join(node) + "|" for node in nodes)


def counted_by_nasd(space, architectures, *settings):
    command = [os.environ["NASD"], "space", "cost", space, "--from", "-"]
    for setting in settings:
        command += ["--set", setting]
    answer = subprocess.run(command, input="\n".join(architectures), capture_output=True, text=True, check=True)
    return [json.loads(line) for line in answer.stdout.splitlines()]


def compare(space, architectures, models, linear_bias, *settings):
    found = counted_by_nasd(space, architectures, *settings)
    assert len(found) == len(architectures), f"{space}: {len(found)} answers to {len(architectures)} architectures"
    for architecture, ours, model in zip(architectures, found, models):
        theirs = count(model, linear_bias)
        if any(ours[key] != theirs[key] for key in theirs):
            sys.exit(f"{space} {architecture}:\n  nasd    {ours}\n  PyTorch {theirs}")
    print(f"{space}: {len(found)} architectures, all counts equal")


def main():
    torch.set_num_threads(1)
    generator = random.Random(20)
    genotypes = [darts.DARTS_V2] + [genotype(generator) for _ in range(SAMPLES)]
    models = (darts.network(each, 36, 20, 10, True) for each in genotypes)
    compare("darts-cnn", [json.dumps(each) for each in genotypes], models, False)
    cells = [cell(generator) for _ in range(SAMPLES)]
    models = (nas_bench_201.Network(each, 16, 5, 10) for each in cells)
    compare("nas-bench-201", cells, models, True)


if __name__ == "__main__":
    main()
