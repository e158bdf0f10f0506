"""The `transformers` library as the verifier uses it: silent, offline, and in float64.

A checkpoint's own code (`auto_map`, custom generation) is never run and nothing is ever fetched:
a class is looked up in the library by its name, and it loads tensors that are read when they are
used (deferred.py): it renames and merges them as it likes, and no model has to fit memory.
"""

from __future__ import annotations

import copy
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from net2net_cli.errors import CheckpointError, Net2NetError
from net2net_cli.io import Source
from net2net_cli.verify.deferred import deferred

INSTALL = "pip install 'net2net[hf]'"


@dataclass(frozen=True)
class Pretrained:
    """A model that transformers is to build: config.json's content and the tensors."""

    config: Mapping[str, Any]
    source: Source


@dataclass(frozen=True)
class Misfit:
    """What transformers says of a checkpoint's tensors: names that it lacks, holds in excess, and
    holds in another shape."""

    missing: frozenset[str] = frozenset()
    unexpected: frozenset[str] = frozenset()
    mismatched: frozenset[str] = frozenset()

    def beyond(self, other: Misfit) -> Misfit:
        """What is wrong here and not there; block numbers do not count."""
        return Misfit(
            _beyond(self.missing, other.missing),
            _beyond(self.unexpected, other.unexpected),
            _beyond(self.mismatched, other.mismatched),
        )

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.mismatched)


def unavailable(config: Mapping[str, Any]) -> str | None:
    """Why transformers cannot build the network of a config.json; None where it can.

    It is not installed, cannot be imported, or has no such class. Raises nothing.
    """
    with quiet(), offline():
        found = _look_up(config)
    return found if isinstance(found, str) else None


def model_class(model: Pretrained) -> Any:
    """The class in transformers; a CheckpointError with the reason where there is none."""
    found = _look_up(model.config)
    if isinstance(found, str):
        raise CheckpointError(found, where=model.source.label)
    return found


def model_config(model: Pretrained) -> Any:
    """The config as transformers understands it. CheckpointError where it rejects it."""
    kind = model_class(model)
    with told(model, "does not take the config.json"):
        return kind.config_class.from_dict(copy.deepcopy(dict(model.config)))


def load(model: Pretrained, device: str) -> tuple[nn.Module, Misfit]:
    """The network in float64 and evaluation mode, on ``device``, and how its tensors fit.

    Its parameters are Deferred: the source must stay open while it runs. Tensors that are missing
    or misshapen are 0, where transformers would draw them at random. CheckpointError where
    transformers refuses.
    """
    import transformers

    kind = model_class(model)
    options: dict[str, Any] = {
        "dtype" if _is_fifth(transformers) else "torch_dtype": torch.float64,
        "config": model_config(model),
        "state_dict": deferred(model.source),
        "attn_implementation": "eager",
        "local_files_only": True,
        "trust_remote_code": False,
        "generation_config": transformers.GenerationConfig(),  # else a custom one's code may run
        "ignore_mismatched_sizes": True,  # they are reported
        "output_loading_info": True,
    }
    with told(model, f"cannot load it as {kind.__name__}"):
        network, info = kind.from_pretrained(None, **options)
        if hasattr(network, "set_experts_implementation"):
            network.set_experts_implementation("eager")  # others need bfloat16, or a GPU
        network.config.return_dict = True
        misfit = Misfit(
            frozenset(info["missing_keys"]),
            frozenset(info["unexpected_keys"]),
            frozenset(f if isinstance(f, str) else f[0] for f in info["mismatched_keys"]),
        )
        _clear(network, misfit.missing | misfit.mismatched)
        return network.eval().to(device), misfit


def registered_parameters(model: Pretrained) -> tuple[str, tuple[str, ...]]:
    """The names of the class' parameters, in the order in which it registers them, and the prefix
    of those that a base model has without a head. No weight is made.

    CheckpointError where transformers is missing, or refuses.
    """
    with quiet(), offline():
        kind, config = model_class(model), model_config(model)
        with told(model, f"cannot build {kind.__name__}"), torch.device("meta"):
            network = kind(config)
        return f"{network.base_model_prefix}.", tuple(n for n, _ in network.named_parameters())


@contextmanager
def told(model: Pretrained, what: str) -> Iterator[None]:
    """Turns whatever fails inside transformers into one line: ``transformers WHAT: ...``; but not
    what is the memory's, or a GPU's."""
    try:
        yield
    except (Net2NetError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if isinstance(error, RuntimeError) and str(error).startswith("CUDA error"):
            raise
        message = f"transformers {what}: {_first_line(error)}"
        raise CheckpointError(message, where=model.source.label) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Neither log lines nor warnings nor progress bars inside; afterwards all is as before.

    Logging is disabled as a whole, since importing transformers sets its loggers' levels anew.
    """
    before = logging.root.manager.disable
    with warnings.catch_warnings(), ExitStack() as restore:
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        restore.callback(logging.disable, before)
        if (library := _import()) is not None:
            said = library.utils.logging
            if said.is_progress_bar_enabled():
                said.disable_progress_bar()
                restore.callback(said.enable_progress_bar)
        yield


@contextmanager
def offline() -> Iterator[None]:
    """As under HF_HUB_OFFLINE=1: also what asks the hub unasked, such as kernels, does not."""
    try:
        from huggingface_hub import constants
    except ImportError:  # then neither is there anything that could ask
        yield
        return
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _import() -> ModuleType | None:
    try:
        import transformers
    except Exception:  # noqa: BLE001   `_look_up` tells it
        return None
    return transformers  # type: ignore[no-any-return, unused-ignore]


def _look_up(config: Mapping[str, Any]) -> Any:
    """The class, or the reason why there is none: whatever goes wrong in importing is one."""
    try:
        import transformers
    except ModuleNotFoundError as error:
        if error.name == "transformers":
            return f"transformers is not installed ({INSTALL})"
        return f"transformers cannot be imported: {_first_line(error)}"
    except Exception as error:  # noqa: BLE001
        return f"transformers cannot be imported: {_first_line(error)}"
    try:
        name, found = _find(transformers, config)
    except Exception as error:  # noqa: BLE001   its classes are imported when they are asked for
        return f"transformers cannot be imported: {_first_line(error)}"
    if not (isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)):
        return f"transformers {transformers.__version__} has no model {name}"
    return found


def _find(library: Any, config: Mapping[str, Any]) -> tuple[str, Any]:
    """The name of the class and what the library has by that name, or None."""
    named = config.get("architectures")
    if isinstance(named, list | tuple) and named:
        name = str(named[0])
        return f"class {name}", getattr(library, name, None)
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in library.CONFIG_MAPPING:
        return f"of the type {kind}", None
    found = library.MODEL_MAPPING.get(library.CONFIG_MAPPING[kind], None)
    return f"of the type {kind}", found[0] if isinstance(found, tuple) else found


def _is_fifth(library: Any) -> bool:
    return int(library.__version__.split(".")[0]) >= 5


@torch.no_grad()
def _clear(network: nn.Module, names: frozenset[str]) -> None:
    state: dict[str, Tensor] = network.state_dict()
    for name in names & state.keys():
        state[name].zero_()


def _beyond(names: frozenset[str], others: frozenset[str]) -> frozenset[str]:
    known = {_pattern(name) for name in others}
    return frozenset(name for name in names if _pattern(name) not in known)


def _pattern(name: str) -> str:
    return re.sub(r"(?<=\.)\d+(?=\.|$)", "*", name)


def _first_line(error: BaseException) -> str:
    """Of the error that began it: transformers hides why an import failed behind its own."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
