"""Settings: what there is to set, and for each value the place that set it.

Layers lie upon each other, the later over the earlier: defaults, the user's file, the project's file, the environment,
what was said in the command. A project's file comes with whatever was cloned, so it may set defaults of tasks and
nothing that decides where credentials go, whom to trust, what runs here, or how much money may go.

A dotted name with a first part that is not ours belongs to a provider's plug-in, and is kept as it was given.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping

from attrs import field, frozen

from flow_core.domain.money import Price
from flow_core.domain.shape import InstanceShape, parse_shape
from flow_core.domain.spelling import nearest, nearest_hint
from flow_core.errors import InvalidRequest, Misconfigured

_TRUTHS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_MONEY = "it guards your money"
_TRUST = "it decides where your credentials go"


class Kind(str, enum.Enum):
    """What a setting's value is."""

    TEXT = "text"
    URL = "url"
    PRICE = "price"
    SHAPE = "shape"
    NUMBER = "number"
    WHOLE = "whole number"
    TRUTH = "truth"
    ANY = "any"


class Scope(str, enum.Enum):
    """Whose word a layer is."""

    USER = "user"
    PROJECT = "project"
    ENVIRONMENT = "environment"
    EXPLICIT = "explicit"


@frozen(kw_only=True)
class Setting:
    """Something that can be set. `private` says why a project's file may not; empty where it may.

    `variables` are read from the environment besides `FLOW_<NAME>`, which comes first. A secret is not read from files
    and is never shown.
    """

    name: str
    kind: Kind
    doc: str
    default: object = None
    private: str = ""
    secret: bool = False
    variables: tuple[str, ...] = ()

    @property
    def environment(self) -> tuple[str, ...]:
        """The variables that set it, the first one counting most."""
        return ("FLOW_" + self.name.upper().replace(".", "_"), *self.variables)


SETTINGS: dict[str, Setting] = {
    each.name: each
    for each in (
        Setting(name="provider", kind=Kind.TEXT, doc="The cloud that tasks go to."),
        Setting(name="instance_type", kind=Kind.SHAPE, doc="What an instance is when a task doesn't say, e.g. 8xh100."),
        Setting(name="region", kind=Kind.TEXT, doc="Where to bid when a task doesn't say."),
        Setting(
            name="max_price_per_hour", kind=Kind.PRICE, private=_MONEY,
            doc="No limit above this many dollars per instance-hour is bid unless a task names one.",
        ),
        Setting(
            name="confirm_above_price_per_hour", kind=Kind.PRICE, private=_MONEY,
            doc="Ask before a limit above this many dollars per instance-hour that you didn't choose.",
        ),
        Setting(
            name="project", kind=Kind.TEXT, private="it decides who pays", variables=("MITHRIL_PROJECT",),
            doc="The provider's project that tasks belong to.",
        ),
        Setting(
            name="api_url", kind=Kind.URL, private=_TRUST, variables=("MITHRIL_API_URL",),
            doc="Where the provider's API answers.",
        ),
        Setting(
            name="api_key", kind=Kind.TEXT, private=_TRUST, secret=True, variables=("MITHRIL_API_KEY",),
            doc="The provider's key; from the environment or the keyring, never from a file of settings.",
        ),
        Setting(
            name="secrets_file", kind=Kind.TEXT, private=_TRUST,
            doc="A file that keeps keys where there is no keyring; only you may be able to read it.",
        ),
        Setting(name="ssh_key", kind=Kind.TEXT, private=_TRUST, doc="Path of the private key that opens the nodes."),
        Setting(
            name="mock.rate", kind=Kind.NUMBER, default=60.0, private="it is about this machine",
            doc="How many seconds pass in the mock provider's market for each real one.",
        ),
        Setting(
            name="mock.seed", kind=Kind.WHOLE, private="it is about this machine",
            doc="What the mock provider's other bidders are drawn from.",
        ),
        Setting(
            name="mock.instant", kind=Kind.TRUTH, default=False, private="it is about this machine",
            doc="Whether the mock provider grants at once, without a market.",
        ),
        Setting(
            name="mock.notice_min_real_s", kind=Kind.NUMBER, default=10.0, private="it is about this machine",
            doc="The least real seconds that a mock preemption notice lasts.",
        ),
        Setting(
            name="mock.mood", kind=Kind.TEXT, default="calm", private="it is about this machine",
            doc="How the mock provider's other bidders behave: quiet, calm or stormy.",
        ),
        Setting(
            name="mock.mount_links", kind=Kind.TRUTH, default=False, private="it is about this machine",
            doc="Whether the mock gives links below $FLOW_MOUNTS where mounts can't be made.",
        ),
    )
}  # fmt: skip


