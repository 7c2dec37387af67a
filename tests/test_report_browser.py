"""The report in a real browser: no errors, filters work, numbers are those of the files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import browser as headless
from report_data import write_run, write_sweep
from rr_scale.analysis import aggregates
from rr_scale.analysis.read import read_curves
from rr_scale.analysis.report import page
from rr_scale.analysis.report.content import content

pytestmark = pytest.mark.browser

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser without a window."""
    if reason := headless.why_not():
        pytest.skip(reason)
    with headless.browser() as started:
        yield started


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A page about three experiments, one with a hostile name, and the returns behind it."""
    folder = tmp_path_factory.mktemp("report")
    returns = write_sweep(folder / "sweep")
    hostile = write_run(folder / "sweep/hostile", HOSTILE, "cheetah-run", stops={2: 2000})
    returns |= {(HOSTILE, "cheetah-run", seed): curve for seed, curve in hostile.items()}
    curves = read_curves([folder / "sweep"], None)
    page.write(folder / "page.html", page.page(content(curves, HOSTILE, [HOSTILE], reps=200)))
    return folder / "page.html", returns


@pytest.fixture
def opened(browser: Any, written: tuple[Path, dict]) -> Any:
    """The page, fresh; whatever the test did, the browser has nothing to complain about."""
    browser.get(written[0].as_uri())
    assert browser.execute_script("return document.documentElement.dataset.ready") == "true"
    yield browser
    assert [entry["message"] for entry in browser.get_log("browser")] == []


def rows(browser: Any, name: str) -> list[dict[str, Any]]:
    """A table: per row its experiment and task, and the exact value or text of each column."""
    return browser.execute_script(
        """
        const cell = one => [one.dataset.column,
          one.dataset.value ? Number(one.dataset.value) : one.textContent];
        const body = document.querySelector(`[data-table="${arguments[0]}"] tbody`);
        return [...(body?.children ?? [])].map(row => ({
          experiment: row.dataset.experiment, task: row.dataset.task,
          ...Object.fromEntries([...row.children].map(cell))}))
        """,
        name,
    )


def click(browser: Any, selector: str) -> None:
    browser.execute_script("document.querySelector(arguments[0]).click()", selector)


def count(browser: Any, selector: str) -> int:
    return browser.execute_script("return document.querySelectorAll(arguments[0]).length", selector)


def test_numbers_on_the_page_are_those_of_the_files(opened, written):
    returns = written[1]
    seeds = {(row["experiment"], row["task"], row["seed"]): row for row in rows(opened, "seeds")}
    assert {key: row["last return"] for key, row in seeds.items()} == {
        key: curve[-1] for key, curve in returns.items()
    }
    # The hostile experiment has one task only, which is what is compared.
    last = {key: curve[4] for key, curve in returns.items() if len(curve) > 4}
    for row in rows(opened, "aggregate"):
        name = row["experiment"]
        scores = [y / 1000 for key, y in last.items() if key[:2] == (name, "cheetah-run")]
        assert row["IQM"] == pytest.approx(float(aggregates.iqm([np.array(scores)])), rel=1e-5)
    for row in rows(opened, "per_task"):
        where = (row["experiment"], row["task"])
        own = [y for key, y in last.items() if key[:2] == where]
        assert row["mean"] == pytest.approx(np.mean(own), rel=1e-5)
        assert row["runs"] == len(own)


def test_filters_hide_what_they_say(opened):
    assert count(opened, "#tasks figure") == 2
    click(opened, '[data-facet="task"][data-choice="walker-walk"]')
    assert count(opened, "#tasks figure") == 1
    assert {row["task"] for row in rows(opened, "per_task")} == {"cheetah-run"}
    click(opened, '[data-facet="task"][data-choice="walker-walk"]')
    click(opened, '[data-facet="preset"][data-choice="td3"]')
    assert {row["experiment"] for row in rows(opened, "aggregate")} == {"rr2", HOSTILE}
    click(opened, '[data-facet="ratio"][data-choice="2"]')
    assert rows(opened, "seeds") == []
    click(opened, '[data-facet="preset"][data-choice="td3"]')
    assert {row["experiment"] for row in rows(opened, "costs")} == {"rr16"}
    assert count(opened, "#tasks svg polyline.curve") == 2


def test_every_seed_and_another_axis_can_be_drawn(opened):
    assert count(opened, "#tasks svg polyline.seed") == 0
    click(opened, '[data-control="seeds"]')
    assert count(opened, "#tasks svg polyline.seed") == 15
    opened.execute_script(
        """const axis = document.querySelector('[data-control="axis"]'); axis.value = 'updates';
           axis.dispatchEvent(new Event('change'))"""
    )
    drawn = opened.execute_script("return document.querySelector('#tasks svg').textContent")
    assert drawn.endswith("updates")
    assert "60k" in drawn


def test_a_pointer_reads_values_and_a_drag_zooms(opened, written):
    from selenium.webdriver import ActionChains

    chart = opened.find_element("css selector", "#tasks figure svg")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
    ActionChains(opened).move_to_element_with_offset(chart, 1, 0).perform()
    tip = opened.execute_script("return document.getElementById('tip').textContent")
    assert "2,000" in tip
    assert "rr16: " in tip
    assert "3 runs" in tip
    drag = ActionChains(opened).move_to_element_with_offset(chart, -60, 0).click_and_hold()
    drag.move_by_offset(90, 0).release().perform()
    zoomed = opened.execute_script("return document.querySelector('#tasks svg').textContent")
    assert "4000" not in zoomed
    chart = opened.find_element("css selector", "#tasks figure svg")
    ActionChains(opened).double_click(chart).perform()
    whole = opened.execute_script("return document.querySelector('#tasks svg').textContent")
    assert "4000" in whole


def test_a_heading_sorts(opened):
    for order in (True, False):
        opened.execute_script(
            """[...document.querySelectorAll('[data-table="per_task"] th')]
                 .find(head => head.textContent === 'mean').click()"""
        )
        means = [row["mean"] for row in rows(opened, "per_task")]
        assert means == sorted(means, reverse=order)


def test_names_are_shown_and_inject_nothing(opened):
    opened.execute_script(
        "document.querySelectorAll('details').forEach(one => { one.open = true })"
    )
    assert count(opened, "img") == 0
    assert count(opened, "script") == 2
    assert HOSTILE in opened.execute_script("return document.querySelector('h1').textContent")
    assert opened.title == HOSTILE
    assert HOSTILE in {row["experiment"] for row in rows(opened, "aggregate")}


def test_a_page_fits_a_phone(opened):
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 390
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
