// The sections of the page. Each returns an element, or null where it has nothing to say.
function section(name, title, ...children) {
  return element("section", { id: name }, element("h2", { text: title }), ...children);
}

function figure(title, drawing) {
  return element("figure", {}, title === null ? null : element("h3", { text: title }), drawing);
}

function problemsSection() {
  const lost = shown(data.unfinished);
  if (!data.problems.length && !lost.length) return null;
  const kinds = unique(data.problems.map((problem) => problem.kind));
  const notes = kinds.map((kind) => {
    const texts = data.problems.filter((problem) => problem.kind === kind).map((problem) => element("li", { text: problem.text }));
    const title = element("strong", { text: `${kind} (${texts.length})` });
    const more = texts.splice(6);
    const rest = more.length
      ? element("details", {}, element("summary", { text: `${more.length} more` }), element("ul", {}, ...more))
      : null;
    return element("div", { class: "note", "data-kind": kind }, title, element("ul", {}, ...texts), rest);
  });
  const seeds = lost.length
    ? table({
        name: "unfinished",
        rows: lost,
        columns: [
          experimentColumn(),
          taskColumn(),
          { title: "seed", value: (row) => row.seed },
          { title: "what happened", left: true, value: (row) => row.why },
          { title: "folder", left: true, wrap: true, value: (row) => row.folder },
        ],
      })
    : null;
  return section("problems", "Failures and what does not fit together", ...notes, seeds);
}

function aggregateSection() {
  const rows = shown(data.aggregate);
  const compared = rows.filter((row) => row.final);
  const common = data.common_tasks;
  const sentences = [];
  if (data.experiments.length > 1 && !common.length) {
    sentences.push("The experiments have no task in common: each row is over its own tasks, and rows do not compare.");
  } else {
    const count = (common.length ? common : rows[0]?.tasks ?? []).length;
    sentences.push(count === 1 ? `On the task ${common[0]}.` : `Over the ${count} tasks that all experiments have.`);
  }
  if (compared.some((row) => row.normalized)) sentences.push("Scores are normalised returns, by the suite of each task: 0 and 1 are a random and a good policy (dm_control: return / 1,000).");
  sentences.push(
    data.common_step === null
      ? "Not all reached one env step: each row is at its own last one."
      : `At env step ${whole(data.common_step)}, the last that all of them reached.`,
  );
  sentences.push(`Intervals: 95 % of ${whole(data.reps)} bootstrap resamples of runs within tasks. The filter of tasks does not change this table.`);
  const missing = rows.filter((row) => row.without_scale);
  const warning = missing.length
    ? element("p", {
        class: "note",
        text: `Without a number: ${missing.map((row) => row.experiment).join(", ")}. Returns of ${unique(missing.flatMap((row) => row.without_scale)).join(", ")} have no agreed scale, and averages over tasks would mix scales.`,
      })
    : null;
  const numbers = table({
    name: "aggregate",
    rows,
    columns: [
      experimentColumn(),
      { title: "preset", left: true, value: (row) => facets(data.experiments[experimentNumber.get(row.experiment)]).preset },
      { title: "replay ratio", value: (row) => data.experiments[experimentNumber.get(row.experiment)].ratio },
      { title: "tasks", value: (row) => row.tasks.length },
      runsColumn(),
      stepColumn(),
      ...Object.keys(STATISTICS).map(statisticColumn),
    ],
  });
  const curves = compared.map((row) => statisticSeries(row, row.tasks, state.statistic)).filter(Boolean);
  const drawing = curves.length
    ? figure(
        null,
        chart({
          series: curves,
          xLabel: AXES[state.axis],
          name: "all tasks together",
          size: window.innerWidth < 700 ? SIZES.small : SIZES.large,
          zoom: state.zoom.aggregate,
          onZoom: (zoom) => setZoom("aggregate", zoom),
        }),
      )
    : null;
  drawing?.classList.add("wide");
  return section("aggregate", "All tasks together", element("p", { class: "faint", text: sentences.join(" ") }), warning, numbers, element("p"), drawing);
}

// The curve of a statistic with its band, as `chart` takes it.
function statisticSeries(row, tasks, statistic) {
  const [y, low, high] = row.curve[statistic] ?? row.curve.mean;
  const x = positions(row.experiment, tasks, data.grids[row.curve.x]);
  if (!x.length) return null;
  return { kind: "curve", label: row.experiment, style: styleOf(row.experiment), x, y, low, high, runs: data.grids[row.curve.runs] };
}

function tasksSection() {
  const rows = shown(data.per_task);
  if (!rows.length) return section("tasks", "Every task", element("p", { class: "faint", text: "The filters leave nothing." }));
  const statistic = state.statistic === "median" ? "mean" : state.statistic;
  const drawings = shownTasks().map((task) => {
    const own = rows.filter((row) => row.task === task);
    const curves = own.map((row) => statisticSeries(row, [task], statistic)).filter(Boolean);
    const seeds = state.seeds ? own.flatMap((row) => seedsOf(row.experiment, task).map(seedSeries)) : [];
    const resets = data.resets.filter((one) => one.task === task && showsExperiment(one.experiment)).flatMap((one) => one.x);
    return figure(
      task,
      chart({
        series: [...seeds, ...curves],
        marks: state.axis === "env_steps" ? unique(resets) : [],
        xLabel: AXES[state.axis],
        name: task,
        zoom: state.zoom.task,
        onZoom: (zoom) => setZoom("task", zoom),
      }),
    );
  });
  const text = `Return: ${STATISTICS[statistic]} over seeds with a 95 % bootstrap interval; dashed lines are resets. The table is at the last env step that all experiments on a task reached.`;
  return section(
    "tasks",
    "Every task",
    element("p", { class: "faint", text }),
    element("div", { class: "grid" }, ...drawings),
    element("h2", { text: "Returns by task" }),
    table({ name: "per_task", rows, columns: [taskColumn(), experimentColumn(), runsColumn(), stepColumn(), statisticColumn("iqm"), statisticColumn("mean")] }),
    seedsTable(),
  );
}

