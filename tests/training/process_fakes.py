"""Processes of a test: they start from one server that has imported torch, and so at once."""

import multiprocessing
import os
import socket

import torch

# threads that wait do not spin: on a machine with other work two threads are as fast as one then
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
CONTEXT = multiprocessing.get_context("forkserver")
# what a fit imports when it needs it takes longer than the fits here
CONTEXT.set_forkserver_preload(
    [
        "distembed.model.gde",
        "distembed.data.synthetic.gaussians",
        "torch._dynamo",
        "scipy.stats",
        "ot",
    ]
)
SECONDS = 240


def start(function, *arguments):
    """Start a process."""
    process = CONTEXT.Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


def on_ranks(size, function, *arguments):
    """Call a function in `size` processes as torchrun would; return their results in order."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pipes = [CONTEXT.Pipe(duplex=False) for _ in range(size)]
    processes = [
        start(_rank, rank, size, port, sender, function, arguments)
        for rank, (_, sender) in enumerate(pipes)
    ]
    try:
        for _, sender in pipes:
            sender.close()
        results = [receiver.recv() for receiver, _ in pipes if receiver.poll(SECONDS)]
        assert len(results) == size, "a process did not answer"
        return results
    finally:
        for process in processes:
            process.join(10)
            process.kill()


def _rank(rank, size, port, sender, function, arguments):
    from distembed.training.distributed import process_group

    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    with process_group():
        sender.send(function(*arguments))
