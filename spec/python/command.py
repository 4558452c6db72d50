"""`write FOLDER` writes two files of every float dtype of numpy, `check FOLDER` compares what the
command made of them with numpy's own average."""

import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

command, folder = sys.argv[1:]
names = [f"{folder}/{name}.safetensors" for name in "abc"]
if command == "write":
    for seed, name in enumerate(names):
        rng = np.random.default_rng(seed)
        tensors = {
            f"{dtype.__name__}/{scale}": (scale * rng.standard_normal((70, 11))).astype(dtype)
            for dtype in (np.float64, np.float32, np.float16)
            for scale in (1, 1e-6, 1e4)
        }
        tensors["steps"] = np.array([seed], np.int64)
        save_file(tensors, name, metadata={"format": "np"})
elif command == "check":
    files = [load_file(name) for name in names]
    average = load_file(f"{folder}/mean.safetensors")
    assert sorted(average) == sorted(files[0])
    for name, values in average.items():
        if name == "steps":
            assert values == 2
            continue
        total = sum(w * file[name].astype(np.float64) for w, file in zip((3, 1, 2), files))
        expected = (total / 6).astype(values.dtype)
        assert values.dtype == files[0][name].dtype
        np.testing.assert_allclose(values, expected, rtol=1e-7)
    with safe_open(f"{folder}/mean.safetensors", "np") as file:
        assert file.metadata() == {"format": "np"}
