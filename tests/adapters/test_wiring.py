"""What the composition root tells a provider of this machine."""

from __future__ import annotations

import pytest

from flow_adapters.wiring import load_settings, open_provider

ORIGIN = "https://api.far.test"


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Connect to a provider that hands back its context; words are what the user's file of settings says."""
    info = tmp_path / "installed" / "far-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text("[flow.providers]\nfar = far_away:tell\n")
    (info.parent / "far_away.py").write_text("def tell(context):\n    return context\n")
    monkeypatch.syspath_prepend(str(info.parent))

    def tell(text="", answers=None, **environ):
        (tmp_path / "config").mkdir(exist_ok=True)
        (tmp_path / "config" / "config.toml").write_text(text)
        places = {"FLOW_CONFIG_DIR": str(tmp_path / "config"), "HOME": str(tmp_path), **environ}
        return open_provider(
            "far",
            settings=load_settings(environ=places),
            environ=places,
            folder=tmp_path,
            answers=answers,
        )

    return tell


def test_a_provider_gets_its_section_beside_what_is_general(told):
    """Its own settings come by short and by full names, and never in the place of a general one's."""
    context = told('ssh_key = "~/.ssh/mine"\n[far]\nssh_key = "laptop"\ndepth = 3\n')

    assert "~/.ssh/mine" == context.options["ssh_key"]
    assert ("laptop", 3, 3) == tuple(
        context.options[name] for name in ("far.ssh_key", "depth", "far.depth")
    )


@pytest.mark.parametrize("variable", ["FLOW_API_KEY", "MITHRIL_API_KEY"])
def test_a_key_in_the_environment_reaches_a_provider_as_a_secret(told, variable):
    """It is found by the setting's name, whichever variable holds it, and is no option."""
    context = told(**{variable: "k-123456"})

    assert "k-123456" == context.secrets.find("api_key", origin=ORIGIN)
    assert f"environment {variable}" == context.secrets.where("api_key", origin=ORIGIN)
    assert "api_key" not in context.options


def test_a_file_of_secrets_that_settings_name_is_used(told, tmp_path):
    """`secrets_file` in the user's settings counts like the variable of that name."""
    kept = tmp_path / "keys.json"
    context = told(f'secrets_file = "{kept}"\n')
    where = context.secrets.store("api_key", "k-123456", origin=ORIGIN)

    assert "k-123456" == told(f'secrets_file = "{kept}"\n').secrets.find("api_key", origin=ORIGIN)
    assert where == context.secrets.where("api_key", origin=ORIGIN) == f"the file {kept}"
    assert 0o600 == kept.stat().st_mode & 0o777


def test_answers_outrank_what_is_set(told):
    """What is being tried counts over files and variables, for this one connection."""
    context = told('region = "here"\n', {"region": "there"}, FLOW_REGION="elsewhere")

    assert "there" == context.options["region"]
