"""`python -m benchmarks.tables`: bring the tables of README.md up to the results."""

import json
import re
from typing import Any

from benchmarks.harness import RESULTS, ROOT, as_table

README = ROOT / "benchmarks" / "README.md"
_PLACE = re.compile(r"<!-- begin (\w+) -->\n.*?<!-- end \1 -->", re.DOTALL)


def main() -> None:
    """Replace what stands between the marks of each result that there is."""
    README.write_text(_PLACE.sub(_fill, README.read_text()))


def _fill(place: re.Match[str]) -> str:
    path = RESULTS / f"{place[1]}.json"
    text = _describe(json.loads(path.read_text())) if path.exists() else "Not measured yet."
    return f"<!-- begin {place[1]} -->\n{text}\n<!-- end {place[1]} -->"


def _describe(result: dict[str, Any]) -> str:
    hardware, versions = result["hardware"], result["versions"]
    where = result.get("device") or f"{hardware['cpu']}, {hardware['cores']} cores"
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{as_table(result['rows'])}\n\n"
        f"{where}; {result['date']}; commit {result['commit']}; load before "
        f"{hardware['load_1min']}; {packages}."
    )


if __name__ == "__main__":
    main()
