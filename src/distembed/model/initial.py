"""The network before training, stored without repeating what can be rebuilt.

Trainable parameters of named members are a function of the specification and the seed. All else
(buffers that were prepared on training sets, frozen parameters) does not change in training, and
is shared with the trained network. What remains is stored: the parameters of a user's own module,
parameters that the preparation has set, and buffers that the training has changed.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from distembed.model.fitted import FittedModel
from distembed.model.network import Network
from distembed.model.spec import Spec

__all__ = ["initial_network", "snapshot", "misfits", "unrebuildable"]


def snapshot(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy, on the CPU, of all state of a network that a training may change."""
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    state = network.state_dict()
    return {name: value.cpu().clone() for name, value in state.items() if name not in frozen}


def unrebuildable(
    spec: Spec, network: Network, built: Mapping[str, Tensor], initial: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the tensors of the state before training that have to be stored.

    Args:
        spec: The specification of the network.
        network: The trained network.
        built: Its state as it was built from the specification and the seed.
        initial: Its state before the first step, after the preparation.
    """
    rebuilt, trained = _rebuilt_names(spec, network), network.state_dict()
    return {
        name: value
        for name, value in initial.items()
        if not _same(value, built[name] if name in rebuilt else trained[name].cpu())
    }


def initial_network(fitted: FittedModel) -> Network:
    """Rebuild the network in its state before the first training step."""
    network = fitted.spec.build(fitted.event_shape, fitted.config.seed)
    rebuilt, built = _rebuilt_names(fitted.spec, network), network.state_dict()
    trained = fitted.network.state_dict()
    shared = {name: built[name] if name in rebuilt else trained[name] for name in trained}
    network.load_state_dict({**shared, **fitted.initial})
    return network.to(fitted.runtime.device).eval()


def misfits(network: nn.Module, initial: Mapping[str, Tensor]) -> list[str]:
    """Return what is wrong with stored tensors of the state before training, one entry each."""
    state = network.state_dict()
    return [f"{name} is not part of the model" for name in initial if name not in state] + [
        f"{name} has shape {tuple(value.shape)} before training, expected "
        f"{tuple(state[name].shape)}"
        for name, value in initial.items()
        if name in state and value.shape != state[name].shape
    ]


def _rebuilt_names(spec: Spec, network: nn.Module) -> set[str]:
    """Return the names of trainable parameters that the specification and the seed decide."""
    own = tuple(f"{part}." for part, value in vars(spec).items() if isinstance(value, nn.Module))
    return {
        name
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and not name.startswith(own)
    }


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and bool((one == other).all())
