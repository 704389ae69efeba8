"""Answers are tried on the provider before they count."""

from __future__ import annotations

import pytest

from flow_core.errors import InvalidRequest, NotAuthorized
from flow_core.ports.setup import Question, Takes
from flow_core.services.setup import REGION, SettingUp
from tests.cli.far import KEY, Far

API_KEY = Question(setting="api_key", words="API key", takes=Takes.UNSEEN)


@pytest.fixture
def far(pretend_cloud) -> Far:
    """A cloud that wants a key."""
    return Far(pretend_cloud.provider)


def test_the_region_is_asked_of_every_provider_last(far, pretend_cloud):
    """A provider's own questions come first; one without any is still asked where tasks go."""
    asked = SettingUp(far.provider).questions()

    assert REGION == asked[-1]
    assert [REGION] == SettingUp(lambda answers: pretend_cloud.provider).questions()


def test_an_answer_that_fails_changes_nothing(far):
    """A refused key is forgotten, and the next question still has no key."""
    service = SettingUp(far.provider)
    with pytest.raises(NotAuthorized):
        service.take(API_KEY, "wrong")

    assert ({}, {}) == (service.answers, service.secrets)
    assert not service.standing(API_KEY).works


def test_each_answer_connects_anew_with_all_before_it(far):
    """A provider is made with every answer so far, and secrets are kept apart."""
    service = SettingUp(far.provider)
    service.take(API_KEY, f" {KEY}\n")
    service.take(Question(setting="project", words="Project"), "serving", besides={"x": "y"})

    assert {"api_key": KEY, "project": "serving", "x": "y"} == far.connected[-1]
    assert {"api_key": KEY} == service.secrets
    assert {"project": "serving", "x": "y"} == service.answers


def test_nothing_is_no_answer(far):
    """Blanks are refused before anything is asked."""
    with pytest.raises(InvalidRequest, match="nothing was said"):
        SettingUp(far.provider).take(API_KEY, "  ")


def test_a_region_is_checked_against_the_market(far):
    """Where something is on offer is a region; elsewhere isn't, and the message says where is."""
    service = SettingUp(far.provider)

    assert "on offer" in service.take(REGION, "us-central1-a")
    with pytest.raises(InvalidRequest, match="us-central1-a"):
        service.take(REGION, "atlantis")
