"""A group's name from a run's input."""

from __future__ import annotations

from enum import Enum

import pytest
from pydantic import BaseModel

from omniq_flow.errors import FlowDefinitionError, InputError
from omniq_flow.flow.definition import Flow
from omniq_flow.flow.group import check_group, render_group


class Tier(Enum):
    GOLD = "gold"


class Customer(BaseModel):
    name: str
    tier: Tier = Tier.GOLD
    parent: str | None = None


class Order(BaseModel):
    customer: Customer
    number: int = 7
    backup: Customer | None = None


ONLY_INPUT = "is not allowed; only fields of the input are, such as '{input.customer}'"
ORDER = Order(customer=Customer(name="acme"))


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("customer:{input.customer.name}", "customer:acme"),
        ("{input.customer.tier}/{input.number}", "gold/7"),
        ("{{{input.number}}}", "{7}"),
    ],
)
def test_a_group_is_rendered_from_the_input(template: str, name: str) -> None:
    assert check_group(template, Order) == []
    assert render_group(template, ORDER) == name


def test_a_field_behind_an_optional_model_is_known() -> None:
    assert check_group("{input.backup.name}", Order) == []


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("all", "group: 'all' names no field of the input, such as '{input.customer}'"),
        ("{input.custmer}", "group: {input.custmer} in '{input.custmer}': Order has no field 'custmer'; it has customer, number, backup"),
        ("{input.number.x}", "group: {input.number.x} in '{input.number.x}': int has no fields"),
        ("{input.customer}", "group: {input.customer} in '{input.customer}' is a whole Customer; name one of its fields"),
        ("{step.x}", "group: {step.x} in '{step.x}' is not allowed; only fields of the input are, such as '{input.customer}'"),
        ("{input}", "group: {input} in '{input}' is not allowed; only fields of the input are, such as '{input.customer}'"),
        (
            "{input.number:>9}",
            "group: {input.number} in '{input.number:>9}' is not allowed; only fields of the input are, such as '{input.customer}'",
        ),
        ("{}", "group: {} in '{}' is not allowed; only fields of the input are, such as '{input.customer}'"),
        ("{input.number", "group: '{input.number' cannot be read: expected '}' before end of string"),
    ],
)
def test_a_template_is_checked_with_the_plan(template: str, sentence: str) -> None:
    assert check_group(template, Order) == [sentence]


def test_a_flow_without_input_has_no_group() -> None:
    flow = Flow("f", group="{input.x}")

    @flow.step
    def a() -> int:
        return 1

    with pytest.raises(FlowDefinitionError) as caught:
        flow.check()
    [fault] = caught.value.faults
    assert fault.message == "flow f: group: '{input.x}' needs an input, and the flow declares none (input=...)"


@pytest.mark.parametrize("name", ["", "a\nb", "\x00", "x" * 129])
def test_a_group_name_is_short_printable_text(name: str) -> None:
    with pytest.raises(InputError):
        render_group("{input.customer.name}", Order(customer=Customer(name=name)))


def test_an_empty_field_gives_no_group() -> None:
    with pytest.raises(InputError) as caught:
        render_group("p:{input.customer.parent}", ORDER)
    assert caught.value.faults[0].message == "input.customer.parent is empty, and the flow's group 'p:{input.customer.parent}' needs it"
