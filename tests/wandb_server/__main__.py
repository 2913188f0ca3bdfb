"""`python -m wandb_server`: the stand-in as a program, until Ctrl-C.

It says its address in one line, then nothing. With `--end-with-parent` it ends when its standard
input does, which is when the program that started it is gone.
"""

import argparse
import signal
import sys
import threading

from wandb_server.server import HOST, WandbServer


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m wandb_server", description=__doc__)
    parser.add_argument("--host", default=HOST, help="address to serve at (default %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0, the default: a free one")
    parser.add_argument("--end-with-parent", action="store_true", help="end with standard input")
    options = parser.parse_args()
    server = WandbServer(options.host, options.port)
    try:
        server.start()
    except OSError as error:
        print(f"{options.host}:{options.port} cannot be served: {error.strerror}", file=sys.stderr)
        return 1
    print(f"A stand-in for the W&B server is at {server.url}", flush=True)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    if options.end_with_parent:
        threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    ended.wait()
    server.faults.lift()
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
