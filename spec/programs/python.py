"""What Python makes of files: `write FILE` writes every dtype, `read FILE` prints what is in one."""

import json
import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save, save_file

command, path = sys.argv[1:]
if command == "write":
    tensors = {
        "F64": np.array([[0.1, -1e-300], [np.inf, 3.0]], np.float64),
        "F32": np.array([1e-45, -0.0, np.nan], np.float32),
        "F16": np.arange(2**16, dtype=np.uint16).view(np.float16),
        "I64": np.array([-(2**31), 2**31 - 1], np.int64),
        "I32": np.array(-5, np.int32),
        "U8": np.array([0, 255], np.uint8),
        "BOOL": np.array([[True], [False], [True]]),
        "0": np.zeros((0, 4), np.float32),
        "crc32": np.array([7], np.float32),
    }
    save_file(tensors, path, metadata={"format": "np", "by": "a spec"})
elif command == "read":
    with safe_open(path, "np") as file:
        metadata = file.metadata()
        assert sorted(file.keys()) == sorted(load_file(path))
    shown = {
        name: [str(a.dtype), list(a.shape), a.ravel().tolist()] for name, a in load_file(path).items()
    }
    tree = json.loads(metadata["tree"])
    print(json.dumps({"tensors": shown, "metadata": sorted(metadata), "tree": tree}))
elif command == "refused":
    # A dtype that is not read, and values that do not fit: one file each.
    for name, array in {
        "I16": np.array([1], np.int16),
        "U64": np.array([1], np.uint64),
        "I64": np.array([1, 2**31], np.int64),
        "F64": np.array([1e39], np.float64),
    }.items():
        with open(f"{path}.{name}", "wb") as file:
            file.write(save({"some/tensor": array}))
