"""What can be trained: data sets, models, losses, optimizers, schedulers and augmentations by name.

To add one's own, decorate a function or class and name its module on the command line,
`python -m trainer params.json --import my_module`:

    from trainer.tasks import DATASETS, MODELS, Dataset

    @DATASETS.register("mine")
    def mine(root: Path, *, noise: float = 0.1) -> Dataset: ...

    @MODELS.register("tiny")
    class Tiny(nn.Module):
        def __init__(self, shape: tuple[int, int, int], classes: int, *, width: int = 16): ...

The parameters after those that the trainer gives are the options that a configuration may set;
their annotations are what is allowed. No module here knows of a run.
"""

from midcourse.catalogue.losses import OF_CLASSES as LOSSES
from midcourse.catalogue.optimizers import OPTIMIZERS
from midcourse.catalogue.registry import Registry
from midcourse.catalogue.schedulers import SCHEDULERS
from trainer.tasks import bundled, downloads, folder, torchvision_models  # they register
from trainer.tasks.augmentations import AUGMENTATIONS
from trainer.tasks.dataset import DATASETS, Dataset, DataUnavailable
from trainer.tasks.models import MODELS

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "LOSSES",
    "MODELS",
    "OPTIMIZERS",
    "SCHEDULERS",
    "DataUnavailable",
    "Dataset",
    "Registry",
    "bundled",
    "downloads",
    "folder",
    "torchvision_models",
]
