// A line chart: hover reads values off, a horizontal drag zooms, a double click shows all again.
const SIZES = { small: { WIDTH: 400, HEIGHT: 236 }, large: { WIDTH: 820, HEIGHT: 330 } };
const MARGIN = { left: 46, right: 18, top: 10, bottom: 34 };

// series: [{label, style, x, y, low, high, runs, kind: "curve" | "seed"}]; marks: positions of
// dashed lines; zoom: [low, high] or null.
function chart({ series, marks = [], xLabel, zoom, onZoom, name, size = SIZES.small }) {
  const { WIDTH, HEIGHT } = size;
  const svg = svgElement("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": name });
  const drawn = series.map((one) => cut(one, zoom)).filter((one) => one.x.length);
  const xs = drawn.flatMap((one) => one.x);
  if (!xs.length) {
    svg.append(svgElement("text", { x: WIDTH / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "nothing here"));
    return svg;
  }
  const [left, right] = zoom ?? padded(least(xs), most(xs), 0);
  const ys = drawn.flatMap((one) => [...one.y, ...(one.low ?? []), ...(one.high ?? [])]).filter((y) => y !== null);
  const [bottom, top] = padded(least(ys), most(ys), 0.05);
  const toX = (x) => MARGIN.left + ((x - left) / (right - left)) * (WIDTH - MARGIN.left - MARGIN.right);
  const toY = (y) => HEIGHT - MARGIN.bottom - ((y - bottom) / (top - bottom)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  drawAxes(svg, size, toX, toY, [left, right], [bottom, top], xLabel);
  for (const mark of marks.filter((x) => x >= left && x <= right)) {
    svg.append(line("reset", toX(mark), toX(mark), MARGIN.top, HEIGHT - MARGIN.bottom));
  }
  for (const one of drawn) drawSeries(svg, one, toX, toY);
  interact(svg, size, drawn.filter((one) => one.kind !== "seed"), toX, toY, [left, right], onZoom, xLabel);
  return svg;
}

// The points inside the zoom, without gaps.
function cut(one, zoom) {
  const kept = [];
  one.x.forEach((x, index) => {
    const inside = x !== null && (!zoom || (x >= zoom[0] && x <= zoom[1]));
    if (inside && one.y[index] !== null) kept.push(index);
  });
  const pick = (values) => values && kept.map((index) => values[index]);
  return { ...one, x: pick(one.x), y: pick(one.y), low: pick(one.low), high: pick(one.high), runs: pick(one.runs) };
}

function drawAxes(svg, { WIDTH, HEIGHT }, toX, toY, xRange, yRange, xLabel) {
  for (const y of ticks(...yRange, 5)) {
    svg.append(line("grid-line", MARGIN.left, WIDTH - MARGIN.right, toY(y), toY(y)));
    svg.append(svgElement("text", { x: MARGIN.left - 6, y: toY(y) + 4, "text-anchor": "end" }, short(y)));
  }
  const base = HEIGHT - MARGIN.bottom;
  svg.append(line("axis", MARGIN.left, WIDTH - MARGIN.right, base, base));
  for (const x of ticks(...xRange, WIDTH / 80)) {
    svg.append(line("axis", toX(x), toX(x), base, base + 4));
    svg.append(svgElement("text", { x: toX(x), y: base + 16, "text-anchor": "middle" }, short(x)));
  }
  svg.append(svgElement("text", { x: (WIDTH + MARGIN.left) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, xLabel));
}

function drawSeries(svg, one, toX, toY) {
  const point = (x, y) => `${toX(x).toFixed(1)},${toY(y).toFixed(1)}`;
  if (one.low && one.x.length > 1) {
    const upper = one.x.map((x, index) => point(x, one.high[index] ?? one.y[index]));
    const lower = one.x.map((x, index) => point(x, one.low[index] ?? one.y[index])).reverse();
    svg.append(svgElement("polygon", { class: `band ${one.style}`, points: [...upper, ...lower].join(" ") }));
  }
  const points = one.x.map((x, index) => point(x, one.y[index]));
  svg.append(svgElement("polyline", { class: `${one.kind} ${one.style}`, points: points.join(" ") }));
  if (points.length === 1) {
    const [x, y] = points[0].split(",");
    svg.append(svgElement("circle", { class: `dot ${one.style}`, cx: x, cy: y, r: 3 }));
  }
}

function interact(svg, { WIDTH, HEIGHT }, series, toX, toY, range, onZoom, xLabel) {
  const cursor = line("cursor", 0, 0, MARGIN.top, HEIGHT - MARGIN.bottom);
  const chosen = svgElement("rect", { class: "chosen", y: MARGIN.top, height: HEIGHT - MARGIN.top - MARGIN.bottom });
  const dots = series.map((one) => svgElement("circle", { class: `dot ${one.style}`, r: 3.5 }));
  let start = null;
  const position = (event) => {
    const box = svg.getBoundingClientRect();
    const along = ((event.clientX - box.left) / box.width) * WIDTH;
    const share = (along - MARGIN.left) / (WIDTH - MARGIN.left - MARGIN.right);
    return range[0] + Math.min(1, Math.max(0, share)) * (range[1] - range[0]);
  };
  const clear = () => {
    for (const part of [cursor, chosen, ...dots]) part.remove();
    hideTip();
  };
  svg.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button === 0) start = position(event);
  });
  svg.addEventListener("pointermove", (event) => {
    const x = position(event);
    if (start !== null) {
      const [low, high] = [Math.min(start, x), Math.max(start, x)];
      chosen.setAttribute("x", toX(low));
      chosen.setAttribute("width", toX(high) - toX(low));
      svg.append(chosen);
    }
    const near = series.map((one) => nearest(one.x, x));
    const at = near.map((index, which) => series[which].x[index]).sort((a, b) => Math.abs(a - x) - Math.abs(b - x))[0];
    if (at === undefined) return;
    cursor.setAttribute("x1", toX(at));
    cursor.setAttribute("x2", toX(at));
    svg.append(cursor);
    series.forEach((one, which) => {
      dots[which].setAttribute("cx", toX(one.x[near[which]]));
      dots[which].setAttribute("cy", toY(one.y[near[which]]));
      svg.append(dots[which]);
    });
    showTip(event, `${xLabel}: ${whole(at)}`, series.map((one, which) => tipLine(one, near[which], at)));
  });
  svg.addEventListener("pointerup", (event) => {
    const end = position(event);
    const width = start === null ? 0 : Math.abs(end - start);
    const from = start;
    start = null;
    chosen.remove();
    if (width > (range[1] - range[0]) / 50) onZoom([Math.min(from, end), Math.max(from, end)]);
  });
  svg.addEventListener("pointerleave", () => {
    start = null;
    clear();
  });
  svg.addEventListener("dblclick", () => onZoom(null));
}

