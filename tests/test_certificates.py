"""The PEM files of TLS: what they must be, and what is said where they are not."""

from __future__ import annotations

import datetime
import errno
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from OpenSSL import SSL
from pki import Authority, Identity

from memdbd.certificates import Loaded, check, load, only_name
from memdbd.config import Config
from memdbd.errors import ConfigError

CA = Authority("the CA")
SERVER = CA.issue("localhost")
NOW = datetime.datetime.now(datetime.UTC)


# On the curve secp192k1, until 2126.
ODD = b"""\
-----BEGIN CERTIFICATE-----
MIIBZjCCARygAwIBAgIUK8IIVU3KtzqDtgIJgXrRkJedhSMwCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDb2RkMCAXDTI2MTEyMzE0MzQzN1oYDzIxMjYxMDMwMTQzNDM3
WjAOMQwwCgYDVQQDDANvZGQwRjAQBgcqhkjOPQIBBgUrgQQAHwMyAATySpSgmI6Z
nXFvaGSd5IQJ4vcPAQHroeFt/3IWkBPK2n8MvJiKGdW9R7r5CH3/WvajaTBnMB0G
A1UdDgQWBBRVSRDy3TBDgC7HiI/XJYAqvsbLkjAfBgNVHSMEGDAWgBRVSRDy3TBD
gC7HiI/XJYAqvsbLkjAPBgNVHRMBAf8EBTADAQH/MBQGA1UdEQQNMAuCCWxvY2Fs
aG9zdDAKBggqhkjOPQQDAgM4ADA1AhhgHecFg4adxPLLfa1+wuarPAiDSI0Vi4AC
GQD1NkGd39zKDbZcurE1lQWVoKTd6+Y7PFE=
-----END CERTIFICATE-----
"""


class Files:
    """A directory in memory with a server's files; a test puts others in their place."""

    def __init__(self) -> None:
        self.contents = {
            "cert.pem": SERVER.chain_pem,
            "key.pem": SERVER.key_pem,
            "ca.pem": CA.chain_pem,
        }
        self.reads: list[str] = []

    def read(self, path: str) -> bytes:
        self.reads.append(path)
        if path not in self.contents:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self.contents[path]

    def load(self, **settings: Any) -> Loaded:
        return load(config(**settings), NOW, self.read, lambda *_: True)

    def serve(self, identity: Identity) -> None:
        self.contents["cert.pem"] = identity.chain_pem
        self.contents["key.pem"] = identity.key_pem

    def refused(self, **settings: Any) -> str:
        """What is said of them when they are refused."""
        with pytest.raises(ConfigError) as refusal:
            self.load(**settings)
        return str(refusal.value)


@pytest.fixture
def files() -> Files:
    return Files()


def config(**settings: Any) -> Config:
    given = {"tls_listen": ("tcp:1",), "tls_cert": "cert.pem", "tls_key": "key.pem"}
    return Config(**(given | settings))


class TestTheSettings:
    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"tls_cert": ""}, "tls_listen needs tls_cert: PEM files"),
            ({"tls_key": ""}, "tls_listen needs tls_key: PEM files"),
            ({"tls_cert": "", "tls_key": ""}, "tls_listen needs tls_cert and tls_key: PEM files"),
            ({"tls_clients": "optional"}, "tls_clients = optional needs tls_ca"),
            ({"tls_clients": "required"}, "tls_clients = required needs tls_ca"),
            ({"tls_user": "cn"}, "tls_user = cn needs certificates of clients: set tls_clients"),
            (
                {"tls_user": "cn", "tls_ca": "ca.pem"},
                "tls_user = cn needs certificates of clients: set tls_clients",
            ),
        ],
    )
    def test_one_that_another_needs_is_named(self, settings: dict[str, str], said: str) -> None:
        with pytest.raises(ConfigError) as refusal:
            check(config(**settings))
        assert str(refusal.value).startswith(said)

    @pytest.mark.parametrize(
        "settings",
        [
            {},
            {"tls_clients": "required", "tls_ca": "ca.pem", "tls_user": "cn"},
            {"tls_listen": (), "tls_cert": "", "tls_key": ""},
        ],
    )
    def test_what_goes_together_is_taken(self, settings: dict[str, Any]) -> None:
        check(config(**settings))


