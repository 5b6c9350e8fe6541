"""A run that is asked to stop saves its state at the end of the step, and resumes exactly."""

import os
import signal
import threading

import pytest
import torch
from test_checkpoint import Noisy, assert_same, numbers, run
from training_fakes import Killed

from distembed.training.interrupt import Interrupted, StopRequest, deferred_signals

SIGNALS = [signal.SIGINT, signal.SIGTERM]


class Asked(Noisy):
    """A `Noisy` whose process receives a signal in the loss of a step."""

    def __init__(self, number, at):
        super().__init__()
        self.number, self.at = number, at

    def forward(self, step):
        if torch.is_grad_enabled() and step.number == self.at:
            os.kill(os.getpid(), self.number)
        return super().forward(step)


@pytest.fixture(autouse=True)
def handlers():
    """Every test leaves the handlers that it met."""
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    after = [signal.getsignal(number) for number in SIGNALS]
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)
    assert after == before


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("at", [0, 4, 5, 8])
def test_a_signal_saves_and_stops_at_the_end_of_its_step(tmp_path, number, at):
    straight = Noisy()
    history = run(straight)
    path = tmp_path / "run.ckpt"
    module = Asked(number, at)
    with pytest.raises(Interrupted) as error:
        run(module, path)
    assert module.trained == list(range(at + 1))
    assert (error.value.step, error.value.steps) == (at + 1, 9)
    assert error.value.exit_code == 128 + number
    assert str(path) in str(error.value)
    assert signal.Signals(number).name in str(error.value)
    resumed = Noisy()
    assert numbers(run(resumed, path)) == numbers(history)
    assert resumed.trained == list(range(at + 1, 9))
    assert_same(resumed, straight)


def test_without_a_checkpoint_a_signal_acts_at_once():
    module = Asked(signal.SIGINT, at=4)
    with pytest.raises(KeyboardInterrupt) as error:
        run(module)
    assert not isinstance(error.value, Interrupted)
    assert module.trained == list(range(4))


def test_an_ignored_signal_stays_ignored(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        module = Asked(signal.SIGINT, at=4)
        run(module, tmp_path / "run.ckpt")
        assert module.trained == list(range(9))
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_error_of_a_step_restores_the_handlers(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Killed):
        run(Noisy(dies_at=4), tmp_path / "run.ckpt")
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_leaves_the_handlers_alone(tmp_path):
    module, handlers = Noisy(), []
    forward = module.forward

    def noting(step):
        handlers.append(signal.getsignal(signal.SIGINT))
        return forward(step)

    module.forward = noting
    thread = threading.Thread(target=run, args=(module, tmp_path / "run.ckpt"))
    thread.start()
    thread.join()
    assert module.trained == list(range(9))
    assert set(handlers) == {signal.getsignal(signal.SIGINT)}


def test_the_second_signal_acts_at_once():
    request = StopRequest(patience=-1.0)
    request.replace_handlers()
    signal.raise_signal(signal.SIGINT)
    assert request.number == signal.SIGINT
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_the_signals_of_a_terminal_and_a_launcher_are_one_request():
    request = StopRequest()
    request.replace_handlers()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        signal.raise_signal(number)
    assert request.number == signal.SIGINT
    request.restore_handlers()


def test_a_signal_that_nothing_acted_on_is_not_lost():
    with pytest.raises(KeyboardInterrupt), deferred_signals():
        signal.raise_signal(signal.SIGINT)


def test_a_checkpoint_is_written_by_the_time_too(tmp_path):
    path = tmp_path / "run.ckpt"
    with pytest.raises(Killed):
        run(Noisy(dies_at=5), path, every=9, checkpoint_seconds=1e-9)
    resumed, straight = Noisy(), Noisy()
    history = run(straight, every=9)
    assert numbers(run(resumed, path, every=9, checkpoint_seconds=60)) == numbers(history)
    assert resumed.trained == list(range(5, 9))
    assert_same(resumed, straight)
