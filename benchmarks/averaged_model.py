"""Times torch's AveragedModel on tensors of the shapes on stdin; prints milliseconds as JSON."""
import json
import statistics
import sys
import time

import torch
from torch.optim import swa_utils

torch.set_num_threads(1)
request = json.load(sys.stdin)


class Tensors(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.all = torch.nn.ParameterList([torch.nn.Parameter(torch.rand(*s)) for s in request["shapes"]])


def measure(**options):
    model = Tensors()
    averaged = swa_utils.AveragedModel(model, **options)
    times = []
    with torch.no_grad():
        for round in range(3 + request["rounds"]):
            start = time.perf_counter()
            averaged.update_parameters(model)
            times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[3:])


result = {"AveragedModel": measure()}
if hasattr(swa_utils, "get_swa_multi_avg_fn"):
    result["AveragedModel, multi_avg_fn"] = measure(multi_avg_fn=swa_utils.get_swa_multi_avg_fn())
print(json.dumps({"version": torch.__version__, "ms": result}))
