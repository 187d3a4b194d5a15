"""PyTorch's side of `cargo xtask bench one-shot`: every line read is answered with the seconds that so many DARTS search
iterations took, by the clock and of processor time; eager, in the default memory layout.

An iteration is a gradient of the mixtures on one minibatch and a weight step (clipping, SGD with momentum and decay) on
another. Each backward pass computes only what is used; minibatches lie ready. Arguments:
`paper|digits THREADS BATCH`.
host/train/examples/one_shot_speed.rs is the other side.
"""

import sys
import time

import torch
from torch.nn import functional

import darts
import formula


def main(shapes="paper", threads="1", batch="64"):
    torch.set_num_threads(int(threads))
    batch = int(batch)
    channels, layers, size = (4, 3, (1, 8, 8)) if shapes == "digits" else (16, 8, (3, 32, 32))
    model = darts.one_shot(channels, layers, 10, size[0]).train()
    minibatches = [(formula.images(n, batch, size).float(), formula.labels(n, batch, 10)) for n in range(2)]
    logits = [torch.zeros(14, 8).uniform_(-0.5, 0.5).requires_grad_() for _ in range(2)]
    sgd = torch.optim.SGD(model.parameters(), lr=0.025, momentum=0.9, weight_decay=3e-4)

    def iteration():
        images, labels = minibatches[0]
        mixtures = [torch.softmax(each, 1) for each in logits]
        loss = functional.cross_entropy(model(images, mixtures)[0], labels)
        torch.autograd.grad(loss, logits)
        images, labels = minibatches[1]
        mixtures = [torch.softmax(each.detach(), 1) for each in logits]
        loss = functional.cross_entropy(model(images, mixtures)[0], labels)
        sgd.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        sgd.step()
        return loss.item()

    for line in sys.stdin:
        started, used = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            iteration()
        print(time.perf_counter() - started, time.process_time() - used, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
