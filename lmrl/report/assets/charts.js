// Line charts as SVG: axes with units, a band for the interval, and values under the pointer.

const CHART_HEIGHT = 210;
const MARGIN = { left: 56, right: 14, top: 10, bottom: 34 };
const tooltip = h("div", { class: "tooltip", role: "status", hidden: true });

function stepOf(low, high, count) {
  const least = (high - low) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((m) => m * power).find((v) => v >= least * 0.999);
}

function ticks(low, high, step) {
  const found = [];
  for (let v = Math.ceil(low / step - 1e-9); v * step <= high + step * 1e-6; v++) found.push(v * step);
  return found.map((v) => Number(v.toPrecision(12)));
}

// Returns a scale from values to pixels, with the values of its ticks.
function scale(low, high, from, to, { log = false, nice = false } = {}) {
  if (log) {
    const a = Math.floor(Math.log10(low)), b = Math.max(Math.ceil(Math.log10(high)), a + 1);
    const every = Math.ceil((b - a) / 5);
    const marks = [];
    for (let e = a; e <= b; e += every) marks.push(10 ** e);
    return { at: (v) => from + ((Math.log10(Math.max(v, 10 ** a)) - a) / (b - a)) * (to - from), marks };
  }
  if (high === low) [low, high] = low === 0 ? [0, 1] : [low - Math.abs(low) * 0.1, high + Math.abs(low) * 0.1];
  const room = Math.max(2, Math.abs(to - from) / (nice ? 36 : 64));
  const step = stepOf(low, high, room);
  if (nice) { // the axis begins and ends with a tick
    low = Math.floor(low / step + 1e-6) * step;
    high = Math.ceil(high / step - 1e-6) * step;
  }
  const marks = ticks(low, high, step);
  return { at: (v) => from + ((v - low) / (high - low)) * (to - from), marks };
}

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) if (v !== null && Number.isFinite(v)) { if (v < low) low = v; if (v > high) high = v; }
  return [low, high];
}

// The text of a tick: all ticks of an axis have the same unit and the same digits.
function tickText(marks, log) {
  if (log) return (value) => `1e${Math.round(Math.log10(value))}`;
  const most = Math.max(...marks.map(Math.abs));
  const [unit, name] = most >= 1e6 ? [1e6, " M"] : most >= 1e4 ? [1e3, " k"] : [1, ""];
  const step = marks.length > 1 ? (marks[1] - marks[0]) / unit : marks[0] / unit || 1;
  const digits = Math.max(0, Math.min(12, -Math.floor(Math.log10(Math.abs(step)) + 1e-9)));
  if (digits > 4) return (value) => number(value);
  return (value) => (value === 0 ? "0" : (value / unit).toFixed(digits).replace("-", "−") + name);
}

// Splits a line where it has no value.
function path(xs, ys, x, y) {
  let text = "", pen = "M";
  xs.forEach((v, i) => {
    if (ys[i] === null) { pen = "M"; return; }
    text += `${pen}${x.at(v).toFixed(1)},${y.at(ys[i]).toFixed(1)}`;
    pen = "L";
  });
  return text;
}

function band(line, x, y) {
  const points = line.x.map((v, i) => [v, line.low[i], line.high[i]]).filter((p) => p[1] !== null && p[2] !== null);
  if (!points.length) return "";
  const up = points.map((p) => `${x.at(p[0]).toFixed(1)},${y.at(p[2]).toFixed(1)}`);
  const down = points.reverse().map((p) => `${x.at(p[0]).toFixed(1)},${y.at(p[1]).toFixed(1)}`);
  return `M${up.join("L")}L${down.join("L")}Z`;
}