function seedSeries(row) {
  return { kind: "seed", label: `${row.experiment}, seed ${row.seed}`, style: styleOf(row.experiment), x: data.grids[row[state.axis]], y: row.y };
}

function seedsTable() {
  const rows = shown(data.returns);
  const last = (row) => row.y[row.y.length - 1];
  const best = (row) => row.y.reduce((a, b) => (b !== null && (a === null || b > a) ? b : a), null);
  const numbers = table({
    name: "seeds",
    rows,
    columns: [
      taskColumn(),
      experimentColumn(),
      { title: "seed", value: (row) => row.seed },
      { title: "evaluations", value: (row) => row.y.length },
      { title: "last env step", value: (row) => data.grids[row.env_steps].at(-1), show: (row) => whole(data.grids[row.env_steps].at(-1)) },
      { title: "last return", value: last, show: (row) => decimal(last(row)) },
      { title: "best return", value: best, show: (row) => decimal(best(row)) },
    ],
  });
  return element("details", {}, element("summary", { text: `Every seed (${rows.length})` }), numbers);
}

function diagnosticsSection() {
  const metrics = unique(data.diagnostics.map((row) => row.metric)).sort();
  if (!metrics.length) return null;
  const usual = ["train/critic_loss", metrics.find((metric) => metric.startsWith("train/"))];
  state.metric ??= usual.find((metric) => metrics.includes(metric)) ?? metrics[0];
  const rows = shown(data.diagnostics).filter((row) => row.metric === state.metric);
  const choice = element(
    "select",
    { "aria-label": "metric", "data-control": "metric", onchange: (event) => change({ metric: event.target.value }) },
    ...metrics.map((metric) => element("option", { value: metric, text: metric, selected: metric === state.metric })),
  );
  const drawings = shownTasks()
    .filter((task) => rows.some((row) => row.task === task))
    .map((task) => {
      const series = rows
        .filter((row) => row.task === task)
        .map((row) => {
          const label = row.seed === null ? row.experiment : `${row.experiment}, seed ${row.seed}`;
          return { kind: "curve", label, style: `${styleOf(row.experiment)} thin`, x: data.grids[row.x], y: row.y };
        });
      return figure(task, chart({ series, xLabel: AXES.env_steps, name: `${state.metric} on ${task}`, zoom: state.zoom.diagnostic, onZoom: (zoom) => setZoom("diagnostic", zoom) }));
    });
  const text = "One line per seed; at most 100 points each, means over neighbours.";
  return section("diagnostics", "Diagnostics", element("div", { class: "tools" }, choice, element("span", { class: "faint", text })), element("div", { class: "grid" }, ...drawings));
}

function settingsSection() {
  const { experiments, rows } = data.settings;
  if (!rows.length) return null;
  const places = experiments.map((name, index) => [name, index]).filter(([name]) => showsExperiment(name));
  const listing = (name, chosen) =>
    table({
      name,
      rows: chosen.map((row) => ({ ...row, style: row.fixed ? "other" : "" })),
      columns: [
        { title: "setting", left: true, value: (row) => row.name },
        ...places.map(([title, index]) => ({ title, left: true, wrap: true, value: (row) => row.values[index].join(" | ") || "–" })),
      ],
    });
  const differing = rows.filter((row) => row.differs);
  const same = rows.filter((row) => !row.differs);
  const text = differing.length
    ? "Settings, versions and machines that are not the same in all runs; bold ones make another experiment. Several values with | between them: runs of one experiment differ."
    : "No setting, version or machine differs.";
  return section(
    "settings",
    "What differs between the experiments",
    element("p", { class: "faint", text }),
    differing.length ? listing("differences", differing) : null,
    element("details", {}, element("summary", { text: `What is the same (${same.length})` }), listing("same", same)),
  );
}

function costsSection() {
  const rows = shown(data.costs);
  if (!rows.length) return null;
  const count = (title, key, show = whole) => ({ title, value: (row) => row[key], show: (row) => show(row[key]) });
  const seconds = rows.reduce((total, row) => total + (row.wall_s ?? 0), 0);
  const spent = seconds ? `${duration(seconds)} of wall time in all, as far as it was logged` : "wall time was not logged";
  const text = `${rows.length} run folders, ${spent}. Env steps, frames and updates are per seed; updates per second are summed over seeds.`;
  return section(
    "costs",
    "Cost",
    element("p", { class: "faint", text }),
    table({
      name: "costs",
      rows,
      columns: [
        experimentColumn(),
        taskColumn(),
        count("seeds", "seeds"),
        count("env steps", "env_steps"),
        count("of", "max_steps"),
        count("frames", "frames"),
        count("updates", "updates"),
        count("wall time", "wall_s", duration),
        count("updates/s", "updates_per_s", decimal),
        count("sessions", "sessions"),
        { title: "device", left: true, value: (row) => row.device },
        { title: "folder", left: true, wrap: true, value: (row) => row.folder },
      ],
    }),
  );
}
