"""Who is in no hurry gives way: in a process of its own, as nothing undoes gevent's patch."""

import subprocess
import sys
import threading
from pathlib import Path

from control_api.greenlets import Turnstile

CHECKOUT = Path(__file__).resolve().parents[2]

# Somebody asks, time and again, what is answered at once, while a crowd is at the turnstile.
PROGRAM = """
from control_api import greenlets
greenlets.patch()

import os
import gevent
from gevent.socket import wait_read

turnstile = greenlets.Turnstile()
passed = 0

def one_of_the_crowd():
    global passed
    turnstile.pass_through()
    passed += 1

def ask(times):
    asked, answer = os.pipe()
    for _ in range(times):
        os.write(answer, b".")
        wait_read(asked)
        os.read(asked, 1)

crowd = [gevent.spawn(one_of_the_crowd) for _ in range(300)]
gevent.spawn(ask, 20).join()
print("passed meanwhile:", passed)
restless = gevent.spawn(ask, 10**9)
gevent.joinall(crowd, timeout=30)
print("passed in the end:", passed)
restless.kill()
"""


def test_a_crowd_gives_way_but_comes_to_something_though_others_never_stop() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    meanwhile, end = [int(line.rpartition(" ")[2]) for line in done.stdout.splitlines()]
    assert meanwhile <= 20
    assert end == 300


def test_threads_pass_at_once() -> None:
    turnstile = Turnstile()
    crowd = [threading.Thread(target=turnstile.pass_through) for _ in range(50)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join(10)
    assert not any(each.is_alive() for each in crowd)
