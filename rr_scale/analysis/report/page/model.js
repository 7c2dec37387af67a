// The data of the page, and what of it is shown. Strings in it are other people's: they reach
// the document as text nodes only.
const data = JSON.parse(document.getElementById("data").textContent);

const AXES = {
  env_steps: "environment steps",
  frames: "frames",
  updates: "updates",
  wall_s: "wall time (s)",
};
const STATISTICS = { iqm: "IQM", median: "median", mean: "mean" };
const UNKNOWN = "unknown";

const state = {
  hidden: { experiment: new Set(), task: new Set(), preset: new Set(), ratio: new Set() },
  statistic: "iqm",
  seeds: false,
  axis: "env_steps",
  metric: null,
  zoom: { aggregate: null, task: null, diagnostic: null },
};

const experimentNumber = new Map(data.experiments.map((one, index) => [one.name, index]));

function facets(experiment) {
  return {
    preset: experiment.preset ?? UNKNOWN,
    ratio: experiment.ratio === null ? UNKNOWN : String(experiment.ratio),
  };
}

function showsExperiment(name) {
  const { preset, ratio } = facets(data.experiments[experimentNumber.get(name)]);
  const { hidden } = state;
  return !hidden.experiment.has(name) && !hidden.preset.has(preset) && !hidden.ratio.has(ratio);
}

function showsTask(task) {
  return !state.hidden.task.has(task);
}

// Rows that name an experiment, and perhaps a task.
function shown(rows) {
  return rows.filter(
    (row) =>
      (!experimentNumber.has(row.experiment) || showsExperiment(row.experiment)) &&
      (row.task === undefined || showsTask(row.task)),
  );
}

function shownTasks() {
  return data.tasks.filter(showsTask);
}

// Returns of the seeds of one experiment on one task.
function seedsOf(experiment, task) {
  return data.returns.filter((row) => row.experiment === experiment && row.task === task);
}

// Axes that every curve has.
function knownAxes() {
  return Object.keys(AXES).filter((axis) => data.returns.every((row) => row[axis] !== null));
}

// The positions of a statistic's points: env steps are known, other axes are those of the seeds,
// taken at the same env step (of the first seed for counts, on average for wall time).
function positions(experiment, tasks, steps) {
  if (state.axis === "env_steps") return steps;
  const rows = tasks.flatMap((task) => seedsOf(experiment, task));
  const maps = rows.map((row) => {
    const at = data.grids[row[state.axis]];
    return new Map(data.grids[row.env_steps].map((step, index) => [step, at[index]]));
  });
  return steps.map((step) => {
    const found = maps.map((map) => map.get(step)).filter((value) => value !== undefined && value !== null);
    return found.length ? found.reduce((a, b) => a + b, 0) / found.length : null;
  });
}

function unique(values) {
  return [...new Set(values)];
}
