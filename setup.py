"""What memdbd is and what it needs; the settings of the tools are in pyproject.toml."""

import re
import sys
import warnings
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "memdbd/__init__.py").read_text())
assert VERSION is not None, "memdbd/__init__.py does not name its version"  # noqa: S101


def compiled_core() -> list[Extension]:
    """The modules of memdbd/core that are compiled where there is a C compiler.

    Without one they are left out, with a warning: there is nothing that memdbd needs them for. So
    they are where Cython cannot make C of them.
    """
    if sys.implementation.name != "cpython":
        return []
    try:
        from Cython.Build import cythonize
        from Cython.Compiler.Errors import CompileError
    except ImportError:  # setup.py is run by hand; pip brings it
        return []
    sources = sorted(path.relative_to(HERE) for path in HERE.glob("memdbd/core/_[a-z]*.py"))
    modules = [Extension(".".join(path.with_suffix("").parts), [str(path)]) for path in sources]
    try:
        made: list[Extension] = cythonize(modules, build_dir="build")
    except CompileError as error:  # it has said what is wrong
        warnings.warn(f"memdbd goes without its compiled core: {error}", stacklevel=1)
        return []
    for module in made:
        module.optional = True  # which cythonize does not pass on
    return made


class BuildExt(build_ext):
    """One that could not be compiled is not there, though build/ may have an earlier one."""

    def build_extension(self, ext: Extension) -> None:
        try:
            super().build_extension(ext)
        except Exception:
            Path(self.get_ext_fullpath(ext.name)).unlink(missing_ok=True)
            raise


setup(
    name="memdbd",
    version=VERSION[1],
    description="An in-memory key-value database with publish/subscribe, as a Twisted daemon",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    # twisted/plugins has no __init__.py (one would hide Twisted itself), so it is named by hand.
    packages=[*find_packages(include=["memdbd", "memdbd.*"]), "twisted.plugins"],
    package_data={"memdbd": ["py.typed", "core/*.pxd"]},
    ext_modules=compiled_core(),
    cmdclass={"build_ext": BuildExt},
    # The least versions of which no advisory is known (November 2026); docs/security.md says how
    # that is looked after. Beside each, the last one that it has the remedy for.
    install_requires=[
        # CVE-2026-42304, of twisted.names, which we do not use; CVE-2024-41671, of twisted.web.
        "twisted[tls]>=26.4.0",
        # CVE-2026-27448 and CVE-2026-27459: a callback that fails lets the handshake go on, and a
        # buffer overflow in DTLS. Comes with twisted[tls].
        "pyopenssl>=26.0.0",
        # Its wheels have OpenSSL 4.0.3, which is what meets strangers; CVE-2026-69247, of PKCS #7.
        # Comes with pyopenssl.
        "cryptography>=50.0.2",
        "service_identity>=24.1.0",  # none known
        # Nested arrays overflow the stack (redis/hiredis#1340): any stranger may send them.
        "hiredis>=3.4.1",
        # CVE-2025-67221 and CVE-2024-27454: JSON that is nested without end.
        "orjson>=3.11.6",
        "sortedcontainers>=2.4.0",  # none known
        # None known. It takes the checksums of the journal, as zlib does where it has no wheels: it
        # would have to be built there, by tools that few have.
        "zlib-ng>=1.0; platform_python_implementation == 'CPython' and python_version < '3.15'"
        " and platform_machine in 'x86_64 AMD64 aarch64 arm64'",
    ],
    extras_require={
        # Redis's RDB files for memdb import: reading them, and their checksum.
        "rdb": ["rdb-py>=0.4,<0.5", "anycrc>=2.1"],
        "test": ["pytest>=8", "hypothesis>=6.100", "rdb-py>=0.4,<0.5", "anycrc>=2.1"],
    },
    entry_points={
        "console_scripts": [
            "memdb = memdbd.client.cli:main",
            "memdbd = memdbd.tap:main",
        ],
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Framework :: Twisted",
        "Intended Audience :: Developers",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Database :: Database Engines/Servers",
        "Typing :: Typed",
    ],
    zip_safe=False,
)
