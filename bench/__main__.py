"""``python -m bench``."""

import os
import sys
from contextlib import suppress

from bench.cli import main

code = main()
for stream in (sys.stdout, sys.stderr):
    with suppress(OSError):  # its reader has left
        stream.flush()
os._exit(code)  # all is written: taking PyTorch's modules apart, one by one, would take another second
