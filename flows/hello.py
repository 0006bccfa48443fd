"""Three steps, one after the other: the smallest flow that is one.

omniq-flow run hello --set name=Ada
"""

from __future__ import annotations

from pydantic import BaseModel

from omniq_flow import Flow, result


class Guest(BaseModel):
    name: str = "World"


class Letter(BaseModel):
    to: str
    lines: list[str]


flow = Flow("hello", input=Guest)


@flow.step
def greet(guest: Guest) -> str:
    """Take the flow's input: it arrives in the parameter with the input's type."""
    return f"Hello, {guest.name}!"


@flow.step
def wish(greeting: str = result(greet)) -> str:
    """Take the value of another step, and so wait for it."""
    return f"{greeting} Have a good day."


@flow.step
def letter(guest: Guest, greeting: str = result(greet), wishes: str = result(wish)) -> Letter:
    """Take as many values as needed; the last step's value is the run's result."""
    return Letter(to=guest.name, lines=[greeting, wishes])
