"""One event file: what TensorBoard reads of a run, in TensorBoard's own protobufs."""

import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.hparams import plugin_data_pb2, summary_v2
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util import tensor_util

from midcourse.tracking.tensorboard.picture import Picture

BUFFER_BYTES = 1 << 20
_HIDDEN = "midcourse.writing"
"""TensorBoard reads the files with `tfevents` in their name."""


class EventFile:
    """Appends events. What a tag is, is said with its first value.

    A plain file and no `EventFileWriter`: that opens its file by name for each flush, so it could
    not be renamed while it is written.
    """

    def __init__(self, folder: Path) -> None:
        """Begin a file that TensorBoard does not see yet, in a folder that is there."""
        self._folder = folder
        self._file: BinaryIO = (folder / _HIDDEN).open("wb", buffering=BUFFER_BYTES)
        self._is_shown = False
        self._writer = RecordWriter(self._file)
        self._tags: set[str] = set()
        self._put(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))
        # Whoever has an earlier file of this run in memory is to forget it.
        restart = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._put(event_pb2.Event(wall_time=time.time(), step=0, session_log=restart))

    def scalars(self, step: int, moment: float, values: Mapping[str, float]) -> None:
        """Numbers of one step; TensorBoard keeps single precision."""
        if values:
            summary = summary_pb2.Summary()
            for tag, value in values.items():
                summary.value.add(tag=tag, simple_value=value)
            self._put(event_pb2.Event(wall_time=moment, step=step, summary=summary))

    def text(self, step: int, moment: float, tag: str, markdown: str) -> None:
        """A text, in Markdown; TensorBoard makes it safe."""
        about = text_metadata.create_summary_metadata(None, None)
        tensor = tensor_util.make_tensor_proto(markdown.encode("utf-8", "replace"))
        self._tensor(step, moment, tag, tensor, about)

    def pictures(
        self, step: int, moment: float, tag: str, pictures: Sequence[Picture], description: str = ""
    ) -> None:
        """A row of pictures."""
        if not pictures:
            return
        about = image_metadata.create_summary_metadata(None, description)
        size = [str(max(each)).encode() for each in zip(*(p.size for p in pictures), strict=True)]
        tensor = tensor_pb2.TensorProto(
            dtype=types_pb2.DT_STRING, string_val=[*size, *(each.data for each in pictures)]
        )
        tensor.tensor_shape.dim.add(size=len(tensor.string_val))
        self._tensor(step, moment, tag, tensor, about)

    def hyperparameters(
        self, moment: float, group: str, values: Mapping[str, bool | float | str]
    ) -> None:
        """What the run was made with, for the HPARAMS page."""
        summary = summary_v2.hparams_pb(dict(values), trial_id=group, start_time_secs=moment)
        self._put(event_pb2.Event(wall_time=moment, summary=summary))

    def end_of_session(self, moment: float, status: int) -> None:
        """How the run ended, for the HPARAMS page; `status` is one of `api_pb2.Status`."""
        end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=moment)
        about = hparams_metadata.create_summary_metadata(
            plugin_data_pb2.HParamsPluginData(session_end_info=end)
        )
        tag = hparams_metadata.SESSION_END_INFO_TAG
        self._tensor(0, moment, tag, hparams_metadata.NULL_TENSOR, about)

    def show(self) -> None:
        """Hand all that was written to the kernel: TensorBoard sees it, in place of earlier files.

        Those are emptied, and removed the next time: a TensorBoard that reads one must come to its
        end to go on with this one.
        """
        self._file.flush()
        if self._is_shown:
            return
        for earlier in self._folder.glob("*tfevents*"):
            if earlier.stat().st_size:
                os.truncate(earlier, 0)
            else:
                earlier.unlink()
        (self._folder / _HIDDEN).rename(self._folder / _file_name())
        self._is_shown = True

    def close(self) -> None:
        """Flush and let go of the file."""
        self._file.close()

    def _tensor(self, step: int, moment: float, tag: str, tensor: Any, about: Any) -> None:
        summary = summary_pb2.Summary()
        summary.value.add(tag=tag, tensor=tensor, metadata=None if tag in self._tags else about)
        self._tags.add(tag)
        self._put(event_pb2.Event(wall_time=moment, step=step, summary=summary))

    def _put(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())


def _file_name() -> str:
    """As TensorBoard's own writers have it, but finer in time: a later file stands behind."""
    moment = time.time_ns() // 1000
    return f"events.out.tfevents.{moment:016d}.{socket.gethostname()}.{os.getpid()}"
