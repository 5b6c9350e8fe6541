"""Run verbs on damaged files, in a process that a crash of a library may end."""

import contextlib
import io
import resource
import signal
import sys
import traceback

__all__ = ["attempt", "start"]


class TooSlowError(Exception):
    """A verb ran past its time."""


def start():
    """Bound the memory of the worker, so that an allocation from a header fails, and import."""
    limit = 8 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    import torch

    torch.set_num_threads(1)
    import distembed.cli.main
    import distembed.model.gde  # noqa: F401


def attempt(words, seconds=20):
    """Run a verb; return what is wrong with how it ended, or an empty string."""
    from distembed.cli.main import main

    def stop(number, frame):
        raise TooSlowError

    out, err = io.StringIO(), io.StringIO()
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main(words)
    except SystemExit as ended:
        if ended.code in (None, 0):
            return ""
        if ended.code in (1, 2) and err.getvalue().strip():
            return ""
        return f"exit code {ended.code} with the message {err.getvalue()!r}"
    except TooSlowError:
        return f"still running after {seconds} s"
    except BaseException:  # noqa: BLE001 - whatever reaches a user as a traceback
        return "".join(traceback.format_exception(*sys.exc_info())[-6:])
    finally:
        signal.alarm(0)
    return ""
