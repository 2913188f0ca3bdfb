"""PyTorch and nothing else."""

from time import perf_counter

from torch.nn.functional import cross_entropy

from benchmarks.task import batches, make_data, make_model, make_optimizer


def train(steps: int, warm_up: int) -> float:
    """See the package."""
    model = make_model()
    optimizer = make_optimizer(model)
    begin = 0.0
    for step, (inputs, labels) in enumerate(batches(make_data(), warm_up + steps)):
        if step == warm_up:
            begin = perf_counter()
        loss = cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return perf_counter() - begin
