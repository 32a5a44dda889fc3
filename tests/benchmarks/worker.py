"""A contender's own process, so that memory, allocator and threads are its own."""

import multiprocessing
import os
import signal
import sys
import time
from contextlib import contextmanager

from threadpoolctl import threadpool_info

contender = None  # of this process


def prepare(who, problem):
    """Ready to step.     -> {seconds that took, threads of each library}"""
    global contender
    began = time.perf_counter()
    contender = who.make(problem)
    contender.step()
    threads = {pool["internal_api"]: pool["num_threads"] for pool in threadpool_info()}
    if "torch" in sys.modules:
        threads["torch"] = sys.modules["torch"].get_num_threads()
    return {"preparation_seconds": round(time.perf_counter() - began, 1), "threads": threads}


def value_and_gradient(who, problem):
    return who.make(problem).value_and_gradient()


def turn(warm, least):
    """Steps for `warm` seconds, until the threads of others have gone to sleep, then timed ones for `least`.
    -> seconds of each step; cores in use, those that wait busily too"""
    began = time.perf_counter()
    while not contender.step() and time.perf_counter() - began < warm:
        pass
    seconds, began, cpu = [], time.perf_counter(), time.process_time()
    while sum(seconds) < least:
        start = time.perf_counter()
        contender.step()
        seconds.append(time.perf_counter() - start)
    return seconds, (time.process_time() - cpu) / (time.perf_counter() - began)


def peak_memory():
    """The most memory that this whole process has held so far, in MB; None where the system does not say.
    Linux counts in ru_maxrss also what the process that started this one held, so that it is asked otherwise."""
    try:
        with open("/proc/self/status") as lines:
            return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6)
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6)


@contextmanager
def environment(variables):
    """Variables for the processes that start meanwhile."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def serve(connection):
    """Compute what is asked for until the other end closes, or its process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        try:
            reply = function(*arguments), None
        except Exception as error:
            reply = None, (type(error).__name__, str(error))  # not every error can be pickled
        try:
            connection.send(reply)
        except BrokenPipeError:
            return


class Failed(RuntimeError):
    """A function failed in a worker."""


class Worker:
    """A process with these variables in its environment.  It ends with the `with` block, or with its parent."""

    def __init__(self, variables):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,), daemon=True)
        with environment(variables):
            self.process.start()
        theirs.close()

    def __call__(self, function, *arguments):
        """function(*arguments), there.  Raises Failed, in one line, where it fails or the process dies."""
        try:
            self.connection.send((function, arguments))
            value, error = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            raise Failed(f"its process died, exit code {self.process.exitcode}") from None
        if error:
            raise Failed(f"{error[0]}: {next(iter(error[1].splitlines()), '')}")
        return value

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()
        self.process.join()
