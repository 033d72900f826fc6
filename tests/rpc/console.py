"""`virsh console`, unmodified, on a pseudo-terminal as a user has it: console.py URI DOMAIN

Run by tests/qemu_door_clients.rs. Has the guest's shell print some 20 kB and prints what came of that, byte by byte.
"""

import os
import pty
import select
import sys
import time

uri, domain = sys.argv[1:]
LIMIT = 60.0

child, terminal = pty.fork()
if child == 0:
    os.execvp("virsh", ["virsh", "-c", uri, "console", domain, "--force"])
end = time.monotonic() + LIMIT
came = bytearray()


def read(patience=LIMIT):
    """What came, which is nothing once the other side is gone; None if nothing came for as long as `patience`."""
    left = end - time.monotonic()
    ready, _, _ = select.select([terminal], [], [], max(0.0, min(left, patience)))
    if not ready:
        if patience < left:
            return None
        sys.exit(f"not within {LIMIT} s: {bytes(came[-400:])}")
    try:
        piece = os.read(terminal, 65536)
    except OSError:  # the other side is gone
        piece = b""
    came.extend(piece)
    return piece


def until(text):
    while text not in came:
        if not read():
            sys.exit(f"virsh ended: {bytes(came[-400:])}")


until(b"Escape character")
# virsh throws away what is typed before it has the terminal in raw mode, and the shell may not be there yet, so it is
# asked until it answers. The quotes keep the echo of what is typed from being taken for the answer.
while b"ready\r\n" not in came:
    os.write(terminal, b"\recho rea''dy\r")
    while b"ready\r\n" not in came:
        piece = read(patience=1.0)
        if piece is None:
            break
        if not piece:
            sys.exit(f"virsh ended: {bytes(came[-400:])}")
os.write(terminal, b"echo be''gin; seq 1 4000; echo en''d\r")
until(b"begin\r\n")
until(b"end\r\n")
os.write(terminal, b"\x1d")
while read():
    pass
_, status = os.waitpid(child, 0)
begin = came.index(b"begin\r\n")
sys.stdout.buffer.write(came[begin:came.index(b"end\r\n", begin)])
sys.exit(os.waitstatus_to_exitcode(status))
