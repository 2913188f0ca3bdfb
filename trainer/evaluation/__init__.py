"""Trying a model on the test pictures, and what there is to see of it.

Numbers are scikit-learn's, names are `midcourse.contract.names`'. Nothing here draws a random
number or leaves a trace in the model: a run that is evaluated trains like one that is not.
"""

from trainer.evaluation.evaluate import Evaluation, evaluate
from trainer.evaluation.histogram import label_histogram

__all__ = ["Evaluation", "evaluate", "label_histogram"]
