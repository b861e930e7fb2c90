"""Put the members that `train.py` trained into one file, `0.flat.bias`, `1.flat.bias` and so on.

    python -m benchmarks.nacmos.join build/0.safetensors build/1.safetensors --out FILE

The weights are rounded to float16, which halves the file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("members", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    joined = {
        f"{index}.{name}": array.astype(np.float16)
        for index, path in enumerate(given.members)
        for name, array in load_file(path).items()
    }
    save_file(joined, given.out)


if __name__ == "__main__":
    main()
