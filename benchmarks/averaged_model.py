"""Updates torch's AveragedModel at one thread: the shapes on the first line of stdin, then the names.

Each line with a name is one update, and is answered by the milliseconds that it took.
"""
import json
import sys
import time

import torch
from torch.optim import swa_utils

torch.set_num_threads(1)


class Tensors(torch.nn.Module):
    def __init__(self, shapes):
        super().__init__()
        self.all = torch.nn.ParameterList([torch.nn.Parameter(torch.rand(*s)) for s in shapes])


def answer(value):
    print(json.dumps(value), flush=True)


model = Tensors(json.loads(sys.stdin.readline()))
averages = {"AveragedModel": swa_utils.AveragedModel(model)}
if hasattr(swa_utils, "get_swa_multi_avg_fn"):
    averages["AveragedModel, multi_avg_fn"] = swa_utils.AveragedModel(
        model, multi_avg_fn=swa_utils.get_swa_multi_avg_fn()
    )
answer({"version": torch.__version__, "names": list(averages)})

with torch.no_grad():
    for line in sys.stdin:
        averaged = averages[line.strip()]
        start = time.perf_counter()
        averaged.update_parameters(model)
        answer(1e3 * (time.perf_counter() - start))
