"""Passwords and their hashes."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdbd import passwords
from memdbd.passwords import SALT_BYTES, Verdict

SALT = bytes(range(SALT_BYTES))
OTHER = bytes(range(1, SALT_BYTES + 1))
SHA256 = hashlib.sha256(b"secret").hexdigest()


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes for a fraction of the time."""
    monkeypatch.setattr(passwords, "COST", 10)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The salt of each hash that is made."""
    salts: list[bytes] = []
    real = passwords._digest

    def counted(password: bytes, salt: bytes) -> bytes:
        salts.append(salt)
        return real(password, salt)

    monkeypatch.setattr(passwords, "_digest", counted)
    return salts


class TestMake:
    def test_a_hash_is_what_rfc_7914_says(self) -> None:
        """Its third vector, whose cost is ours."""
        digest = passwords._digest(b"pleaseletmein", b"SodiumChloride")
        assert digest.hex() == "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"

    def test_it_says_how_it_was_made(self) -> None:
        text = passwords.make(b"secret", SALT)
        assert text.startswith("$scrypt$ln=14,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$")
        assert len(text) == len(GOOD)
        assert passwords.is_hash(text)

    def test_another_salt_gives_another_hash(self, cheap: None) -> None:
        assert passwords.make(b"secret", SALT) != passwords.make(b"secret", OTHER)

    @pytest.mark.parametrize("password", [b"x" * 65, b"x" * 128])
    def test_the_digest_of_a_long_password_is_not_as_good_as_the_password(
        self, cheap: None, password: bytes
    ) -> None:
        """As it is to HMAC, and so to scrypt; and Redis's files have it."""
        text = passwords.make(password, SALT)
        digest = hashlib.sha256(password).digest()
        assert passwords.verify(digest, [text], OTHER, 1) == Verdict(None)

    @pytest.mark.parametrize(("password", "other"), [(b"", b"\0"), (b"abc", b"abc\0\0")])
    def test_nor_is_one_with_more_nul_bytes(
        self, cheap: None, password: bytes, other: bytes
    ) -> None:
        assert passwords.verify(other, [passwords.make(password, SALT)], OTHER, 1) == Verdict(None)
        assert passwords.verify(password, [passwords.make(other, SALT)], OTHER, 1) == Verdict(None)

    @pytest.mark.parametrize("password", [b"", b"\0", b"\xff" * 5, b"x" * 100_000])
    def test_a_password_is_any_bytes(self, cheap: None, password: bytes) -> None:
        text = passwords.make(password, SALT)
        assert passwords.verify(password, [text], OTHER, 1) == Verdict(text)
        assert passwords.verify(password + b"\0x", [text], OTHER, 1) == Verdict(None)


GOOD = "$scrypt$ln=14,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$" + "A" * 43


