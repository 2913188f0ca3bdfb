"""The running loss and accuracy of the training batches."""

import torch
from torch import Tensor

from midcourse.contract.names import Metric


class Meter:
    """Sums since the last reset, kept on the device: adding to them never waits for it.

    A run tracks it, so that a resumed one reports what the uninterrupted one would have.
    """

    def __init__(self, device: torch.device) -> None:
        # Loss times pictures, pictures classified rightly, pictures.
        self._sums = torch.zeros(3, dtype=torch.float64, device=device)

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Count one batch.

        Args:
            loss: its mean, 0-dim.
            logits: [N, K].
            labels: int64 [N].
        """
        right = (logits.detach().argmax(dim=1) == labels).sum()
        self._sums[0] += loss.detach().double() * len(labels)
        self._sums[1] += right
        self._sums[2] += len(labels)

    def values(self) -> dict[str, Tensor]:
        """Mean loss and accuracy as 0-dim tensors; NaN when nothing was counted."""
        return {
            Metric.TRAIN_LOSS: self._sums[0] / self._sums[2],
            Metric.TRAIN_ACCURACY: self._sums[1] / self._sums[2],
        }

    def reset(self) -> None:
        """Begin anew."""
        self._sums.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint holds of it."""
        return {"sums": self._sums.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a checkpoint."""
        self._sums.copy_(state["sums"])
