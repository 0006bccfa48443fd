"""Values as JSON: what comes back as it was, and the sentence that refuses the rest."""

from __future__ import annotations

import dataclasses
import datetime as dt
import timeit
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from omniq_flow.errors import InputError, ValueNotJson, ValueTooLarge
from omniq_flow.flow.values import Codec, read_input


class Colour(Enum):
    RED = 1


class Size(StrEnum):
    BIG = "big"


class Inner(BaseModel):
    score: float = 0.5
    tags: list[str] = []


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Box:
    width: int
    inner: Inner


class Row(TypedDict):
    a: int
    b: str | None


class Everything(BaseModel):
    naive: dt.datetime = dt.datetime(2024, 2, 29, 23, 59, 59, 123456)
    aware: dt.datetime = dt.datetime(2024, 2, 29, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30)))
    day: dt.date = dt.date(2024, 2, 29)
    span: dt.timedelta = dt.timedelta(days=1, microseconds=1)
    id: UUID = UUID("12345678123456781234567812345678")
    price: Decimal = Decimal("0.1")
    colour: Colour = Colour.RED
    size: Size = Size.BIG
    blob: bytes = "é\x00".encode()
    inner: Inner = Inner()
    big: int = 2**63
    odd: int = 130775545883395173
    maybe: int | None = None
    box: Box = Box(1, Inner())
    point: Point = Point(1, 2)
    by_number: dict[int, Inner] = {1: Inner()}
    pair: tuple[int, str] = (1, "a")
    several: set[int] = {1, 2}
    either: int | str = "1"
    kind: Literal["a"] = "a"


class Aliased(BaseModel):
    model_config = ConfigDict(extra="forbid")
    one: int = Field(alias="Eins")
    two: int = Field(validation_alias="zwei")
    three: int = Field(serialization_alias="drei")


ROUND_TRIPS: list[tuple[Any, Any]] = [
    (None, None),
    (int | None, None),
    (Any, None),
    (str, ""),
    (int, 0),
    (bool, False),
    (Any, False),
    (list[int], []),
    (dict[str, int], {}),
    (Any, []),
    (Any, {}),
    (Any, {"a": [1, 2.5, None, True, "é"]}),
    (str, "a\u0000b"),
    (Any, "a\u0000b"),
    (str, "\u2028 \U0001f600 é"),
    (int, 2**63),
    (int, 130775545883395173),
    (Any, 2**80),
    (float, 0.1),
    (float, 1e308),
    (Everything, Everything()),
    (list[Everything], [Everything(), Everything()]),
    (Aliased, Aliased(Eins=1, zwei=2, three=3)),  # type: ignore[call-arg]
    (Row, {"a": 1, "b": None}),
    (Box, Box(3, Inner())),
    (Point, Point(1, 2)),
    (int | str, "5"),
    (int | str, 5),
    (list[int | str], [1, "1"]),
    (dict[str, Any], {"a": {"b": [1]}}),
    (bytes, b"\x00 text"),
    (Decimal, Decimal("0.10")),
    (dt.datetime, dt.datetime(2024, 1, 1)),
]


@pytest.mark.parametrize(("annotation", "value"), ROUND_TRIPS)
def test_a_value_comes_back_as_it_was(annotation: Any, value: Any) -> None:
    codec = Codec(annotation, "a")
    back = codec.decode(codec.encode(value))
    assert back == value
    assert type(back) is type(value)


def numbers() -> Iterator[int]:
    yield from (1, 2)


def nothing() -> Iterator[int]:
    yield from ()


@pytest.mark.parametrize(
    ("value", "elements"),
    [([], []), ((), []), (nothing(), []), ([1], [b"1"]), ((1, 2), [b"1", b"2"]), (numbers(), [b"1", b"2"])],
)
def test_a_list_step_may_give_a_list_a_tuple_or_a_generator(value: Any, elements: list[bytes]) -> None:
    assert Codec(list[int], "a").encode_elements(value) == elements


