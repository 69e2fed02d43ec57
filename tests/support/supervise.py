"""Runs a command, and ends it with everything that it started once standard input closes.

Standard input is a pipe whose other end only our owner holds: the kernel closes it however the owner ends, by `kill -9` too.
Orphans of the command come to us (we are their subreaper), so nothing escapes by forking twice or by a session of its own.

Usage: supervise.py COMMAND [ARGUMENT...]. Exit code 0: nothing is left running.
"""

import ctypes
import os
import select
import signal
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
SECONDS_TO_STOP, SECONDS_TO_DIE = 5.0, 60.0

libc = ctypes.CDLL(None)
told_to_stop = False


def tell_to_stop(*_):
    global told_to_stop
    told_to_stop = True


def start(command):
    owner = os.getpid()
    child = os.fork()
    if child == 0:
        # Should we be killed, at least the command hears of it.
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
        if os.getppid() != owner:
            os._exit(1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        # Python ignores SIGPIPE, and what is ignored stays so in what is executed.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        try:
            os.execv(command[0], command)
        except OSError as error:
            print(f"{command[0]}: {error}", file=sys.stderr, flush=True)
            os._exit(127)
    return child


def reap():
    """Collects the dead; returns their ids, and whether anyone is left alive."""
    dead = set()
    while True:
        try:
            process, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return dead, False
        if process == 0:
            return dead, True
        dead.add(process)


def descendants():
    children = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                parent = int(stat.read().rpartition(b")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(name))
    found, parents = [], [os.getpid()]
    while parents:
        below = children.get(parents.pop(), [])
        found += below
        parents += below
    return found


def main():
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, tell_to_stop)
    child = start(sys.argv[1:])

    # The owner never writes, so a readable pipe is a closed one.
    gone, anyone = set(), True
    while not (told_to_stop or child in gone or select.select([0], [], [], 0.1)[0]):
        dead, anyone = reap()
        gone |= dead

    if child not in gone:
        os.kill(child, signal.SIGINT)
    deadline = time.monotonic() + SECONDS_TO_STOP
    while anyone and child not in gone and time.monotonic() < deadline:
        time.sleep(0.02)
        dead, anyone = reap()
        gone |= dead

    deadline = time.monotonic() + SECONDS_TO_DIE
    while anyone and time.monotonic() < deadline:
        # Again and again: whoever is being killed may have forked just before.
        for process in descendants():
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)
        _, anyone = reap()
    return 1 if anyone else 0


sys.exit(main())
