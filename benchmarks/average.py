"""The average of safetensors files in Python, as `tfjs-swa average` forms it.

`average OUT FILE...` writes it, tensor by tensor; `compare A B` prints the largest difference
between two files, relative to the values."""

import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

command, out, *paths = sys.argv[1:]
if command == "average":
    files = [safe_open(path, "np") for path in paths]
    averages = {}
    for name in files[0].keys():
        first = files[0].get_tensor(name)
        total = np.zeros(first.shape, np.float64)
        for file in files:
            total += file.get_tensor(name)
        averages[name] = (total / len(files)).astype(first.dtype)
    save_file(averages, out)
elif command == "compare":
    a, b = load_file(out), load_file(paths[0])
    assert sorted(a) == sorted(b)
    print(max(float(np.max(np.abs(a[name] - b[name]) / np.abs(b[name]))) for name in a))
