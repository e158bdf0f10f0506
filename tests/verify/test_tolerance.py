"""The default tolerances, as documented in verify/tolerance.py."""

from __future__ import annotations

import pytest

from net2net_cli.verify.tolerance import MIXED, tolerance


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_exact_splits_are_held_to_float64_whatever_the_dtype(dtype):
    assert tolerance([dtype, "int64"]) == 1e-10
    assert tolerance([dtype], mode="training") == 1e-10


def test_rounding_follows_the_coarsest_dtype():
    assert tolerance(["float64"], rounding=True) == 1e-10
    assert tolerance(["float32", "int64"], rounding=True) == 1e-6
    assert tolerance(["float32", "bfloat16", "float16"], rounding=True) == 5e-2


def test_inserted_batch_norm_is_looser_in_training_mode_only():
    assert tolerance(["float64"], inserted="estimated") == 1e-10
    assert tolerance(["float64"], inserted="estimated", mode="training") == 1.0
    assert tolerance(["float64"], inserted="measured", mode="training") == 1e-8


def test_measured_statistics_are_rounded_when_stored():
    assert tolerance(["float32"], inserted="measured", mode="training") == 1e-6


def test_evaluation_in_less_than_float64_has_a_floor():
    assert tolerance(["float32"], evaluated_in="float32") == 1e-4


def test_parts_in_float32_have_a_floor_of_their_own():
    assert tolerance(["float32"], evaluated_in=MIXED) == 1e-5
    assert tolerance(["bfloat16"], evaluated_in=MIXED, rounding=True) == 5e-2
