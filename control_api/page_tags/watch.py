"""The bridge as a process: rounds until it is told to end, or its supervisor is gone."""

import logging
import os
import signal
import threading
from queue import Empty, SimpleQueue

from control_api.database import Database
from control_api.dialects import AWAY
from control_api.lease import LeaseLost
from control_api.page_tags.bridge import Bridge
from control_api.page_tags.sdk_process import PagesClosed, SdkProcess
from control_api.settings import Settings

_ROUND_SECONDS = 1.0
_END_SECONDS = 5.0

log = logging.getLogger(__name__)


def watch_page_tags(settings: Settings, holder: str | None = None) -> int:
    """Go rounds until SIGTERM, then give the lease back; an answer of W&B is not waited for.

    Args:
        settings: of the home and the database, and of what may be asked.
        holder: the name by which this process, started again, keeps its lease.
    """
    told_to_end: SimpleQueue[int] = SimpleQueue()
    signal.signal(signal.SIGTERM, lambda number, _: told_to_end.put(number))
    parent = os.getppid()
    database = Database(settings.database_url)
    environ = settings.wandb.helper_environment
    pages = SdkProcess(settings.wandb.page_command, settings.trainer_folder, environ)
    bridge = Bridge(settings, database, pages, holder=holder)
    ending = threading.Event()
    rounds = threading.Thread(target=_go_rounds, args=(bridge, ending), daemon=True)
    rounds.start()
    while os.getppid() == parent:
        try:
            told_to_end.get(timeout=_ROUND_SECONDS)
            break
        except Empty:
            continue
    ending.set()
    pages.close()
    rounds.join(_END_SECONDS)
    if not rounds.is_alive():  # else the lease keeps others away until it runs out
        bridge.release()
    database.close()
    return 0


def _go_rounds(bridge: Bridge, ending: threading.Event) -> None:
    while not ending.is_set():
        try:
            bridge.go_round()
        except PagesClosed:
            return
        except LeaseLost:
            log.warning("another process looks at W&B's pages now; waiting for it")
        except AWAY as error:
            log.error(
                "the database does not answer; trying again: %s", getattr(error, "orig", error)
            )
        except Exception:
            log.exception("a round of looking at W&B's pages failed; the next one tries again")
        ending.wait(_ROUND_SECONDS)
