"""Preloaded by the fork server of tests: torch, and what torch loads only when it is first used."""

import steered
import torch

torch.set_num_threads(1)
for make in steered.OPTIMIZERS.values():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = make([weight])
    weight.sum().backward()
    optimizer.step()
