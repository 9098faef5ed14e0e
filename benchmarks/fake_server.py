"""fakeredis's server, as a process: python -m benchmarks.fake_server --port 6379"""

from __future__ import annotations

import argparse
from importlib import import_module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    import_module("fakeredis").TcpFakeServer(("127.0.0.1", options.port)).serve_forever()


if __name__ == "__main__":
    main()
