"""Durations, sizes, addresses: what is taken, what is refused, and the way back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdogd.loading.values import (
    Refused,
    address,
    duration,
    duration_text,
    gpus,
    publish,
    shown,
    size,
    size_text,
    text,
)
from watchdogd.settings import Address, Publish


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("500ms", 0.5),
        ("15s", 15.0),
        ("10m", 600.0),
        ("6h", 21600.0),
        ("3d", 259200.0),
        ("0.5s", 0.5),
    ],
)
def test_a_duration_has_a_unit(written: str, seconds: float) -> None:
    assert duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    [5, 5.0, True, None, [], "", "5", "s", "5 weeks", "-5s", "0s", "1e9s", "9999999d", "5s\n", "\u0665s", "nan", "0.0001ms"],
)  # fmt: skip
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(Refused):
        duration(written)


@pytest.mark.parametrize("written", [5, 0.5, "5"])
def test_a_bare_number_is_told_what_it_lacks(written: object) -> None:
    with pytest.raises(Refused, match="no unit"):
        duration(written)


@given(st.integers(min_value=1, max_value=366 * 86_400_000))
def test_a_duration_survives_the_way_back(millis: int) -> None:
    assert round(duration(duration_text(millis / 1000)) * 1000) == millis


@given(st.integers(min_value=1, max_value=2**50))
def test_a_size_survives_the_way_back(count: int) -> None:
    assert size(size_text(count)) == count


@given(st.text(max_size=12))
def test_any_text_is_a_duration_in_bounds_or_refused(written: str) -> None:
    try:
        seconds = duration(written)
    except Refused:
        return
    assert 0 < seconds <= 366 * 86400
    assert written[-1] in "smhd"


@pytest.mark.parametrize(
    ("written", "count"), [("8g", 8 * 1024**3), ("64k", 65536), ("1.5m", 1572864)]
)
def test_a_size_counts_in_powers_of_1024(written: str, count: int) -> None:
    assert size(written) == count


@pytest.mark.parametrize("written", [8, "8", "8x", "-8g", "0g", "99999999t"])
def test_what_is_no_size_is_refused(written: object) -> None:
    with pytest.raises(Refused):
        size(written)


def test_addresses() -> None:
    loopback = address(loopback=True)
    assert loopback("127.0.0.1:9000") == Address("127.0.0.1", 9000)
    assert loopback("localhost:9000") == Address("127.0.0.1", 9000)
    assert loopback("[::1]:9000") == Address("::1", 9000)
    assert address(loopback=False)("10.0.0.1:80") == Address("10.0.0.1", 80)
    assert address(loopback=False, any_port=True)("127.0.0.1:0") == Address("127.0.0.1", 0)


@pytest.mark.parametrize(
    "written",
    ["9000", ":9000", "0.0.0.0:9000", "10.0.0.1:9000", "example.org:9000", "127.0.0.1:0", "127.0.0.1:65536",
     "127.0.0.1:-1", "127.0.0.1:9_0", "::1:9000", "127.0.0.1:", "[::]:9000", "127.0.0.1:9000\x00", 9000],
)  # fmt: skip
def test_what_is_no_loopback_address_is_refused(written: object) -> None:
    with pytest.raises(Refused):
        address(loopback=True)(written)


def test_publish_is_loopback_only() -> None:
    expected = Publish(address=Address("127.0.0.1", 9000), container_port=8080)
    assert publish("127.0.0.1:9000:8080") == expected
    for written in ("9000:8080", "0.0.0.0:9000:8080", ":9000:8080", "8080", "127.0.0.1:9000:", 5):
        with pytest.raises(Refused):
            publish(written)


def test_gpus() -> None:
    assert gpus("all") == "all"
    assert gpus("none") == "none"
    assert gpus([0, "GPU-8f3a"]) == ("0", "GPU-8f3a")
    for written in ("some", [], [True], ["a b"], [-1], 0):
        with pytest.raises(Refused):
            gpus(written)


@pytest.mark.parametrize("char", ["\x00", "\n", "\x1b", "\x7f", "\x85", "\u2028"])
def test_control_characters_are_refused(char: str) -> None:
    with pytest.raises(Refused):
        text(f"a{char}b")


def test_what_is_shown_is_short_printable_and_no_token() -> None:
    token = "0123456789abcdef0123456789abcdef"
    assert token not in shown(f"http://x/?token={token}")
    assert len(shown("x y " * 1000)) < 80
    assert "\x1b" not in shown("\x1b[2J")