@frozen
class Layer:
    """Values from one place, still as they were written; `origins` says more precisely where, by name."""

    origin: str
    values: Mapping[str, object]
    origins: Mapping[str, str] = field(factory=dict, kw_only=True)
    scope: Scope = field(default=Scope.EXPLICIT, kw_only=True)

    def origin_of(self, name: str) -> str:
        """Where this layer's value of `name` was set, in words."""
        return self.origins.get(name, self.origin)


@frozen
class Entry:
    """One setting's value, and where it comes from; `value` is of the kind's own type, or None."""

    setting: Setting
    value: object
    origin: str

    @property
    def shown(self) -> object:
        """The value in plain JSON types, a secret's only as being there."""
        return "(set)" if self.setting.secret and self.value is not None else plain(self.value)


@frozen
class Settings:
    """Every known setting and every one of a plug-in's that was set, by name."""

    entries: Mapping[str, Entry]

    def value(self, name: str) -> object:
        """Return a setting's value, its default where nobody set it."""
        return self.entries[name].value

    def origin(self, name: str) -> str:
        """Return where the value comes from, in words."""
        return self.entries[name].origin

    def text(self, name: str) -> str | None:
        """Return the value of a setting that is text."""
        value = self.value(name)
        return None if value is None else str(value)

    def price(self, name: str) -> Price | None:
        """Return the value of a setting that is a price."""
        value = self.value(name)
        return value if isinstance(value, Price) else None

    def shape(self, name: str) -> InstanceShape | None:
        """Return the value of a setting that is a shape."""
        value = self.value(name)
        return value if isinstance(value, InstanceShape) else None

    def number(self, name: str) -> float | None:
        """Return the value of a setting that is a number."""
        value = self.value(name)
        return value if isinstance(value, (int, float)) else None

    def section(self, prefix: str) -> dict[str, object]:
        """Return what is set under `prefix.`, by the rest of the name; what is None is left out."""
        start = prefix + "."
        return {
            name[len(start) :]: entry.value
            for name, entry in self.entries.items()
            if name.startswith(start) and entry.value is not None
        }


def resolve(layers: Iterable[Layer]) -> Settings:
    """Lay `layers` upon each other, the first lowest, over the defaults.

    Raises:
        Misconfigured: with one sentence for each value that can't be, naming where it was set.
    """
    entries = {
        name: Entry(setting, setting.default, "default") for name, setting in SETTINGS.items()
    }
    problems: list[str] = []
    for layer in layers:
        for name, raw in layer.values.items():
            try:
                setting = find_setting(name)
                _refuse_private(setting, layer)
                entries[name] = Entry(setting, read(setting, raw), layer.origin_of(name))
            except InvalidRequest as error:
                problems += [
                    f"{layer.origin_of(name)}: {field}: {text}"
                    for field, text in error.problems.items()
                ]
    if problems:
        raise Misconfigured(
            "\n".join(problems), hint="`flow config show` lists the settings there are"
        )
    return Settings(entries)


