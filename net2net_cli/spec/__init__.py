"""Specs: YAML that describes a network, read, edited and turned into a graph of layers."""

from net2net_cli.network import Input, Layer, Spec, Value
from net2net_cli.spec.arguments import normalise_default
from net2net_cli.spec.bases import resolve
from net2net_cli.spec.document import (
    Document,
    network_only,
    parse_document,
    read_document,
    without_keys,
)
from net2net_cli.spec.dump import dump
from net2net_cli.spec.edit import with_args, without_args
from net2net_cli.spec.extend import Change, Extension, extend, extension, with_changes
from net2net_cli.spec.graph import to_spec
from net2net_cli.spec.insertion import insert_after
from net2net_cli.spec.numbering import insert_numbered
from net2net_cli.spec.renaming import Renames, renamed

__all__ = [
    "Change",
    "Document",
    "Extension",
    "Input",
    "Layer",
    "Renames",
    "Spec",
    "Value",
    "dump",
    "extend",
    "extension",
    "insert_after",
    "insert_numbered",
    "network_only",
    "normalise_default",
    "parse_document",
    "read_document",
    "renamed",
    "resolve",
    "to_spec",
    "with_args",
    "with_changes",
    "without_args",
    "without_keys",
]
