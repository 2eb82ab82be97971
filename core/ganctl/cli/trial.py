"""A trial of a sweep: a command of `ganctl` that ends when the sweep that started it does.

The sweep holds the other end of standard input. However it ends, `kill -9` included, the
operating system closes that end; the trial then saves and stops, as at SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from .main import main


def _follow() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_follow, daemon=True).start()
    sys.exit(main())