def find_setting(name: str) -> Setting:
    """Return the setting of that name.

    Raises:
        InvalidRequest: there is none; the message names the nearest.
    """
    if name in SETTINGS:
        return SETTINGS[name]
    prefix, dot, rest = name.partition(".")
    ours = {known.partition(".")[0] for known in SETTINGS if "." in known}
    if dot and rest and prefix not in ours and nearest(prefix, ours) is None:
        return Setting(
            name=name,
            kind=Kind.ANY,
            doc=f"Of the provider {prefix}.",
            private="only a task's own defaults may",
        )
    near = nearest_hint(name.replace("-", "_"), SETTINGS)
    raise InvalidRequest({name: "is no setting" + (f"; {near}" if near else "")})


def read(setting: Setting, raw: object) -> object:
    """Return the value that `raw` means for `setting`.

    Raises:
        InvalidRequest: it means none.
    """
    return _READERS[setting.kind](raw, setting.name)


def plain(value: object) -> object:
    """Return a value in the types that TOML and JSON share; text for what has none of its own."""
    if isinstance(value, Price):
        dollars, rest = divmod(value.micros, 10**6)
        return value.micros / 10**6 if rest else dollars
    if isinstance(value, InstanceShape):
        return str(value)
    return value


def _refuse_private(setting: Setting, layer: Layer) -> None:
    name, variable = setting.name, setting.environment[0]
    if setting.secret and layer.scope in (Scope.USER, Scope.PROJECT):
        raise InvalidRequest(
            {name: f"is a secret, which no file of settings holds; use {variable} or the keyring"}
        )
    if setting.private and layer.scope is Scope.PROJECT:
        elsewhere = f"set it with `flow config set {name} ...` or {variable}"
        raise InvalidRequest(
            {name: f"may not be set in a project's file: {setting.private}; {elsewhere}"}
        )


def _text(raw: object, name: str) -> str:
    if isinstance(raw, bool) or not isinstance(raw, (str, int, float)) or not str(raw).strip():
        raise InvalidRequest({name: f"{raw!r} is no text"})
    return str(raw)


def _url(raw: object, name: str) -> str:
    text = _text(raw, name)
    scheme, _, rest = text.partition("://")
    if scheme not in ("http", "https") or not rest or any(char.isspace() for char in text):
        raise InvalidRequest({name: f"{text!r} is no URL; write it like 'https://host/path'"})
    return text


def _price(raw: object, name: str) -> Price:
    return raw if isinstance(raw, Price) else Price.parse(raw, field=name)  # type: ignore[arg-type]


def _shape(raw: object, name: str) -> InstanceShape:
    return raw if isinstance(raw, InstanceShape) else parse_shape(raw, field=name)  # type: ignore[arg-type]


def _number(raw: object, name: str) -> float:
    try:
        number = (
            float(raw) if isinstance(raw, (int, float, str)) and not isinstance(raw, bool) else -1.0
        )
    except (ValueError, OverflowError):
        number = -1.0
    if not 0 <= number < float("inf"):
        raise InvalidRequest({name: f"{raw!r} is no number of at least 0"})
    return number


def _whole(raw: object, name: str) -> int:
    try:
        if isinstance(raw, (int, str)) and not isinstance(raw, bool):
            return int(raw)
    except ValueError:
        pass
    raise InvalidRequest({name: f"{raw!r} is no whole number"})


def _truth(raw: object, name: str) -> bool:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.strip().lower() in _TRUTHS:
        return _TRUTHS[raw.strip().lower()]
    raise InvalidRequest({name: f"{raw!r} is neither true nor false"})


def _any(raw: object, name: str) -> object:
    return raw


_READERS: dict[Kind, Callable[[object, str], object]] = {
    Kind.TEXT: _text,
    Kind.URL: _url,
    Kind.PRICE: _price,
    Kind.SHAPE: _shape,
    Kind.NUMBER: _number,
    Kind.WHOLE: _whole,
    Kind.TRUTH: _truth,
    Kind.ANY: _any,
}
