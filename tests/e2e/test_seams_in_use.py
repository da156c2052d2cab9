"""Every body of ours in place of one of asyncua's is on the way of a real client's requests."""

import inspect
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from node.server import compat
from tests.e2e.server_stage import Keys, serving, site_node

pytestmark = pytest.mark.e2e


def seams() -> list[tuple[type, str]]:
    """Classes of ours with the names of what they override."""
    classes = [each for each in vars(compat).values() if inspect.isclass(each) and each.__module__ == compat.__name__]
    return [
        (cls, name)
        for cls in classes
        for name, body in vars(cls).items()
        if inspect.isfunction(body)
        and any(name in vars(base) for base in cls.__mro__[1:] if base.__module__.startswith("asyncua."))
    ]


def spy(passed: Counter[str], name: str, body: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(body)
    def passing(*args: Any, **words: Any) -> Any:
        passed[name] += 1
        return body(*args, **words)

    return passing


async def test_requests_of_a_client_pass_every_override(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: Counter[str] = Counter()
    expected = set()
    for cls, name in seams():
        expected.add(f"{cls.__name__}.{name}")
        monkeypatch.setattr(cls, name, spy(passed, f"{cls.__name__}.{name}", getattr(cls, name)))
    async with serving(tmp_path, Keys(tmp_path / "keys")) as stage, stage.client("bob") as client:
        await client.get_node(ua.ObjectIds.Server_ServerStatus_State).read_value()
        await client.get_node(ua.ObjectIds.ObjectsFolder).get_children()
        await client.open_secure_channel(renew=True)
        await client.get_node(site_node("xw1")).call_method(site_node("xw1.StartSell"))
    assert expected
    assert set(passed) == expected