def test_a_whole_list_from_a_generator() -> None:
    assert Codec(list[int], "a").encode(numbers()) == b"[1,2]"


@pytest.mark.parametrize(
    ("value", "given"),
    [
        (None, "None"),
        ("abc", "a str"),
        (5, "an int"),
        ({}, "a dict"),
        ({1}, "a set"),
        (range(3), "a range"),
        (iter([1]), "a list_iterator"),
    ],
)
def test_nothing_else_is_a_list(value: Any, given: str) -> None:
    for encode in (Codec(list[int], "pages").encode, Codec(list[int], "pages").encode_elements):
        with pytest.raises(ValueNotJson) as caught:
            encode(value)
        assert caught.value.message == f"pages: returned {given} where list[int] is declared; a list, a tuple or a generator is accepted"


def test_what_a_generator_raises_is_the_failure_of_its_step() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        Codec(list[int], "a").encode(broken())


class Report(BaseModel):
    pages: list[Inner] = []
    extra: Any = None
    text: str = ""
    blob: bytes = b""
    maybe: float | None = None


def report(**fields: Any) -> Report:
    return Report.model_construct(**{"pages": [], "extra": None, "text": "", "blob": b"", "maybe": None, **fields})


NAN, INF = float("nan"), float("inf")
REFUSED: list[tuple[Any, Any, str, str]] = [
    (float, NAN, "", "the value is nan (float); JSON has no such number"),
    (list[float], [1.0, -INF], "[1]", "[1] is -inf (float); JSON has no such number"),
    (dict[str, float], {"a": INF}, "['a']", "['a'] is inf (float); JSON has no such number"),
    (Report, report(pages=[Inner(), Inner(score=NAN)]), "pages[1].score", "pages[1].score is nan (float); JSON has no such number"),
    (Report, report(maybe=NAN), "maybe", "maybe is nan (float); JSON has no such number"),
    (Any, {"a": NAN}, "['a']", "['a'] is nan (float); JSON has no such number"),
    (str, "\ud800", "", "the value is a str with a lone surrogate ('\\ud800'), which is no UTF-8"),
    (Report, report(text="a\udfff"), "text", "text is a str with a lone surrogate ('a\\udfff'), which is no UTF-8"),
    (Any, {"\ud800": 1}, " key '\\ud800'", "key '\\ud800' is a str with a lone surrogate ('\\ud800'), which is no UTF-8"),
    (bytes, b"\x00\xff", "", "the value is bytes that are no UTF-8 (b'\\x00\\xff'); write them as base64 text"),
    (Report, report(blob=b"\xff"), "blob", "blob is bytes that are no UTF-8 (b'\\xff'); write them as base64 text"),
    (Any, {1, 2}, "", "the value is a set, which JSON does not keep (it comes back as a list)"),
    (Any, (1,), "", "the value is a tuple, which JSON does not keep (it comes back as a list)"),
    (Any, {1: 2}, " key 1", "[1] is lost on the way through JSON"),
    (Any, [dt.date(2024, 1, 1)], "[0]", "[0] is a date, which JSON does not keep (it comes back as a str)"),
    (Any, Inner(), "", "the value is an Inner, which JSON does not keep (it comes back as a dict)"),
    (Report, report(extra={"s": {1}}), "extra['s']", "extra['s'] is a set, which JSON does not keep (it comes back as a list)"),
    (Any, iter([1]), "", "the value is a list_iterator, which can be read only once; make it a list"),
    (Report, report(extra=numbers()), "extra", "extra is a generator, which can be read only once; make it a list"),
    (int, "5", "", "the value is a str where int is declared (Input should be a valid integer)"),
    (int, None, "", "the value is None where int is declared (Input should be a valid integer)"),
    (int, True, "", "the value is a bool where int is declared (Input should be a valid integer)"),
    (None, 1, "", "the value is an int where None is declared (Input should be None)"),
    (Inner, Point(1, 2), "", "the value is a Point where Inner is declared (Input should be a valid dictionary or instance of Inner)"),
    (Inner, {"score": "1"}, "score", "score is a str where Inner is declared (Input should be a valid number)"),
    (list[int], [1, "b"], "[1]", "[1] is a str where list[int] is declared (Input should be a valid integer)"),
]


