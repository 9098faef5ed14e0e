"""Redis's ACL rules: the words that say what a user may do, read and written.

``on off nopass resetpass >password <password #hash !hash`` are about logging in; ``+get -get
+@read -@all +config|get +select|0``, ``~key:* %R~key:* allkeys resetkeys`` and ``&channel*
allchannels resetchannels`` about what may be done; ``(…)`` is another list of the latter, of which
any one has to allow a request. The order of rules matters, as in Redis 7.0 (``ACLSetUser`` and
``ACLSetSelector`` in acl.c, whose errors these are).

Strategy: a :class:`Draft` is changed rule by rule, so that an error in the last leaves its user as
it was. A password is here a hash already: it takes long to make one, which is for others to do.

May import: errors, passwords, permissions, commands.spec, commands.categories.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from memdbd.commands.access import Access
from memdbd.commands.categories import CATEGORIES, categories
from memdbd.commands.spec import Command, Container
from memdbd.errors import CommandError, shown
from memdbd.passwords import MOST_WORK, is_hash, work
from memdbd.permissions import Pattern, Selector

_ACCESS = {"R": Access.READ, "W": Access.WRITE}


class RuleError(ValueError):
    """A rule that is none; the text says why."""


UNKNOWN = "Unknown command or category name in ACL"
SYNTAX = "Syntax error"

BLANKS = frozenset(b" \t\n\v\f\r\0")  # they would end a word in the file


class Names:
    """The names that rules may have of commands: all of the table, and the categories."""

    def __init__(
        self, commands: Mapping[bytes, Command], containers: Mapping[bytes, Container]
    ) -> None:
        # What a rule about a name is about: the command, or all that a container has.
        self._named: dict[str, frozenset[str]] = {}
        self._alone: set[str] = set()  # those that have no subcommands
        self._categories: dict[str, set[str]] = {name: set() for name in CATEGORIES}
        for command in commands.values():
            self._add(command)
            self._alone.add(command.full_name)
        for container in containers.values():
            for command in container.commands():
                self._add(command)
            behind = frozenset(each.full_name for each in container.commands())
            self._named[container.name] = behind | {container.name}
            # Redis takes the first word for a slow command, and whatever is said of that for said
            # of all behind it.
            for category in ("slow", *(categories(container.alone) if container.alone else ())):
                self._categories[category] |= self._named[container.name]
        self.all = frozenset[str]().union(*self._named.values())

    def _add(self, command: Command) -> None:
        self._named[command.full_name] = frozenset({command.full_name})
        for category in categories(command):
            self._categories[category].add(command.full_name)

    def of_command(self, name: str) -> frozenset[str]:
        """The full names that a command's or subcommand's name stands for."""
        found = self._named.get(name)
        if found is None:
            raise RuleError(UNKNOWN)
        return found

    def of_category(self, name: str) -> frozenset[str]:
        """The full names of the commands of a category, without its ``@``."""
        found = self._categories.get(name)
        if found is None:
            raise RuleError(UNKNOWN)
        return frozenset(found)

    def first_argument(self, name: str) -> tuple[str, str] | None:
        """The command and its first argument that ``select|0`` names; None where that is the name
        of a command, or of a subcommand."""
        before, bar, last = name.rpartition("|")
        if not bar:
            return None
        if "|" in before and before in self._named:
            raise RuleError("Allowing first-arg of a subcommand is not supported")
        if before not in self._named:
            raise RuleError(UNKNOWN)
        if not last:
            raise RuleError(SYNTAX)
        if before not in self._alone:
            return None
        if not BLANKS.isdisjoint(_encoded(last)):
            raise RuleError(SYNTAX)
        return before, last


@dataclass(slots=True)
class SelectorDraft:
    """What a list of rules has come to so far."""

    commands: frozenset[str] = frozenset()
    first_arguments: dict[str, frozenset[bytes]] = field(default_factory=dict)
    keys: tuple[Pattern, ...] | None = ()
    channels: tuple[Pattern, ...] | None = ()
    told: tuple[str, ...] = ("-@all",)  # the rules about commands, as they are shown

    def copy(self) -> SelectorDraft:
        return replace(self, first_arguments=dict(self.first_arguments))

    def made(self) -> Selector:
        return Selector(self.commands, dict(self.first_arguments), self.keys, self.channels)

    def apply(self, rule: bytes, names: Names) -> None:
        """Follow one rule. Raises RuleError."""
        match rule.lower():
            case b"allkeys" | b"~*":
                self.keys = None
            case b"resetkeys":
                self.keys = ()
            case b"allchannels" | b"&*":
                self.channels = None
            case b"resetchannels":
                self.channels = ()
            case b"allcommands" | b"+@all":
                self._become(names.all, "+@all")
            case b"nocommands" | b"-@all":
                self._become(frozenset(), "-@all")
            case _:
                self._apply_other(rule, names)

    def _apply_other(self, rule: bytes, names: Names) -> None:
        match rule[:1]:
            case b"~" | b"%":
                self._add_key(rule)
            case b"&":
                self._add_channel(rule)
            case b"+" | b"-":
                self._command(rule[:1] == b"+", _decoded(rule[1:].lower()), names)
            case _:
                raise RuleError(SYNTAX)

    def _become(self, commands: frozenset[str], told: str) -> None:
        self.commands = commands
        self.first_arguments = {}
        self.told = (told,)

    def _add_key(self, rule: bytes) -> None:
        if self.keys is None:
            raise RuleError(
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and "
                "does not have any effect. Try 'resetkeys' to start with an empty list of patterns"
            )
        new = _key_pattern(rule)
        for at, each in enumerate(self.keys):
            if each.text == new.text:
                both = Pattern(each.text, each.access | new.access)
                self.keys = (*self.keys[:at], both, *self.keys[at + 1 :])
                return
        self.keys += (new,)

    def _add_channel(self, rule: bytes) -> None:
        if self.channels is None:
            raise RuleError(
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and "
                "does not have any effect. Try 'resetchannels' to start with an empty list of "
                "channels"
            )
        new = _pattern(rule[1:])
        if all(each.text != new.text for each in self.channels):
            self.channels += (new,)

    def _command(self, allow: bool, name: str, names: Names) -> None:
        """Allow a command, a subcommand or a category, or do not; its name is in lower case."""
        if name.startswith("@"):
            found = names.of_category(name[1:])
        elif allow and (first := names.first_argument(name)) is not None:
            self._allow_first(*first)
            return
        else:
            found = names.of_command(name)
        self.commands = self.commands | found if allow else self.commands - found
        for each in found:
            self.first_arguments.pop(each, None)
        # A rule says nothing that is not said by a later one about the same, or about more.
        covered = {f"{sign}{each}" for sign in "+-" for each in (name, *found)}
        firsts = tuple(f"+{each}|" for each in found)
        kept = [each for each in self.told if each not in covered and not each.startswith(firsts)]
        self.told = (*kept, f"{'+' if allow else '-'}{name}")

    def _allow_first(self, name: str, argument: str) -> None:
        if name in self.commands:
            return
        known = self.first_arguments.get(name, frozenset())
        self.first_arguments[name] = known | {_encoded(argument)}
        rule = f"+{name}|{argument}"
        if rule not in self.told:
            self.told = (*self.told, rule)


def _key_pattern(rule: bytes) -> Pattern:
    """What ``~pattern`` or ``%RW~pattern`` says."""
    letters, tilde, text = rule.partition(b"~")
    if not letters:
        return _pattern(text)
    access = Access.NONE
    for letter in letters[1:].decode("latin-1").upper():
        if letter not in _ACCESS or _ACCESS[letter] in access:
            raise RuleError(SYNTAX)
        access |= _ACCESS[letter]
    if not tilde or not access:
        raise RuleError(SYNTAX)
    return _pattern(text, access)


def _pattern(text: bytes, access: Access = Access.BOTH) -> Pattern:
    if not BLANKS.isdisjoint(text):
        raise RuleError(SYNTAX)
    try:
        return Pattern(text, access)
    except CommandError as error:  # it is too long
        raise RuleError(str(error)) from None


@dataclass(slots=True)
class Draft:
    """A user as it is going to be, if no rule is wrong."""

    enabled: bool = False
    nopass: bool = False
    hashes: tuple[str, ...] = ()
    root: SelectorDraft = field(default_factory=SelectorDraft)
    others: tuple[SelectorDraft, ...] = ()  # never changed

    def copy(self) -> Draft:
        return replace(self, root=self.root.copy())

    def apply(self, rules: Iterable[bytes], names: Names) -> None:
        """Follow rules in order. Raises CommandError, in the words of ACL SETUSER."""
        for rule in joined(rules):
            try:
                self._apply(rule, names)
            except RuleError as error:
                # Whatever it was meant to be, it may be a password.
                given = "(redacted)" if is_secret(rule) else shown(rule)
                raise CommandError(f"Error in ACL SETUSER modifier '{given}': {error}") from None

    def _apply(self, rule: bytes, names: Names) -> None:
        match rule.lower():
            case b"on":
                self.enabled = True
            case b"off":
                self.enabled = False
            case b"nopass":
                self.nopass, self.hashes = True, ()
            case b"resetpass":
                self.nopass, self.hashes = False, ()
            case b"clearselectors":
                self.others = ()
            case b"sanitize-payload" | b"skip-sanitize-payload":
                pass  # what RESTORE gets is always checked
            case b"reset":
                self.enabled = self.nopass = False
                self.hashes, self.root, self.others = (), SelectorDraft(), ()
            case b"":
                pass
            case _ if rule.startswith(b"("):
                self._add_selector(rule, names)
            case _ if rule[:1] in (b"#", b"!"):
                self._change_hash(rule)
            case _ if is_password(rule):
                raise RuleError("a password in the clear; `memdb passwd` gives its hash")
            case _:
                self.root.apply(rule, names)

    def _add_selector(self, rule: bytes, names: Names) -> None:
        draft = SelectorDraft()
        for each in rule[1:-1].split():
            draft.apply(each, names)
            if each.endswith(b")"):  # in the file, it would be the end of the selector
                raise RuleError(SYNTAX)
        self.others += (draft,)

    def _change_hash(self, rule: bytes) -> None:
        text = rule[1:].decode("latin-1")
        if not is_hash(text):
            raise RuleError(
                "The password hash must be exactly 64 characters and contain only lowercase "
                "hexadecimal characters, or be what `memdb passwd` prints"
            )
        if rule[:1] == b"#":
            self.nopass = False
            if text not in self.hashes:
                if work((*self.hashes, text)) > MOST_WORK:
                    raise RuleError(
                        "A user has hashes with four salts at most; those of one user have the "
                        "same where they are made by ACL SETUSER, or by `memdb passwd --file`"
                    )
                self.hashes += (text,)
        elif text in self.hashes:
            self.hashes = tuple(each for each in self.hashes if each != text)
        else:
            raise RuleError("The password you are trying to remove from the user does not exist")


def joined(rules: Iterable[bytes]) -> list[bytes]:
    """The rules, those between parentheses as one. Raises CommandError where one is not closed."""
    found: list[bytes] = []
    inside: list[bytes] = []
    for rule in rules:
        if not inside and not (rule.startswith(b"(") and not rule.endswith(b")")):
            found.append(rule)
            continue
        inside.append(rule)
        if rule.endswith(b")"):
            found.append(b" ".join(inside))
            inside = []
    if inside:
        raise CommandError(
            f"Unmatched parenthesis in acl selector starting at '{shown(inside[0])}'."
        )
    return found


def is_password(rule: bytes) -> bool:
    """Whether a rule is about a password in the clear."""
    return rule[:1] in (b">", b"<")


def is_secret(rule: bytes) -> bool:
    """Whether a rule has a password in it, or its hash, be it where there can be none."""
    return any(word.lstrip(b"(")[:1] in (b">", b"<", b"#", b"!") for word in rule.split())


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


# How the rules of a user are shown


def told_keys(keys: Sequence[Pattern] | None) -> str:
    """The rules about keys, separated by blanks."""
    return "~*" if keys is None else " ".join(map(_told_key, keys))


def _told_key(key: Pattern) -> str:
    if key.access == Access.BOTH:
        # ~* is more than a pattern: none may follow it, and it has the empty key too.
        return f"%RW~{_text(key)}" if key.text == b"*" else f"~{_text(key)}"
    return f"%{'R' if key.access == Access.READ else 'W'}~{_text(key)}"


def told_channels(channels: Sequence[Pattern] | None) -> str:
    """The rules about channels, separated by blanks."""
    return "&*" if channels is None else " ".join(f"&{_text(each)}" for each in channels)


def _text(pattern: Pattern) -> str:
    return _decoded(pattern.text)


def told(draft: SelectorDraft) -> str:
    """All rules of a selector."""
    reset = "" if draft.channels is None else "resetchannels"
    words = (told_keys(draft.keys), reset, told_channels(draft.channels), " ".join(draft.told))
    return " ".join(filter(None, words))
