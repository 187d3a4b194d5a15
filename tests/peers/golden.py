"""Writes golden files: `golden.py FOLDER [NAME ...]`, a file a case.

tests/golden holds the ones that `cargo xtask test` compares with; `cargo xtask parity` writes new ones and compares
with those.
"""

import json
import pathlib
import sys
import time

import torch

import cases
import training


def main(folder, *names):
    torch.set_num_threads(1)
    unknown = set(names) - {case["name"] for case in cases.CASES}
    if unknown:
        sys.exit(f"there is no case {', '.join(sorted(unknown))}")
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    for case in cases.CASES:
        if names and case["name"] not in names:
            continue
        started = time.monotonic()
        result = training.run(case) if case["steps"] else training.run_forward(case)
        lines = [f'"case": {json.dumps(case)}']
        lines += [f'"{key}": {written(value)}' for key, value in result.items()]
        path = pathlib.Path(folder, f"{case['name']}.json")
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        print(f"{path}: {time.monotonic() - started:.1f} s, loss {result['losses'][-1]:.6f}", flush=True)


def written(value):
    """JSON with a line a tensor."""
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f'"{key}": {json.dumps(shortened(each))}' for key, each in value.items()) + "\n}"
    return json.dumps(shortened(value))


def shortened(value):
    """Thirteen digits: four more than are compared."""
    if isinstance(value, float):
        return float(f"{value:.13g}")
    return [shortened(each) for each in value] if isinstance(value, list) else value


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