@pytest.mark.parametrize(("annotation", "value", "path", "sentence"), REFUSED)
def test_what_json_cannot_hold_is_refused_with_its_path(annotation: Any, value: Any, path: str, sentence: str) -> None:
    with pytest.raises(ValueNotJson) as caught:
        Codec(annotation, "report").encode(value)
    assert caught.value.message == f"report: {sentence}"
    if "lost" not in sentence:
        assert caught.value.where == path.strip()


def test_an_object_under_any_is_refused() -> None:
    with pytest.raises(
        ValueNotJson, match=r"a: the value cannot be written as JSON \(Unable to serialize unknown type: <class 'object'>\)"
    ):
        Codec(Any, "a").encode(object())


def test_the_smallest_part_that_cannot_be_written_is_named() -> None:
    circle: list[object] = []
    circle.append(circle)
    for value, place in (({"deep": [1, object()]}, "['deep'][1]"), ([Inner(), {"x": object()}], "[1]['x']"), (circle, "[0]")):
        with pytest.raises(ValueNotJson, match="cannot be written as JSON") as caught:
            Codec(Any, "a").encode(value)
        assert caught.value.where == place
        assert caught.value.message.startswith(f"a: {place} cannot")


class Richer(Inner):
    more: int = 1


class Same(Inner):
    pass


def test_what_a_subclass_adds_is_not_lost_in_silence() -> None:
    with pytest.raises(ValueNotJson, match="a: the value is a Richer where Inner is declared; more would be lost"):
        Codec(Inner, "a").encode(Richer())
    for encode in (Codec(list[Inner], "a").encode, Codec(list[Inner], "a").encode_elements):
        with pytest.raises(ValueNotJson, match=r"a: (\[1\]|the value) is a Richer where Inner is declared; more would be lost"):
            encode([Inner(), Richer()])
    with pytest.raises(ValueNotJson, match="more would be lost"):
        Codec(Inner | None, "a").encode(Richer())
    assert Codec(Inner | None, "a").encode(None) == b"null"
    assert Codec(Inner, "a").encode(Same()) == Codec(Inner, "a").encode(Inner())
    assert Codec(Inner | Richer, "a").decode(Codec(Inner | Richer, "a").encode(Richer())) == Richer()


def test_an_open_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("line\n")
    with path.open() as file:
        with pytest.raises(ValueNotJson, match="the value is a TextIOWrapper, which can be read only once"):
            Codec(Any, "a").encode(file)
        assert file.read() == "line\n"


def test_a_field_of_another_type_is_refused() -> None:
    with pytest.raises(ValueNotJson, match="report: the value cannot be written as JSON"):
        Codec(Report, "report").encode(report(text=5))


def test_a_model_that_hides_a_field_is_refused() -> None:
    class Hiding(BaseModel):
        seen: int
        hidden: int = Field(default=1, exclude=True)

    assert Codec(Hiding, "a").encode(Hiding(seen=1)) == b'{"seen":1}'
    with pytest.raises(ValueNotJson, match="a: hidden is an int that comes back as another"):
        Codec(Hiding, "a").encode(Hiding(seen=1, hidden=2))


def test_elements_are_refused_with_their_place() -> None:
    with pytest.raises(ValueNotJson) as caught:
        Codec(list[Inner], "pages").encode_elements([Inner(), Inner(), Inner(tags=["\ud800"])])
    assert caught.value.where == "[2].tags[0]"


def test_the_limit_names_the_largest_part() -> None:
    codec = Codec(Report, "report", limit=1_000)
    with pytest.raises(ValueTooLarge) as caught:
        codec.encode(report(pages=[Inner(), Inner(tags=["x" * 3_000])]))
    assert caught.value.message.startswith(
        "report: the value has 3.0 KiB, 1000 B is the limit; largest part: pages[1].tags[0] with 2.9 KiB"
    )
    assert caught.value.where == "pages[1].tags[0]"


