"""What a site shows besides its own tables and texts: other reports of the suite, and the cells behind them. Light.

A site must not train what nobody asked for. So ``index`` has the reports that need no cell but its own, and ``whole``
has all of them.
"""

from __future__ import annotations

from bench import suite as suites
from bench.report import catalogue
from bench.schema import Suite
from bench.suite import Cell


def reports(suite: Suite, site: str) -> list[str]:
    """The other reports of a suite that stand on its site, in the suite's order."""
    own, datasets = set(suites.drawn(suite, site)), set(suites.select(suite, site).datasets)

    def needs_no_more(name: str) -> bool:
        reads = catalogue.find(name).reads
        if "augmentation" in reads or not datasets.issuperset(suites.select(suite, name).datasets):
            return False
        return not reads or own.issuperset(suites.drawn(suite, name))

    others = [name for name in suite.reports or catalogue.DEFAULT if catalogue.find(name).kind != "site"]
    return others if catalogue.find(site).whole else list(filter(needs_no_more, others))


def pages(suite: Suite, site: str) -> list[str]:
    """Those of them that stand there as they are; interpolations have a section of their own."""
    return [name for name in reports(suite, site) if "interpolation" not in catalogue.find(name).reads]


def recorded(suite: Suite, site: str) -> list[Cell]:
    """The cells with a page of their own: the site's, then those whose records its reports show."""
    shown = [site, *(name for name in reports(suite, site) if "records" in catalogue.find(name).reads)]
    return list(dict.fromkeys(cell for name in shown for cell in _cells(suite, name)))


def _cells(suite: Suite, report: str) -> list[Cell]:
    return [*suites.drawn(suite, report), *suites.untrained(suite, report)]


def interpolated(suite: Suite, site: str) -> list[Cell]:
    """The cells whose interpolations its reports show."""
    shown = (name for name in reports(suite, site) if "interpolation" in catalogue.find(name).reads)
    return list(dict.fromkeys(cell for name in shown for cell in suites.cells(suite, name)))