class TestIsHash:
    @pytest.mark.parametrize("text", [SHA256, GOOD, "0" * 64])
    def test_knows_those_that_there_are(self, text: str) -> None:
        assert passwords.is_hash(text)

    @pytest.mark.parametrize(
        "text",
        [
            "", "secret", SHA256.upper(), SHA256[1:], SHA256 + "0", SHA256 + "\n", " " + SHA256,
            "٠" * 64,
            GOOD + "\n", GOOD[:-1], GOOD + "A", GOOD.replace("r=8", "r=9"),
            GOOD.replace("p=1", "p=2"),
            GOOD.replace("$scrypt", "$scrypt$scrypt"), GOOD.replace("14", "014"),
            # To try it would take another time than others do.
            GOOD.replace("14", "13"), GOOD.replace("14", "15"), GOOD.replace("14", "99"),
            GOOD.replace("14", "1٤"),
            # Base64 of no number of bytes, or with what it does not have
            GOOD.replace("ODw$", "ODwxxx$"), GOOD.replace("AAEC", "AA-C"),
            GOOD.replace("ODw$", "ODw=$"),
            GOOD.replace("AAECAwQFBgcICQoLDA0ODw", "AAECAwQ"),
        ],
    )  # fmt: skip
    def test_and_nothing_else(self, text: str) -> None:
        assert not passwords.is_hash(text)

    @given(st.text() | st.from_regex(r"\$scrypt\$ln=[0-9]{1,3},r=8,p=1\$[\w+/=]*\$[\w+/=]*"))
    def test_whatever_it_is_given_it_says_yes_or_no(self, text: str) -> None:
        if passwords.is_hash(text):
            assert passwords.work([text]) >= 1
            assert passwords.hashes_of(b"", []) == set()
        else:
            assert passwords._parse(text) is None

    @pytest.mark.parametrize("cost", [10, 13, 15, 17])
    def test_nor_one_that_takes_another_time_to_try(self, cost: int) -> None:
        assert passwords.is_hash(GOOD)
        assert not passwords.is_hash(GOOD.replace("ln=14", f"ln={cost}"))

    @given(st.binary(min_size=9, max_size=64), st.binary(min_size=32, max_size=32))
    def test_one_that_was_written_is_read_back(self, salt: bytes, digest: bytes) -> None:
        text = f"$scrypt$ln=14,r=8,p=1${passwords._encoded(salt)}${passwords._encoded(digest)}"
        assert passwords.is_hash(text)
        assert passwords._parse(text) == (salt, digest)
        assert passwords.salt_of([SHA256, text]) == salt


@pytest.mark.usefixtures("cheap")
class TestVerify:
    def test_any_of_a_user_s_passwords_will_do(self, made: list[bytes]) -> None:
        both = [passwords.make(b"one", SALT), passwords.make(b"two", SALT)]
        made.clear()
        assert passwords.verify(b"one", both, OTHER, 1) == Verdict(both[0])
        assert passwords.verify(b"two", both, OTHER, 1) == Verdict(both[1])
        assert passwords.verify(b"three", both, OTHER, 1) == Verdict(None)
        assert len(made) == 3, "one salt, one hash"

    def test_no_password_is_right_where_there_is_none(self) -> None:
        assert passwords.verify(b"", [], OTHER, 1) == Verdict(None)

    def test_a_hash_of_redis_s_is_replaced(self) -> None:
        verdict = passwords.verify(b"secret", [SHA256], OTHER, 1)
        assert verdict == Verdict(SHA256, passwords.make(b"secret", OTHER))
        assert passwords.verify(b"wrong", [SHA256], OTHER, 1) == Verdict(None)

    def test_with_the_salt_of_the_others(self) -> None:
        """So that trying a password stays one hash."""
        known = passwords.make(b"other", SALT)
        verdict = passwords.verify(b"secret", [SHA256, known], OTHER, 1)
        assert verdict == Verdict(SHA256, passwords.make(b"secret", SALT))
        assert verdict.better is not None
        assert passwords.work([known, verdict.better]) == 1

    @pytest.mark.parametrize("password", [b"secret", b"wrong"])
    @pytest.mark.parametrize("names", ["", "s", "a", "ab", "sa", "sab"])
    def test_as_many_hashes_are_made_whoever_asks(
        self, made: list[bytes], password: bytes, names: str
    ) -> None:
        known = {
            "s": SHA256,
            "a": passwords.make(b"secret", SALT),
            "b": passwords.make(b"other", OTHER),
        }
        hashes = [known[name] for name in names]
        most = max(passwords.work(list(known.values())), 1)
        made.clear()
        passwords.verify(password, hashes, OTHER, most)
        assert len(made) == most


def test_work_counts_the_hashes_that_a_try_takes(cheap: None) -> None:
    one, other = passwords.make(b"x", SALT), passwords.make(b"x", OTHER)
    assert passwords.work([]) == 0
    assert passwords.work([one]) == 1
    assert passwords.work([one, passwords.make(b"y", SALT)]) == 1
    assert passwords.work([one, other]) == 2
    assert passwords.work([SHA256]) == 1, "the better one"
    assert passwords.work([one, SHA256]) == 2
