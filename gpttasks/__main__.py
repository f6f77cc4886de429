"""The command ``gpttasks``, which is also ``python -m gpttasks``."""

import os
import signal
import sys
import threading
from typing import Any


def _stop(number: int, frame: Any) -> None:
    """Ctrl-C while the command is being imported: nothing has begun that would have to be ended in order."""
    os.write(2, b"stopped\n")
    os._exit(130)


def start() -> None:
    """Run the command line of this process, and exit with its status."""
    listens = threading.current_thread() is threading.main_thread()
    listens = listens and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if listens:
        signal.signal(signal.SIGINT, _stop)
    from .cli import main

    status = main()
    if listens:  # the work is done, and its status is known
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(status)


if __name__ == "__main__":
    start()
