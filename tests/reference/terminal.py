"""Runs a command in a terminal of so many columns, and prints everything that it shows there.

    python terminal.py COLUMNS COMMAND…
"""

import fcntl
import os
import pty
import struct
import sys
import termios


def main() -> int:
    columns, command = int(sys.argv[1]), sys.argv[2:]
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    while True:
        try:
            shown = os.read(terminal, 1 << 16)
        except OSError:  # Linux says so when the other side has gone
            break
        if not shown:
            break
        sys.stdout.buffer.write(shown)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


sys.exit(main())
