"""Ways to train the same model on the same data, one module each.

Each has `train(steps, warm_up)`, which returns the seconds that the steps after the warm-up took,
from the end of one step to the end of another, in the thread that trains.
"""