// Draws a chart into a figure that follows the width of its place.
// names: function from a line or point to its name; hidden: groups that are not drawn.
function lineChart(chart, { names, hidden = new Set(), xLabel = "update", height = CHART_HEIGHT, marks = [] }) {
  const place = h("div", { class: "plot" });
  const figure = h("figure", { class: "chart" },
    h("figcaption", {},
      h("h3", {}, visible(chart.title)),
      chart.text ? h("p", { class: "muted" }, chart.text) : null,
      chart.lines.some((line) => line.name) ? h("ul", { class: "legend" }, chart.lines.map((line) => h("li", {}, h("i", { style: { background: colour(line.colour) } }), visible(line.name)))) : null),
    place);
  let width = 0;
  const draw = () => {
    width = place.clientWidth;
    if (width) place.replaceChildren(drawn(chart, width, height, { names, hidden, xLabel, marks }));
  };
  new ResizeObserver(() => { if (place.clientWidth !== width) draw(); }).observe(place);
  figure.redraw = draw;
  return figure;
}

function drawn(chart, width, height, { names, hidden, xLabel, marks }) {
  const shown = (item) => !hidden.has(item.group);
  const lines = chart.lines.filter(shown), points = chart.points.filter(shown);
  const good = (v) => v !== null && (!chart.log || v > 0);
  const [x0, x1] = extent([...lines.flatMap((l) => l.x), ...points.map((p) => p.x)]);
  const [y0, y1] = extent([
    ...lines.flatMap((l) => [...l.y, ...((!chart.log && l.low) || []), ...(l.high ?? [])]),
    ...points.flatMap((p) => [p.y, p.low, p.high])].filter(good));
  if (!Number.isFinite(x0) || !Number.isFinite(y0)) return h("p", { class: "muted empty" }, "Nothing to draw.");
  const x = scale(x0, x1, MARGIN.left, width - MARGIN.right);
  const y = scale(y0, y1, height - MARGIN.bottom, MARGIN.top + 12, { log: chart.log, nice: true });
  const picture = s("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, tabindex: 0, role: "img",
    "aria-label": `${chart.title}: ${number(y0)} to ${number(y1)} ${chart.unit}, over ${xLabel} ${number(x0)} to ${number(x1)}. Arrow keys read the values.`,
  });
  picture.append(axes(chart, x, y, width, height, xLabel));
  for (const mark of marks) {
    if (mark >= x0 && mark <= x1) picture.append(s("line", { class: "turn-mark", x1: x.at(mark), x2: x.at(mark), y1: MARGIN.top + 8, y2: height - MARGIN.bottom }));
  }
  const several = new Set(lines.filter((l) => l.run === null).map((l) => l.group));
  for (const line of lines) {
    if (line.low) picture.append(s("path", { d: band(line, x, y), class: "band", style: { fill: colour(line.group) } }));
  }
  lines.forEach((line, i) => {
    const faint = line.run !== null && line.run !== undefined && several.has(line.group);
    const d = path(line.x, line.y.map((v) => (good(v) ? v : null)), x, y);
    picture.append(s("path", { d, class: faint ? "line faint" : "line", style: { stroke: colour(line.colour ?? line.group) }, "stroke-dasharray": line.dash ?? null }));
    if (line.x.length === 1) picture.append(s("circle", { cx: x.at(line.x[0]), cy: y.at(line.y[0]), r: 3, style: { fill: colour(line.group) } }));
  });
  for (const line of byName(points.filter((p) => p.joined), names)) {
    picture.append(s("path", { d: path(line.x, line.y, x, y), class: "line joined", style: { stroke: colour(line.group) } }));
  }
  for (const p of points) {
    const style = { stroke: colour(p.group), fill: colour(p.group) };
    if (p.low !== null && p.high !== null) picture.append(s("line", { x1: x.at(p.x), x2: x.at(p.x), y1: y.at(p.low), y2: y.at(p.high), class: "whisker", style }));
    picture.append(s("circle", { cx: x.at(p.x), cy: y.at(p.y), r: 3.5, style }));
  }
  readable(picture, [...lines.filter((l) => !(several.has(l.group) && l.run !== null)), ...byName(points, names)], x, y, names, chart, height, xLabel);
  return picture;
}

