"""Families of transformers: data files that say what each config key and tensor is.

A family and a config.json give a layout (``lay``); two configs give operations, recipes and the
student's config (``growth``, ``recipes``). A new family is one file in ``data``.
"""

from net2net_cli.families.family import Config, Family
from net2net_cli.families.growth import FamilyGrowth, compare, drift, operations, student_config
from net2net_cli.families.lay import LaidFamily, check_tensors, lay_out
from net2net_cli.families.reading import (
    families,
    family_named,
    family_of,
    parse_family,
    read_family,
)
from net2net_cli.families.recipes import make_recipes, student_dtypes
from net2net_cli.families.target import outline, target_of
from net2net_cli.families.text import CONFIG, Described, described, dump, whole

__all__ = [
    "CONFIG",
    "Config",
    "Described",
    "Family",
    "FamilyGrowth",
    "LaidFamily",
    "check_tensors",
    "compare",
    "described",
    "drift",
    "dump",
    "families",
    "family_named",
    "family_of",
    "lay_out",
    "make_recipes",
    "operations",
    "outline",
    "parse_family",
    "read_family",
    "student_config",
    "student_dtypes",
    "target_of",
    "whole",
]
