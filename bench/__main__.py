"""`python -m bench NAME [options]`: runs one bench; exit status 1 when short, 2 without a name. `list` lists them."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from bench import Figure


def programs() -> Mapping[str, str]:
    """Name -> module of every bench there is: the files beside this one, and each folder's `program.py`."""
    folder = Path(__file__).parent
    found = {path.stem: f"bench.{path.stem}" for path in folder.glob("[a-z]*.py")}
    found |= {path.parent.name: f"bench.{path.parent.name}.program" for path in folder.glob("*/program.py")}
    return dict(sorted(found.items()))


def main(argv: list[str]) -> int:
    """Runs the bench that the first argument names, or lists them all; 2 without a name or for one there is not."""
    if not argv or argv[0] not in programs():
        print("\n".join(["usage: python -m bench NAME [options]", "  list", *(f"  {name}" for name in programs())]))
        return 0 if argv == ["list"] else 2
    figure: Figure = importlib.import_module(programs()[argv[0]]).main(argv[1:])
    print(figure.line(), flush=True)
    return 0 if figure.ok else 1


def leave_on_term() -> None:
    """Has SIGTERM leave the `with` blocks, which end the workers of a bench. Python would end without that."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


if __name__ == "__main__":
    leave_on_term()
    sys.exit(main(sys.argv[1:]))
