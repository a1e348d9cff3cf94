"""`python -m bench NAME [options]`: runs one bench; exit status 1 when short, 2 without a name. `list` lists them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from bench import Figure


def names() -> list[str]:
    """Every bench there is: the modules beside this one that have a `main` (the others are parts of them)."""
    modules = sorted(Path(__file__).parent.glob("[a-z]*.py"))
    return [path.stem for path in modules if "\ndef main(" in path.read_text()]


def main(argv: list[str]) -> int:
    """Runs the bench that the first argument names, or lists them all; 2 without a name or for one there is not."""
    if not argv or argv[0] not in names():
        print("\n".join(["usage: python -m bench NAME [options]", "  list", *(f"  {name}" for name in names())]))
        return 0 if argv == ["list"] else 2
    figure: Figure = importlib.import_module(f"bench.{argv[0]}").main(argv[1:])
    print(figure.line(), flush=True)
    return 0 if figure.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
