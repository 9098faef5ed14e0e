"""What the tests of interoperability share: the servers, and their comparison with a script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from interop import servers
from interop.servers import Ports
from interop.transcripts import (
    ENOUGH,
    Compare,
    Script,
    Transcript,
    different_commands,
    transcript,
)


@pytest.fixture(scope="session")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    """The ports of a memdbd."""
    with servers.memdbd(tmp_path_factory.mktemp("memdbd")) as ports:
        yield ports


@pytest.fixture(params=Ports._fields)
def port(ports: Ports, request: pytest.FixtureRequest) -> int:
    """Either port of it, one after the other."""
    found: int = getattr(ports, request.param)
    return found


@pytest.fixture(scope="session")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a redis-server."""
    with servers.redis_server(tmp_path_factory.mktemp("redis")) as port:
        yield port


@pytest.fixture(scope="session")
def cache(request: pytest.FixtureRequest) -> Path:
    """Where installed clients are kept from one session to the next."""
    assert request.config.cache is not None
    return request.config.cache.mkdir("interop")


@pytest.fixture(scope="session")
def compare(redis_port: int) -> Compare:
    """Run a script against a port of memdbd's; it must print what it prints with redis-server."""
    expected: dict[Script, Transcript] = {}

    def compare(script: Script, port: int) -> None:
        if script not in expected:
            expected[script] = transcript(script, redis_port)
            assert len(different_commands(expected[script])) >= ENOUGH
        assert transcript(script, port) == expected[script]

    return compare
