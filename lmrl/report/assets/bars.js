// Bars: scores with intervals beside the published ones, seconds by phase, and the ledger.

function normalise(value, range) {
  const [worst, data, best] = range;
  return value < data ? (50 * (value - worst)) / (data - worst) : 50 + (50 * (value - data)) / (best - data);
}

function scoreBars(block, groups, measure) {
  const of = (v) => (v === null || v === undefined ? null : measure === "normalised" ? normalise(v, block.range) : v);
  const rows = block.rows.map((row) => ({
    label: row.label, detail: detail(row, groups), group: row.group, paper: false,
    value: of(row.mean), low: of(row.low), high: of(row.high), runs: row.runs.map((r) => of(r.mean)),
  }));
  const published = block.published.map((row) => ({
    label: row.label, detail: "published", paper: true, value: of(row.mean), low: null, high: null, runs: [],
  }));
  const every = [...rows, ...published];
  const place = h("div", { class: "plot" });
  let width = 0;
  const draw = () => {
    width = place.clientWidth;
    if (width) place.replaceChildren(drawnBars(every, block, measure, width));
  };
  new ResizeObserver(() => { if (place.clientWidth !== width) draw(); }).observe(place);
  return place;
}

function detail(row, groups) {
  const parts = [];
  if (groups.length > 1) parts.push(groups[row.group].name);
  if (row.runs.length > 1) parts.push(`${row.runs.length} seeds`);
  return parts.join(" · ");
}

function drawnBars(rows, block, measure, width) {
  const labels = Math.min(190, width * 0.36), right = 62, top = 26;
  const line = rows.some((row) => row.detail && !row.paper) ? 34 : 28;
  const gap = rows.some((row) => row.paper) ? 24 : 0;
  const constants = !block.range ? [] : measure === "normalised"
    ? [[0, "worst"], [50, "data"], [100, "best"]]
    : block.range.map((v, i) => [v, ["worst", "data", "best"][i]]);
  const [low, high] = extent([
    ...rows.flatMap((r) => [r.value, r.low, r.high, ...r.runs]), ...constants.map((c) => c[0])]);
  const base = constants.length ? constants[0][0] : Math.min(low, 0);
  const height = top + gap + rows.length * line + 26;
  const x = scale(Math.min(low, base), high, labels, width - right);
  const picture = s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": spoken(rows, measure) });
  let last = -Infinity;
  for (const [value, name] of constants) {
    picture.append(s("line", { class: "constant", x1: x.at(value), x2: x.at(value), y1: top - 4, y2: height - 24 }));
    if (x.at(value) - last > 40) {
      picture.append(s("text", { class: "unit", x: x.at(value), y: top - 10, "text-anchor": "middle" }, name));
      last = x.at(value);
    }
  }
  rows.forEach((row, i) => {
    const y = top + i * line + (row.paper ? gap : 0), middle = y + line / 2;
    if (row.paper && !rows[i - 1]?.paper) picture.append(s("text", { class: "unit", x: labels - 10, y: y - 4, "text-anchor": "end" }, "Published"));
    const style = row.paper ? {} : { fill: colour(row.group), stroke: colour(row.group) };
    picture.append(fitted(row, labels - 10, middle));
    const from = x.at(base), to = x.at(row.value);
    picture.append(s("rect", { class: row.paper ? "bar paper" : "bar", x: Math.min(from, to), width: Math.max(1, Math.abs(to - from)), y: middle - 8, height: 16, rx: 2, style }));
    if (row.low !== null && row.high !== null) {
      picture.append(s("line", { class: "whisker ink", x1: x.at(row.low), x2: x.at(row.high), y1: middle, y2: middle }));
      for (const end of [row.low, row.high]) picture.append(s("line", { class: "whisker ink", x1: x.at(end), x2: x.at(end), y1: middle - 4, y2: middle + 4 }));
    }
    if (row.runs.length > 1) for (const value of row.runs) picture.append(s("circle", { class: "dot", cx: x.at(value), cy: middle, r: 2.5 }));
    picture.append(s("text", { class: row.paper ? "value muted" : "value", x: width - 2, y: middle + 4, "text-anchor": "end" }, number(row.value)));
  });
  const text = tickText(x.marks);
  x.marks.forEach((v) => picture.append(s("text", { class: "tick", x: x.at(v), y: height - 8, "text-anchor": "middle" }, text(v))));
  return picture;
}

// The label of a bar, cut to its room; the whole label is its title.
function fitted(row, room, middle) {
  const fits = (text, size) => {
    const most = Math.max(4, Math.floor(room / size));
    return text.length > most ? `${text.slice(0, most - 1)}…` : text;
  };
  const two = row.detail && !row.paper;
  return s("g", {}, s("title", {}, visible(`${row.label} ${row.detail}`)),
    s("text", { class: row.paper ? "label muted" : "label", x: room, y: middle + (two ? -1 : 4), "text-anchor": "end" },
      fits(visible(row.label), 7)),
    two ? s("text", { class: "unit", x: room, y: middle + 11, "text-anchor": "end" }, fits(visible(row.detail), 6)) : null);
}

function spoken(rows, measure) {
  const unit = measure === "normalised" ? "normalised scores" : "mean returns";
  return `${unit}: ${rows.map((r) => `${r.label}${r.paper ? " (published)" : ""} ${number(r.value)}`).join(", ")}`;
}

const PHASE = (name, i) => (name === "other" || name === "not ended" ? colour(7) : `var(--c${[0, 1, 2, 3, 4, 5, 6, 8, 9][i % 9]})`);
const PHASES = ["start_policy", "data", "launch", "sample", "learn", "push", "gate", "evaluate", "save", "inspect", "other",
  "trained", "evaluated", "stale", "failed", "not ended"];

// One bar a run, divided by parts that add up; parts: [{name, value}].
function dividedBars(rows, show) {
  const names = [...new Set(rows.flatMap((row) => row.parts.map((p) => p.name)))];
  names.sort((a, b) => (PHASES.indexOf(a) + 100) % 100 - (PHASES.indexOf(b) + 100) % 100);
  const most = Math.max(...rows.map((row) => row.parts.reduce((sum, p) => sum + p.value, 0)), 1e-9);
  const legend = h("ul", { class: "legend" }, names.map((name, i) => h("li", {},
    h("i", { style: { background: PHASE(name, i) } }), visible(words(name)))));
  const bars = rows.map((row) => {
    const sum = row.parts.reduce((total, p) => total + p.value, 0);
    return h("div", { class: "divided" },
      h("span", { class: "name", title: visible(row.name) }, visible(row.name)),
      h("div", { class: "track" }, h("div", { class: "parts", style: { width: `${(100 * sum) / most}%` } },
        row.parts.filter((p) => p.value > 0)
          .sort((a, b) => names.indexOf(a.name) - names.indexOf(b.name))
          .map((p) => h("div", {
            title: visible(`${words(p.name)}: ${show(p.value)}`),
            style: { width: `${(100 * p.value) / sum}%`, background: PHASE(p.name, names.indexOf(p.name)) },
          }, p.value / most > 0.12 ? h("span", {}, show(p.value)) : null)))),
      h("span", { class: "sum" }, show(sum)));
  });
  return h("div", {}, legend, bars);
}
