// Elements and numbers.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "text") made.textContent = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function svgElement(name, attributes = {}, text = null) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  return made;
}

const withCommas = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

function whole(value) {
  return value === null || value === undefined ? "–" : withCommas.format(value);
}

// Four significant digits, more for large numbers: 0.4312, 12.31, 812.3, 12,345.
function decimal(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size >= 10000) return size >= 1e7 ? value.toExponential(3) : withCommas.format(value);
  if (size >= 100) return value.toFixed(1);
  if (size >= 10) return value.toFixed(2);
  if (size >= 0.01 || size === 0) return value.toFixed(size >= 1 ? 3 : 4);
  return value.toExponential(2);
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(1)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

function short(value) {
  const size = Math.abs(value);
  if (size >= 1e9) return `${trim(value / 1e9)}B`;
  if (size >= 1e6) return `${trim(value / 1e6)}M`;
  if (size >= 1e4) return `${trim(value / 1e3)}k`;
  if (size !== 0 && size < 1e-3) return value.toExponential(0);
  return trim(value);
}

function trim(value) {
  return String(Number(value.toPrecision(4)));
}

// Round numbers from low to high.
function ticks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1);
  if (!(rough > 0) || !Number.isFinite(rough)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const found = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index += 1) {
    found.push(index * step);
  }
  return found;
}

// Colours first, then the same colours dashed, then dotted.
function styleOf(experiment) {
  const number = experimentNumber.get(experiment) ?? 0;
  return `k${number % 7} d${Math.floor(number / 7) % 3}`;
}

function keyOf(experiment) {
  return element("span", { class: `key ${styleOf(experiment)}` });
}
