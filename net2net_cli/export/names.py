"""Names of layers as Python can say them: attributes where that is possible, else by their text.

A layer may be called anything that a checkpoint can: ``0``, ``class``, ``conv-1``, ``type``.
"""

from __future__ import annotations

import keyword
import re

from net2net_cli.export.code import quoted

RESERVED = frozenset(
    """
    T_destination add_module append apply bfloat16 buffers call_super_init children clear compile
    cpu cuda double dump_patches eval extend extra_repr float forward get_buffer get_extra_state
    get_parameter get_submodule half insert ipu items keys load_state_dict modules mtia
    named_buffers named_children named_modules named_parameters parameters pop
    register_backward_hook register_buffer register_forward_hook register_forward_pre_hook
    register_full_backward_hook register_full_backward_pre_hook
    register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module
    register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_
    set_extra_state set_submodule share_memory state_dict to to_empty train training type update
    values xpu zero_grad _apply _backward_hooks _backward_pre_hooks _buffers _call_impl
    _compiled_call_impl _forward_hooks _forward_hooks_always_called _forward_hooks_with_kwargs
    _forward_pre_hooks _forward_pre_hooks_with_kwargs _get_abs_string_index _get_backward_hooks
    _get_backward_pre_hooks _get_item_by_idx _get_name _is_full_backward_hook
    _load_from_state_dict _load_state_dict_post_hooks _load_state_dict_pre_hooks
    _maybe_warn_non_full_backward_hook _modules _named_members _non_persistent_buffers_set
    _parameters _register_load_state_dict_pre_hook _register_state_dict_hook
    _replicate_for_data_parallel _save_to_state_dict _slow_forward _state_dict_hooks
    _state_dict_pre_hooks _version _wrapped_call_impl
    """.split()  # noqa: SIM905   a hundred names in ten lines
)
"""What torch's containers call their own, so that ``self.NAME`` is no member of that name."""

_WORDS = frozenset({"self", "torch", "nn", "Tensor", "OrderedDict", "super", "getattr", "range"})
_CLASSES = frozenset({"Tensor", "OrderedDict"})
_LONGEST = 24


def is_attribute(name: str) -> bool:
    """Whether ``self.NAME`` says it, and nothing of torch's own is called so."""
    return (
        name.isidentifier()
        and name.isascii()
        and not keyword.iskeyword(name)
        and not name.startswith("__")
        and name not in RESERVED
    )


def is_harmless(name: str) -> bool:
    """Whether it may stand in a docstring: names come from checkpoints, and the text is run."""
    return re.fullmatch(r"[\w.-]+", name, flags=re.ASCII) is not None


def is_plain(name: str) -> bool:
    """Whether a container of torch's may hold it as a member."""
    return name not in RESERVED


def counted(names: list[str]) -> bool:
    """Whether they are 0, 1, 2, ..., as ``nn.Sequential`` and ``nn.ModuleList`` count."""
    return names == [str(n) for n in range(len(names))]


def member(of: str, name: str, kind: str = "module") -> str:
    """The member of an object by its name: a module, a parameter or a buffer."""
    if is_attribute(name):
        return f"{of}.{name}"
    if name in RESERVED:
        return f"{of}._{kind}s[{quoted(name)}]"
    return f"getattr({of}, {quoted(name)})"


def variable(name: str) -> str:
    """A name for a local variable that reminds of a layer's; empty where none can."""
    found = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")[:_LONGEST]
    if not found or found[0].isdigit():
        return ""
    return f"{found}_" if keyword.iskeyword(found) or found in _WORDS else found


def class_name(words: str) -> str:
    """``conv_block`` as ``ConvBlock``; empty where nothing of it can stand in a name."""
    parts = re.split(r"[\W_]+", words, flags=re.ASCII)
    found = "".join(part[:1].upper() + part[1:] for part in parts)[:40]
    taken = keyword.iskeyword(found) or found in _CLASSES
    return found if found[:1].isalpha() and not taken else ""
