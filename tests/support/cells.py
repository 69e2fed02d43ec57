"""Runs each execution environment in a cell as strict as AWS Lambda's, frozen between invocations. docs/lambda.md says what is imitated."""

import contextlib
import fcntl
import os
import queue
import select
import signal
import subprocess
import termios
import threading
import time
import types

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

CELL = os.environ.pop("LAMBDA_CELL")
SECONDS_TO_ASK_FOR_MORE = 60.0

# What Lambda sets, besides its names for the function, the region and the credentials.
LAMBDA = {
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
    "LANG": "en_US.UTF-8",
    "LD_LIBRARY_PATH": "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
    "PATH": "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "TZ": ":UTC",
}


class Environment(dict):
    """A function's environment, and the configuration that bounds its cell."""


environment_with_ours = lambda_svc._provided_worker_env


def environment(config, code_dir, port):
    given = environment_with_ours(config, code_dir, port)
    # The emulator's own environment is not the function's, but for the address of the local AWS.
    kept = lambda_svc._RESERVED_RUNTIME_ENV_VARS | set(lambda_svc._runtime_env_vars(config)) | {"AWS_ENDPOINT_URL"}
    result = Environment({name: value for name, value in given.items() if name in kept} | LAMBDA)
    result["AWS_LAMBDA_LOG_GROUP_NAME"] = f"/aws/lambda/{config['FunctionName']}"
    # By this a function's runtime writes its log in the form that its configuration has.
    if (config.get("LoggingConfig") or {}).get("LogFormat") == "JSON":
        result["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
    result.config = config
    return result


def popen(command, *, env=None, **rest):
    if not isinstance(env, Environment):
        return subprocess.Popen(command, env=env, **rest)
    bounds = {
        "--task": os.path.dirname(command[0]),
        "--memory-mib": env.config["MemorySize"],
        "--tmp-mib": (env.config.get("EphemeralStorage") or {}).get("Size", 512),
    }
    options = [str(part) for option in bounds.items() for part in option]
    return subprocess.Popen([CELL, *options, "/var/task/bootstrap"], env=dict(env), **rest)


lambda_svc._provided_worker_env = environment
lambda_runtime.subprocess = types.SimpleNamespace(**vars(subprocess) | {"Popen": popen})


def children(process):
    found = []
    try:
        for thread in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{thread}/children") as listed:
                found += [int(child) for child in listed.read().split()]
    except OSError:
        pass
    return found


def inside(keeper):
    """The processes of a cell: all under bwrap's own two, which are under the one that keeps it and must see the function end."""
    inits = [init for bwrap in children(keeper) for init in children(bwrap)]
    found, parents = [], inits
    while parents:
        below = children(parents.pop())
        found += below
        parents = parents + below
    return found


def runs(process):
    try:
        with open(f"/proc/{process}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] not in (b"T", b"t", b"Z", b"X")
    except OSError:
        return False


def send(processes, number):
    for process in processes:
        try:
            os.kill(process, number)
        except ProcessLookupError:
            pass


def freeze(keeper):
    # A process may fork before its turn comes.
    while running := [process for process in inside(keeper) if runs(process)]:
        send(running, signal.SIGSTOP)
        time.sleep(0.001)


class Output:
    """The pipe of an environment's log. The emulator waits some milliseconds for what a function wrote before its answer: on a busy
    machine that missed lines, and the metrics in them, up to the next invocation."""

    def __init__(self, stream):
        self.stream, self.rest, self.lock = stream, b"", threading.Lock()

    def waiting(self):
        return int.from_bytes(fcntl.ioctl(self.stream, termios.FIONREAD, bytes(4)), "little")

    def take(self, lines):
        """Moves what is in the pipe to a queue of lines, whose oldest are dropped. One that was closed has nothing."""
        with self.lock:
            while not self.stream.closed and self.waiting():
                *whole, self.rest = (self.rest + os.read(self.stream.fileno(), 1 << 16)).split(b"\n")
                for line in whole:
                    self.put(line, lines)

    def put(self, line, lines):
        with contextlib.suppress(queue.Empty):
            if lines.full():
                lines.get_nowait()
        lines.put_nowait(line.decode("utf-8", errors="replace").rstrip("\r"))


def output_of(stream):
    return vars(stream).setdefault("output", Output(stream))


def pump(_, stream, lines):
    output, poll = output_of(stream), select.poll()
    poll.register(stream, select.POLLIN)
    ends = False
    while not ends:
        ends = any(event & ~select.POLLIN for _, event in poll.poll())
        output.take(lines)
    with output.lock:
        stream.close()
        if output.rest:
            output.put(output.rest, lines)


Worker = lambda_runtime.ProvidedWorker
asks_for_first, invoke_thawed = Worker._mark_first_poll, Worker.invoke


def asks_for_more(worker, generation):
    current = asks_for_first(worker, generation)
    worker.asked = getattr(worker, "asked", 0) + current
    return current


def freeze_idle(worker, wanted):
    """Lambda freezes an environment once its runtime asks for the next event. Returns the process that was frozen."""
    deadline = time.monotonic() + SECONDS_TO_ASK_FOR_MORE
    while (process := worker._proc) is not None and process.poll() is None and time.monotonic() < deadline:
        if worker.asked >= wanted:
            freeze(process.pid)
            return process
        time.sleep(0.002)
    return None


def invoke(worker, *arguments, **named):
    if worker._proc is not None:
        send(inside(worker._proc.pid), signal.SIGCONT)
    asked = getattr(worker, "asked", 0)
    cold = worker._proc is None or worker._proc.poll() is not None
    frozen = None
    try:
        result = invoke_thawed(worker, *arguments, **named)
    finally:
        # One that was started asked for this event, too.
        frozen = freeze_idle(worker, asked + (2 if cold else 1))
    if frozen:
        output_of(frozen.stdout).take(worker._stderr_queue)
        result["log"] = "\n".join(filter(None, [result.get("log"), worker._drain_stderr()]))
    return result


Worker._mark_first_poll, Worker._pump_output, Worker.invoke = asks_for_more, pump, invoke
