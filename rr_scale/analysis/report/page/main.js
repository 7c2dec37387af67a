// Filters, and drawing everything anew when one changes.
function change(values) {
  Object.assign(state, values);
  draw();
}

function setZoom(which, zoom) {
  state.zoom[which] = zoom;
  draw();
}

function toggle(facet, value) {
  const hidden = state.hidden[facet];
  if (!hidden.delete(value)) hidden.add(value);
  state.zoom = { aggregate: null, task: null, diagnostic: null };
  draw();
}

function chips(facet, title, values) {
  if (values.length < 2) return null;
  const all = (hide) => () => {
    state.hidden[facet] = new Set(hide ? values : []);
    draw();
  };
  return element(
    "fieldset",
    { class: values.length > 16 ? "scroll" : "" },
    element("legend", { text: title }),
    ...values.map((value) =>
      element(
        "button",
        {
          type: "button",
          class: "chip",
          title: value,
          "data-facet": facet,
          "data-choice": value,
          "aria-pressed": String(!state.hidden[facet].has(value)),
          onclick: () => toggle(facet, value),
        },
        facet === "experiment" ? keyOf(value) : null,
        value,
      ),
    ),
    element("button", { type: "button", text: "all", onclick: all(false) }),
    element("button", { type: "button", text: "none", onclick: all(true) }),
  );
}

function choice(title, control, options, value, onchange) {
  const select = element(
    "select",
    { "aria-label": title, "data-control": control, onchange: (event) => onchange(event.target.value) },
    ...Object.entries(options).map(([key, text]) => element("option", { value: key, text, selected: key === value })),
  );
  return element("fieldset", {}, element("legend", { text: title }), select);
}

function drawFilters() {
  const every = data.experiments.map(facets);
  const ratios = unique(every.map((one) => one.ratio)).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const axes = Object.fromEntries(knownAxes().map((axis) => [axis, AXES[axis]]));
  const seeds = element("button", {
    type: "button",
    class: "chip",
    text: "every seed",
    "data-control": "seeds",
    "aria-pressed": String(state.seeds),
    onclick: () => change({ seeds: !state.seeds }),
  });
  const zoomed = Object.values(state.zoom).some(Boolean);
  const nothing = { aggregate: null, task: null, diagnostic: null };
  const reset = zoomed ? element("button", { type: "button", text: "show whole range", onclick: () => change({ zoom: nothing }) }) : null;
  return [
    chips("experiment", "experiment", data.experiments.map((one) => one.name)),
    chips("task", "task", data.tasks),
    element(
      "div",
      { class: "row" },
      chips("preset", "preset", unique(every.map((one) => one.preset))),
      chips("ratio", "replay ratio", ratios),
      choice("statistic", "statistic", STATISTICS, state.statistic, (statistic) => change({ statistic })),
      choice("against", "axis", axes, state.axis, (axis) => {
        state.zoom = nothing;
        change({ axis });
      }),
      element("fieldset", {}, seeds, reset),
    ),
  ];
}

function draw() {
  // What was open stays open, and the keyboard's place is kept.
  const open = [...document.querySelectorAll("details")].map((one) => one.open);
  const focus = document.activeElement;
  const at = focus && focus.dataset ? [focus.dataset.facet, focus.dataset.choice, focus.dataset.control] : [];
  document.getElementById("filters").replaceChildren(...drawFilters().filter(Boolean));
  const sections = [problemsSection, aggregateSection, tasksSection, diagnosticsSection, settingsSection, costsSection];
  document.getElementById("main").replaceChildren(...sections.map((one) => one()).filter(Boolean));
  document.querySelectorAll("details").forEach((one, index) => {
    one.open = open[index] ?? false;
  });
  for (const one of document.querySelectorAll("#filters [data-facet], [data-control]")) {
    const same = [one.dataset.facet, one.dataset.choice, one.dataset.control];
    if (at.some(Boolean) && same.every((value, index) => value === at[index])) one.focus({ preventScroll: true });
  }
  hideTip();
}

function start() {
  document.getElementById("title").textContent = data.title;
  const count = (number, word) => `${whole(number)} ${word}${number === 1 ? "" : "s"}`;
  const troubles = data.problems.length + data.unfinished.length;
  const evaluations = data.returns.reduce((total, row) => total + row.y.length, 0);
  document.getElementById("summary").textContent = [
    count(data.experiments.length, "experiment"),
    count(data.tasks.length, "task"),
    count(data.returns.length, "run"),
    count(evaluations, "evaluation"),
    troubles ? count(troubles, "remark") : "nothing failed",
  ].join(" · ");
  document.getElementById("footer").textContent =
    `Read from ${data.inputs.join(", ")}. Hover a curve for its numbers; drag to zoom, double click for the whole range; click a heading to sort.`;
  draw();
  document.documentElement.dataset.ready = "true";
}

start();