function tipLine(one, index, at) {
  const interval = one.low && one.low[index] !== null ? ` [${decimal(one.low[index])}, ${decimal(one.high[index])}]` : "";
  const runs = one.runs ? `, ${one.runs[index]} runs` : "";
  const where = one.x[index] === at ? "" : ` at ${whole(one.x[index])}`;
  return [one.style, `${one.label}: ${decimal(one.y[index])}${interval}${runs}${where}`];
}

function showTip(event, title, lines) {
  const tip = document.getElementById("tip");
  const rows = lines.slice(0, 12).map(([style, text]) => element("div", {}, element("span", { class: `key ${style}` }), text));
  tip.replaceChildren(element("div", { text: title, class: "faint" }), ...rows);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const beside = event.clientX + 16 + box.width > window.innerWidth ? event.clientX - 16 - box.width : event.clientX + 16;
  tip.style.left = `${Math.max(4, beside)}px`;
  tip.style.top = `${Math.max(4, Math.min(event.clientY + 12, window.innerHeight - box.height - 4))}px`;
}

function hideTip() {
  document.getElementById("tip").hidden = true;
}

function line(kind, x1, x2, y1, y2) {
  return svgElement("line", { class: kind, x1, x2, y1, y2 });
}

function nearest(xs, x) {
  let best = 0;
  xs.forEach((other, index) => {
    if (Math.abs(other - x) < Math.abs(xs[best] - x)) best = index;
  });
  return best;
}

function padded(low, high, share) {
  const width = high - low || Math.abs(high) || 1;
  return low === high ? [low - width / 2, high + width / 2] : [low - share * width, high + share * width];
}

function least(values) {
  return values.reduce((a, b) => Math.min(a, b), Infinity);
}

function most(values) {
  return values.reduce((a, b) => Math.max(a, b), -Infinity);
}