def test_no_part_is_named_where_none_stands_out() -> None:
    with pytest.raises(ValueTooLarge) as caught:
        Codec(list[str], "a", limit=1_000).encode(["x" * 600, "y" * 600])
    assert caught.value.message == "a: the value has 1.2 KiB, 1000 B is the limit"


def test_a_mapped_list_is_limited_by_element() -> None:
    codec = Codec(list[str], "pages", limit=1_000)
    assert len(codec.encode_elements(["x" * 900] * 10)) == 10
    with pytest.raises(ValueTooLarge, match=r"pages: \[1\] has 1\.1 KiB, 1000 B is the limit"):
        codec.encode_elements(["", "x" * 1_100])
    with pytest.raises(ValueTooLarge):
        codec.encode(["x" * 900] * 10)


def test_the_default_limit_is_a_mebibyte() -> None:
    codec = Codec(str, "a")
    assert len(codec.encode("x" * (2**20 - 2))) == 2**20
    with pytest.raises(ValueTooLarge, match=r"a: the value has 1\.0 MiB, 1\.0 MiB is the limit"):
        codec.encode("x" * (2**20 - 1))


def test_a_stored_value_that_does_not_fit_names_the_place() -> None:
    with pytest.raises(ValueNotJson, match=r"a: the stored value does not fit list\[Inner\]: \[0\]\.score: Input should be a valid number"):
        Codec(list[Inner], "a").decode(b'[{"score":"x"}]')


def test_a_dict_that_fits_a_model_becomes_one() -> None:
    codec = Codec(Inner, "a")
    assert codec.decode(codec.encode({"score": 2.0})) == Inner(score=2.0)


def test_int_is_read_as_float_where_a_float_is_declared() -> None:
    assert Codec(float, "a").encode(3) == b"3.0"


def test_a_small_model_costs_microseconds() -> None:
    codec, value = Codec(Inner, "a"), Inner(tags=["a", "b"])
    best = min(timeit.repeat(lambda: codec.encode(value), number=500, repeat=5)) / 500
    assert best < 50e-6


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_any_json_comes_back_as_it_was(value: Any) -> None:
    codec = Codec(Any, "a")
    assert codec.decode(codec.encode(value)) == value


INNER = st.builds(Inner, score=st.floats(allow_nan=False, allow_infinity=False), tags=st.lists(st.text()))


@given(INNER)
def test_any_model_comes_back_as_it_was(value: Inner) -> None:
    codec = Codec(Annotated[Inner, "kept"], "a")
    assert codec.decode(codec.encode(value)) == value


class Order(BaseModel):
    number: int
    lines: list[Inner] = []


@pytest.mark.parametrize("value", [Order(number=1), {"number": 1}, '{"number": 1}', b'{"number":"1"}'])
def test_an_input_is_a_model_a_dict_or_json(value: Any) -> None:
    assert read_input(Order, value) == Order(number=1)


def test_every_wrong_field_of_an_input_is_named() -> None:
    with pytest.raises(InputError) as caught:
        read_input(Order, {"number": "x", "lines": [{}, {"score": "y"}]})
    assert [fault.message for fault in caught.value.faults] == [
        "number: Input should be a valid integer, unable to parse string as an integer, got 'x'",
        "lines[1].score: Input should be a valid number, unable to parse string as a number, got 'y'",
    ]


@pytest.mark.parametrize("value", ["{", "", None, [], "[1]"])
def test_what_is_no_input_at_all(value: Any) -> None:
    with pytest.raises(InputError, match="the input is no Order"):
        read_input(Order, value)


def test_a_flow_without_input_takes_none() -> None:
    assert read_input(None, None) is None
    with pytest.raises(InputError, match="this flow takes no input"):
        read_input(None, {})