// Joins points of one name into a line, so that their values can be read like those of a line.
function byName(points, names) {
  const lines = new Map();
  for (const p of points) {
    const name = names(p);
    if (!lines.has(name)) lines.set(name, { ...p, x: [], y: [], low: [], high: [] });
    const line = lines.get(name);
    line.x.push(p.x); line.y.push(p.y); line.low.push(p.low); line.high.push(p.high);
  }
  return [...lines.values()];
}

function axes(chart, x, y, width, height, xLabel) {
  const group = s("g", { class: "axes", "aria-hidden": "true" });
  const yText = tickText(y.marks, chart.log), xText = tickText(x.marks);
  for (const v of y.marks) {
    group.append(
      s("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y.at(v), y2: y.at(v) }),
      s("text", { x: MARGIN.left - 8, y: y.at(v) + 4, "text-anchor": "end" }, yText(v)));
  }
  const room = Math.max(1, Math.floor((width - MARGIN.left) / 64));
  const every = Math.ceil(x.marks.length / room);
  x.marks.forEach((v, i) => {
    const anchor = x.at(v) > width - 24 ? "end" : "middle";
    if (i % every === 0) group.append(s("text", { x: anchor === "end" ? width - 1 : x.at(v), y: height - MARGIN.bottom + 16, "text-anchor": anchor }, xText(v)));
  });
  group.append(
    s("text", { class: "unit", x: 0, y: 10 }, visible(chart.unit)),
    s("text", { class: "unit", x: width - MARGIN.right, y: height - 2, "text-anchor": "end" }, xLabel));
  return group;
}

// Shows the values of the nearest update: under the pointer, or moved by the arrow keys.
function readable(picture, lines, x, y, names, chart, height, xLabel) {
  const values = [...new Set(lines.flatMap((l) => l.x))].sort((a, b) => a - b);
  const cursor = s("line", { class: "cursor", y1: MARGIN.top + 8, y2: height - MARGIN.bottom, visibility: "hidden" });
  picture.append(cursor);
  let place = values.length - 1;
  const show = (i) => {
    place = Math.max(0, Math.min(values.length - 1, i));
    const at = values[place];
    cursor.setAttribute("x1", x.at(at)); cursor.setAttribute("x2", x.at(at));
    cursor.setAttribute("visibility", "visible");
    const rows = lines.map((line) => [line, nearest(line.x, at)]).filter(([line, j]) =>
      Math.abs(line.x[j] - at) <= (values.at(-1) - values[0]) / 40 + 1e-9).slice(0, 12);
    tooltip.replaceChildren(h("b", {}, `${xLabel} ${number(at)}`), ...rows.map(([line, j]) => h("div", {},
      h("i", { style: { background: colour(line.colour ?? line.group) } }), `${visible(names(line))} `,
      h("strong", {}, number(line.y[j])),
      line.low?.[j] != null ? ` [${number(line.low[j])}, ${number(line.high[j])}]` : "")));
    const box = picture.getBoundingClientRect();
    tooltip.hidden = false;
    const left = Math.min(box.left + x.at(at) + 12, innerWidth - tooltip.offsetWidth - 8);
    tooltip.style.left = `${Math.max(8, left)}px`;
    tooltip.style.top = `${Math.max(8, Math.min(box.top + 24, innerHeight - tooltip.offsetHeight - 8))}px`;
  };
  const hide = () => { tooltip.hidden = true; cursor.setAttribute("visibility", "hidden"); };
  picture.addEventListener("pointermove", (event) => {
    const from = event.clientX - picture.getBoundingClientRect().left;
    show(nearest(values.map((v) => x.at(v)), from));
  });
  picture.addEventListener("pointerleave", hide);
  picture.addEventListener("blur", hide);
  picture.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    show(cursor.getAttribute("visibility") === "hidden" ? place : place + step);
  });
}

function nearest(sorted, value) {
  let low = 0, high = sorted.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle; else high = middle;
  }
  return Math.abs(sorted[high] - value) < Math.abs(sorted[low] - value) ? high : low;
}
