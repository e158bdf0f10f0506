"""Specs: YAML that describes a network, read, edited and turned into a graph of layers."""

from net2net_cli.spec.bases import resolve
from net2net_cli.spec.document import Document, network_only, parse_document, read_document
from net2net_cli.spec.dump import dump
from net2net_cli.spec.edit import with_args
from net2net_cli.spec.extend import extend
from net2net_cli.spec.graph import to_spec
from net2net_cli.spec.insertion import insert_after
from net2net_cli.spec.model import Input, Layer, Spec, Value

__all__ = [
    "Document",
    "Input",
    "Layer",
    "Spec",
    "Value",
    "dump",
    "extend",
    "insert_after",
    "network_only",
    "parse_document",
    "read_document",
    "resolve",
    "to_spec",
    "with_args",
]