class TestFilesThatCannotBeUsed:
    @pytest.mark.parametrize(
        ("setting", "name"),
        [("tls_cert", "cert.pem"), ("tls_key", "key.pem"), ("tls_ca", "ca.pem")],
    )
    def test_a_missing_one_is_named_with_its_setting(
        self, files: Files, setting: str, name: str
    ) -> None:
        del files.contents[name]
        said = files.refused(tls_clients="required", tls_ca="ca.pem")
        assert said == f"{setting}: {name} cannot be read: No such file or directory"

    @pytest.mark.parametrize("contents", [b"", b"nonsense\n", b"\0\xff" * 99, SERVER.key_pem])
    @pytest.mark.parametrize(("setting", "name"), [("tls_cert", "cert.pem"), ("tls_ca", "ca.pem")])
    def test_one_without_a_certificate(
        self, files: Files, setting: str, name: str, contents: bytes
    ) -> None:
        files.contents[name] = contents
        said = files.refused(tls_clients="required", tls_ca="ca.pem")
        assert said.startswith(f"{setting}: {name} must have a certificate in PEM (BEGIN CERTIF")
        assert "\n" not in said

    @pytest.mark.parametrize("contents", [b"", b"nonsense\n", b"\0\xff" * 99, SERVER.chain_pem])
    def test_one_without_a_key(self, files: Files, contents: bytes) -> None:
        files.contents["key.pem"] = contents
        said = files.refused()
        assert said.startswith("tls_key: key.pem must have a private key in PEM (BEGIN PRIVATE KEY")
        assert "\n" not in said

    def test_a_certificate_that_is_cut_off(self, files: Files) -> None:
        files.contents["cert.pem"] = SERVER.chain_pem[:-100]
        assert files.refused().startswith("tls_cert: cert.pem must have a certificate in PEM")

    def test_a_key_with_a_passphrase_asks_nobody_for_it(self, files: Files) -> None:
        files.contents["key.pem"] = SERVER.key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
        said = files.refused()
        assert said == "tls_key: key.pem is encrypted; it must be a key without a passphrase"

    def test_a_key_that_signs_nothing(self, files: Files) -> None:
        files.contents["key.pem"] = x25519.X25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        assert files.refused() == "tls_key: key.pem must be a key of RSA, ECDSA or EdDSA"

    def test_a_key_of_another_certificate(self, files: Files) -> None:
        files.contents["key.pem"] = CA.issue("localhost").key_pem
        assert files.refused() == (
            "tls_key: key.pem does not belong to the first certificate of cert.pem (tls_cert), "
            "which must be this server's: it is of another one"
        )

    def test_certificates_in_the_wrong_order(self, files: Files) -> None:
        files.contents["cert.pem"] = CA.chain_pem + SERVER.chain_pem
        said = files.refused()
        assert said.endswith("must be this server's: it belongs to the certificate 2 of it")

    def test_a_certificate_with_a_key_on_a_curve_that_nobody_has(self, files: Files) -> None:
        files.contents["cert.pem"] = ODD
        assert files.refused() == (
            "tls_cert: cert.pem: its first certificate, that of 'odd', has a key of no kind that "
            "can be used: Curve 1.3.132.0.31 is not supported"
        )

    def test_which_certificate_the_key_is_of_is_found_out_behind_one_of_those(
        self, files: Files
    ) -> None:
        files.contents["cert.pem"] = CA.chain_pem + ODD + SERVER.chain_pem
        assert files.refused().endswith("this server's: it belongs to the certificate 3 of it")

    def test_a_key_that_is_too_short_for_openssl(self, files: Files) -> None:
        files.serve(CA.issue("localhost", key=rsa.generate_private_key(65537, 1024)))
        said = files.refused()
        assert said == "tls_cert: cert.pem: OpenSSL refuses it: ee key too small"


