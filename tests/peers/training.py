"""Runs a case: builds its network, fills it by formula, trains it, and sums up what came out.

A tensor is summed up by its norm and two scalar products with probes (vectors of the formula, of length about 1), so a
difference in any element shows.
"""

import math

import torch
from torch.nn import functional

import darts
import formula
import nas_bench_201


def build(case):
    """The network of a case, with the formula's weights, in training mode."""
    settings, classes, channels = case["settings"], case["classes"], case["input"][0]
    number = lambda key: int(settings[key])
    if case["space"] == "nas-bench-201":
        stack = number("stack.channels"), number("stack.cells-per-stage")
        model = nas_bench_201.Network(case["architecture"], *stack, classes, channels)
    elif case["mixtures"]:
        model = darts.one_shot(number("one-shot.channels"), number("one-shot.layers"), classes, channels)
    else:
        auxiliary = settings["stack.auxiliary"] == "true"
        stack = number("stack.channels"), number("stack.layers")
        model = darts.network(case["architecture"], *stack, classes, auxiliary, channels)
    model = model.to(getattr(torch, case["precision"]))
    formula.fill(model)
    return model.train()


def minibatch(case, number):
    images = formula.images(number, case["batch"], case["input"])
    return images.to(getattr(torch, case["precision"])), formula.labels(number, case["batch"], case["classes"])


def mixtures(case, number):
    """Of normal and of reduction cells, a leaf an edge; none for a stand-alone network."""
    if not case["mixtures"]:
        return None
    kind = getattr(torch, case["precision"])
    made = [formula.mixture(number, edge, len(darts.OPERATIONS)).to(kind).requires_grad_() for edge in range(28)]
    return made[:14], made[14:]


def forward(case, model, number):
    images, labels = minibatch(case, number)
    mixed = mixtures(case, number)
    logits, auxiliary = model(images, mixed) if mixed else model(images)
    smoothing = case["recipe"]["label-smoothing"]
    loss = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    if auxiliary is not None:
        weight = case["recipe"]["auxiliary-weight"]
        loss = loss + weight * functional.cross_entropy(auxiliary, labels, label_smoothing=smoothing)
    return loss, logits, auxiliary, mixed


def unrolled_gradients(case, model, sgd, number):
    """DARTS's second-order gradients of the mixtures (Liu et al., section 2.3) at step `number`, on validation minibatch
    1000 + `number`: through w' = w - xi (momentum buffer + gradient + decay w), with a finite difference for how w'
    depends on the mixtures.
    """
    group = sgd.param_groups[0]
    rate = group["lr"]
    parameters = list(model.parameters())
    start = [parameter.detach().clone() for parameter in parameters]

    def losses(which, mixed):
        images, labels = minibatch(case, which)
        return functional.cross_entropy(model(images, mixed)[0], labels)

    def put(values):
        with torch.no_grad():
            for parameter, value in zip(parameters, values):
                parameter.copy_(value)

    mixed = mixtures(case, number)
    leaves = mixed[0] + mixed[1]
    gradient = torch.autograd.grad(losses(number, mixed), parameters)
    ahead = []
    for parameter, value, slope in zip(parameters, start, gradient):
        buffer = sgd.state[parameter].get("momentum_buffer", 0) if parameter in sgd.state else 0
        ahead.append(value - rate * (group["momentum"] * buffer + slope + group["weight_decay"] * value))
    put(ahead)
    both = torch.autograd.grad(losses(1000 + number, mixed), leaves + parameters)
    direct, along = both[: len(leaves)], both[len(leaves) :]
    length = 0.01 / torch.cat([each.flatten() for each in along]).norm()
    sides = []
    for sign in (1, -1):
        put([value + sign * length * each for value, each in zip(start, along)])
        sides.append(torch.autograd.grad(losses(number, mixed), leaves))
    put(start)
    return [(d - rate * (plus - minus) / (2 * length)).tolist() for d, plus, minus in zip(direct, *sides)]


def optimizer(case, model):
    recipe = case["recipe"]
    sgd = torch.optim.SGD(
        model.parameters(),
        lr=recipe["learning-rate"],
        momentum=recipe["momentum"],
        nesterov=recipe["nesterov"],
        weight_decay=recipe["weight-decay"],
    )
    epochs, last = case["epochs"], recipe["final-learning-rate"]
    return sgd, torch.optim.lr_scheduler.CosineAnnealingLR(sgd, epochs, last)


def run(case):
    """What a case gives: the first pass with all gradients, and the course and end of its training."""
    model = build(case)
    sgd, schedule = optimizer(case, model)
    result = {"losses": [], "gradient_norms": []}
    for step in range(case["steps"]):
        if case["unrolled"]:
            statistics = {name: value.clone() for name, value in model.named_buffers()}
            result.setdefault("unrolled_gradients", []).append(unrolled_gradients(case, model, sgd, step))
            for name, value in model.named_buffers():
                value.copy_(statistics[name])
        loss, logits, auxiliary, mixed = forward(case, model, step)
        sgd.zero_grad(set_to_none=True)
        loss.backward()
        if step == 0:
            result["logits"] = logits.flatten().tolist()
            result["auxiliary"] = None if auxiliary is None else auxiliary.flatten().tolist()
            result["gradients"] = {} if case["unrolled"] else summaries(model, lambda tensor: tensor.grad)
        if step in (0, case["steps"] - 1) and mixed:
            lists = [leaf.grad.tolist() for leaf in mixed[0] + mixed[1]]
            result["mixture_gradients" if step == 0 else "last_mixture_gradients"] = lists
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), case["recipe"]["clip"])
        sgd.step()
        if (step + 1) % case["updates_per_epoch"] == 0:
            schedule.step()
        result["losses"].append(loss.item())
        result["gradient_norms"].append(norm.item())
    # After a single step the weights say no more than the gradients.
    all_weights = case["steps"] > 1
    kept = lambda tensor: tensor if all_weights or not tensor.requires_grad else None
    result["weights"] = {} if case["unrolled"] else summaries(model, kept)
    model.eval()
    with torch.no_grad():
        loss, logits, _, _ = forward(case, model, case["steps"])
    result["evaluation"] = {"loss": loss.item(), "logits": logits.flatten().tolist()}
    return result


def run_forward(case):
    """The first pass alone, in training and in evaluation, for cases of a real size in single precision."""
    model = build(case)
    with torch.no_grad():
        loss, logits, auxiliary, _ = forward(case, model, 0)
        auxiliary = None if auxiliary is None else auxiliary.flatten().tolist()
        result = {"losses": [loss.item()], "logits": logits.flatten().tolist(), "auxiliary": auxiliary}
        loss, logits, _, _ = forward(case, build(case).eval(), 0)
    return result | {"evaluation": {"loss": loss.item(), "logits": logits.flatten().tolist()}}


def summaries(model, of):
    """Name of each tensor to [norm, first probe, second probe]."""
    result = {}
    for module in formula.identified(model):
        for suffix, tensor in formula.tensors(module):
            value = of(tensor)
            if value is not None:
                name = f"{module.id}.{suffix}"
                result[name] = summary(name, value)
    return result


def summary(name, tensor):
    """A probe's elements have variance 1 / length."""
    flat = tensor.detach().double().flatten()
    scale = math.sqrt(3 / max(flat.numel(), 1))
    probes = [formula.signed(f"probe{which}/{name}", (flat.numel(),)) * scale for which in (0, 1)]
    return [flat.norm().item(), *(flat.dot(probe).item() for probe in probes)]
