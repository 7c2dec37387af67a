// Tables that sort by a click on a heading.
// columns: [{title, left, wrap, value: row => number | string, show: row => string | Node}].
function table({ name, columns, rows }) {
  const body = element("tbody");
  const heads = columns.map((column, index) =>
    element("th", {
      text: column.title,
      scope: "col",
      tabindex: 0,
      class: column.left ? "left" : "",
      onclick: () => sortBy(index),
      onkeydown: (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          sortBy(index);
        }
      },
    }),
  );
  const fill = (ordered) => body.replaceChildren(...ordered.map((row) => tableRow(columns, row)));
  const sortBy = (index) => {
    const order = heads[index].getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
    for (const head of heads) head.removeAttribute("aria-sort");
    heads[index].setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    fill([...rows].sort((a, b) => sign * compareValues(columns[index].value(a), columns[index].value(b))));
  };
  fill(rows);
  const head = element("thead", {}, element("tr", {}, ...heads));
  return element("div", { class: "table" }, element("table", { "data-table": name }, head, body));
}

function tableRow(columns, row) {
  const cells = columns.map((column) => {
    const value = column.value(row);
    const kinds = [column.left && "left", column.wrap && "wrap"].filter(Boolean).join(" ");
    const exact = typeof value === "number" ? String(value) : null;
    const content = column.show ? column.show(row) : value;
    return element("td", { class: kinds, "data-value": exact, "data-column": column.title }, content ?? "–");
  });
  return element("tr", { "data-experiment": row.experiment, "data-task": row.task, class: row.style }, ...cells);
}

function compareValues(a, b) {
  const [first, second] = [a ?? -Infinity, b ?? -Infinity];
  if (typeof first === "number" && typeof second === "number") return first - second;
  return String(first).localeCompare(String(second), "en", { numeric: true });
}

function experimentColumn() {
  return {
    title: "experiment",
    left: true,
    value: (row) => row.experiment,
    show: (row) => element("span", {}, keyOf(row.experiment), row.experiment),
  };
}

function taskColumn() {
  return { title: "task", left: true, value: (row) => row.task };
}

// A statistic as "value [low, high]".
function statisticColumn(statistic) {
  return {
    title: STATISTICS[statistic],
    value: (row) => row.final?.[statistic]?.[0] ?? null,
    show: (row) => {
      const found = row.final?.[statistic];
      if (!found) return "–";
      const interval = `[${decimal(found[1])}, ${decimal(found[2])}]`;
      return element("span", { title: `${found[0]} [${found[1]}, ${found[2]}]` }, decimal(found[0]), " ", element("small", { text: interval }));
    },
  };
}

function runsColumn() {
  return {
    title: "runs",
    value: (row) => row.final?.runs ?? null,
    show: (row) => {
      if (!row.final) return "–";
      const { runs, started } = row.final;
      return runs === started ? whole(runs) : element("span", { class: "bad", text: `${runs} of ${started}` });
    },
  };
}

function stepColumn() {
  return { title: "env step", value: (row) => row.final?.step ?? null, show: (row) => whole(row.final?.step) };
}
