"""What options may hold."""

from __future__ import annotations

import pytest
from typer import BadParameter

from net2net_cli.cli.values import parse_bound, parse_count, parse_settings, parse_size
from net2net_cli.errors import UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("5GB", 5 * 10**9),
        ("5gb", 5 * 10**9),
        ("512MiB", 512 * 2**20),
        ("512 MiB", 512 * 2**20),
        ("1.5kB", 1500),
        ("2TiB", 2 * 2**40),
        ("2M", 2 * 10**6),
        ("1000", 1000),
        ("7B", 7),
    ],
)
def test_sizes_know_both_kinds_of_units(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "5iB", "5XB", "-1GB", "0", "0.1", "1e9", "5 G B", "٥x"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(BadParameter, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", "", "²"])
def test_counts_are_whole_and_positive(text: str) -> None:
    with pytest.raises(BadParameter):
        parse_count(text)


def test_a_default_passes_through_its_own_parser() -> None:
    assert parse_count(8) == 8
    assert parse_bound(0.0) == 0.0


def test_settings_keep_all_after_the_first_equals_sign() -> None:
    assert parse_settings(["a.b=[1, 2]", " c = d=e "]) == {"a.b": "[1, 2]", "c": "d=e"}


@pytest.mark.parametrize("pairs", [["a"], ["=1"], [" =1"], ["a=1", "a =2"]])
def test_settings_without_a_key_or_with_one_twice_are_refused(pairs: list[str]) -> None:
    with pytest.raises(UsageError):
        parse_settings(pairs)
