"""memdbd replies as redis-server 7.0 does: a campaign that fits into CI.

The long run is ``python -m differential --commands 200000``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from differential.campaign import Campaign
from differential.grammar import GROUPS
from differential.grammar.sequences import draw
from differential.servers import Target, memdbd, redis_server

pytestmark = pytest.mark.slow

COMMANDS = 25_000  # for each seed
FIXED_SEED = 20_240_229


@pytest.fixture(scope="module")
def redis() -> Iterator[Target]:
    with redis_server() as target:
        yield target


@pytest.fixture(scope="module")
def ours() -> Iterator[Target]:
    with memdbd() as target:
        yield target


@pytest.fixture
def campaign(redis: Target, ours: Target) -> Iterator[Campaign]:
    campaign = Campaign(redis, ours)
    yield campaign
    campaign.close()


@pytest.mark.parametrize("seed", [FIXED_SEED, random.SystemRandom().randrange(2**32)], ids=str)
def test_all_groups_in_both_versions_of_resp(campaign: Campaign, seed: int) -> None:
    report = campaign.run(list(GROUPS.values()), (2, 3), COMMANDS, seed, most=5)
    assert not report.findings, f"seed {seed}\n" + "\n\n".join(map(str, report.findings))


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rng=st.randoms(use_true_random=False),
    name=st.sampled_from(sorted(GROUPS)),
    resp=st.sampled_from((2, 3)),
)
def test_whatever_hypothesis_thinks_of(
    campaign: Campaign, rng: Random, name: str, resp: int
) -> None:
    findings = campaign.play(draw(GROUPS[name], resp, rng, length=12))
    assert not findings, "\n\n".join(map(str, findings))