class TestFilesThatCan:
    def test_of_the_chain_none_but_the_first_certificate_has_to_be_understood(
        self, files: Files
    ) -> None:
        files.contents["cert.pem"] = SERVER.chain_pem + ODD
        assert files.load().warnings == []

    def test_each_is_read_once(self, files: Files) -> None:
        files.load(tls_clients="required", tls_ca="ca.pem")
        assert sorted(files.reads) == ["ca.pem", "cert.pem", "key.pem"]

    def test_nothing_is_said_of_what_is_well(self, files: Files) -> None:
        loaded = files.load(tls_clients="required", tls_ca="ca.pem")
        assert loaded.warnings == []
        assert f"{loaded.expires:%Y-%m-%d}" == SERVER.expires

    def test_the_ca_s_are_not_read_where_no_client_is_asked(self, files: Files) -> None:
        assert files.load(tls_ca="ca.pem").warnings == [
            "tls_ca is set and tls_clients is no, so that no client is asked for a certificate"
        ]
        assert "ca.pem" not in files.reads

    def test_the_context_allows_no_renegotiation_whatever_the_openssl(self, files: Files) -> None:
        # From 3.0 on OpenSSL itself refuses it to clients, so that none can show the difference.
        assert files.load().context.set_options(0) & SSL.OP_NO_RENEGOTIATION

    def test_one_file_may_have_the_certificate_and_the_key(self, files: Files) -> None:
        files.contents["cert.pem"] = SERVER.chain_pem + SERVER.key_pem
        assert files.load(tls_key="cert.pem").warnings == []

    def test_a_key_may_be_of_rsa(self, files: Files) -> None:
        files.serve(CA.issue("localhost", key=rsa.generate_private_key(65537, 2048)))
        assert files.load().warnings == []

    def test_so_may_there_be_ca_s_in_between(self, files: Files) -> None:
        files.serve(Authority("lower", Authority("upper", CA)).issue("localhost"))
        assert files.contents["cert.pem"].count(b"BEGIN") == 3
        assert files.load().warnings == []


class TestWarnings:
    """A daemon that does not start for a date would be worse than one that says so."""

    @pytest.mark.parametrize(
        ("begins", "ends", "said"),
        [
            (-9, -0.1, "has expired ({day}): nobody accepts it"),
            (-9, 0.9, "expires in 1 day ({day})"),
            (-9, 13.9, "expires in 14 days ({day})"),
            (-9, 14.1, None),
            (2, 9, "is not valid before {begins}: nobody accepts it until then"),
        ],
    )
    def test_of_the_server_s_certificate(
        self, files: Files, begins: float, ends: float, said: str | None
    ) -> None:
        server = CA.issue("localhost", begins=begins, ends=ends)
        files.serve(server)
        first = f"{server.certificate.not_valid_before_utc:%Y-%m-%d}"
        expected = said and said.format(day=server.expires, begins=first)
        assert files.load().warnings == ([f"tls_cert: cert.pem {expected}"] if said else [])

    def test_of_a_ca_in_between(self, files: Files) -> None:
        files.serve(Authority("lower", CA, ends=3.5).issue("localhost"))
        (said,) = files.load().warnings
        assert said.startswith("tls_cert: cert.pem: the certificate of 'lower' expires in 4 days")

    def test_of_the_ca_of_clients(self, files: Files) -> None:
        old = Authority("old", ends=-1)
        files.contents["ca.pem"] += old.chain_pem
        (said,) = files.load(tls_clients="optional", tls_ca="ca.pem").warnings
        assert said.startswith("tls_ca: ca.pem: the certificate of 'old' has expired (")

    def test_of_a_certificate_without_a_host(self, files: Files) -> None:
        files.serve(CA.issue("localhost", hosts=()))
        (said,) = files.load().warnings
        assert said.startswith("tls_cert: cert.pem names no host (subjectAltName)")


def test_a_certificate_with_one_name_has_that() -> None:
    assert only_name(CA.issue("alice").certificate) == "alice"
    assert only_name(CA.issue("al\0ice").certificate) == "al\0ice"
    assert only_name(CA.issue("alice", "default").certificate) is None
    assert only_name(CA.issue().certificate) is None
