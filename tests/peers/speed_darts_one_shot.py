"""PyTorch's side of `cargo xtask bench one-shot`: every line read, a kind of step and a number, is answered with the
seconds that so many of them took, by the clock and of processor time. Eager; in the default memory layout or with
model and images channels-last.

Kinds: `weights` (clipping, SGD with momentum and decay), `mixtures` (their gradients alone), `iteration` (both, on two
minibatches). Each backward pass computes only what is used; minibatches lie ready. Arguments:
`paper|digits|darts-v2 THREADS BATCH [default|channels-last]`.
host/train/examples/one_shot_speed.rs is the other side and describes the shapes.
"""

import sys
import time

import torch
from torch.nn import functional

import darts
import formula


def main(shapes="paper", threads="1", batch="64", layout="default"):
    torch.set_num_threads(int(threads))
    batch = int(batch)
    channels, layers, size = (4, 3, (1, 8, 8)) if shapes == "digits" else (16, 8, (3, 32, 32))
    if shapes == "darts-v2":
        model = darts.network(darts.DARTS_V2, channels, layers, 10, False)
    else:
        model = darts.one_shot(channels, layers, 10, size[0])
    order = torch.channels_last if layout == "channels-last" else torch.contiguous_format
    model = model.train().to(memory_format=order)
    minibatches = [
        (formula.images(n, batch, size).float().contiguous(memory_format=order), formula.labels(n, batch, 10))
        for n in range(2)
    ]
    logits = [torch.zeros(14, 8).uniform_(-0.5, 0.5).requires_grad_() for _ in range(2)]
    sgd = torch.optim.SGD(model.parameters(), lr=0.025, momentum=0.9, weight_decay=3e-4)

    def loss_of(number, mixtures):
        images, labels = minibatches[number]
        scores = model(images)[0] if shapes == "darts-v2" else model(images, mixtures)[0]
        return functional.cross_entropy(scores, labels)

    def mixtures():
        loss = loss_of(0, [torch.softmax(each, 1) for each in logits])
        torch.autograd.grad(loss, logits)

    def weights():
        loss = loss_of(1, [torch.softmax(each.detach(), 1) for each in logits])
        sgd.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        sgd.step()
        loss.item()

    kinds = {"weights": [weights], "mixtures": [mixtures], "iteration": [mixtures, weights]}
    for line in sys.stdin:
        kind, count = line.split()
        started, used = time.perf_counter(), time.process_time()
        for _ in range(int(count)):
            for step in kinds[kind]:
                step()
        print(time.perf_counter() - started, time.process_time() - used, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
